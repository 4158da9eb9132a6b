"""Errors as one sentence and an exit code; what no sentence stands for stays an exception."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwatch.clickhouse import StoreAway, StoreDenied, StoreError, StoreMissing
from runwatch.commands.exits import Fail
from runwatch.producers.importer import ImportingError
from runwatch.schemas.registry import RegistryError
from runwatch.schemas.topics import TopicsError
from runwatch.stack.errors import StackError

Cli = Callable[..., Any]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Cli:
    """`failing(error)`: a command that raises `error`."""

    def run(error: BaseException) -> Any:
        def fail(_: Any) -> Any:
            raise error

        monkeypatch.setattr("runwatch.commands.ask.open_reader", fail)
        return cli("runs")

    return run


@pytest.mark.parametrize(
    "kind", [StackError, StoreError, StoreAway, StoreDenied, StoreMissing, TopicsError, RegistryError, ImportingError]
)
def test_what_is_away_is_3_and_a_sentence(kind: type[Exception], failing: Cli) -> None:
    assert (3, "", "It is away; start it.\n") == tuple(vars(failing(kind("It is away; start it."))).values())


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_command_chooses_its_code(code: int, failing: Cli) -> None:
    assert (code, "", "So it is\\x1b[0m.\n") == tuple(vars(failing(Fail("So it is\x1b[0m.", code))).values())


def test_an_interrupt_is_130(failing: Cli) -> None:
    assert (130, "", "Stopped.\n") == tuple(vars(failing(KeyboardInterrupt())).values())


def test_an_interrupt_within_an_extension_is_130(failing: Cli) -> None:
    error = SystemError("<class 'cimpl.Producer'> returned a result with an exception set")
    error.__cause__ = KeyboardInterrupt()
    assert (130, "", "Stopped.\n") == tuple(vars(failing(error)).values())


def test_a_missing_package_names_its_extra(failing: Cli) -> None:
    done = failing(ModuleNotFoundError("No module named 'clickhouse_connect'", name="clickhouse_connect.driver"))
    expected = "This command needs clickhouse_connect.driver: pip install 'runwatch[sinks]'\n"
    assert (3, "", expected) == tuple(vars(done).values())


@pytest.mark.parametrize("error", [ValueError("a bug"), ModuleNotFoundError("x", name="x"), OSError("a bug")])
def test_a_bug_keeps_its_traceback(error: Exception, failing: Cli) -> None:
    with pytest.raises(type(error)):
        failing(error)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("RUNWATCH_PARTITIONS", "x", "valid integer"), ("RUNWATCH_REPLICATION", "0", "greater than or equal to 1")],
)
@pytest.mark.parametrize("arguments", [("runs",), ("status",), ("import", "f"), ("up",)], ids=str)
def test_a_setting_that_does_not_do(name: str, value: str, why: str, arguments: tuple[str, ...], cli: Cli) -> None:
    done = cli(*arguments, **{name: value})
    assert (2, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert f"{name} is '{value}'" in done.err
    assert why in done.err


@pytest.mark.parametrize("address", ["foo", "ftp://x", "http://"])
def test_an_address_that_is_none(address: str, cli: Cli) -> None:
    done = cli("runs", RUNWATCH_CLICKHOUSE=address)
    assert (3, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert "set RUNWATCH_CLICKHOUSE" in done.err


# Three lines a row and many rows: more than any pipe holds.
ENDLESS = """
import sys
from unittest.mock import patch
from runwatch.sinks.query import Table
class Reader:
    def sql(self, query): return Table(("n",), [(n,) for n in range(100_000)])
with patch("runwatch.commands.ask.open_reader", lambda _: Reader()):
    sys.argv = ["runwatch", "sql", "x", "--format", sys.argv[1]]
    from runwatch.__main__ import main
    main()
"""


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_reader_that_has_seen_enough_is_no_failure(form: str, home: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert (b"", 0) == (process.stderr.read(), process.wait(30))


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_a_full_disk_is_a_sentence(form: str, home: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", ENDLESS, form], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (3, b"The system does not let this be done: No space left on device.\n") == (done.returncode, done.stderr)
