"""The SDK and the importer with a real broker."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from confluent_kafka import Consumer, TopicPartition

from runwatch.control.guardrails import NO_BUDGETS
from runwatch.producers.connection import connect
from runwatch.producers.importer import ImportingError, import_files
from runwatch.schemas import avro, wire
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.topics import ensure_topics

pytestmark = pytest.mark.stack
TOPIC = "agent.events"


def read_all(settings):
    """Every event in the topic: (partition, event), in the partitions' order."""
    topic = settings.prefix + TOPIC
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": "reader", "enable.auto.commit": False})
    schema = avro.load("agent_event")
    out = []
    try:
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, 0)])
            count = 0
            while count < end:
                for message in consumer.consume(1000, timeout=5):
                    schema_id, body = wire.split(message.value())
                    assert schema_id == schema.schema_id
                    event = AgentEvent.from_record(wire.decode_body(body, schema))
                    assert message.key() == event.run_id.encode()
                    out.append((partition, event))
                    count += 1
    finally:
        consumer.close()
    return out


@pytest.fixture
def topics(stack):
    settings = stack.unique()
    ensure_topics(settings.kafka, settings.prefix)
    return settings


def murmur2_partition(key, partitions):
    """Where Java's clients put a key: Kafka's `Utils.murmur2`, made positive, by the number of partitions."""
    mask, m, length = 0xFFFFFFFF, 0x5BD1E995, len(key)
    h = 0x9747B28C ^ length
    for at in range(0, length - length % 4, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = key[length - length % 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return ((h ^ (h >> 15)) & 0x7FFFFFFF) % partitions


def test_runs_arrive_in_order_where_java_would_put_them(topics):
    with connect("support", kafka=topics.kafka, prefix=topics.prefix) as watch:
        runs = [watch.run(f"run-{number}") for number in range(40)]
        for step in range(5):
            for run in runs:
                assert step == run.call_tool("t", [step], int)
        for run in runs:
            run.stop("success", outcome=1.0)
        assert watch.flush(20.0)
        assert {"sent": 280, "delivered": 280, "queued": 0, "dropped": 0, "failed": 0} == watch.stats()
    events = read_all(topics)
    assert 280 == len(events)
    seqs = {}
    for partition, event in events:
        assert murmur2_partition(event.run_id.encode(), 4) == partition
        seqs.setdefault(event.run_id, []).append(event.seq)
    assert 40 * [list(range(7))] == list(seqs.values())


def test_a_topic_that_is_missing_fails_and_is_told(stack, caplog):
    settings = stack.unique()
    watch = connect(
        "a", kafka=settings.kafka, prefix=settings.prefix, kafka_config={"topic.metadata.propagation.max.ms": 500}
    )
    watch.run().stop()
    assert watch.flush(20.0)
    assert (0, 2) == (watch.stats()["delivered"], watch.stats()["failed"])
    assert any(f"topic {settings.prefix}{TOPIC} did not take" in record.getMessage() for record in caplog.records)
    watch.close()


def test_events_wait_for_a_broker_that_stops_answering(stack, topics):
    state = json.loads((stack.home / "state.json").read_text())
    broker = next(service["pid"] for service in state["services"] if service["name"] == "kafka")
    watch = connect("a", kafka=topics.kafka, prefix=topics.prefix)
    run = watch.run("r", budgets=NO_BUDGETS)
    assert watch.flush(10.0)
    os.kill(broker, signal.SIGSTOP)
    try:
        slowest = 0.0
        for number in range(500):
            began = time.perf_counter()
            run.call_tool("t", [number], int)
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < 0.1
        assert not watch.flush(0.5)
    finally:
        os.kill(broker, signal.SIGCONT)
    run.stop()
    assert watch.close(20.0)
    assert list(range(502)) == [event.seq for _, event in read_all(topics)]


def test_an_import_is_delivered_and_says_so(topics, tmp_path):
    path = tmp_path / "f.jsonl"
    event = {"kind": "tool_result", "ts_ms": 1_760_000_000_000, "agent": "a", "status": "ok"}
    path.write_text(
        "\n".join(json.dumps({"run_id": f"r{n % 50}", "args": n, **event}) for n in range(5000)) + "\nbad\n"
    )
    report = import_files([path], kafka=topics.kafka, prefix=topics.prefix)
    assert (5000, 50, 5000, 0, 1) == (report.events, report.runs, report.delivered, report.failed, report.rejected)
    seqs = {}
    for _, stored in read_all(topics):
        seqs.setdefault(stored.run_id, []).append(stored.seq)
    assert 50 * [list(range(100))] == list(seqs.values())


def test_an_import_without_its_topic_is_refused_at_once(stack, tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text("")
    with pytest.raises(ImportingError, match=r"has no topic nowhere\.agent\.events"):
        import_files([path], kafka=stack.kafka, prefix="nowhere.")
