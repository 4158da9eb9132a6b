"""All of it: up, used, asked, killed in part, down, and up again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runwatch.stack import jars, kafka
from runwatch.stack.errors import StackError
from runwatch.stack.lifecycle import down, status, up
from runwatch.stack.ports import any_free
from runwatch.stack.services import Options

pytestmark = pytest.mark.stack


@pytest.fixture
def options(tmp_path: Path) -> Iterator[Options]:
    ports = {f"{name}_port": any_free() for name in ("kafka", "clickhouse", "registry")}
    yield Options(tmp_path / "home", **ports, prefix="t.", parts=(), clickhouse_user="ann", clickhouse_password="pw")
    down(tmp_path / "home")


def ask(endpoints: dict[str, str], sql: str) -> str:
    headers = {"X-ClickHouse-User": "ann", "X-ClickHouse-Key": "pw"}
    request = urllib.request.Request(endpoints["clickhouse"], sql.encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def produce(endpoints: dict[str, str], count: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": endpoints["kafka"], "log_level": 0})
    for number in range(count):
        producer.produce("t.agent.events", b"%d" % number)
    assert 0 == producer.flush(30)


def stored(endpoints: dict[str, str]) -> int:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": endpoints["kafka"], "group.id": "t", "log_level": 0})
    ends = [consumer.get_watermark_offsets(TopicPartition("t.agent.events", n), timeout=20)[1] for n in range(4)]
    consumer.close()
    return sum(ends)


def test_the_whole_life_of_a_stack(options: Options, until: Any, gone: Any) -> None:
    said: list[str] = []
    endpoints = up(options, said.append, detach=True)
    home = options.home
    assert endpoints == json.loads((home / "endpoints.json").read_text())
    assert f"127.0.0.1:{options.kafka_port}" == endpoints["kafka"]
    assert any("topics made" in line and "t.agent.events" in line for line in said)

    with pytest.raises(StackError, match="already up"):
        up(options, detach=True)

    now = status(home)
    assert (True, True) == (now.up, now.ready)
    by_name = {service.name: service for service in now.services}
    assert {"supervisor", "kafka", "clickhouse", "registry"} == {*by_name}
    assert all(by_name[name].ready for name in ("kafka", "clickhouse", "registry"))
    assert 0 < now.rss_mb < 2048
    pids = [service.pid for service in now.services if service.pid]

    ask(endpoints, "CREATE TABLE t (a Int32) ENGINE = MergeTree ORDER BY a")
    ask(endpoints, "INSERT INTO t VALUES (1), (2)")
    produce(endpoints, 100)
    with urllib.request.urlopen(endpoints["registry"] + "/subjects", timeout=10) as answer:
        assert "t.agent.events-value" in json.loads(answer.read())

    # A server that dies comes back at its address with its data.
    os.kill(by_name["clickhouse"].pid, signal.SIGKILL)

    def restarted() -> bool:
        found = {service.name: service for service in status(home).services}["clickhouse"]
        return found.restarts == 1 and found.ready is True

    until(restarted, "ClickHouse is back", timeout=30)
    assert "2\n" == ask(endpoints, "SELECT count() FROM t")

    assert down(home)
    until(lambda: gone(*pids), "all processes are gone", timeout=5)
    assert not (home / "endpoints.json").exists()
    assert not status(home).up

    start = time.monotonic()
    again = up(Options(home, prefix="t.", parts=(), clickhouse_user="ann", clickhouse_password="pw"), detach=True)
    assert 15 > time.monotonic() - start
    assert endpoints == again, "ports stick"
    assert "2\n" == ask(again, "SELECT count() FROM t")
    assert 100 == stored(again)

    # Even a killed supervisor leaves nothing behind.
    supervisor, *others = [service.pid for service in status(home).services]
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: gone(*others), "all services are gone", timeout=5)
    # They go with the thread that started them; the lock on the home goes with the last thread of the killed process.
    until(lambda: not status(home).up, "the home is free", timeout=5)


def test_a_taken_port(options: Options) -> None:
    taken = f"Port {options.clickhouse_port}, asked for clickhouse, is taken"
    with socket.create_server(("127.0.0.1", options.clickhouse_port or 0)), pytest.raises(StackError, match=taken):
        up(options, detach=True)
    assert not status(options.home).up


def test_three_brokers_from_the_same_jars(tmp_path: Path, until: Any) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    found = jars.kafka_jars()
    nodes = [kafka.Node(number, any_free(), any_free()) for number in (1, 2, 3)]
    cluster_id = kafka.new_cluster_id()
    brokers = [
        kafka.start_broker(tmp_path / str(node.node_id), found, node, nodes, cluster_id, heap_mb=256) for node in nodes
    ]
    try:
        for node in nodes:
            until(lambda node=node: kafka.is_ready(node.bootstrap), f"broker {node.node_id} is ready", timeout=60)
        admin = AdminClient({"bootstrap.servers": nodes[0].bootstrap, "log_level": 0})
        until(lambda: len(admin.list_topics(timeout=5).brokers) == 3, "all brokers know each other")
        admin.create_topics([NewTopic("x", num_partitions=1, replication_factor=3)])["x"].result(20)

        def copies() -> int:
            # A topic's name may be known before its partitions are.
            partition = admin.list_topics("x", timeout=5).topics["x"].partitions.get(0)
            return len(partition.isrs) if partition else 0

        until(lambda: copies() == 3, "three copies")
    finally:
        for broker in brokers:
            # Told to end, the last ones would look half a minute for the quorum that left before them.
            broker.kill()
        for broker in brokers:
            broker.wait(30)


def test_in_the_foreground_until_interrupted(options: Options, until: Any, gone: Any) -> None:
    script = (
        "import json, sys; from runwatch.stack.lifecycle import up; from runwatch.stack.services import Options; "
        "up(Options.from_json(json.loads(sys.argv[1])), lambda line: print(line, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(options.to_json())], stdout=subprocess.PIPE, text=True
    )
    until(lambda: status(options.home).ready, "the stack is up", timeout=60)
    pids = [service.pid for service in status(options.home).services]
    assert process.pid in pids
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert 0 == process.returncode
    assert "kafka is ready" in said
    assert "stopping ..." in said
    assert gone(*pids)
    assert not (options.home / "endpoints.json").exists()
