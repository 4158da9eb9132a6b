"""Sums of window parts: as if all had been added up at once, however the parts came and however often it ran."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from runwatch.sinks import rollup
from runwatch.sinks.rollup import CELLS_AT_ONCE, FIVE_MINUTES, ROWS_AT_ONCE, pieces, roll_up

from ..window_parts import Tables, part

FIVE_MS, HOUR_MS, DAY_MS = 300_000, 3_600_000, 86_400_000
_IDENTITY = (
    *("window_start_ms", "agent", "agent_version", "model", "tool", "source_partition", "slot_ms"),
    "version",
)
Group = tuple[str, str | None, str | None, str | None]


def test_pieces_are_of_as_many_rows_as_fit_and_all_cells_are_in_one() -> None:
    changed = [(cell, 7, ROWS_AT_ONCE // 4) for cell in range(10)]
    assert [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] == [[cell for cell, _ in piece] for piece in pieces(changed)]
    assert [[(1, 7)], [(2, 7)]] == list(pieces([(1, 7, 9 * ROWS_AT_ONCE), (2, 7, 9 * ROWS_AT_ONCE)]))
    assert [CELLS_AT_ONCE, 1] == [len(piece) for piece in pieces([(n, 7, 1) for n in range(CELLS_AT_ONCE + 1)])]
    assert [] == list(pieces([]))


# -- the real server ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(stack: Any) -> Iterable[Tables]:
    made = Tables(stack.unique())
    yield made
    made.close()


def groups() -> st.SearchStrategy[Group]:
    some = st.sampled_from(["a", "b", ""])
    return st.tuples(some, st.none() | some, st.none() | some, st.none() | some)


def a_part() -> st.SearchStrategy[dict[str, Any]]:
    def make(
        group: Group, minute: int, source: int, day: int, version: int, events: int, buckets: dict[int, int]
    ) -> dict[str, Any]:
        return part(
            agent=group[0], agent_version=group[1], model=group[2], tool=group[3], window_start_ms=minute * 60_000,
            source_partition=source, slot_ms=day * DAY_MS, version=version, events=events, cost_usd=events / 4,
            run_ms_keys=list(buckets), run_ms_counts=list(buckets.values()),
            stop_reasons=["success"], stop_reason_counts=[events],
        )  # fmt: skip

    buckets = st.dictionaries(st.integers(-3, 3), st.integers(1, 9), max_size=3)
    return st.builds(
        make, groups(), st.integers(50, 130), st.integers(0, 1), st.integers(0, 1), st.integers(1, 3),
        st.integers(0, 9), buckets,
    )  # fmt: skip


def levels(parts: Iterable[dict[str, Any]], length_ms: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What each cell of each level must hold, by plain adding."""
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for each in parts:
        names = ("window_start_ms", "agent", "agent_version", "model", "tool", "source_partition", "slot_ms")
        identity = tuple(each[name] for name in names)
        # Of two with the same version the later one stays.
        if identity not in newest or each["version"] >= newest[identity]["version"]:
            newest[identity] = each
    events: Counter[tuple[Any, ...]] = Counter()
    spent: Counter[tuple[Any, ...]] = Counter()
    buckets: dict[tuple[Any, ...], Counter[int]] = defaultdict(Counter)
    for each in newest.values():
        agent, version, model, tool = (each[name] for name in ("agent", "agent_version", "model", "tool"))
        of = [("each", agent, version, model, tool)]
        if tool is None:
            of += [("all", *[None] * 4), ("agent", agent, *[None] * 3), ("version", None, version, None, None)]
            of += [("model", None, None, model, None)]
        else:
            of += [("tool", None, None, None, tool)]
        for level in of:
            cell = (*level, each["window_start_ms"] // length_ms)
            events[cell] += each["events"]
            spent[cell] += each["cost_usd"]
            buckets[cell].update(dict(zip(each["run_ms_keys"], each["run_ms_counts"], strict=True)))
    return {cell: (events[cell], spent[cell], dict(buckets[cell])) for cell in events}


def stored(tables: Tables, table: str, level: str, length_ms: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    rows = tables.client.query(
        f"SELECT {level}, agent, agent_version, model, tool, intDiv(toUnixTimestamp64Milli(window_start), {length_ms})"
        f" AS cell, sum(events), sum(cost_usd), sumMap(run_ms_keys, run_ms_counts), sumMap(stop_reasons,"
        f" stop_reason_counts) FROM {table} FINAL GROUP BY ALL"
    ).result_rows
    for row in rows:
        # Reasons are counted as the sums are.
        assert sum(row[9][1]) == row[6]
    return {tuple(row[:6]): (row[6], row[7], dict(zip(*row[8], strict=True))) for row in rows}


@pytest.mark.stack
@hypothesis_settings(max_examples=12)
@given(
    parts=st.lists(a_part(), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=3),
    again=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_sums_are_those_of_all_parts_whatever_their_order_and_pieces(
    tables: Tables, parts: list[dict[str, Any]], cuts: list[int], again: bool, order: Any
) -> None:
    for table in ("window_parts", "five_minutes", "hours", "fleet_hours", "rolled"):
        tables.client.command(f"TRUNCATE TABLE {table}_stored")
    # Of one identity and version there is one content: only what is sent again is the same.
    parts = list({tuple(each[name] for name in _IDENTITY): each for each in parts}.values())
    order.shuffle(parts)
    places = [0, *sorted(min(cut, len(parts)) for cut in cuts), len(parts)]
    for first, last in pairwise(places):
        tables.put_parts(parts[first:last])
        roll_up(tables.client, tables.settings)
        if again:
            tables.put_parts(parts[:last])
            roll_up(tables.client, tables.settings)
    five, hour = levels(parts, FIVE_MS), levels(parts, HOUR_MS)
    assert five == stored(tables, "five_minutes_stored", "level", FIVE_MS)
    coarse = {cell: sums for cell, sums in hour.items() if cell[0] != "each"}
    assert coarse == stored(tables, "fleet_hours_stored", "level", HOUR_MS)
    each = {cell: sums for cell, sums in hour.items() if cell[0] == "each"}
    assert each == stored(tables, "hours_stored", "'each'", HOUR_MS)


@pytest.mark.stack
def test_what_died_half_way_is_done_again(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(store.settings)
    tables.put_parts([part(version=1, events=1, window_start_ms=n * HOUR_MS) for n in range(5)])
    monkeypatch.setattr(rollup, "CELLS_AT_ONCE", 1)
    command = tables.client.command
    said: list[str] = []

    def dies(statement: str, *args: Any, **kwargs: Any) -> Any:
        said.append(statement)
        if sum("five_minutes_stored" in each for each in said) > 2:
            raise OSError("gone")
        return command(statement, *args, **kwargs)

    monkeypatch.setattr(tables.client, "command", dies)
    with pytest.raises(Exception, match="gone"):
        roll_up(tables.client, store.settings)
    monkeypatch.setattr(tables.client, "command", command)
    done = "SELECT uniqExact(window_start) FROM five_minutes_stored WHERE level = 'all'"
    assert [(2,)] == store.rows(done)
    roll_up(tables.client, store.settings)
    assert [(5,)] == store.rows(done)


@pytest.mark.stack
def test_hours_whose_parts_are_gone_stay_and_come_into_the_fleets(store: Any) -> None:
    tables = Tables(store.settings)
    tables.put_parts([part(version=1, events=7, window_start_ms=0), part(version=1, events=5, source_partition=1)])
    roll_up(tables.client, store.settings)
    # As a database of before: no note, no sums of the fleet, and of an hour's parts some are past their time.
    for table in ("five_minutes", "fleet_hours", "rolled"):
        store.client.command(f"TRUNCATE TABLE {table}_stored")
    store.client.command(
        "INSERT INTO window_parts_stored SELECT * REPLACE (ingested_at - INTERVAL 1 HOUR AS ingested_at)"
        " FROM window_parts_stored WHERE source_partition = 0"
    )
    store.client.command("DELETE FROM window_parts_stored WHERE ingested_at > now() - INTERVAL 30 MINUTE")
    roll_up(tables.client, store.settings)
    assert [(12,)] == store.rows("SELECT sum(events) FROM hours_stored FINAL")
    assert [(12,)] == store.rows("SELECT sum(events) FROM fleet_hours_stored FINAL WHERE level = 'all'")
    assert [(7,)] == store.rows("SELECT sum(events) FROM five_minutes_stored FINAL WHERE level = 'all'")


@pytest.mark.stack
def test_what_did_not_change_is_not_read_again(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(store.settings)
    tables.put_parts([part(version=1, events=1)])
    roll_up(tables.client, store.settings)
    monkeypatch.setattr(rollup, "MARGIN_S", 0)
    said: list[str] = []
    monkeypatch.setattr(tables.client, "command", lambda statement, **_: said.append(statement))
    roll_up(tables.client, store.settings)
    assert ["rolled_stored"] * 3 == [re.findall(r"\.(\w+) \(what", each)[0] for each in said]


def test_every_level_is_made_and_its_name_kept() -> None:
    assert {"all", "agent", "version", "model", "tool", "each"} == {*FIVE_MINUTES.own, *FIVE_MINUTES.of_tools}
