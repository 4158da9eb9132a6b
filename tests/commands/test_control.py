"""`kill`, `allow`, `approve` and `control` on the real topic and the real audit."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from runwatch.config import Settings
from runwatch.control.scopes import approval_id
from runwatch.schemas.avro import load
from runwatch.schemas.topics import ensure_topics
from runwatch.schemas.wire import encode
from runwatch.sinks.app import run_sink
from runwatch.sinks.batch import Limits

Said = Any
SOON_S = 20.0


@pytest.fixture
def fleet(stack: Any) -> Iterator[Settings]:
    """A fleet of its own, and its sink."""
    its: Settings = stack.unique(partitions=1)
    ensure_topics(its.kafka, its.prefix, partitions=1)
    stop = threading.Event()
    sink = threading.Thread(target=run_sink, args=(its, stop), kwargs={"limits": Limits(linger_s=0.02)}, daemon=True)
    sink.start()
    yield its
    stop.set()
    sink.join(SOON_S)


@pytest.fixture
def run(cli: Callable[..., Said], fleet: Settings) -> Callable[..., Said]:
    environ = {
        "RUNWATCH_KAFKA": fleet.kafka,
        "RUNWATCH_CLICKHOUSE": fleet.clickhouse,
        "RUNWATCH_DATABASE": fleet.database,
        "RUNWATCH_PREFIX": fleet.prefix,
    }
    return lambda *words, **more: cli(*words, **{**environ, **more})


def standing(run: Callable[..., Said], *more: str) -> dict[str, Any]:
    said = run("control", "--format", "json", *more)
    assert 0 == said.code, said.err
    return {row["scope"]: row for row in json.loads(said.out)}


@pytest.mark.stack
def test_what_is_said_stands_until_it_is_lifted(run: Callable[..., Said]) -> None:
    assert {} == standing(run)
    assert "Nothing is forbidden" in run("control").err

    said = run("kill", "agent:support", "--mode", "stop", "--for", "10m", "--why", "sends mails over and over")
    assert (0, "") == (said.code, said.err)
    assert said.out.startswith("agent:support: stop until ")
    assert "run:r1: stop.\n" == run("kill", "run:r1", "--why", "a test").out
    assert "fleet: disable_writes.\n" == run("kill", "fleet", "--why", "a test").out

    now = standing(run)
    assert {"agent:support": "stop", "run:r1": "stop", "fleet": "disable_writes"} == {
        scope: row["mode"] for scope, row in now.items()
    }
    assert "sends mails over and over" == now["agent:support"]["why"]
    assert now["agent:support"]["until"] and not now["fleet"]["until"]
    assert ["run:r1"] == list(standing(run, "--scope", "run:r1"))

    assert "fleet: allow.\n" == run("allow", "fleet", "--why", "all is well").out
    assert {"agent:support", "run:r1"} == set(standing(run))
    assert {"agent:support", "run:r1", "fleet"} == set(standing(run, "--all"))


@pytest.mark.stack
def test_signed_commands_stand_alone_and_name_their_signer(
    run: Callable[..., Said], cli: Callable[..., Said], tmp_path: Path
) -> None:
    file, signers = tmp_path / "mia.key", tmp_path / "signers"
    made = cli("control", "keygen", "--name", "mia", "--out", str(file))
    line, variable = made.out.splitlines()[1], made.out.splitlines()[-1]
    assert f"RUNWATCH_CONTROL_KEY_FILE={file}" == variable
    signers.write_text(f"{line}\n")
    obeying = {"RUNWATCH_CONTROL_SIGNERS": str(signers)}
    signing = {**obeying, "RUNWATCH_CONTROL_KEY_FILE": str(file)}

    assert "fleet: stop.\n" == run("kill", "fleet", "--mode", "stop", "--why", "nobody signed it").out
    assert "run:r1: stop.\n" == run("kill", "run:r1", "--why", "a test", **signing).out
    said = run("control", "--format", "json", **obeying)
    assert [("run:r1", "mia")] == [(one["scope"], one["signed_by"]) for one in json.loads(said.out)]
    assert "1 messages of the control topic are no commands" in said.err
    assert "signed_by" in run("control", **obeying).out
    assert "signed_by" not in run("control").out

    said = run("kill", "run:r2", "--why", "a test", **obeying)
    assert (3, "") == (said.code, said.out)
    assert "only signed commands are obeyed, but there is no key to sign with" in said.err
    other = tmp_path / "other.key"
    cli("control", "keygen", "--name", "max", "--out", str(other))
    said = run("kill", "run:r2", "--why", "a test", **obeying, RUNWATCH_CONTROL_KEY_FILE=str(other))
    assert (3, "") == (said.code, said.out)
    assert "is none of the signers'" in said.err and other.read_text().strip() not in said.err


def test_keys_are_made_for_a_name_and_written_for_their_owner_alone(cli: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "mia.key"
    made = cli("control", "keygen", "--name", "mia", "--out", str(file))
    assert (0, 0o600) == (made.code, file.stat().st_mode & 0o777)
    key = file.read_text().strip()
    assert key.startswith("ctl-key-") and key not in made.out + made.err
    again = cli("control", "keygen", "--name", "mia", "--out", str(file))
    assert (2, key) == (again.code, file.read_text().strip())
    assert "is there already, and is not written over" in again.err
    shown = cli("control", "keygen", "--name", "mia")
    assert "RUNWATCH_CONTROL_KEY=ctl-key-" in shown.out and "mia ctl-pub-" in shown.out
    assert "--name stands beside each command" in cli("control", "keygen").err
    assert "'m ia' is no name" in cli("control", "keygen", "--name", "m ia").err


def test_a_broken_file_of_signers_is_told_with_its_line(cli: Callable[..., Said], tmp_path: Path) -> None:
    signers = tmp_path / "signers"
    signers.write_text("# us\nmia ctl-pub-x\n")
    said = cli("control", RUNWATCH_CONTROL_SIGNERS=str(signers), RUNWATCH_KAFKA="127.0.0.1:1")
    assert (3, "") == (said.code, said.out)
    assert f"{signers}:2: the key of mia does not do" in said.err
    said = cli("control", RUNWATCH_CONTROL_SIGNERS=str(tmp_path / "none"), RUNWATCH_KAFKA="127.0.0.1:1")
    assert "none, which cannot be read: No such file or directory" in said.err


@pytest.mark.stack
def test_the_history_says_who_and_why(run: Callable[..., Said]) -> None:
    run("kill", "run:r1", "--why", "it loops")
    run("allow", "run:r1", "--why", "it does not")
    deadline = time.monotonic() + SOON_S
    rows: list[Any] = []
    while len(rows) < 2 and time.monotonic() < deadline:
        rows = json.loads(run("control", "--history", "--format", "json").out)
        time.sleep(0.1)
    assert [("allow", "it does not"), ("stop", "it loops")] == [(row["what"], row["why"]) for row in rows]
    assert {"run:r1"} == {row["scope"] for row in rows}
    assert all(row["who"] for row in rows)
    assert [] == json.loads(run("control", "--history", "--scope", "run:r2", "--format", "json").out)


@pytest.mark.stack
def test_a_write_that_waits_is_listed_and_answered(run: Callable[..., Said], fleet: Settings) -> None:
    schema = load("agent_event")
    refusal = {
        "event_id": "e1", "run_id": "r1", "seq": 1, "kind": "tool_result", "ts_ms": int(time.time() * 1000),
        "agent": "billing", "status": "error", "step_id": "s1", "tool": "email.send", "args_sha": "a" * 24,
        "error": "ApprovalRequired", "stop_reason": "approval_required",
    }  # fmt: skip
    producer = Producer({"bootstrap.servers": fleet.kafka})
    producer.produce(fleet.topic("events"), encode(refusal, schema, schema.schema_id), "r1")
    producer.flush(10)
    approval = approval_id("r1", "email.send", "a" * 24)
    deadline = time.monotonic() + SOON_S
    while not (rows := json.loads(run("approve", "--format", "json").out)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [(approval, "billing", "email.send", "r1")] == [
        (row["approval"], row["agent"], row["tool"], row["run_id"]) for row in rows
    ]

    assert f"approval:{approval}: allow until" in run("approve", approval, "--why", "asked for").out
    assert "No write waits" in run("approve").err
    assert "allow" == standing(run, "--all")[f"approval:{approval}"]["mode"]
    assert {} == standing(run)
    assert f"approval:{approval}: stop until" in run("approve", approval, "--deny", "--why", "on second thoughts").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("kill", "everyone", "--why", "x"), "'everyone' is no scope; one is `fleet`"),
        (("kill", "alerts:loop.*@*", "--why", "x"), "binds no agent"),
        (("kill", "fleet", "--why", " "), "Say why"),
        (("kill", "fleet", "--why", "x", "--mode", "allow"), "--mode is stop or disable_writes, and this is 'allow'"),
        (("kill", "fleet", "--why", "x", "--for", "soon"), "--for: a duration is a number"),
        (("kill", "fleet", "--why", "x", "--for", "0s"), "longer than nothing"),
        (("allow", "agent:", "--why", "x"), "names nobody"),
        (("approve", "abc"), "Say why"),
    ],
)
def test_what_cannot_be_meant_is_told(cli: Callable[..., Said], words: tuple[str, ...], told: str) -> None:
    said = cli(*words, RUNWATCH_KAFKA="127.0.0.1:1")
    assert 2 == said.code
    assert told in said.err


def test_where_the_broker_is_away_nothing_is_said_to_have_been_done(cli: Callable[..., Said]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    said = cli("control", RUNWATCH_KAFKA=nobody)
    assert (3, "") == (said.code, said.out)
    assert "does not answer" in said.err
