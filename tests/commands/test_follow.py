"""Following the anomaly topic: from now on, past what is unreadable, and through a broker that goes away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from runwatch.commands.exits import Fail
from runwatch.commands.follow import AnomalyFeed
from runwatch.config import Settings
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.avro import load
from runwatch.schemas.wire import encode

Cli = Callable[..., Any]


def anomaly(**given: Any) -> Anomaly:
    told: dict[str, Any] = {
        "anomaly_id": "a1", "rule": "loop.repeat", "state": "open", "severity": "critical", "ts_ms": 1000,
        "onset_ms": 900, "agent": "support", "value": 4.0, "message": "It loops.", "run_id": "run-1", "seqs": (1, 2),
        "detected_ms": 1001,
    }  # fmt: skip
    return Anomaly(**{**told, **given})


@dataclass
class Message:
    body: bytes

    def value(self) -> bytes:
        return self.body

    def error(self) -> KafkaError | None:
        return None


@dataclass
class Fault:
    """What librdkafka tells beside the messages."""

    code: int


def message(one: Anomaly) -> Message:
    schema = load("anomaly")
    return Message(encode(one.to_record(), schema, schema.schema_id))


@dataclass
class FakeConsumer:
    """Kafka's boundary: topics, ends and messages as they are told; no broker where `away`."""

    messages: list[Message | Fault | None] = field(default_factory=list)
    topics: dict[str, int] = field(default_factory=lambda: {"agent.anomalies": 2})
    away: bool = False
    assigned: list[tuple[int, int]] = field(default_factory=list)
    closed: bool = False
    on_error: Callable[[KafkaError], None] = lambda _: None

    def made(self, config: dict[str, Any]) -> FakeConsumer:
        self.on_error = config["error_cb"]
        return self

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        found = type("Topic", (), {"error": None, "partitions": range(self.topics.get(topic, 0))})
        if topic not in self.topics:
            found.error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return type("Metadata", (), {"topics": {topic: found}})

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return 0, 100 + int(place.partition)

    def assign(self, places: list[Any]) -> None:
        self.assigned = [(place.partition, place.offset) for place in places]

    def poll(self, _: float) -> Message | None:
        if not self.messages:
            raise KeyboardInterrupt
        found = self.messages.pop(0)
        if isinstance(found, Fault):
            self.on_error(KafkaError(found.code))
            return None
        return found

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeConsumer]:
    fake = FakeConsumer()
    monkeypatch.setattr("runwatch.commands.follow.Consumer", fake.made)
    yield fake
    assert fake.closed


def test_from_now_on_is_the_ends_of_all_partitions(kafka: FakeConsumer) -> None:
    with AnomalyFeed(Settings()):
        assert [(0, 100), (1, 101)] == kafka.assigned


def test_what_was_sent_is_what_is_read(kafka: FakeConsumer) -> None:
    sent = [anomaly(), anomaly(anomaly_id="a2", rule="drift.latency_p95", run_id=None, seqs=(), baseline=2.0)]
    kafka.messages = [message(sent[0]), None, Message(b"\x07rubbish"), message(sent[1])]
    with AnomalyFeed(Settings()) as feed:
        assert sent == list(feed.read(lambda: not kafka.messages))


@dataclass
class SlowConsumer(FakeConsumer):
    """One whose polls last; notes whether it is closed under a poll, or polled after it was closed."""

    polled: threading.Event = field(default_factory=threading.Event)
    polling: bool = False
    misused: list[str] = field(default_factory=list)

    def poll(self, seconds: float) -> None:
        if self.closed:
            self.misused.append("polled when closed")
        self.polling = True
        self.polled.set()
        threading.Event().wait(seconds)
        self.polling = False

    def close(self) -> None:
        if self.polling:
            self.misused.append("closed while polled")
        self.closed = True


def test_the_feed_is_not_closed_under_a_thread_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka would free what the other thread is in: a crash, at Ctrl-C in the demo."""
    kafka = SlowConsumer()
    monkeypatch.setattr("runwatch.commands.follow.Consumer", kafka.made)
    read: list[Anomaly] = []
    with AnomalyFeed(Settings()) as feed:
        reader = threading.Thread(target=lambda: read.extend(feed.read(lambda: False)), daemon=True)
        reader.start()
        assert kafka.polled.wait(10)
    reader.join(10)
    assert (False, True, [], []) == (reader.is_alive(), kafka.closed, kafka.misused, read)


def test_a_broker_that_goes_away_is_told_once_each_time(kafka: FakeConsumer) -> None:
    down, gone = Fault(KafkaError._ALL_BROKERS_DOWN), Fault(KafkaError._TRANSPORT)
    kafka.messages = [gone, down, gone, down, message(anomaly()), down]
    told: list[str] = []
    with AnomalyFeed(Settings(kafka="here:1"), on_trouble=told.append) as feed:
        assert [anomaly()] == list(feed.read(lambda: not kafka.messages))
    assert 2 * ["The Kafka broker at here:1 does not answer any more; waiting for it."] == told


def test_no_broker_and_no_topic(kafka: FakeConsumer) -> None:
    kafka.away = True
    with pytest.raises(Fail, match="broker at here:1 does not answer; is it up"):
        AnomalyFeed(Settings(kafka="here:1"))
    kafka.away, kafka.topics = False, {}
    with pytest.raises(Fail, match=r"has no topic p-agent\.anomalies; `runwatch process` makes it"):
        AnomalyFeed(Settings(prefix="p-"))


def test_the_command_prints_each_until_interrupted(kafka: FakeConsumer, cli: Cli, nasty: str) -> None:
    kafka.messages = [message(anomaly()), message(anomaly(agent="b", message=nasty, run_id=None))]
    done = cli("anomalies", "--follow")
    assert 130 == done.code
    assert [
        "critical  open       loop.repeat               support: It loops.  (run run-1)",
        r"critical  open       loop.repeat               b: [red]\x1b[31m<b>\r\x07[/red]",
    ] == done.out.splitlines()
    assert ["Following the anomalies; Ctrl-C ends it.", "Stopped."] == done.err.splitlines()


def test_the_command_passes_over_what_is_not_asked_for(kafka: FakeConsumer, cli: Cli) -> None:
    ones = [anomaly(), anomaly(agent="b"), anomaly(rule="loop.cycle"), anomaly(run_id="run-2")]
    expected = {"--agent": "b", "--rule": "loop.cycle", "--run": "run-2"}
    for (option, value), one in zip(expected.items(), ones[1:], strict=True):
        kafka.messages = [message(each) for each in ones]
        out = cli("anomalies", "--follow", "--format", "jsonl", option, value).out
        assert [one.report()] == [json.loads(line) for line in out.splitlines()]


def test_without_a_broker_it_ends_with_3(kafka: FakeConsumer, cli: Cli) -> None:
    kafka.away = True
    done = cli("anomalies", "--follow", RUNWATCH_KAFKA="here:1")
    expected = "The Kafka broker at here:1 does not answer; is it up?\n"
    assert (3, "", expected) == tuple(vars(done).values())
