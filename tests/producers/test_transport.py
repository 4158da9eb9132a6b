import time

import pytest
from confluent_kafka import KafkaError

from runwatch.producers.transport import KafkaTransport, kafka_config


@pytest.fixture
def told():
    return []


@pytest.fixture
def transport(told):
    def tell(kind, message, *values):
        told.append((kind, message % values))

    made = KafkaTransport("127.0.0.1:1", "agent.events", queue_size=1000, tell=tell)
    yield made
    made._producer.purge()
    made._producer.flush(1.0)


def test_what_the_producer_is_told(transport):
    config = kafka_config("b:1", 5000, {"linger.ms": 0})
    assert ("b:1", True, "murmur2_random", "lz4", 5000, 0) == (
        config["bootstrap.servers"], config["enable.idempotence"], config["partitioner"],
        config["compression.type"], config["queue.buffering.max.messages"], config["linger.ms"],
    )  # fmt: skip


def test_a_full_queue_takes_no_more_and_does_not_wait(transport):
    began = time.monotonic()
    assert 1000 == transport.send([(b"k", b"v")] * 1500)
    assert 0 == transport.send([(b"k", b"v")])
    assert time.monotonic() - began < 1.0
    assert (0, 0, 1000) == transport.counts()


def test_away_is_told_once_it_is_known(transport, told):
    assert not transport.away()
    transport.send([(b"k", b"v")])
    deadline = time.monotonic() + 10
    while not transport.away():
        transport.serve(0.05)
        assert time.monotonic() < deadline
    assert "away" == told[0][0]
    assert "127.0.0.1:1" in told[0][1]
    assert 1 == transport.flush(0.01)


def test_a_message_too_large_fails_alone(transport, told):
    assert 3 == transport.send([(b"k", b"v"), (b"k", b"v" * 2_000_000), (b"k", b"w")])
    assert (0, 1, 2) == transport.counts()
    assert ["failed"] == [kind for kind, _ in told if kind != "away"]


def test_a_producer_that_died_is_replaced_with_what_it_held(transport):
    transport.send([(b"k", b"1"), (b"k", b"2")])
    dead = transport._producer
    transport._on_error(KafkaError(KafkaError._FATAL))
    transport.serve(0)
    assert dead is not transport._producer
    assert (0, 0, 2) == transport.counts()
    transport._on_error(KafkaError(KafkaError._FATAL))
    again = transport._producer
    transport.serve(0)
    assert again is transport._producer, "not again at once"
