"""What an Alertmanager is told: what stands, until it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runwatch.alerts.standing import LASTS_MS, PAUSE_MS, REPOST_MS, Stand
from runwatch.alerts.told import Told
from runwatch.schemas.anomalies import Anomaly

from .support import MINUTE, T0, drift, everything, loop, nothing_silenced, over

HOUR = 60 * MINUTE


class Manager:
    """Takes what is posted as an Alertmanager does: the last post of the same labels holds, until its end."""

    def __init__(self, told: Told | None = None, silenced: Any = nothing_silenced) -> None:
        self.stand = Stand(everything, silenced, 15 * MINUTE, Told() if told is None else told)
        self.ends: dict[Any, int] = {}
        self.posts: list[Any] = []
        self.offset = 0

    def hear(self, *anomalies: Anomaly, at: int) -> list[Anomaly]:
        for anomaly in anomalies:
            self.stand.take(anomaly, 0, self.offset, at)
            self.offset += 1
        known = []
        while (post := self.stand.next(at)) is not None:
            self.posts.append(post)
            self.ends.update({one.labels: one.ends_ms for one in post.alerts})
            known += self.stand.done(post, at)
        return known

    def firing(self, at: int) -> list[str]:
        return sorted(dict(labels)["severity"] for labels, end in self.ends.items() if end > at)


def test_an_episode_is_posted_again_until_it_is_over() -> None:
    its = Manager()
    assert [drift()] == its.hear(drift(), at=T0)
    assert T0 + LASTS_MS == next(iter(its.ends.values()))
    for minute in range(1, 20):
        its.hear(at=T0 + minute * REPOST_MS)
        assert ["warning"] == its.firing(T0 + minute * REPOST_MS + MINUTE)
    assert 20 == len(its.posts)
    end = T0 + 21 * REPOST_MS
    assert [over(drift())] == its.hear(over(drift()), at=end)
    assert [] == its.firing(end)
    its.hear(at=end + HOUR)
    assert 21 == len(its.posts)


def test_an_escalation_ends_the_one_severity_and_begins_the_other() -> None:
    its = Manager()
    its.hear(drift(), at=T0)
    its.hear(replace(drift(), state="escalated", severity="critical"), at=T0 + MINUTE)
    assert ["critical"] == its.firing(T0 + MINUTE)
    its.hear(over(drift(), severity="critical"), at=T0 + 2 * MINUTE)
    assert [] == its.firing(T0 + 2 * MINUTE)


def test_an_agents_loops_are_one_alert_that_ends_a_while_after_the_last() -> None:
    its = Manager()
    for number in range(10_000):
        its.hear(loop(f"l{number}"), at=T0 + number)
    its.hear(at=T0 + HOUR // 60)
    assert 1 == len(its.ends)
    assert 12 >= len(its.posts)
    last = its.posts[-1].alerts[0]
    assert (10_000, 10, "run-l9999") == (last.count, len(last.runs), last.runs[-1])
    for minute in range(2, 15):
        its.hear(at=T0 + minute * MINUTE)
        assert ["critical"] == its.firing(T0 + minute * MINUTE)
    its.hear(at=T0 + 16 * MINUTE)
    assert [] == its.firing(T0 + 16 * MINUTE)
    assert 0 == its.stand.waiting


def test_two_episodes_of_the_same_labels_stand_until_both_are_over() -> None:
    its = Manager()
    its.hear(drift("d1"), drift("d2"), at=T0)
    its.hear(over(drift("d1")), at=T0 + MINUTE)
    assert ["warning"] == its.firing(T0 + MINUTE)
    its.hear(over(drift("d2")), at=T0 + 2 * MINUTE)
    assert [] == its.firing(T0 + 2 * MINUTE)


def test_who_begins_again_goes_on_posting_what_stands() -> None:
    told = Told()
    Manager(told).hear(drift("d1"), drift("d2", tool="t"), over(drift("d1")), loop(), at=T0)
    its = Manager(told)
    its.hear(drift("d1"), loop(), at=T0 + HOUR)
    assert 1 == len(its.ends)
    its.hear(over(drift("d2", tool="t")), at=T0 + 2 * HOUR)
    assert [] == its.firing(T0 + 2 * HOUR)


def test_one_that_was_over_while_the_alertmanager_was_away_is_posted_as_firing_once() -> None:
    its = Manager()
    its.stand.take(drift(), 0, 0, T0)
    assert its.stand.next(T0) is not None
    its.stand.take(over(drift()), 0, 1, T0 + HOUR)
    its.offset = 2
    its.hear(at=T0 + 2 * HOUR)
    assert ["warning"] == its.firing(T0 + 2 * HOUR)
    assert [] == its.firing(T0 + 2 * HOUR + REPOST_MS)
    assert {0: 2} == its.stand.settled({0: 2})


def test_what_is_silenced_is_not_posted_until_the_silence_is_over() -> None:
    silent = [True]
    its = Manager(silenced=lambda *_: silent[0])
    assert [] == its.hear(drift("d1"), loop(), at=T0)
    assert [] == its.hear(at=T0 + HOUR)
    silent[0] = False
    its.hear(at=T0 + 2 * HOUR)
    assert ["warning"] == its.firing(T0 + 2 * HOUR)
    assert {0: 2} == its.stand.settled({0: 2})


MOVES = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from(["open", "escalated", "resolved", "loop", "post", "crash"]),
        st.sampled_from([1, PAUSE_MS, MINUTE]),
    ),
    max_size=60,
)  # fmt: skip


@given(MOVES)
def test_what_fires_is_what_is_open_whatever_crashes(moves: list[tuple[int, str, int]]) -> None:
    told, noted, log = Told(), [], []
    its, now, committed, open_now = Manager(told), T0, 0, {}  # type: ignore[var-annotated]
    over_for_good: set[int] = set()
    for number, move, wait in moves:
        now += wait
        if move == "post":
            noted += its.hear(at=now)
            committed = max(committed, its.stand.settled({0: len(log)})[0])
        elif move == "crash":
            told = Told()
            for one in noted:
                told.put(one)
            ends = its.ends
            its = Manager(told)
            its.ends, its.offset = ends, committed
            for one in log[committed:]:
                its.stand.take(one, 0, its.offset, now)
                its.offset += 1
        elif number not in over_for_good:
            one = loop(f"l{number}") if move == "loop" else drift(f"d{number}", tool=f"t{number}")
            if move == "escalated":
                one = replace(one, state="escalated", severity="critical")
                open_now[number] = "critical"
            elif move == "open":
                if number in open_now:
                    continue  # that it opens comes before that it escalates
                open_now[number] = "warning"
            elif move == "resolved":
                if number not in open_now:
                    continue
                one = over(one, severity=open_now.pop(number))
                over_for_good.add(number)
            log.append(one)
            its.stand.take(one, 0, its.offset, now)
            its.offset += 1
    for _ in range(20):
        now += REPOST_MS
        its.hear(at=now)
    assert sorted(open_now.values()) == its.firing(now)
    assert {0: len(log)} == its.stand.settled({0: len(log)})
