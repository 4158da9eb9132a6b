"""A consumer's guard: what it holds, what it says of it, and when it reads on."""

from __future__ import annotations

import pytest

from runwatch.deadletters.guard import RETRY_S, Guard
from runwatch.deadletters.limit import Limit
from runwatch.deadletters.words import Word, WordsError
from runwatch.schemas.holds import Hold

TOPIC = "agent.events"
LIMIT = Limit(window=100, in_a_row=10)


class FakeWords:
    """The topic of holds, whose broker counts a millisecond a word."""

    def __init__(self) -> None:
        self.words: dict[str, Word] = {}
        self.said: list[tuple[str, str]] = []
        self.is_away = False
        self.ms = 0

    def read(self) -> dict[str, Word]:
        return dict(self.words)

    def say(self, hold: Hold) -> None:
        if self.is_away:
            raise WordsError("The topic could not be written.")
        self.ms += 10
        self.words[hold.key] = Word(hold, self.ms)
        self.said.append((hold.topic, hold.state))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def words() -> FakeWords:
    return FakeWords()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(words: FakeWords, clock: Clock) -> Guard:
    made = Guard("sink", LIMIT, words, clock=clock)
    made.look()
    return made


def held(guard: Guard) -> None:
    """Has it hold the topic, and say so."""
    why = guard.judge(TOPIC, 20, range(20))
    assert why is not None
    guard.hold(TOPIC, why)
    guard.tell()
    guard.look()


def person(words: FakeWords, state: str, part: str = "sink") -> None:
    words.say(Hold(part, TOPIC, state, 0, "they are garbage", "mia"))  # type: ignore[arg-type]


def test_a_topic_that_is_too_much_is_held_said_once_and_told_of(
    guard: Guard, words: FakeWords, caplog: pytest.LogCaptureFixture
) -> None:
    held(guard)
    assert guard.is_held(TOPIC)
    assert [TOPIC] == guard.troubled
    assert [(TOPIC, "held")] == words.said
    assert [
        "agent.events is not read on: 20 messages in a row. Nothing of that is committed. It is tried again every "
        "30 s; `runwatch deadletter resume` lets what is there go to the dead letters."
    ] == caplog.messages


def test_it_is_tried_again_and_held_again_without_a_further_word(
    guard: Guard, words: FakeWords, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    held(guard)
    assert [] == guard.due()
    clock.now = RETRY_S
    assert [TOPIC] == guard.due()
    guard.try_again(TOPIC)
    assert not guard.is_held(TOPIC)
    held(guard)
    assert [(TOPIC, "held")] == words.said
    assert len(caplog.messages) == 1


def test_it_is_read_on_once_it_can_be_read(guard: Guard, words: FakeWords, clock: Clock) -> None:
    held(guard)
    clock.now = RETRY_S
    guard.try_again(TOPIC)
    assert guard.judge(TOPIC, 20, [3]) is None
    guard.tell()
    assert [] == guard.troubled
    assert [(TOPIC, "held"), (TOPIC, "resumed")] == words.said
    guard.look()
    assert guard.judge(TOPIC, 5, range(5)) is None


def test_a_person_may_let_all_of_it_go(guard: Guard, words: FakeWords) -> None:
    held(guard)
    person(words, "drained")
    guard.look()
    assert [TOPIC] == guard.due()
    assert guard.drained_ms(TOPIC) == words.ms
    assert [] == guard.troubled


def test_after_that_the_limit_counts_anew(guard: Guard, words: FakeWords) -> None:
    held(guard)
    person(words, "drained")
    guard.look()
    guard.try_again(TOPIC)
    assert guard.judge(TOPIC, 9, range(9)) is None
    held(guard)
    assert [(TOPIC, "held"), (TOPIC, "drained"), (TOPIC, "held")] == words.said


def test_who_starts_anew_lets_nothing_through_on_credit(guard: Guard, words: FakeWords) -> None:
    held(guard)
    other = Guard("sink", LIMIT, words)
    assert other.unsure
    other.look()
    assert "1 of the last 1 messages (100%)" == other.judge(TOPIC, 1, [0])


def test_who_starts_anew_with_what_can_be_read_says_so(guard: Guard, words: FakeWords) -> None:
    held(guard)
    other = Guard("sink", LIMIT, words)
    other.look()
    assert other.judge(TOPIC, 20, []) is None
    other.tell()
    assert (TOPIC, "resumed") == words.said[-1]


def test_other_parts_holds_are_theirs(guard: Guard, words: FakeWords) -> None:
    person(words, "held", part="processors")
    guard.look()
    assert guard.judge(TOPIC, 1, [0]) is None


def test_a_word_that_cannot_be_said_is_said_later(guard: Guard, words: FakeWords) -> None:
    words.is_away = True
    held(guard)
    assert guard.is_held(TOPIC)
    words.is_away = False
    guard.tell()
    assert [(TOPIC, "held")] == words.said


def test_it_reminds_of_what_is_held_for_long(guard: Guard, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    held(guard)
    clock.now = 301.0
    guard.try_again(TOPIC)
    held(guard)
    assert caplog.messages[-1].startswith("still: agent.events is not read on")
