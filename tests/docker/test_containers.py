"""The same pipeline on the servers' own images, brought up by the compose file; needs a Docker engine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import Producer

import runwatch
from runwatch.stack.ports import any_free

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PASSWORD = "only-for-this-test"


@dataclass
class Containers:
    """What `docker compose up` started."""

    compose: Any
    kafka: str
    clickhouse_port: int

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=self.clickhouse_port, username="runwatch", password=PASSWORD, database="runwatch"
        )
        try:
            return [tuple(row) for row in client.query(sql).result_rows]
        finally:
            client.close()

    def until(self, sql: str, wanted: Callable[[list[tuple[Any, ...]]], bool], seconds: float = 60) -> list[Any]:
        """The rows, as soon as they are what is wanted; the tables, or the server itself, may take their time."""
        deadline = time.monotonic() + seconds
        while True:
            found: Any
            try:
                found = self.rows(sql)
                if wanted(found):
                    return list(found)
            except ClickHouseError as error:
                found = error
            assert time.monotonic() < deadline, f"after {seconds} s {sql} still answers {found}"
            time.sleep(0.5)

    def restart(self, service: str) -> None:
        command = [*self.compose.compose_command_property, "restart", service]
        subprocess.run(command, cwd=self.compose.context, check=True)


@pytest.fixture(scope="module")
def containers(root: Path) -> Iterator[Containers]:
    from testcontainers.compose import DockerCompose

    kafka, clickhouse = any_free(), any_free()
    with pytest.MonkeyPatch.context() as patch:
        # A project of its own: the one that the file names may be somebody's, with data in it.
        patch.setenv("COMPOSE_PROJECT_NAME", f"runwatch-test-{kafka}")
        patch.setenv("KAFKA_PORT", str(kafka))
        patch.setenv("CLICKHOUSE_PORT", str(clickhouse))
        patch.setenv("CLICKHOUSE_PASSWORD", PASSWORD)
        with DockerCompose(root, build=True, wait=True) as compose:
            yield Containers(compose, f"127.0.0.1:{kafka}", clickhouse)


def agent(containers: Containers, run_id: str, repeats: int) -> None:
    """An agent that asks the same thing over and over."""
    watch = runwatch.connect(agent="docker", version="1", kafka=containers.kafka)
    with watch.run(run_id=run_id) as run:
        for _ in range(repeats):
            run.call_tool("search", {"q": "the same"}, lambda q: "nothing")
        run.stop("max_steps", outcome=0.0)
    assert watch.close(30)


def test_a_run_is_stored_whole_and_once(containers: Containers) -> None:
    agent(containers, "whole", 3)
    sql = "SELECT seq, kind FROM events WHERE run_id = 'whole' ORDER BY seq"
    expected = [(0, "run_start"), (1, "tool_result"), (2, "tool_result"), (3, "tool_result"), (4, "stop")]
    assert expected == containers.until(sql, lambda rows: len(rows) >= len(expected))


def test_a_loop_is_found_and_stored(containers: Containers) -> None:
    agent(containers, "looping", 12)
    rows = containers.until("SELECT rule FROM anomalies WHERE run_id = 'looping'", bool)
    assert any(rule.startswith("loop.") for (rule,) in rows)


def test_bad_bytes_become_a_dead_letter_and_nothing_else_is_lost(containers: Containers) -> None:
    producer = Producer({"bootstrap.servers": containers.kafka})
    producer.produce("agent.events", key=b"bad", value=b"not avro")
    assert producer.flush(30) == 0
    agent(containers, "beside", 1)
    containers.until("SELECT count() FROM events WHERE run_id = 'beside'", lambda rows: rows == [(3,)])
    letters = "SELECT topic, reason FROM dead_letters WHERE key = 'bad'"
    assert [("agent.events", "magic")] == containers.until(letters, bool)


@pytest.mark.parametrize("service", ["sink", "clickhouse", "kafka"])
def test_a_restart_loses_and_doubles_nothing(containers: Containers, service: str) -> None:
    agent(containers, f"before-{service}", 2)
    containers.restart(service)
    agent(containers, f"after-{service}", 2)
    sql = f"SELECT run_id, count() FROM events WHERE run_id LIKE '%-{service}' GROUP BY run_id ORDER BY run_id"
    expected = [(f"after-{service}", 4), (f"before-{service}", 4)]
    assert expected == containers.until(sql, lambda rows: rows == expected, seconds=120)
