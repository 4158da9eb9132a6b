"""A reader waits for a sink that is still making its tables, and not for ever."""

from __future__ import annotations

import pytest

from runwatch.clickhouse import StoreAway, StoreMissing
from runwatch.commands.reader import open_reader
from runwatch.config import Settings


class Tables:
    """A ClickHouse that has the tables after so many questions."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.asked = 0

    def rows(self, _: str) -> list[object]:
        self.asked += 1
        if self.asked <= self.after:
            raise StoreMissing("ClickHouse lacks a table; `runwatch sink` makes it", 60)
        return []


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Tables:
    fake = Tables(0)
    monkeypatch.setattr("runwatch.sinks.query.Reader", lambda _: fake)
    monkeypatch.setattr("runwatch.commands.reader.time.sleep", lambda _: None)
    return fake


def test_tables_that_are_there(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    assert open_reader(Settings()) is tables
    assert (1, ("", "")) == (tables.asked, tuple(capsys.readouterr()))


def test_tables_that_come(tables: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    tables.after = 3
    assert open_reader(Settings()) is tables
    said = "No tables in ClickHouse yet; waiting up to 20 s for the sink to make them.\n"
    assert (4, said) == (tables.asked, capsys.readouterr().err)


def test_tables_that_do_not_come(tables: Tables) -> None:
    tables.after = 10**9
    with pytest.raises(StoreMissing, match="`runwatch sink` makes it"):
        open_reader(Settings(), wait_s=0.01)


def test_a_clickhouse_that_is_away_is_not_waited_for() -> None:
    with pytest.raises(StoreAway):
        open_reader(Settings(clickhouse="http://127.0.0.1:1"))
