"""What is sent is known to have arrived, or to have not."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import fastavro
import pytest
from confluent_kafka import KafkaError, KafkaException

from runwatch.processors import emit
from runwatch.processors.emit import EmitError, Emitter, Encoder
from runwatch.schemas import avro, wire
from runwatch.schemas.controls import Control
from runwatch.schemas.registry import LocalRegistry


class FakeProducer:
    """librdkafka's producer: a queue of so many messages, delivered when it is polled."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.queue: list[tuple[str, bytes, bytes, Callable[..., None]]] = []
        self.arrived: list[tuple[str, bytes, bytes]] = []
        self.room = 10**6
        self.errors: dict[bytes, KafkaError] = {}
        self.refused: dict[bytes, KafkaError] = {}
        self.is_stuck = False
        self.waits: list[float] = []

    def produce(
        self, topic: str, value: bytes, key: bytes, on_delivery: Callable[..., None], headers: Any = None
    ) -> None:
        if value in self.refused:
            raise KafkaException(self.refused[value])
        if len(self.queue) >= self.room:
            raise BufferError("Local: Queue full")
        self.queue.append((topic, key, value, on_delivery))

    def poll(self, timeout: float) -> int:
        self.waits.append(timeout)
        if self.is_stuck:
            return 0
        taken, self.queue = self.queue, []
        for topic, key, value, delivered in taken:
            error = self.errors.get(value)
            if error is None:
                self.arrived.append((topic, key, value))
            delivered(error, None)
        return len(taken)

    def flush(self, _timeout: float) -> int:
        self.poll(0)
        return len(self.queue)

    def __len__(self) -> int:
        return len(self.queue)


def with_emitter(
    monkeypatch: pytest.MonkeyPatch, test: Callable[[Emitter, FakeProducer], Awaitable[None]], polls: bool = False
) -> None:
    """Runs a test with an emitter whose producer is a fake one, polled by the test where `polls` is False."""
    monkeypatch.setattr(emit, "Producer", FakeProducer)
    if not polls:
        monkeypatch.setattr(Emitter, "_poll", lambda _self: None)

    async def run() -> None:
        emitter = Emitter({"bootstrap.servers": "x"}, asyncio.get_running_loop())
        try:
            await test(emitter, emitter._producer)
        finally:
            emitter.close()

    asyncio.run(run())


def test_done_when_every_message_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        done = emitter.send("t", [(b"k1", b"v1"), (b"k2", b"v2")])
        await asyncio.sleep(0)
        assert not done.done()
        producer.poll(0)
        await asyncio.wait_for(done, 1)
        assert [("t", b"k1", b"v1"), ("t", b"k2", b"v2")] == producer.arrived

    with_emitter(monkeypatch, test)


def test_deliveries_come_in_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        await asyncio.wait_for(emitter.send("t", [(b"k", b"v")]), 5)
        assert 1 == len(producer.arrived)

    with_emitter(monkeypatch, test, polls=True)


def test_nothing_to_send_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, _producer: FakeProducer) -> None:
        assert emitter.send("t", []).done()

    with_emitter(monkeypatch, test)


def test_a_failure_names_the_topic_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        producer.errors = {b"v2": KafkaError(KafkaError._MSG_TIMED_OUT)}
        done = emitter.send("agent.anomalies", [(b"k", b"v1"), (b"k", b"v2"), (b"k", b"v3")])
        producer.poll(0)
        with pytest.raises(EmitError, match=r"1 messages to agent\.anomalies were not delivered: .*timed out"):
            await asyncio.wait_for(done, 1)

    with_emitter(monkeypatch, test)


@pytest.mark.parametrize("by", ["client", "broker"])
def test_a_message_that_is_too_large_is_left_out_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        error = {b"huge": KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)}
        producer.refused, producer.errors = (error, {}) if by == "client" else ({}, error)
        done = emitter.send("t", [(b"k", b"huge"), (b"k", b"v")])
        producer.poll(0)
        await asyncio.wait_for(done, 1)
        assert [b"v"] == [value for _, _, value in producer.arrived]

    with caplog.at_level(logging.ERROR):
        with_emitter(monkeypatch, test)
    assert ["A message to t was left out: Broker: Message size too large"] == caplog.messages


def test_what_the_client_refuses_for_another_reason_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        producer.refused = {b"v": KafkaError(KafkaError._UNKNOWN_TOPIC)}
        with pytest.raises(EmitError):
            await asyncio.wait_for(emitter.send("t", [(b"k", b"v")]), 1)

    with_emitter(monkeypatch, test)


def test_a_full_queue_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        producer.room = 2
        done = emitter.send("t", [(b"k", b"%d" % at) for at in range(5)])
        producer.poll(0)
        await asyncio.wait_for(done, 1)
        assert [b"0", b"1", b"2", b"3", b"4"] == [value for _, _, value in producer.arrived]
        assert producer.waits.count(0.05) == 2

    with_emitter(monkeypatch, test)


def test_closing_sends_what_is_queued_and_tells_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        emitter.send("t", [(b"k", b"v")])
        assert 0 == emitter.close()
        assert 1 == len(producer.arrived)
        producer.is_stuck = True
        emitter.send("t", [(b"k", b"v2"), (b"k", b"v3")])
        assert 2 == emitter.close()

    with_emitter(monkeypatch, test)


def test_a_delivery_after_the_wait_was_given_up_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(emitter: Emitter, producer: FakeProducer) -> None:
        done = emitter.send("t", [(b"k", b"v")])
        done.cancel()
        producer.poll(0)
        await asyncio.sleep(0.01)
        assert done.cancelled()

    with_emitter(monkeypatch, test)


def test_equal_keys_meet_and_nothing_is_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(_emitter: Emitter, producer: FakeProducer) -> None:
        assert "murmur2_random" == producer.config["partitioner"]
        assert producer.config["enable.idempotence"]
        assert "x" == producer.config["bootstrap.servers"]

    with_emitter(monkeypatch, test)


def test_an_encoder_makes_framed_messages_of_its_topic() -> None:
    class Registry(LocalRegistry):
        def id_of(self, schema: avro.AvroSchema, topic: str) -> int:
            assert ("control", "agent.control") == (schema.name, topic)
            return 77

    control = Control("c", "fleet", "stop", 1_760_000_000_000, "why", "me").to_record()
    key, value = Encoder("control", "agent.control", Registry())(control, "flééte")
    assert "flééte".encode() == key
    assert wire.header(77) == value[:5]
    read = fastavro.schemaless_reader(io.BytesIO(value[5:]), avro.load("control").parsed, None)
    assert "c" == read["control_id"]
