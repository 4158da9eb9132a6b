"""What is read of the time before, from the real tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from runwatch.clickhouse import StoreMissing, connect
from runwatch.config import Settings
from runwatch.processors.drift import DriftRules
from runwatch.processors.recall import recall
from runwatch.sinks.migrate import migrate

pytestmark = pytest.mark.stack
RULES = DriftRules()


@pytest.fixture
def store(stack: Any) -> Iterator[tuple[Settings, Any]]:
    """A database of its own, with its tables."""
    its = stack.unique()
    client = connect(its)
    migrate(client, its)
    client.database = its.database
    yield its, client
    client.command(f"DROP DATABASE {its.database}")
    client.close()


def put_hour(client: Any, ago: int, version: str = "1", agent: str = "a", calls: int = 400, tool: str = "NULL") -> None:
    """An hour's row: 100 runs, whose calls are given in sum, of 8 s each but for ten slow ones."""
    client.command(
        "INSERT INTO hours_stored (window_start, window_ms, agent, agent_version, tool, slot_day, rolled_at, "
        "runs_stopped, successes, run_tool_calls_sum, run_tool_calls_keys, run_tool_calls_counts, run_ms_keys, "
        f"run_ms_counts) SELECT toStartOfHour(now()) - toIntervalHour({ago}), 60000, '{agent}', '{version}', {tool}, "
        f"today(), now64(3), 100, 92, {calls}, [70], [100], [450, 500], [90, 10]"
    )


def put_episode(client: Any, name: str, state: str, ago_min: int, agent: str = "a", rule: str = "error_rate") -> None:
    client.command(
        "INSERT INTO anomalies_stored (anomaly_id, rule, state, severity, ts, onset, agent, value, baseline, message, "
        f"ingested_at, rank) SELECT '{name}', 'drift.{rule}', '{state}', 'warning', now64(3) - "
        f"toIntervalMinute({ago_min}), now64(3) - toIntervalMinute({ago_min + 10}), '{agent}', 0.5, 0.02, 'm', "
        "now64(3), 1"
    )


def test_an_empty_store_knows_nothing(store: tuple[Settings, Any]) -> None:
    found = recall(store[0], RULES)
    assert ({}, [], []) == (found.hours, found.episodes, found.orphans)


def test_a_store_without_tables_says_so(stack: Any) -> None:
    with pytest.raises(StoreMissing):
        recall(stack.unique(), RULES)


def test_hours_are_read_whole_and_only_the_agents_own(store: tuple[Settings, Any]) -> None:
    settings, client = store
    put_hour(client, 5)
    put_hour(client, 5, version="2", calls=600)
    put_hour(client, 5, calls=9_999, tool="'get'")
    put_hour(client, 24 * 40)
    put_hour(client, 0)
    found = recall(settings, RULES).hours
    ((hour,),) = found.values()
    assert ["a"] == list(found)
    assert (math.log(5.0), 40) == hour.levels["tool_calls_per_run"]
    assert (math.log(0.08 + 0.05), 10) == (pytest.approx(hour.levels["success"][0]), hour.levels["success"][1])
    # The slowest tenth is in bucket 500 of the sketch.
    assert pytest.approx(1.01 / 0.99, rel=0.02) == math.exp(hour.levels["latency_p95"][0] / 500)


def test_episodes_are_read_as_they_stand_and_those_of_agents_that_are_gone_are_ended(
    store: tuple[Settings, Any],
) -> None:
    settings, client = store
    put_episode(client, "goes-on", "open", 60)
    put_episode(client, "goes-on", "escalated", 30)
    put_episode(client, "over", "open", 90, rule="success")
    put_episode(client, "over", "resolved", 80, rule="success")
    put_episode(client, "orphan", "open", 600, agent="gone")
    for agent, ago in (("a", 1), ("gone", 590)):
        client.command(
            "INSERT INTO window_parts_stored (window_start, window_ms, agent, ingested_at) "
            f"SELECT now64(3) - toIntervalMinute({ago}), 60000, '{agent}', now64(3) - toIntervalMinute({ago})"
        )
    found = recall(settings, RULES)
    by_id = {one.anomaly.anomaly_id: one for one in found.episodes}
    assert {"goes-on", "over", "orphan"} == set(by_id)
    goes_on = by_id["goes-on"]
    assert ("escalated", True) == (goes_on.anomaly.state, goes_on.is_open)
    assert pytest.approx(30 * 60_000, abs=20_000) == goes_on.anomaly.ts_ms - goes_on.opened_ms
    assert not by_id["over"].is_open
    (ended,) = found.orphans
    assert ("orphan", "resolved", "gone") == (ended.anomaly_id, ended.state, ended.agent)
    assert ended.ts_ms > by_id["orphan"].anomaly.ts_ms
