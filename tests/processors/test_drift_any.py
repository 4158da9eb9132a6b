"""Whatever windows come, nothing breaks, and episodes go through their states in order."""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from runwatch.processors.drift import DriftJudge, DriftRules
from runwatch.processors.merge import TOOL_SUMS, Share, ToolWindow, Window
from runwatch.processors.windows import METRICS, SUMS
from runwatch.schemas.anomalies import Anomaly

from .drift_windows import HOUR, MINUTE, MONDAY

amounts = st.one_of(
    st.integers(0, 50), st.integers(-5, 2**53), st.floats(allow_nan=False, allow_infinity=False), st.just(0)
)
buckets = st.dictionaries(st.sampled_from([-(2**31), -40, 0, 70, 300, 35_000]), st.integers(1, 40), max_size=3)
sums = st.fixed_dictionaries(dict.fromkeys(SUMS, amounts))
reasons = st.dictionaries(st.text(max_size=3), st.integers(1, 99))
shares = st.builds(Share, sums, st.fixed_dictionaries(dict.fromkeys(METRICS, buckets)), reasons)
levels = st.lists(
    st.tuples(shares, st.integers(1, 30), st.sampled_from([MINUTE, MINUTE, HOUR, 30 * HOUR]), st.booleans()),
    min_size=1,
    max_size=8,
)
begins = st.sampled_from([0, -5 * HOUR, MONDAY, 4_102_444_800_000, 2**53])


def windows(plan: list[tuple[Share, int, int, bool]], start_ms: int) -> list[Window | ToolWindow]:
    """Each level for some windows, with gaps between them."""
    out: list[Window | ToolWindow] = []
    for one, count, step, several in plan:
        for _ in range(count):
            end = start_ms + MINUTE
            versions: dict[Any, Share] = {None: one, "2": one} if several else {}
            out.append(Window(start_ms, end, one.sums, one.sketches, one.stop_reasons, versions))
            tool = Share({name: one.sums[name] for name in TOOL_SUMS}, {"call_ms": one.sketches["call_ms"]})
            out.append(ToolWindow(start_ms, end, {"t": tool, "": tool}))
            start_ms += step
    return out


RULES = DriftRules(least_points=3, least_runs=1, least_share=2, least_calls=1, least_quantile=1, least_mix=5, days=2)


@settings(max_examples=40, deadline=None, phases=(Phase.generate,))
@given(levels, begins)
def test_any_windows_are_judged(plan: list[tuple[Share, int, int, bool]], start_ms: int) -> None:
    judge = DriftJudge(RULES)
    found: list[Anomaly] = []
    for one in windows(plan, start_ms):
        found += judge.judge("a", one)
    judge.silent(1)
    found += judge.silent(1 + 2 * RULES.silence)
    states: dict[str, list[str]] = {}
    for anomaly in found:
        states.setdefault(anomaly.anomaly_id, []).append(anomaly.state)
        assert anomaly.message
        assert anomaly.onset_ms <= anomaly.ts_ms
    allowed = (["open"], ["open", "escalated"], ["open", "resolved"], ["open", "escalated", "resolved"])
    assert [] == [one for one in states.values() if one not in allowed]
    # Silence ends all of it.
    assert [] == [one for one in states.values() if one[-1] != "resolved"]
