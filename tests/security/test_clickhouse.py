"""ClickHouse over TLS: whom we trust, what we show, and what is said where that does not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runwatch import endpoints
from runwatch.clickhouse import StoreDenied, StoreError, connect
from runwatch.config import Settings
from runwatch.console.ask.sql_wire import Wire

from .front import tls_before
from .servers import Papers, make_papers

pytestmark = pytest.mark.stack


@dataclass(frozen=True)
class Fronts:
    papers: Papers
    stack: Any
    plain: str
    """Speaks TLS."""
    asking: str
    """The same, and asks for a certificate."""

    def settings(self, address: str, **given: Any) -> Settings:
        return self.stack.unique(clickhouse=address, **{"clickhouse_ca_file": self.papers.ca, **given})

    def shown(self, **given: Any) -> dict[str, Any]:
        return {
            "clickhouse_cert_file": self.papers.cert("sink"),
            "clickhouse_key_file": self.papers.open_key("sink"),
            **given,
        }


@contextmanager
def opened(stack: Any, folder: Path) -> Iterator[Fronts]:
    papers = make_papers(folder / "papers")
    with (
        tls_before(stack.clickhouse, papers) as plain,
        tls_before(stack.clickhouse, papers, asks=True) as asking,
    ):
        yield Fronts(papers, stack, plain, asking)


@pytest.fixture(scope="module")
def fronts(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    with opened(stack, tmp_path_factory.mktemp("fronts")) as found:
        yield found


def one(settings: Settings) -> int:
    client = connect(settings)
    try:
        return int(client.query("SELECT 1").result_rows[0][0])
    finally:
        client.close()


def as_reader(fronts: Fronts, tmp_path: Path) -> dict[str, Any]:
    """The stack's user who has a password, in a file; it may read the database of this name."""
    client = connect(fronts.stack.settings)
    client.command("CREATE DATABASE IF NOT EXISTS runwatch")
    client.close()
    file = tmp_path / "secret"
    file.write_text(endpoints.sql_password(fronts.stack.home) + "\n")
    return {"clickhouse_user": endpoints.SQL_USER, "clickhouse_password_file": file, "database": "runwatch"}


def test_by_a_ca_of_ones_own(fronts: Fronts) -> None:
    assert 1 == one(fronts.settings(fronts.plain))


def test_by_a_certificate(fronts: Fronts) -> None:
    assert 1 == one(fronts.settings(fronts.asking, **fronts.shown()))


def test_by_a_certificate_and_a_password_of_a_file(fronts: Fronts, tmp_path: Path) -> None:
    said = as_reader(fronts, tmp_path)
    # The stack knows this user, who may not ask what every client asks first; another password it does not know.
    with pytest.raises(StoreDenied, match="this user may read the database runwatch alone"):
        connect(fronts.settings(fronts.asking, **fronts.shown(), **said))
    said["clickhouse_password_file"].write_text("hush-wrong")
    with pytest.raises(StoreDenied, match="Authentication failed") as caught:
        connect(fronts.settings(fronts.asking, **fronts.shown(), **said))
    assert "hush" not in str(caught.value)


def test_the_sql_page_goes_the_same_way(fronts: Fronts, tmp_path: Path) -> None:
    said = as_reader(fronts, tmp_path)
    given = {
        "sql_user": said["clickhouse_user"],
        "sql_password_file": said["clickhouse_password_file"],
        "database": "runwatch",
    }
    its = fronts.settings(fronts.asking, **fronts.shown(), **given)
    limits = {"max_execution_time": 15, "max_memory_usage": 1 << 28}
    assert [["1"], ["UInt8"], [1]] == list(Wire(its, "SELECT 1", "sql-tls", limits).rows(whole=True))


def test_whom_we_do_not_trust_is_told(fronts: Fronts) -> None:
    others = fronts.settings(fronts.plain, clickhouse_ca_file=fronts.papers.others_ca)
    with pytest.raises(StoreDenied, match=r"do not agree on encryption .*RUNWATCH_CLICKHOUSE_CA_FILE"):
        connect(others)
    with pytest.raises(StoreDenied, match="do not agree on encryption"):
        connect(fronts.settings(fronts.plain, clickhouse_ca_file=None))  # the system has never heard of it


def test_another_host_than_the_certificates_is_told(fronts: Fronts) -> None:
    with pytest.raises(StoreDenied, match="do not agree on encryption"):
        connect(fronts.settings(fronts.plain.replace("127.0.0.1", "localhost")))


def test_https_where_there_is_none_and_the_other_way_about(fronts: Fronts) -> None:
    with pytest.raises(StoreDenied, match=r"do not agree on encryption .*\(https\?\)"):
        connect(fronts.settings(fronts.stack.clickhouse.replace("http:", "https:")))
    with pytest.raises(StoreError):
        connect(fronts.settings(fronts.plain.replace("https:", "http:")), timeout_s=5)


def test_a_certificate_that_is_missed_is_told(fronts: Fronts) -> None:
    with pytest.raises(StoreError, match="ClickHouse"):
        connect(fronts.settings(fronts.asking), timeout_s=5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"clickhouse_ca_file": Path("/no/such")}, r"RUNWATCH_CLICKHOUSE_CA_FILE names /no/such, which cannot be read"),
        ({"clickhouse_ca_file": Path(__file__)}, r"RUNWATCH_CLICKHOUSE_CA_FILE .* holds no certificate in PEM"),
        ({"clickhouse_password_file": Path("/no/such")}, r"RUNWATCH_CLICKHOUSE_PASSWORD_FILE names /no/such"),
    ],
)
def test_files_that_do_not_do_are_told_by_their_settings(fronts: Fronts, given: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreDenied, match=words):
        connect(fronts.settings(fronts.plain, **given))


def test_an_address_with_a_password_is_refused_and_not_shown(fronts: Fronts) -> None:
    its = fronts.settings(fronts.plain.replace("://", "://me:hush-4711@"))
    with pytest.raises(StoreDenied, match="holds a user or a password") as caught:
        connect(its)
    assert "hush" not in str(caught.value)
    with pytest.raises(StoreDenied, match=r"is http://HOST:PORT or https://HOST:PORT") as caught:
        connect(fronts.settings("clickhouse://me:hush-4711@here"))
    assert "hush" not in str(caught.value)
