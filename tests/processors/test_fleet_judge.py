"""All fleet-wide rules together: however the parts come, the same is said; episodes end where nothing happens, too."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.fleet.judge import FleetJudge
from runwatch.processors.fleet.rules import FailingRules, FleetRules, HandoffRules, StormRules
from runwatch.schemas.anomalies import Anomaly

from .fleet import AFTERWARDS, MINUTE, W0, failure, part, start, tallied

RULES = FleetRules(
    failing=FailingRules(least_runs=3, critical_runs=5),
    retries=StormRules(least_calls=3, least_runs=2, sustain=MINUTE, young_share=0.4),
    handoffs=HandoffRules(rounds=2, least_runs=3, critical_rounds=2, critical_runs=4),
)


def failing_part(window: int, runs: int = 12) -> dict[str, Any]:
    hit = list(range(runs))
    return part(window, tool="t", args_sha="x", calls=runs, errors=runs, runs=hit, run_agents=["a"] * runs)


def judged(parts: list[dict[str, Any]], rules: FleetRules = RULES) -> list[Anomaly]:
    judge = FleetJudge(rules)
    for one in parts:
        judge.add(one, W0)
    return judge.judge_until(AFTERWARDS)


def test_windows_that_nobody_told_of_end_episodes_as_those_that_are_empty_do() -> None:
    untold = judged([failing_part(0), part(500)], FleetRules())
    empty = judged([failing_part(0), *(part(number) for number in range(1, 20))], FleetRules())
    assert ["open", "resolved"] == [one.state for one in untold]
    assert untold == empty
    assert W0 + 11 * MINUTE == untold[1].ts_ms


_events = st.lists(
    st.one_of(
        st.builds(
            lambda run, minute, attempt: failure(
                f"r{run}", minute * MINUTE, agent=f"a{run % 2}", attempt=attempt, error="Timeout"
            ),
            st.integers(0, 6),
            st.integers(0, 4),
            st.sampled_from([None, 2]),
        ),
        st.builds(
            lambda run: start(f"h{run}", f"h{run - 1}", run * 20_000, "AB"[run % 2]),
            st.integers(0, 8),
        ),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=60)
@given(_events, st.integers(1, 4), st.data())
def test_any_partitioning_and_any_order_says_the_same(
    events: list[dict[str, Any]], partitions: int, data: st.DataObject
) -> None:
    parts = [
        one
        for number in range(partitions)
        for one in tallied(
            [each for each in events if int(each["run_id"][1:]) % partitions == number], partition=number
        )
    ]
    assert judged(tallied(events)) == judged(data.draw(st.permutations(parts)))
