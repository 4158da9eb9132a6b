"""The whole of runwatch, started by its own command line, and what it stores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from runwatch.config import Settings, load
from runwatch.sinks.query import Reader
from runwatch.stack import lifecycle
from runwatch.stack.ports import any_free

COMMAND = [sys.executable, "-m", "runwatch"]
GROUPS = ("runwatch-processors", "runwatch-sink")
_NOT_YET = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


@dataclass
class Pipeline:
    """Kafka, the processors, the sink and ClickHouse, up, in the folder `home` of `folder`."""

    folder: Path
    home: Path
    _reader: Reader | None = field(default=None, repr=False)

    @property
    def environ(self) -> dict[str, str]:
        """For a command that finds the stack as a user's would: by its folder alone."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
        return others | {"RUNWATCH_HOME": str(self.home)}

    @property
    def settings(self) -> Settings:
        return load(home=self.home)

    def start(self, *arguments: Any, **more: Any) -> subprocess.Popen[bytes]:
        """`runwatch ARGUMENTS`, begun."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        how = {"cwd": self.folder, "env": self.environ, **pipes, **more}
        return subprocess.Popen([*COMMAND, *map(str, arguments)], **how)

    def run(self, *arguments: Any, stdin: bytes = b"", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """`runwatch ARGUMENTS`, done."""
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder, env=self.environ, input=stdin, capture_output=True, timeout=timeout,
        )  # fmt: skip
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """What ClickHouse answers."""
        if self._reader is None:
            self._reader = Reader(self.settings)
        return [tuple(row) for row in self._reader.sql(query, parameters).rows]

    def one(self, query: str, **parameters: Any) -> Any:
        """The one value that ClickHouse answers."""
        ((value,),) = self.rows(query, **parameters)
        return value

    def settled(self, timeout: float = 60) -> None:
        """Returns once the processors have read every event, and the sink everything that there is."""
        deadline = time.monotonic() + timeout
        while (lags := self._lags()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not lags, f"not read after {timeout:.0f} s: {lags}"

    def _lags(self) -> dict[str, int]:
        """(Group, topic, partition) → messages that the group has not read."""
        topics = {
            "runwatch-processors": ("events", "windows", "anomalies"),
            "runwatch-sink": ("events", "windows", "anomalies", "control", "deadletter"),
        }
        lags: dict[str, int] = {}
        for group in GROUPS:
            consumer = Consumer({"bootstrap.servers": self.settings.kafka, "group.id": group, "log_level": 0})
            try:
                known = consumer.list_topics(timeout=10).topics
                places = [
                    TopicPartition(f"agent.{topic}", partition)
                    for topic in topics[group]
                    for partition in known[f"agent.{topic}"].partitions
                ]
                for place in consumer.committed(places, timeout=10):
                    end = consumer.get_watermark_offsets(place, timeout=10)[1]
                    if end > max(0, place.offset):
                        lags[f"{group} {place.topic}/{place.partition}"] = end - max(0, place.offset)
            except KafkaException as error:
                # A broker that is only just up, or whose group has just moved, cannot say yet.
                if error.args[0].code() not in _NOT_YET:
                    raise
                lags[f"{group}: {error}"] = 1
            finally:
                consumer.close()
        return lags

    def services(self) -> dict[str, dict[str, Any]]:
        """`runwatch status`, by service."""
        return {one["name"]: one for one in json.loads(self.run("status", "--format", "json").stdout)}


@contextmanager
def _up(folder: Path) -> Iterator[Pipeline]:
    """All of it, by `runwatch up --detach`, on ports of its own."""
    it = Pipeline(folder, folder / ".runwatch")
    ports = [text for name in ("kafka", "clickhouse", "registry") for text in (f"--{name}-port", any_free())]
    done = it.run("up", "--detach", *ports)
    try:
        assert 0 == done.returncode, done.stderr
        yield it
    finally:
        lifecycle.down(it.home)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Started once a session, for whatever does not mind what others sent."""
    with _up(tmp_path_factory.mktemp("pipeline")) as it:
        yield it


@pytest.fixture(scope="module")
def own_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """One of a module's own: later events of others would make its own late, and stops of others use up the cap."""
    with _up(tmp_path_factory.mktemp("own")) as it:
        yield it


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits: `until(condition, what, timeout=30)`."""

    def wait(condition: Callable[[], bool], what: str, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
            time.sleep(0.05)

    return wait
