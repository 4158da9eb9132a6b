"""`runwatch doctor` on the real servers, well and unwell, and on none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from runwatch.broker import Access
from runwatch.clickhouse import connect
from runwatch.commands.doctor import versions
from runwatch.schemas import topics
from runwatch.schemas.wire import header
from runwatch.sinks.app import run_sink
from runwatch.sinks.ddl import quoted

Call = Callable[..., Any]


def told(said: Any) -> dict[tuple[str, str], dict[str, str]]:
    """What was found by check and place."""
    return {(one["check"], one["where"]): one for one in json.loads(said.out)}


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_servers_that_are_away_are_told_and_the_rest_is_looked_at(cli: Call) -> None:
    kafka, clickhouse = nobody(), f"http://{nobody()}"
    said = cli("doctor", "--format", "json", RUNWATCH_KAFKA=kafka, RUNWATCH_CLICKHOUSE=clickhouse)
    found = told(said)
    assert said.code == 3
    assert ("away", "away") == (found["broker", kafka]["level"], found["clickhouse", clickhouse]["level"])
    assert "RUNWATCH_KAFKA" in found["broker", kafka]["mend"]
    assert {"packages", "disk"} <= {check for check, _ in found}


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Something at an address that answers a request so, whatever it is."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def versions_answer(newest_fetch: int) -> bytes:
    body = (1).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(4, "big")
    body += b"".join(number.to_bytes(2, "big") for number in (1, 0, newest_fetch))
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("answer", "level", "what"),
    [
        (versions_answer(13), "ok", "is Kafka 3.1 or newer"),
        (versions_answer(99), "ok", "is Kafka 4.1 or newer"),
        (versions_answer(11), "error", "is older than Kafka 3.1"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "note", "does not tell its version (it does not speak Kafka's protocol)"),
        (b"", "note", "does not tell its version (it hung up)"),
    ],
)
def test_a_brokers_version(answer: bytes, level: str, what: str) -> None:
    with answering(answer) as address:
        found = versions.look(Access(address), address)
    assert (level, what) == (found.level.value, found.what)


@pytest.mark.stack
def test_a_deployment_that_is_unwell_and_then_mended(stack: Any, cli: Call) -> None:
    its = stack.unique()
    topics.ensure_topics(its.kafka, its.prefix, partitions=2)
    environ = {name: value for name, value in stack.environ(its).items() if name.startswith("RUNWATCH_")}
    admin = AdminClient({"bootstrap.servers": its.kafka})
    set_topic(admin, its.topic("control"), "cleanup.policy", "delete")
    set_topic(admin, its.topic("events"), "retention.ms", "60000")
    producer = Producer({"bootstrap.servers": its.kafka})
    producer.produce(its.topic("events"), header(12345) + b"of a version to come", partition=1)
    producer.flush(10)

    said = cli("doctor", "--format", "json", **environ)
    found = told(said)
    assert said.code == 1, said
    assert "would be deleted with time" in found["topics", its.topic("control")]["what"]
    assert "for 1 minutes" in found["topics", its.topic("events")]["what"]
    assert "nobody is in this group" in found["groups", f"{its.prefix}runwatch-sink"]["what"]
    assert "schema id 12345" in found["schemas", f"{its.topic('events')}, partition 1"]["what"]
    assert "error" == found["tables", its.clickhouse]["level"]
    assert "ok" == found["clock", its.kafka]["level"]
    assert "ok" == found["clock", its.clickhouse]["level"]

    set_topic(admin, its.topic("control"), "cleanup.policy", "compact")
    set_topic(admin, its.topic("events"), "retention.ms", str(3 * topics.DAY_MS))
    stop = threading.Event()
    sink = threading.Thread(target=run_sink, args=(its, stop))
    sink.start()
    try:
        for _ in range(30):
            found = told(cli("doctor", "--format", "json", **environ))
            if "1 member" in found["groups", f"{its.prefix}runwatch-sink"]["what"]:
                break
        wrong = {place for place, one in found.items() if one["level"] in ("error", "warning", "away")}
        processors, message = (
            ("groups", f"{its.prefix}runwatch-processors"),
            ("schemas", f"{its.topic('events')}, partition 1"),
        )
        assert {processors, message} == wrong - {place for place in wrong if place[0] == "disk"}
        assert "all" in found["tables", f"database {its.database}"]["what"]
        assert "mend: start `runwatch process`" in cli("doctor", **environ).out
    finally:
        stop.set()
        sink.join(60)
        connect(its).command(f"DROP DATABASE IF EXISTS {quoted(its.database)}")


def set_topic(admin: AdminClient, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    for done in admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]
    ).values():
        done.result(10)


def test_the_settings_hold_no_secret_that_is_told(cli: Call) -> None:
    secret = "hunter-2-of-kafka"
    said = cli(
        "doctor",
        RUNWATCH_KAFKA=nobody(),
        RUNWATCH_KAFKA_SECURITY="SASL_PLAINTEXT",
        RUNWATCH_KAFKA_MECHANISM="PLAIN",
        RUNWATCH_KAFKA_USER="me",
        RUNWATCH_KAFKA_PASSWORD=secret,
        RUNWATCH_CLICKHOUSE=f"http://{nobody()}",
        RUNWATCH_CLICKHOUSE_PASSWORD=secret,
    )
    assert said.code == 3
    assert secret not in said.out + said.err
