"""The fold of a partition: no split of its events, and no second sending of them, changes what comes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.counts import FoldCounts
from runwatch.processors.partition import FoldRules, PartitionFold, RunRules
from runwatch.processors.windows import WindowRules
from runwatch.schemas.anomalies import Anomaly

from .model import Latest, expected_parts
from .plans import Logged, logs
from .support import T0, columns, cut, event, offsets

STRETCH_MS = 300_000
RULES = FoldRules(windows=WindowRules(buffer_events=9, stretch=STRETCH_MS))


class Folding:
    """A fold, and what is kept of what it says."""

    def __init__(self, rules: FoldRules = RULES) -> None:
        self.fold = PartitionFold(5, rules)
        self.anomalies: list[Anomaly] = []
        self.latest = Latest()

    def add(self, events: list[dict[str, Any]], first: int = 0, log_ms: int = T0) -> None:
        out = self.fold.add(columns(events), offsets(first, len(events)), log_ms)
        self.anomalies += out.anomalies
        self.latest.take(out.parts or ())

    def finish(self, log_ms: int = T0 + 10**9) -> Folding:
        self.latest.take(self.fold.tally.parts(log_ms, log_ms))
        return self


def folded(log: list[Logged], cuts: set[int]) -> Folding:
    """The log folded in frames cut at these places, and at stretches of log time."""
    ends = {at for at in range(1, len(log)) if log[at][0] // STRETCH_MS != log[at - 1][0] // STRETCH_MS}
    folding = Folding()
    for start, piece in cut(log, cuts | ends):
        folding.add([one for _, one in piece], start, piece[-1][0])
    return folding.finish()


@settings(max_examples=25)
@given(logs(), st.sets(st.integers(0, 70), max_size=15))
def test_any_split_gives_the_same_anomalies_and_parts(log: list[Logged], cuts: set[int]) -> None:
    expected = folded(log, set(range(len(log))))
    found = folded(log, cuts)
    assert expected.anomalies == found.anomalies
    assert expected.latest.contents == found.latest.contents


@settings(max_examples=20)
@given(logs(pause_ms=1000), st.sets(st.integers(0, 140), max_size=15))
def test_a_log_that_is_sent_twice_changes_nothing(log: list[Logged], cuts: set[int]) -> None:
    once = folded(log, cuts)
    again = [(log[-1][0], one) for _, one in log]
    twice = folded(log + again, cuts)
    assert once.anomalies == twice.anomalies
    assert once.latest.contents == twice.latest.contents
    assert len(log) + once.fold.counts.repeats == twice.fold.counts.repeats


@settings(max_examples=20)
@given(logs(pause_ms=1000))
def test_parts_hold_each_event_once(log: list[Logged]) -> None:
    seen: set[tuple[str, int]] = set()
    first: list[Logged] = []
    for log_ms, one in log:
        if (one["run_id"], one["seq"]) not in seen:
            seen.add((one["run_id"], one["seq"]))
            first.append((log_ms, one))
    assert expected_parts(first, 60_000, STRETCH_MS) == folded(log, {7}).latest.contents


def repeated(count: int, **given: Any) -> list[dict[str, Any]]:
    return [event(seq=seq, args_sha="same", result_sha="same", step_id=f"s{seq}", **given) for seq in range(count)]


def test_an_anomaly_says_what_it_is_about() -> None:
    folding = Folding()
    folding.add(repeated(5, agent_version="1.2", model="m", tool="http.get"), first=40)
    warning, found = folding.anomalies
    assert ("loop.repeat", "open", "warning", "s2") == (warning.rule, warning.state, warning.severity, warning.step_id)
    assert ("loop.repeat", "escalated", "critical") == (found.rule, found.state, found.severity)
    assert warning.anomaly_id == found.anomaly_id
    assert ("a", "1.2", "m", "r", "s3", "http.get") == (
        found.agent,
        found.agent_version,
        found.model,
        found.run_id,
        found.step_id,
        found.tool,
    )
    assert (T0 + 3000, T0, (0, 1, 2, 3)) == (found.ts_ms, found.onset_ms, found.seqs)
    assert (4.0, 1, 5, 43) == (found.value, found.period, found.source_partition, found.source_offset)
    assert (
        "http.get was called 4 times in a row with the same arguments and the same result (steps 0 to 3)."
        == found.message
    )


def test_the_same_loop_has_the_same_id_and_other_loops_others() -> None:
    ids = []
    for run in ("r", "r", "s"):
        folding = Folding()
        folding.add([one | {"run_id": run} for one in repeated(4)])
        ids.append(folding.anomalies[0].anomaly_id)
    assert ids[0] == ids[1] != ids[2]


def test_calls_without_hashed_arguments_are_no_loop() -> None:
    folding = Folding()
    folding.add([one | {"args_sha": None} for one in repeated(10)])
    assert [] == folding.anomalies


def test_a_resent_call_is_no_repeat() -> None:
    folding = Folding()
    folding.add(repeated(2))
    folding.add(repeated(2), first=2)
    assert [] == folding.anomalies
    assert (4, 2) == (folding.fold.counts.events, folding.fold.counts.repeats)


@pytest.mark.parametrize("cuts", [set(), {4}, {3, 4, 5}])
def test_a_run_that_goes_on_after_its_stop_begins_anew(cuts: set[int]) -> None:
    calls = [event(seq=seq, args_sha="same", result_sha="same") for seq in (0, 1, 3, 4)]
    log = [(T0, one) for one in [*calls[:2], event(seq=2, kind="stop"), *calls[2:]]]
    assert [] == folded(log, cuts).anomalies


def test_an_event_that_the_stop_overtook_counts() -> None:
    for cuts in (set(), {2}):
        log = [(T0, one) for one in (event(seq=0), event(seq=2, kind="stop"), event(seq=1))]
        found = folded(log, cuts)
        assert 0 == found.fold.counts.repeats
        assert [3] == [part["events"] for part in found.latest.parts.values() if part["tool"] is None]


def test_an_idle_run_is_forgotten_by_log_time() -> None:
    folding = Folding(RULES.model_copy(update={"runs": RunRules(idle=120_000)}))
    folding.add(repeated(3))
    folding.add([event("other")], 3, T0 + 119_000)
    assert 2 == len(folding.fold.runs)
    folding.add([event("other", 1)], 4, T0 + 240_000)
    assert 1 == len(folding.fold.runs)


def test_what_is_resent_of_an_ended_run_ten_minutes_later_counts_once() -> None:
    run = [event("r", 0, "run_start"), event("r", 1, "stop", stop_reason="success")]
    other = [event("s", 0, "run_start")]
    folding = Folding()
    folding.add(run, 0, T0)
    for minute in range(1, 10):
        folding.add([event(f"s{minute}", 0, "run_start")], 1 + minute, T0 + minute * 60_000)
    folding.add(run, 20, T0 + 10 * 60_000)
    folding.add(other, 22, T0 + 10 * 60_000)
    assert 2 == folding.fold.counts.repeats


def test_the_parts_of_a_stretch_come_with_the_first_event_of_the_next() -> None:
    folding = Folding()
    folding.add([event()])
    assert {} == folding.latest.parts
    folding.add([event("other")], 1, T0 + STRETCH_MS)
    assert [T0, T0] == [part["slot_ms"] for part in folding.latest.parts.values()]


def test_of_a_stretch_that_was_not_read_whole_runs_are_known_and_no_windows() -> None:
    folding = Folding()
    folding.fold.add(columns(repeated(2)), offsets(0, 2), T0, whole=False)
    folding.add(repeated(3)[2:], 2, T0 + STRETCH_MS)
    assert 1 == len(folding.anomalies)
    folding.finish()
    assert {T0 + STRETCH_MS} == {part["slot_ms"] for part in folding.latest.parts.values()}


def test_a_broker_whose_clock_is_behind_reopens_no_stretch() -> None:
    folding = Folding()
    folding.add([event(seq=0)], 0, T0)
    folding.add([event(seq=1)], 1, T0 + STRETCH_MS)
    folding.add([event(seq=2)], 2, T0 + STRETCH_MS - 1)
    folding.finish()
    parts = {part["slot_ms"]: part["events"] for part in folding.latest.parts.values() if part["tool"] is None}
    assert {T0: 1, T0 + STRETCH_MS: 2} == parts


def test_no_events_no_change() -> None:
    folding = Folding()
    folding.add([], 0, T0)
    assert ([], {}, 0) == (folding.anomalies, folding.finish().latest.parts, folding.fold.counts.events)


def test_numbers_of_any_size_stop_nothing() -> None:
    most = 2**63 - 1
    folding = Folding()
    odd = [
        event(seq=most, ts_ms=0, duration_ms=most),
        event("u", seq=-5, ts_ms=253_402_300_799_999, duration_ms=-most),
        event(kind="stop", seq=most - 1, ts_ms=1, tool_calls=most, cost_usd=1.7e308, outcome=float("nan")),
        event("s", 0, "model_result", input_tokens=most, output_tokens=most, cost_usd=float("inf")),
    ]
    folding.add(odd)
    folding.add([one | {"run_id": "q"} for one in repeated(4)], 4)
    folding.finish()
    assert [("loop.repeat", "warning"), ("loop.repeat", "critical")] == [
        (one.rule, one.severity) for one in folding.anomalies
    ]
    own = [part for part in folding.latest.parts.values() if part["tool"] is None]
    assert {T0: 8} == {part["window_start_ms"]: part["events"] for part in own}
    assert 8 == folding.fold.counts.events


class TestWhatIsAmiss:
    """Counted, and of no harm."""

    def counts(self, events: list[dict[str, Any]], log_ms: int = T0) -> FoldCounts:
        folding = Folding()
        folding.add(events, 0, log_ms)
        return folding.finish().fold.counts

    def test_all_is_well(self) -> None:
        run = [event(seq=0, kind="run_start"), event(seq=1), event(seq=2, kind="stop")]
        assert FoldCounts(events=3) == self.counts(run)

    def test_places_that_a_run_left_empty(self) -> None:
        run = [event(seq=3), event(seq=5), event(seq=9, kind="stop")]
        assert FoldCounts(events=3, missing=4) == self.counts(run)

    def test_a_resent_event_fills_no_gap(self) -> None:
        run = [event(seq=0), event(seq=0), event(seq=2, kind="stop")]
        assert FoldCounts(events=3, repeats=1, missing=1) == self.counts(run)

    def test_a_run_that_goes_on_after_its_stop_has_lost_nothing(self) -> None:
        run = [event(seq=seq, kind="stop" if seq % 3 == 2 else "tool_result") for seq in range(9)]
        assert FoldCounts(events=9) == self.counts(run)

    def test_places_of_any_size(self) -> None:
        run = [event(seq=0, ts_ms=T0), event(seq=2**63 - 1, kind="stop", ts_ms=T0)]
        assert FoldCounts(events=2, missing=1_000_000) == self.counts(run)

    def test_clocks(self) -> None:
        run = [
            event(seq=0),
            event(seq=1, ts_ms=0),
            event(seq=2, ts_ms=4_102_444_800_000),
            event(seq=3, ts_ms=T0 - 59_000),
            event(seq=4, ts_ms=T0 - 61_000),
        ]
        assert FoldCounts(events=5, ahead=1, ancient=1, backwards=2) == self.counts(run)

    def test_tools_without_a_name(self) -> None:
        calls = [event(seq=seq, tool=tool) for seq, tool in enumerate([None, "", " ", "t"])]
        assert FoldCounts(events=4, nameless=2) == self.counts(calls)

    def test_runs_without_a_stop(self) -> None:
        folding = Folding()
        folding.add([event("r"), event("s")])
        folding.add([event("t")], 2, T0 + RULES.runs.idle + 61_000)
        assert (2, 1) == (folding.fold.counts.unfinished, len(folding.fold.runs))
