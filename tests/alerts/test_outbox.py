"""What is told and when: once an episode, grouped, never too much, and nothing lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runwatch.alerts.outbox import MOST_WAITING, Pace
from runwatch.alerts.told import Told
from runwatch.schemas.anomalies import Anomaly

from .support import MINUTE, PACE, T0, Person, drift, loop, outbox, over

HOUR = 60 * MINUTE


def test_an_episode_is_told_once_and_its_end_once() -> None:
    person = Person(outbox())
    one = drift()
    assert [("open d1",)] == person.hear(one, one)
    assert [] == person.hear(replace(one, state="escalated", severity="critical"), at=T0 + HOUR)
    assert [("resolved d1",)] == person.hear(over(one), over(one), at=T0 + 2 * HOUR)
    assert [] == person.hear(one, over(one), at=T0 + 3 * HOUR)


def test_who_asks_for_critical_alone_is_told_when_it_escalates() -> None:
    person = Person(outbox(wants=lambda anomaly: anomaly.severity == "critical"))
    one = drift()
    assert [] == person.hear(one)
    assert [("open d1",)] == person.hear(replace(one, state="escalated", severity="critical"), at=T0 + MINUTE)
    assert [("resolved d1",)] == person.hear(over(one, severity="critical"), at=T0 + HOUR)


def test_the_end_of_what_was_not_told_is_not_told() -> None:
    person = Person(outbox(wants=lambda anomaly: False))
    assert [] == person.hear(drift(), over(drift()))
    assert 0 == person.box.waiting


def test_ends_are_left_out_where_nobody_asks_for_them() -> None:
    person = Person(outbox(ends=False))
    assert [("open d1",)] == person.hear(drift())
    assert [] == person.hear(over(drift()), at=T0 + HOUR)
    assert {0: 2} == person.box.settled({0: 2})


def test_the_first_is_told_at_once_and_what_follows_together_in_longer_and_longer_waits() -> None:
    person = Person(outbox())
    assert [("open l0",)] == person.hear(loop("l0"))
    assert [] == person.hear(loop("l1"), loop("l2"), at=T0 + 1_000)
    assert [] == person.hear(at=T0 + MINUTE - 1)
    assert [("open l1", "open l2")] == person.hear(at=T0 + MINUTE)
    assert [] == person.hear(loop("l3"), at=T0 + 2 * MINUTE)
    assert [("open l3",)] == person.hear(at=T0 + 3 * MINUTE)
    # Quiet for a whole wait: as at the beginning.
    assert [] == person.hear(at=T0 + 8 * MINUTE)
    assert [("open l4",)] == person.hear(loop("l4"), at=T0 + 8 * MINUTE + 1)


def test_what_is_more_severe_does_not_wait() -> None:
    person = Person(outbox())
    person.hear(loop("l0", severity="warning"))
    assert [("open l1",)] == person.hear(loop("l1", severity="critical"), at=T0 + 1_000)
    assert [] == person.hear(loop("l2", severity="critical"), at=T0 + 2_000)


def test_other_agents_and_other_rules_are_told_by_themselves() -> None:
    person = Person(outbox())
    assert [("open l0",), ("open l1",), ("open l2",)] == person.hear(
        loop("l0"), loop("l1", agent="other"), loop("l2", rule="loop.cycle")
    )


def test_a_flood_of_kinds_is_told_in_one() -> None:
    person = Person(outbox())
    found = [loop(f"l{number}", agent=f"agent-{number}") for number in range(4)]
    assert [("open l0", "open l1", "open l2", "open l3")] == person.hear(*found)


def test_what_ended_before_it_was_told_is_told_once() -> None:
    person = Person(outbox())
    person.hear(drift("d0"))
    assert [] == person.hear(drift("d1"), over(drift("d1")), at=T0 + 1_000)
    assert [("passed d1",)] == person.hear(at=T0 + MINUTE)
    assert [] == person.hear(over(drift("d1")), at=T0 + HOUR)


def test_a_storm_of_ten_thousand_loops_is_a_handful_of_messages_that_say_how_many() -> None:
    person = Person(outbox())
    for number in range(10_000):
        person.hear(loop(f"l{number}"), at=T0 + number * 360)  # an hour of it
    person.hear(at=T0 + 2 * HOUR)
    assert 10 >= len(person.letters)
    assert 10_000 == sum(len(letter.news) for letter in person.letters)


def test_a_storm_over_ten_thousand_agents_keeps_to_the_hours_messages() -> None:
    person = Person(outbox())
    for number in range(5_000):
        person.hear(loop(f"l{number}", agent=f"agent-{number}"), at=T0 + number * 720)
    assert 30 >= len(person.letters)
    person.hear(at=T0 + 3 * HOUR)
    assert 5_000 == sum(len(letter.news) for letter in person.letters)


def test_a_letter_that_may_have_arrived_is_tried_again_as_it_was() -> None:
    box = outbox()
    box.take(loop("l0"), 0, 0, T0)
    first = box.next(T0)
    assert first is not None
    box.failed(first, arrived=True)
    box.take(loop("l1"), 0, 1, T0)
    assert first is box.next(T0 + MINUTE)
    box.done(first, T0 + MINUTE)
    assert {0: 1} == box.settled({0: 2})


def test_a_letter_that_did_not_arrive_is_written_anew() -> None:
    box = outbox()
    box.take(drift("d0"), 0, 0, T0)
    first = box.next(T0)
    assert first is not None
    box.failed(first, arrived=False)
    box.take(over(drift("d0")), 0, 1, T0)
    again = box.next(T0 + MINUTE)
    assert again is not None
    assert ["passed"] == [one.kind for one in again.news]


def test_what_ends_while_its_beginning_is_on_the_way_is_told_afterwards() -> None:
    box = outbox()
    box.take(drift("d0"), 0, 0, T0)
    first = box.next(T0)
    assert first is not None
    box.take(over(drift("d0")), 0, 1, T0)
    assert [drift("d0")] == box.done(first, T0)
    second = box.next(T0 + MINUTE)
    assert second is not None
    assert ["resolved"] == [one.kind for one in second.news]


def test_nothing_behind_what_waits_is_settled() -> None:
    person = Person(outbox())
    person.hear(loop("l0"))
    assert {0: 1, 1: 7} == person.box.settled({0: 1, 1: 7})
    person.hear(loop("l1"), loop("l2"), at=T0 + 1)
    assert {0: 1, 1: 7} == person.box.settled({0: 3, 1: 7})
    person.hear(at=T0 + MINUTE)
    assert {0: 3} == person.box.settled({0: 3})


def test_of_what_is_silenced_loops_are_left_out_and_open_episodes_told_later() -> None:
    silent = [True]
    person = Person(outbox(silenced=lambda *_: silent[0]))
    assert [] == person.hear(loop(), drift("d1"), drift("d2"), over(drift("d2")))
    silent[0] = False
    assert [("open d1",)] == person.hear(at=T0 + HOUR)


def test_what_is_silenced_for_long_holds_up_nothing_and_is_told_all_the_same() -> None:
    silent = [True]
    person = Person(outbox(silenced=lambda *_: silent[0]))
    person.hear(drift("d1"))
    assert {0: 0} == person.box.settled({0: 1})
    person.hear(at=T0 + 24 * HOUR)
    assert {0: 1} == person.box.settled({0: 1})
    silent[0] = False
    assert [("open d1",)] == person.hear(at=T0 + 25 * HOUR)


def test_an_end_that_is_silenced_is_not_told_later() -> None:
    silent = [False]
    person = Person(outbox(silenced=lambda *_: silent[0]))
    person.hear(drift())
    silent[0] = True
    assert [] == person.hear(over(drift()), at=T0 + HOUR)
    silent[0] = False
    assert [] == person.hear(drift(), over(drift()), at=T0 + 2 * HOUR)


def test_a_silence_does_not_fill_the_box_for_good() -> None:
    box = outbox(silenced=lambda *_: True)
    for number in range(MOST_WAITING):
        box.take(drift(f"d{number}"), 0, number, T0)
    assert box.full
    assert box.next(T0) is None
    assert not box.full


# -- any order, any crash ------------------------------------------------------------------------------

EPISODES = st.lists(
    st.tuples(
        st.sampled_from(["drift.latency_p95", "loop.repeat", "fleet.failing"]),
        st.sampled_from(["a", "b"]),
        st.booleans(),  # does it escalate
        st.booleans(),  # does it end
    ),
    max_size=12,
)


def stream(episodes: list[Any], shuffle: Any) -> list[Anomaly]:
    """The states of each episode in their order, episodes mixed, and some said twice."""
    queues = []
    for number, (rule, agent, escalates, ends) in enumerate(episodes):
        make = loop if rule.startswith("loop") else drift
        one = make(f"e{number}", rule=rule, agent=agent, severity="warning")
        states = [one]
        if escalates:
            states.append(replace(one, state="escalated", severity="critical"))
        if ends and not rule.startswith("loop"):
            states.append(over(states[-1]))
        queues.append(states)
    found: list[Anomaly] = []
    while any(queues):
        at = shuffle.draw(st.sampled_from([number for number, queue in enumerate(queues) if queue]))
        found.append(queues[at].pop(0))
        if shuffle.draw(st.integers(0, 4)) == 0:
            found.append(found[-1])
    return found


@given(EPISODES, st.data())
def test_each_episode_is_told_once_whatever_crashes_between(episodes: list[Any], data: st.DataObject) -> None:
    """A crash loses all but what was noted and committed; one between sending and noting is another test's."""
    log = stream(episodes, data)
    noted: list[Anomaly] = []
    committed, now, heard = 0, T0, Counter[tuple[str, str]]()

    def begin() -> Any:
        told = Told()
        for anomaly in noted:
            told.put(anomaly)
        return outbox(told)

    def tell(box: Any, letter: Any) -> None:
        heard.update((one.last.anomaly_id, one.kind) for one in letter.news)
        noted.extend(box.done(letter, now))

    box, at = begin(), 0
    for move in data.draw(st.lists(st.sampled_from(["read", "read", "tell", "tell", "fail", "crash", "commit"]))):
        now += data.draw(st.sampled_from([1, MINUTE, 20 * MINUTE]))
        if move == "read" and at < len(log):
            box.take(log[at], 0, at, now)
            at += 1
        elif move == "commit":
            committed = max(committed, box.settled({0: at})[0])
        elif move == "crash":
            box, at = begin(), committed
        elif (letter := box.next(now)) is not None:
            if move == "fail":
                box.failed(letter, arrived=False)
            else:
                tell(box, letter)
    for offset in range(at, len(log)):
        box.take(log[offset], 0, offset, now)
    while box.waiting:
        now += 20 * MINUTE
        while (letter := box.next(now)) is not None:
            tell(box, letter)
    begun = Counter({name: count for (name, kind), count in heard.items() if kind != "resolved"})
    assert {f"e{number}": 1 for number in range(len(episodes))} == begun
    over_at_once = {name for name, kind in heard if kind == "passed"}
    ended = {anomaly.anomaly_id: 1 for anomaly in log if anomaly.state == "resolved"}
    assert {name: 1 for name in ended if name not in over_at_once} == {
        name: count for (name, kind), count in heard.items() if kind == "resolved"
    }


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5 * MINUTE)), max_size=200))
def test_in_no_hour_are_there_more_messages_than_set(found: list[tuple[int, int]]) -> None:
    pace = Pace(MINUTE, 15 * MINUTE, 6)
    person = Person(outbox(pace=pace))
    now, times = T0, []
    for number, (agent, wait) in enumerate(found):
        now += wait
        person.hear(loop(f"l{number}", agent=f"agent-{agent}"), at=now)
        times += [now] * (len(person.letters) - len(times))
    assert all(times[at + 6] - times[at] >= HOUR for at in range(len(times) - 6))


def test_the_pace_is_the_settings() -> None:
    assert Pace(MINUTE, 15 * MINUTE, 30) == PACE
