"""State is a replay: a worker that is killed and begins anew says what one that lived on would have said."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.drift import DriftRules
from runwatch.processors.frames import Frame
from runwatch.processors.merge import MergeRules
from runwatch.processors.replay import stretch_start
from runwatch.processors.rules import Rules
from runwatch.processors.watch import EventWatch, WindowWatch, stamped
from runwatch.processors.windows import WindowRules
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.registry import LocalRegistry

from .model import Latest
from .plans import Logged, logs
from .support import T0, event, frame, message, part_message
from .test_merge import MINUTE, part

STRETCH = 60_000
RULES = Rules(
    windows=WindowRules(stretch=STRETCH, buffer_events=11, tools_every=1000),
    drift=DriftRules(sustain=4 * MINUTE, least_points=3, cool_points=2),
    merge=MergeRules(quiet=5000, settle=0),
)
Message = tuple[int, bytes | None]


def frames(log: list[Message], cuts: set[int], start: int = 0, committed: int = 0, epoch: int = 0) -> list[Frame]:
    """The log from `start` on as the transport yields it: cut at the committed offset, at stretches, and anywhere."""
    stretches = {at for at in range(1, len(log)) if log[at][0] // STRETCH != log[at - 1][0] // STRETCH}
    places = sorted({start, len(log)} | {at for at in cuts | stretches | {committed} if start < at < len(log)})
    out = []
    for first, end in itertools.pairwise(places):
        piece = log[first:end]
        out.append(
            frame(
                [value for _, value in piece],
                first,
                log_ms=piece[-1][0],
                replay=first < committed,
                behind=len(log) - end,
                epoch=epoch,
            )
        )
    return out


def replay_start(log: list[Message], committed: int) -> int:
    if not committed:
        return 0
    since = stretch_start(log[committed - 1][0], STRETCH) - STRETCH
    return next(at for at, (log_ms, _) in enumerate(log) if log_ms >= since)


@dataclass
class Topics:
    """What arrived: ids of anomalies, and of each window part the latest."""

    anomalies: set[str] = field(default_factory=set)
    latest: Latest = field(default_factory=Latest)

    def take(self, anomalies: list[Anomaly], parts: list[dict[str, Any]]) -> None:
        self.anomalies |= {one.anomaly_id for one in anomalies}
        self.latest.take(parts)


def work(topics: Topics, plan: list[Frame], ticks: set[int], arrives: Any = lambda _: True) -> EventWatch:
    """A worker's life: its frames, and ticks after some of them, by a clock that is ahead of the log."""
    watch = EventWatch(LocalRegistry(), RULES)
    for one in plan:
        out = watch.take(one)
        if arrives(one):
            topics.take(out.anomalies, list(out.parts or ()))
        if one.offsets[0] in ticks:
            sent = list(watch.parts(one.partition, one.log_ms + 10**7))
            if arrives(one):
                topics.take([], sent)
    return watch


def finish(topics: Topics, watch: EventWatch) -> Topics:
    topics.take([], list(watch.parts(0, T0 + 10**9)))
    return topics


def old_runs(count: int) -> list[Logged]:
    """A past of some stretches, with which a replay need not begin."""
    return [(T0 + at * STRETCH // 3, event(f"old-{at}", 0, "run_start")) for at in range(count)]


@st.composite
def message_logs(draw: st.DrawFn) -> list[Message]:
    """A past, then runs that loop or do not within a minute, bad messages between them."""
    past = old_runs(draw(st.integers(0, 12)))
    shift = draw(st.integers(0, 2 * STRETCH)) + (past[-1][0] - T0 if past else 0)
    recent = draw(logs(pause_ms=1000))
    log: list[Message] = [(log_ms, message(one)) for log_ms, one in past]
    log += [(log_ms + shift, message(one)) for log_ms, one in recent]
    for at, junk in draw(
        st.lists(st.tuples(st.integers(0, 80), st.sampled_from([None, b"", b"{}", b"\0\0\0\0\7x"])), max_size=3)
    ):
        place = at % len(log)
        log.insert(place, (log[place][0], junk))
    return log


cuts = st.sets(st.integers(0, 90), max_size=12)


@settings(max_examples=35)
@given(message_logs(), cuts, cuts, cuts, st.data())
def test_killed_at_any_frame_and_replayed_it_is_as_if_nothing_had_been(
    log: list[Message], before: set[int], after: set[int], ticks: set[int], data: st.DataObject
) -> None:
    expected = Topics()
    finish(expected, work(expected, frames(log, before | after), set()))

    found = Topics()
    first_life = frames(log, before)
    lived = data.draw(st.integers(0, len(first_life)), label="frames until it is killed")
    # Commits come now and then, so some of what was worked on is worked on again.
    commits = [0, *(one.next_offset for one in first_life[:lived])]
    committed = data.draw(st.sampled_from(commits), label="committed")
    lost = data.draw(st.booleans(), label="what was not committed did not arrive either")
    work(found, first_life[:lived], ticks, lambda one: not lost or one.next_offset <= committed)

    second_life = frames(log, after, replay_start(log, committed), committed, epoch=1)
    finish(found, work(found, second_life, ticks))
    assert expected.anomalies == found.anomalies
    assert expected.latest.contents == found.latest.contents


def test_a_replayed_frame_says_nothing_and_rebuilds() -> None:
    calls = [message(event(seq=seq, args_sha="same", result_sha="same")) for seq in range(4)]
    watch = EventWatch(LocalRegistry(), RULES)
    out = watch.take(frame([*calls, b"bad"], replay=True))
    assert ([], None) == (out.anomalies, out.parts)
    assert (5, 0, 0, 1) == (watch.counts.replayed, watch.counts.fold.events, watch.counts.unreadable, watch.open_runs)
    # The fourth call is known: it is no loop again, but the run goes on where it was.
    assert [] == watch.take(frame(calls[3:], 4)).anomalies
    assert 1 == watch.counts.fold.repeats
    live = EventWatch(LocalRegistry(), RULES)
    live.take(frame(calls[:3], replay=True))
    assert ["loop.repeat"] == [one.rule for one in live.take(frame(calls[3:], 3)).anomalies]


def test_offsets_count_bad_messages_too() -> None:
    calls = [message(event(seq=seq, args_sha="same", result_sha="same")) for seq in range(4)]
    watch = EventWatch(LocalRegistry(), RULES)
    found = watch.take(frame([b"bad", *calls[:2], None, *calls[2:], b"bad"], first=100)).anomalies
    assert [104, 105] == [one.source_offset for one in found]
    counts = watch.counts
    assert (1, 4, 3, 2) == (counts.frames, counts.fold.events, counts.unreadable, counts.fold.anomalies)


def test_offsets_may_have_gaps() -> None:
    calls = [message(event(seq=seq, args_sha="same", result_sha="same")) for seq in range(4)]
    watch = EventWatch(LocalRegistry(), RULES)
    found = watch.take(Frame("agent.events", 2, calls, [5, 9, 10, 70], T0)).anomalies
    assert [(2, 10), (2, 70)] == [(one.source_partition, one.source_offset) for one in found]


def test_another_assignment_voids_the_state() -> None:
    calls = [message(event(seq=seq, args_sha="same", result_sha="same")) for seq in range(4)]
    watch = EventWatch(LocalRegistry(), RULES)
    watch.take(frame(calls[:3], epoch=1))
    assert [] == watch.take(frame(calls[3:], 3, epoch=2)).anomalies


def test_who_catches_up_goes_by_the_log() -> None:
    watch = EventWatch(LocalRegistry(), Rules())
    an_hour_later = T0 + 3_600_000
    watch.take(frame([message(event(seq=0))], 0, behind=2))
    # The window is open: to the log no time has passed, and the tool's part is to come.
    assert [(None, False)] == [(one["tool"], one["closed"]) for one in watch.parts(0, an_hour_later)]
    # It is sent again as often as ever: who merges would take a silent partition for one that has no more to say.
    watch.take(frame([message(event(seq=1))], 1, behind=1, log_ms=T0 + 1))
    assert [(None, False, 2)] == [(one["tool"], one["closed"], one["events"]) for one in watch.parts(0, an_hour_later)]
    watch.take(frame([message(event(seq=2))], 2, behind=0, log_ms=T0 + 2))
    last = list(watch.parts(0, an_hour_later))
    assert {(None, True), ("t", True)} == {(one["tool"], one["closed"]) for one in last}
    assert {3} == {one["events"] for one in last}


def test_partitions_are_apart_and_let_go_of() -> None:
    watch = EventWatch(LocalRegistry(), RULES)
    for partition in (0, 1):
        watch.take(frame([message(event(f"r{partition}"))], partition=partition))
    assert ([0, 1], 2) == (watch.partitions, watch.open_runs)
    watch.keep_only([1])
    assert [1] == watch.partitions
    assert [] == list(watch.parts(0, T0))
    assert [None] == [one["tool"] for one in watch.parts(1, T0)]


# -- windows -------------------------------------------------------------------------------------


def own(minute: int, calls_a_run: float = 4.0, **given: Any) -> bytes:
    """A part of ten runs that made so many calls each."""
    one = part(minute, count=10, version=minute + 1, **given)
    return part_message(one | {"run_tool_calls_sum": int(10 * calls_a_run), "closed": True})


def window_log(*levels: float) -> list[Message]:
    """A part a minute, appended as its minute ends."""
    return [(T0 + (at + 1) * MINUTE, own(at, level)) for at, level in enumerate(levels)]


def judged(watch: WindowWatch, plan: list[Frame]) -> list[Anomaly]:
    return [anomaly for one in plan for anomaly in watch.take(one)]


INCIDENT = [4.0] * 6 + [12.0] * 8 + [4.0] * 6


def test_an_episode_opens_and_is_resolved() -> None:
    watch = WindowWatch(LocalRegistry(), RULES)
    found = judged(watch, frames(window_log(*INCIDENT), set(range(50))))
    assert [("drift.tool_calls_per_run", "open"), ("drift.tool_calls_per_run", "resolved")] == [
        (one.rule, one.state) for one in found
    ]
    assert [T0 + 6 * MINUTE] * 2 == [one.onset_ms for one in found]


@pytest.mark.parametrize("committed", range(1, 20))
def test_drift_survives_a_restart_anywhere(committed: int) -> None:
    log = window_log(*INCIDENT)
    expected = judged(WindowWatch(LocalRegistry(), RULES), frames(log, set(range(50))))
    first = judged(WindowWatch(LocalRegistry(), RULES), frames(log, set(range(50)))[:committed])
    # Of a long horizon: it holds a baseline.
    second = judged(WindowWatch(LocalRegistry(), RULES), frames(log, {3, 8, 15}, 0, committed))
    told = {(one.anomaly_id, one.state) for one in [*first, *second]}
    assert {(one.anomaly_id, one.state) for one in expected} == told


def test_a_silent_agent_is_judged_once_all_was_read_and_not_before() -> None:
    log = window_log(*INCIDENT[:10])
    watch = WindowWatch(LocalRegistry(), RULES)
    *most, last = frames(log, set(range(50)))
    assert [] == judged(watch, most)
    assert [] == watch.quiet(T0 + 10**7)
    assert [] == watch.take(last)
    (found,) = watch.quiet(T0 + 10**7)
    assert ("open", T0 + 6 * MINUTE) == (found.state, found.onset_ms)
    assert [] == watch.quiet(T0 + 10**7)


def test_while_it_replays_a_silent_agent_is_not_judged() -> None:
    log = window_log(*INCIDENT[:10])
    watch = WindowWatch(LocalRegistry(), RULES)
    replayed = frames(log, {5}, 0, committed=len(log))
    assert [] == watch.take(replayed[0])
    assert [] == watch.quiet(T0 + 10**8)
    for one in replayed[1:]:
        assert [] == watch.take(one)
    assert ["open"] == [one.state for one in watch.quiet(T0 + 10**8)]


def test_the_parts_of_tools_and_bad_messages_are_no_windows() -> None:
    log = window_log(*[4.0] * 6, *[12.0] * 8)
    mixed = [
        one for log_ms, value in log for one in ((log_ms, value), (log_ms, b"bad"), (log_ms, own(0, 99, tool="t")))
    ]
    watch = WindowWatch(LocalRegistry(), RULES)
    expected = judged(WindowWatch(LocalRegistry(), RULES), frames(log, {2}))
    assert expected == judged(watch, frames(mixed, {4}))
    assert len(log) == watch.bad


def test_another_assignment_of_windows_voids_the_state_and_what_is_taken_away_is_let_go_of() -> None:
    log = window_log(*INCIDENT[:10])
    watch = WindowWatch(LocalRegistry(), RULES)
    judged(watch, frames(log[:9], {2}))
    assert [] == judged(watch, frames(log, {2}, 9, epoch=1))
    watch.keep_only([])
    assert [] == watch.quiet(T0 + 10**8)


def test_anomalies_are_stamped_with_the_time_they_were_found_at() -> None:
    watch = WindowWatch(LocalRegistry(), RULES)
    found = judged(watch, frames(window_log(*INCIDENT), {2}))
    assert [None, None] == [one.detected_ms for one in found]
    assert [77, 77] == [one.detected_ms for one in stamped(found, 77)]
