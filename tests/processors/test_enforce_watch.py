"""The anomaly topic's side: frames in, however they are cut, and commands out; what is over is cleared away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.control.state import ControlState
from runwatch.processors.enforce.watch import CLEARED_AFTER_MS, EnforceWatch
from runwatch.processors.frames import Frame
from runwatch.schemas import avro, wire
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.controls import Control
from runwatch.schemas.registry import LocalRegistry
from runwatch.settings.policy import HOUR_MS, Policy, PolicyRule

from .enforce_model import Log, anomaly, said
from .support import T0, cut, frame

SCHEMA = avro.load("anomaly")
POLICY = Policy(
    rules=(
        PolicyRule(rule="loop.*", action="stop_run", most_runs_an_hour=2),
        PolicyRule(rule="drift.*", action="disable_writes"),
    )
)


def watching(state: ControlState | None = None, now_ms: int = T0) -> EnforceWatch:
    return EnforceWatch(LocalRegistry(), POLICY, state or ControlState(), lambda: now_ms)


def anomalies(log: Log, first: int = 0, **given: Any) -> Frame:
    values = [wire.encode(one.to_record(), SCHEMA, SCHEMA.schema_id) for _, one in log]
    times = [log_ms for log_ms, _ in log]
    return frame(values, first, topic="agent.anomalies", log_ms=times[-1], each_log_ms=times, **given)


LOG: Log = [
    (T0, anomaly(run="1")),
    (T0 + 1, anomaly(run="2", severity="warning")),
    (T0 + 5, anomaly("drift.outcome", severity="warning")),
    (T0 + 9, anomaly(run="3")),
    (T0 + 10, anomaly(run="4")),
    (T0 + 10, anomaly("policy.capped", agent="*")),
    (T0 + 60_000, anomaly("drift.outcome", state="resolved")),
    (T0 + 2 * HOUR_MS, anomaly("loop.error", run="4")),
]


@given(st.sets(st.integers(1, len(LOG) - 1)))
def test_frames_may_be_cut_anywhere(cuts: set[int]) -> None:
    watch = watching()
    found = [one for first, piece in cut(LOG, cuts) for one in watch.take(anomalies(piece, first))]
    assert said(POLICY, LOG) == found
    assert ["run:1", "agent:a", "run:3", "dry:run:4", "agent:a", "run:4"] == [
        one.scope for one in found if isinstance(one, Control)
    ]
    assert ["policy.capped"] == [one.rule for one in found if isinstance(one, Anomaly)]
    assert [] == watch.quiet(T0 + HOUR_MS)


def test_what_is_replayed_is_known_and_not_said() -> None:
    lived, state = watching(), ControlState()
    for one in lived.take(anomalies(LOG[:4])):
        if isinstance(one, Control):
            state.apply(one)
    again = watching(state)
    assert [] == again.take(anomalies(LOG[:4], replay=True))
    assert lived.take(anomalies(LOG[4:], 4)) == again.take(anomalies(LOG[4:], 4))


def test_a_workers_own_anomalies_are_acted_upon_at_once_and_not_again_when_they_come_by_the_topic() -> None:
    watch = watching(now_ms=T0 + 3)
    first = anomalies([(T0, anomaly("drift.outcome", severity="warning"))])
    assert ["agent:a"] == [one.scope for one in watch.take(first)]
    own = [anomaly(run="1"), anomaly(run="2", severity="warning"), anomaly(run="3")]
    early = watch.at_once(own)
    assert [("run:1", T0 + 3), ("run:3", T0 + 3)] == [(one.scope, one.ts_ms) for one in early]
    assert [own[0].anomaly_id, own[2].anomaly_id] == [one.anomaly_id for one in early]
    assert [] == watch.take(anomalies([(T0 + 5, one) for one in own], 1))
    # What came early counts for the cap as well.
    (capped, noted) = watch.take(anomalies([(T0 + 6, anomaly(run="4"))], 4))
    assert ("policy.capped", "dry:run:4") == (capped.rule, noted.scope)


def test_who_has_not_read_the_topic_to_its_end_leaves_its_own_anomalies_to_the_topic() -> None:
    watch = watching()
    assert [] == watch.at_once([anomaly(run="1")])
    watch.take(anomalies(LOG[:1], behind=3))
    assert [] == watch.at_once([anomaly(run="2")])
    watch.keep_only([])
    assert [] == watch.at_once([anomaly(run="2")])


def test_what_is_over_by_the_clock_is_not_said() -> None:
    # Half an hour after the last one: of two hours ago there is nothing to say any more.
    found = watching(now_ms=T0 + 5 * HOUR_MS // 2).take(anomalies(LOG))
    assert ["run:4"] == [one.scope for one in found if isinstance(one, Control)]
    assert [] == watching(now_ms=T0 + 9 * HOUR_MS).take(anomalies(LOG))


def test_what_cannot_be_read_is_counted() -> None:
    watch = watching()
    assert [] == watch.take(frame([b"rubbish", None], topic="agent.anomalies", each_log_ms=[T0, T0]))
    assert 2 == watch.bad
    mixed = anomalies(LOG[:1])
    (found,) = watch.take(
        frame([b"rubbish", *mixed.values], 2, topic="agent.anomalies", log_ms=T0 + 7, each_log_ms=[T0, T0 + 7])
    )
    assert (T0 + 7, 3) == (found.ts_ms, watch.bad)


@pytest.mark.parametrize(
    ("by", "expires_ms", "cleared"),
    [
        ("policy:loop.repeat", T0, ["run:r"]),
        ("policy:loop.repeat", T0 + 1, []),
        ("policy:loop.repeat", None, []),
        ("somebody", T0, []),
    ],
)
def test_what_the_policy_said_is_cleared_away_once_it_is_long_over(
    by: str, expires_ms: int | None, cleared: list[str]
) -> None:
    state = ControlState()
    state.apply(Control("1", "run:r", "stop", T0 - HOUR_MS, "why", by, expires_ms))
    assert cleared == watching(state).expired(T0 + CLEARED_AFTER_MS)
