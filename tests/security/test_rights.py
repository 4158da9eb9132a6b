"""Least rights: each role may do what stands here and nothing else, and with it the whole of runwatch does its work."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

import runwatch
from runwatch.config import Settings
from runwatch.control.guardrails import Guardrails, ToolPolicy
from runwatch.schemas.topics import ALL
from runwatch.sinks.query import Reader

from .conftest import ROOT, Guarded
from .front import tls_before
from .servers import KEY_PASSWORD, USERS, password

pytestmark = pytest.mark.stack

PATIENCE_S = 90.0

# R: read, W: write, D: know of it, C: know how it is kept. To read or write a topic includes to know of it.
MAY = {
    #               agents  processors  sink     console  alerts  operator
    "events":      ["WD",   "RD",       "RDC",   "",      "D",    "RWDC"],
    "windows":     ["",     "RWD",      "RDC",   "",      "D",    "RWDC"],
    "fleet":       ["",     "RWD",      "DC",    "",      "D",    "RWDC"],
    "anomalies":   ["",     "RWD",      "RDC",   "",      "RD",   "RWDC"],
    "control":     ["RD",   "RWD",      "RDC",   "RWD",   "RD",   "RWDC"],
    "health":      ["",     "WD",       "WDC",   "RD",    "WD",   "RWDC"],
    "alerts":      ["",     "D",        "DC",    "",      "RWD",  "RWDC"],
    "holds":       ["",     "RWD",      "RWDC",  "RD",    "RD",   "RWDC"],
    "snapshots":   ["WD",   "D",        "RDC",   "",      "D",    "RWDC"],
    "deadletter":  ["",     "WD",       "RWDC",  "",      "D",    "RWDC"],
}  # fmt: skip
ORDER = ("agents", "processors", "sink", "console", "alerts", "operator")
LETTERS = {
    AclOperation.READ: "R",
    AclOperation.WRITE: "W",
    AclOperation.DESCRIBE: "D",
    AclOperation.DESCRIBE_CONFIGS: "C",
}
GROUPS = {
    "agents": [],
    "console": [],
    "processors": ["runwatch-processors"],
    "sink": ["runwatch-sink"],
    "alerts": ["runwatch-alerts-team"],
    "operator": ["runwatch-processors", "runwatch-sink", "runwatch-alerts-team"],
}
NEAR = [f"{prefix}{group}" for prefix in ("eu-", "us-") for group in GROUPS["operator"]]
"""The neighbour's too, who shares the cluster."""
SETTLING = {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}


def letters(operations: Any) -> str:
    """As the broker itself answers; what is none of ours is spelled out."""
    found = {LETTERS.get(one, one.name) for one in operations or ()}
    return "".join(sorted(found, key=lambda one: "RWDC".find(one)))


@pytest.mark.parametrize("user", USERS)
def test_the_broker_lets_each_do_this_and_nothing_else(guarded: Guarded, user: str) -> None:
    its = guarded.settings("PLAIN", user)
    client = AdminClient(its.kafka_client(log_level=0))
    assert set(MAY) == {topic.name for topic in ALL}
    asked = client.describe_topics(
        TopicCollection([its.topic(name) for name in MAY]), include_authorized_operations=True, request_timeout=10
    )
    found = {}
    for name in MAY:
        try:
            found[name] = letters(asked[its.topic(name)].result(15).authorized_operations)
        except KafkaException as error:
            assert KafkaError.TOPIC_AUTHORIZATION_FAILED == error.args[0].code()
            found[name] = ""
    assert {name: row[ORDER.index(user)] for name, row in MAY.items()} == found
    # Nothing of the cluster, nor of a neighbour's topics and groups.
    cluster = client.describe_cluster(include_authorized_operations=True, request_timeout=10).result(15)
    assert "" == letters(cluster.authorized_operations)
    known = {name for name in NEAR if knows(client, name)}
    assert {f"eu-{name}" for name in GROUPS[user]} == known


def knows(client: AdminClient, group: str) -> bool:
    """Whether the broker answers this user about a group at all; it need not be there."""
    deadline = time.monotonic() + 30
    while True:
        (answer,) = client.describe_consumer_groups([group], request_timeout=10).values()
        try:
            return answer.result(15) is not None
        except KafkaException as error:
            code = error.args[0].code()
            if code in SETTLING and time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            assert code in (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.GROUP_AUTHORIZATION_FAILED)
            return code == KafkaError.GROUP_ID_NOT_FOUND


@pytest.mark.parametrize(
    ("user", "topic"), [("agents", "control"), ("agents", "anomalies"), ("alerts", "control"), ("console", "events")]
)
def test_what_one_may_not_write_does_not_arrive(guarded: Guarded, user: str, topic: str) -> None:
    its = guarded.settings("SCRAM-SHA-512", user)
    told: list[int] = []
    producer = Producer(its.kafka_client(log_level=0, **{"message.timeout.ms": 10_000}))
    producer.produce(its.topic(topic), b"x", on_delivery=lambda error, _: told.append(error.code()))
    producer.flush(15)
    assert [KafkaError.TOPIC_AUTHORIZATION_FAILED] == told


def test_a_group_of_others_is_not_joined(guarded: Guarded) -> None:
    its = guarded.settings("SCRAM-SHA-512", "sink")
    consumer = Consumer(its.kafka_client(log_level=0, **{"group.id": "eu-runwatch-processors"}))
    try:
        consumer.subscribe([its.topic("events")])
        message = consumer.poll(15)
        assert message is not None and KafkaError.GROUP_AUTHORIZATION_FAILED == message.error().code()
    finally:
        consumer.close()


# -- the script ----------------------------------------------------------------------------------------


def test_the_rights_as_commands_of_kafkas_own_tool() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/kafka/acls.py", "--print", "--agents", "User:a", "--agents", "User:b"],
        env={**clean(), "RUNWATCH_KAFKA": "broker:9093", "RUNWATCH_PREFIX": "eu-"}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert 0 == done.returncode, done.stderr
    assert (
        "kafka-acls.sh --bootstrap-server broker:9093 --command-config admin.properties --add --allow-principal User:b "
        "--operation Read --topic eu-agent.control --resource-pattern-type literal"
    ) in lines
    assert (
        "kafka-acls.sh --bootstrap-server broker:9093 --command-config admin.properties --add "
        "--allow-principal User:runwatch-sink --operation DescribeConfigs --topic eu-agent. "
        "--resource-pattern-type prefixed"
    ) in lines
    assert 3 == sum(" User:a " in line for line in lines)


def test_who_is_no_administrator_is_told(
    guarded: Guarded, acls: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in guarded.broker.environ("PLAIN", "operator").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RUNWATCH_PREFIX", "eu-")
    assert 3 == acls.main([])
    said = capsys.readouterr().err
    assert "The rights could not be set on the broker at" in said and "may this user alter the cluster?" in said
    assert password("operator") not in said


# -- the whole of it -----------------------------------------------------------------------------------


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}


@dataclass
class World:
    """Every part at work, each as its own user and by another way in."""

    its: Settings
    agent: Settings
    told: list[dict[str, Any]]
    run: Callable[..., subprocess.CompletedProcess[str]]
    logs: Path
    said: list[str] = field(default_factory=list)

    def everything_said(self) -> str:
        return "\n".join([*self.said, *(log.read_text(errors="replace") for log in self.logs.glob("*.log"))])


@pytest.fixture(scope="module")
def world(guarded: Guarded, stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    its = stack.unique(prefix=guarded.prefix)
    told: list[dict[str, Any]] = []
    with ExitStack() as running:
        https = running.enter_context(tls_before(stack.clickhouse, guarded.broker.papers, asks=True))
        hook = running.enter_context(webhook(told))
        config = folder / "runwatch.yaml"
        config.write_text(f"alerts:\n  receivers:\n    - {{name: team, kind: webhook, url: '{hook}'}}\n")
        papers = guarded.broker.papers

        def environ(way: str, user: str) -> dict[str, str]:
            found = guarded.broker.environ(way, user)
            if "RUNWATCH_KAFKA_PASSWORD" in found:
                file = folder / f"{user}.secret"
                file.write_text(f"{found.pop('RUNWATCH_KAFKA_PASSWORD')}\n")
                found["RUNWATCH_KAFKA_PASSWORD_FILE"] = str(file)
            return {
                **clean(),
                **found,
                "RUNWATCH_HOME": str(folder / "home"),
                "RUNWATCH_PREFIX": guarded.prefix,
                "RUNWATCH_PARTITIONS": "2",
                "RUNWATCH_METRICS_PORT": "0",
                "RUNWATCH_CONFIG": str(config),
                "RUNWATCH_DATABASE": its.database,
                "RUNWATCH_CLICKHOUSE": https,
                "RUNWATCH_CLICKHOUSE_CA_FILE": str(papers.ca),
                "RUNWATCH_CLICKHOUSE_CERT_FILE": str(papers.cert(user)),
                "RUNWATCH_CLICKHOUSE_KEY_FILE": str(papers.open_key(user)),
            }

        parts = {
            "process": environ("OAUTHBEARER", "processors"),
            "sink": environ("SSL", "sink"),
            "alert": environ("SCRAM-SHA-256", "alerts"),
        }
        for part, env in parts.items():
            running.enter_context(started(part, env, folder / f"{part}.log"))
        people = environ("PLAIN", "operator")

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                [sys.executable, "-m", "runwatch", *arguments],
                env=people, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S,
            )  # fmt: skip
            found.said.append(done.stdout + done.stderr)
            return done

        found = World(its, guarded.settings("SCRAM-SHA-512", "agents"), told, run, folder)
        yield found


class _Ending:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    def __enter__(self) -> None:
        """It is under way."""

    def __exit__(self, *_: Any) -> None:
        assert self._process.poll() is None, self._log.read_text()
        self._process.terminate()
        try:
            self._process.wait(40)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(10)


def started(part: str, env: dict[str, str], log: Path) -> _Ending:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwatch", part], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    return _Ending(process, log)


class _Hook:
    def __init__(self, told: list[dict[str, Any]]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/in"

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


def webhook(told: list[dict[str, Any]]) -> _Hook:
    return _Hook(told)


def until(found: Callable[[], Any], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def test_all_parts_do_their_work_with_no_more(world: World) -> None:
    """A looping run is seen, told and stored, and a run that people stop is stopped: by six users, five ways in."""
    access, seen = world.agent, world.everything_said
    allow = Guardrails(tools=ToolPolicy("allow_all"))
    how = {"kafka": access.kafka, "prefix": access.prefix, "kafka_config": access.kafka_client()}
    with runwatch.connect("checkout", "1", guardrails=allow, **how) as watch:
        with watch.run() as looping:
            for _ in range(12):
                looping.call_tool("search", {"q": "the same"}, lambda q: [])
            looping.stop("success")
        stop = world.run("kill", "agent:checkout", "--mode", "stop", "--why", "a test")
        assert 0 == stop.returncode, stop.stderr

        def stopped() -> bool:
            try:
                with watch.run() as other:
                    other.call_tool("search", {"q": "x"}, lambda q: [])
            except runwatch.RunStopped:
                return True
            return False

        until(stopped, seen)
    reader = Reader(world.its)
    count = "SELECT count() FROM events WHERE run_id = {run:String}"

    def stored() -> int:
        try:
            return int(reader.sql(count, {"run": looping.run_id}).rows[0][0])
        except runwatch_errors():
            return 0

    until(lambda: stored() == 14, seen)
    until(lambda: any("loop" in json.dumps(one) for one in world.told), seen)
    listed = world.run("anomalies", "--format", "json")
    assert 0 == listed.returncode and looping.run_id in listed.stdout, listed.stderr
    status = world.run("doctor", "--format", "json")
    assert "AUTHORIZATION" not in status.stdout.upper() and "Traceback" not in status.stderr, status.stderr


def runwatch_errors() -> tuple[type[Exception], ...]:
    from runwatch.schemas.errors import RunwatchError

    return (RunwatchError,)


def test_nobody_said_a_secret_or_lacked_a_right(world: World) -> None:
    for command in (["config"], ["status"]):
        world.run(*command)
    text = world.everything_said()
    assert len(text) > 1000
    for secret in [*(password(user) for user in USERS), KEY_PASSWORD, "eyJ"]:
        assert secret not in text
    for word in ("authorization failed", "AUTHORIZATION_FAILED", "Traceback", "not let this"):
        assert word not in text
