"""The account itself: what a loss, a copy, or a late recovery looks like in it."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from runwatch.schemas.avro import load
from runwatch.schemas.wire import WireError, decode_body, split

from .faults import ALL, SHORT, schedule
from .ledger import Noted, Sent, of_agents, of_load
from .report import Hit, table
from .spoil import spoil
from .traffic import Traffic
from .verify import events
from .watch import Lag, late_s, recovered_s

TRAFFIC = Traffic(seed=3, rate=40, start_ms=1_772_366_400_000)


class Stored:
    """Answers as ClickHouse would that holds these (run_id, seq, event_id)."""

    def __init__(self, rows: list[tuple[str, int, str]]) -> None:
        self._rows = pl.DataFrame(rows, schema=["run_id", "seq", "event_id"], orient="row")

    def frame(self, _query: str) -> pl.DataFrame:
        return self._rows.group_by("run_id").agg(
            rows=pl.len(), ids=pl.col("event_id").n_unique(), seqs=pl.col("seq").n_unique(),
            first=pl.col("seq").min(), last=pl.col("seq").max(),
        )  # fmt: skip

    def rows(self, _query: str, runs: list[str]) -> list[tuple[Any, ...]]:
        return self._rows.filter(pl.col("run_id").is_in(runs)).select("run_id", "seq").rows()


SENT = Sent(pl.DataFrame({"run_id": ["a", "b"], "events": [3, 2]}), frozenset())
WHOLE = [
    ("a", 0, "1"),
    ("a", 1, "2"),
    ("a", 2, "3"),
    ("b", 0, "4"),
    ("b", 1, "5"),
    ("agent", 0, "6"),
    ("agent", 1, "7"),
]
NOTED = [Noted("agent", safe=2, taken=3)]


def failing(rows: list[tuple[str, int, str]], noted: list[Noted] = NOTED) -> list[str]:
    checks, _ = events(Stored(rows), SENT, noted)  # type: ignore[arg-type]
    return [check.name for check in checks if not check.ok]


def test_all_of_it_is_there() -> None:
    assert [] == failing(WHOLE)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (WHOLE[1:], "no event of the load is lost"),
        ([*WHOLE, ("a", 2, "9")], "no event of the load is there twice"),
        (WHOLE[:-1], "no event of an agent is lost that was safe"),
        ([*WHOLE, ("agent", 1, "9")], "no event of an agent is there twice"),
        ([*WHOLE, ("stranger", 0, "9")], "nothing is stored that nobody sent"),
        ([*WHOLE, ("b", 2, "9")], "nothing is stored that nobody sent"),
    ],
)
def test_each_wrong_is_seen(rows: list[tuple[str, int, str]], said: str) -> None:
    assert [said] == failing(rows)


def test_what_was_not_safe_is_counted() -> None:
    _, figures = events(Stored(WHOLE), SENT, NOTED)  # type: ignore[arg-type]
    assert (1, 0, 0) == (figures["agent_events_unsynced"], figures["lost"], figures["duplicated"])


def test_what_a_killed_agent_had_not_saved_is_not_safe(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger-1"
    ledger.write_text("r 1 77 0\nr 2 77 1\nr 3 77 2\nq 1 88 0\n")
    assert [Noted("r", 2, 3), Noted("q", 0, 1)] == of_agents([ledger])
    ledger.write_text("r 1 77 0\nr 2 77 1\nr 3 77 2\nclosed 77\n")
    assert [Noted("r", 3, 3)] == of_agents([ledger])


def test_the_ledger_of_a_load_is_what_it_wrote() -> None:
    sent = 3_000
    counted: dict[str, int] = {}
    for writer, count in TRAFFIC.sent(sent):
        for key, _ in writer.messages(0, count):
            counted[key.decode()] = counted.get(key.decode(), 0) + 1
    assert counted == dict(of_load(TRAFFIC, sent).runs.iter_rows())
    assert sent == sum(counted.values())


def test_what_is_spoiled_is_no_event() -> None:
    schema, random = load("agent_event"), Random(1)
    for _, value in TRAFFIC.chunk(0).messages(0, 600):
        with pytest.raises(WireError):
            schema_id, body = split(spoil(value, random))
            if schema_id != schema.schema_id:
                raise WireError("schema", "unknown")
            decode_body(body, schema)


def lags(*behind: int) -> list[Lag]:
    return [Lag(float(at), {"sink": one}, 0) for at, one in enumerate(behind)]


def test_recovery_is_from_the_beginning_until_it_keeps_up_again() -> None:
    assert 5.0 == recovered_s(lags(0, 0, 9, 9, 9, 9, 0, 0, 9), "sink", began=1, ended=3, near=1)
    assert 0.0 == recovered_s(lags(0, 0, 0, 0), "sink", began=1, ended=2, near=1)
    assert None is recovered_s(lags(0, 0, 9, 9, 9), "sink", began=1, ended=2, near=1)


def test_loops_are_late_until_the_last_that_was() -> None:
    told = {"a": 1.5, "b": 9.0, "c": 12.5}
    assert 8.0 == late_s({"a": 1.0, "b": 2.0, "c": 12.0}, told, began=1.0, until=20.0)
    assert 0.0 == late_s({"a": 1.0, "c": 12.0}, told, began=1.0, until=20.0)


def test_the_same_seed_plans_the_same_faults() -> None:
    def planned(seed: int, short: bool) -> list[tuple[str, float]]:
        return [(fault.name, hold_s) for fault, hold_s in schedule(Random(seed), short=short)]

    assert planned(1, False) == planned(1, False) != planned(2, False)
    assert sorted(SHORT) == sorted(name for name, _ in planned(1, True))
    assert sum(fault.times for fault in ALL) == len(planned(1, False))


def test_the_table_has_a_line_for_each_fault_with_median_and_longest() -> None:
    hits = [Hit("worker killed", "process-1", 1.0, 1.0, 0, at, at / 2, 0.0) for at in (4.0, 2.0, 9.0)]
    hits.append(Hit("broker away", "kafka-1", 1.0, 60.0, 0, 61.0, None, 3.0))
    assert [
        "| broker away | 1 | 61.0 s | never | 3.0 s |",
        "| worker killed | 3 | 4.0 s, at most 9.0 | 2.0 s, at most 4.5 | 0.0 s, at most 0.0 |",
    ] == table(hits)[2:]
