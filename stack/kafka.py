"""Apache Kafka in KRaft mode: a broker that is its own controller, run from jars without shell scripts."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import StackError
from .jars import java

# For a small machine: one thread collecting garbage, and only the quick compiler. On 2 cores beside other work the
# broker is up in 2.8 s with it instead of 5.3 s, and 1,500,000 messages written and read cost 5.4 s of CPU time
# instead of 9.7 s: a broker's time goes into I/O, and the thorough compiler never earns back what it takes.
JVM_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:MaxMetaspaceSize=160m")
LOG_OPTIONS = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
)


@dataclass(frozen=True)
class Node:
    """One broker of a cluster: its id and its two ports."""

    node_id: int
    port: int
    controller_port: int
    host: str = "127.0.0.1"

    @property
    def bootstrap(self) -> str:
        """The address that clients use."""
        return f"{self.host}:{self.port}"


def write_config(folder: Path, node: Node, cluster: Sequence[Node]) -> Path:
    """Write `folder`/server.properties for `node`, one of `cluster`, and return its path."""
    copies = min(3, len(cluster))
    # Voters are named in the configuration and not kept in the cluster's own metadata, so that a port that
    # changes between two starts does not leave a node looking for a quorum that has moved.
    voters = ",".join(f"{each.node_id}@{each.host}:{each.controller_port}" for each in cluster)
    lines = {
        "process.roles": "broker,controller",
        "node.id": node.node_id,
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{node.host}:{node.port},CONTROLLER://{node.host}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.host}:{node.port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": (folder / "data").absolute(),
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": 2 if copies == 3 else 1,
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": 2 if copies == 3 else 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": 2 if copies == 3 else 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # A lone consumer need not wait for company, and one that is killed is soon replaced.
        "group.initial.rebalance.delay.ms": 0,
        # A broker that was killed is let in again once its old self is given up: 9 seconds, unless told otherwise.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        "log.segment.bytes": 256 << 20,
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.replica.fetchers": 1,
        "background.threads": 4,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "server.properties"
    path.write_text("".join(f"{key}={_escaped(str(value))}\n" for key, value in lines.items()))
    return path


def _escaped(value: str) -> str:
    # A Java properties file reads a backslash as the start of an escape.
    return value.replace("\\", "\\\\")


def is_formatted(folder: Path) -> bool:
    """Whether the storage under `folder` has been formatted."""
    return (folder / "data" / "meta.properties").exists()


def new_cluster_id() -> str:
    """A random id in Kafka's form: 16 bytes in URL-safe base64 without padding, not starting with a dash."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not cluster_id.startswith("-"):
            return cluster_id


def format_storage(folder: Path, jars: Sequence[Path], cluster_id: str) -> None:
    """Format the storage that `folder`/server.properties names; does nothing where that has been done."""
    if is_formatted(folder):
        return
    (folder / "data").mkdir(parents=True, exist_ok=True)
    options = ["-Xmx128m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    arguments = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(folder / "server.properties")]
    done = subprocess.run(
        [str(java()), *options, "-cp", _classpath(jars), *arguments], capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no output"]
        raise StackError(f"Kafka's storage in {folder} cannot be formatted: {lines[-1]}")


def broker_command(folder: Path, jars: Sequence[Path], heap_mb: int = 512) -> list[str]:
    """The command that runs the broker of `folder` in the foreground."""
    heap = [f"-Xms{min(128, heap_mb)}m", f"-Xmx{heap_mb}m"]
    return [
        str(java()), *heap, *JVM_OPTIONS, *LOG_OPTIONS,
        "-cp", _classpath(jars), "kafka.Kafka", str(folder / "server.properties"),
    ]  # fmt: skip


def start_broker(
    folder: Path,
    jars: Sequence[Path],
    node: Node,
    cluster: Sequence[Node] | None = None,
    cluster_id: str | None = None,
    log: IO[bytes] | int = subprocess.DEVNULL,
    heap_mb: int = 512,
) -> subprocess.Popen[bytes]:
    """Configure, format if need be, and start one broker; it is not ready yet when this returns.

    For a cluster give every node the same `cluster` and `cluster_id`, and its own `folder`. The caller stops it.
    """
    write_config(folder, node, cluster or [node])
    format_storage(folder, jars, cluster_id or new_cluster_id())
    return subprocess.Popen(
        broker_command(folder, jars, heap_mb), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )


def is_ready(bootstrap: str, timeout_s: float = 1.0) -> bool:
    """Whether a broker at `bootstrap` answers what topics there are."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # Without the log level librdkafka writes each refused connection to standard error.
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 5000})
    try:
        client.list_topics(timeout=timeout_s)
    except KafkaException:
        return False
    return True


def _classpath(jars: Sequence[Path]) -> str:
    return ":".join(str(jar) for jar in jars)
