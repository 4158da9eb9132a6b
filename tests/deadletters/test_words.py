"""What is said of held topics, on the real broker."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Producer

from runwatch.config import Settings
from runwatch.deadletters.words import Words, WordsError
from runwatch.schemas import topics
from runwatch.schemas.holds import Hold
from runwatch.schemas.registry import LocalRegistry


def hold(topic: str, state: str, why: str = "w") -> Hold:
    return Hold("sink", topic, state, 1_760_000_000_000, why, "mia")  # type: ignore[arg-type]


def test_a_broker_that_is_away_is_told() -> None:
    words = Words(Settings(kafka="127.0.0.1:1", prefix="t-"), LocalRegistry())
    with pytest.raises(WordsError, match=r"The topic t-agent\.holds at 127\.0\.0\.1:1 could not be read"):
        words.read(0.5)
    with pytest.raises(WordsError, match="could not be written"):
        words.say(hold("agent.events", "held"), 0.5)


@pytest.mark.stack
def test_the_last_word_of_each_topic_holds(stack: Any) -> None:
    its = stack.unique()
    words = Words(its, LocalRegistry())
    assert {} == words.read()  # there is no such topic yet
    topics.ensure_topics(its.kafka, its.prefix)
    assert {} == words.read()
    words.say(hold("a", "held", "ä"))
    words.say(hold("b", "held"))
    producer = Producer({"bootstrap.servers": its.kafka})
    producer.produce(its.topic("holds"), b"junk", b"sink a")
    producer.flush(10)
    words.say(hold("b", "drained"))
    found = words.read()
    assert {"sink a": hold("a", "held", "ä"), "sink b": hold("b", "drained")} == {
        key: word.hold for key, word in found.items()
    }
    assert found["sink a"].log_ms <= found["sink b"].log_ms <= time.time() * 1000 + 1000
