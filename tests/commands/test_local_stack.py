"""`up`, `down`, `status` and `logs` where no stack is up, or something stands in its way."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runwatch.schemas.health import Health
from runwatch.sinks.loss import Loss
from runwatch.stack.home import Home
from runwatch.stack.lifecycle import ServiceStatus, StackStatus

Cli = Callable[..., Any]


def service(name: str, **given: Any) -> ServiceStatus:
    told: dict[str, Any] = {
        "name": name, "state": "running", "pid": 4321, "uptime_s": 75.4, "restarts": 0, "rss_mb": 100.4,
        "endpoint": "", "ready": None, "exit_code": None, "log": f"logs/{name}.log",
    }  # fmt: skip
    return ServiceStatus(**{**told, **given})


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says what `status` finds."""

    def tell(services: Sequence[ServiceStatus], up: bool = True, ready: bool = True) -> None:
        now = StackStatus("/home", up, ready, services)
        monkeypatch.setattr("runwatch.stack.lifecycle.status", lambda _: now)

    for name, answer in (("read_loss", None), ("read_held", [])):
        monkeypatch.setattr(f"runwatch.commands.stored.{name}", lambda _, answer=answer: answer)
    return tell


def test_a_second_up(cli: Cli, home: Path) -> None:
    there = Home(home / ".runwatch")
    there.prepare()
    with there.held():
        for arguments in (("up",), ("up", "--detach")):
            done = cli(*arguments)
            assert (3, "", 1) == (done.code, done.out, len(done.err.splitlines()))
            assert f"already up in {there.path}" in done.err
            assert "'runwatch down'" in done.err


@pytest.mark.parametrize("name", ["kafka", "clickhouse", "registry"])
def test_a_port_that_is_taken(name: str, cli: Cli, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = cli("up", "--detach", f"--{name}-port", str(port))
    assert (3, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert done.err.startswith(f"Port {port}, asked for {name}, is taken")
    assert 3 == cli("status").code


def test_a_folder_that_cannot_be_used(cli: Cli, home: Path) -> None:
    (home / "file").write_text("")
    done = cli("up", RUNWATCH_HOME=str(home / "file"))
    assert (3, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert "set RUNWATCH_HOME to another" in done.err


def test_a_full_disk(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwatch.stack.home.shutil.disk_usage", lambda _: type("Usage", (), {"free": 5 << 20}))
    done = cli("up")
    assert (3, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert done.err.startswith("Only 5 MB are free on the disk of ")


def test_down_without_a_stack(cli: Cli, home: Path) -> None:
    expected = f"No local stack is up in {home / '.runwatch'}.\n"
    assert (0, "", expected) == tuple(vars(cli("down")).values())


@pytest.mark.parametrize(("form", "out"), [("table", ""), ("json", "[]\n"), ("jsonl", "")])
def test_status_without_a_stack(form: str, out: str, cli: Cli, home: Path) -> None:
    done = cli("status", "-f", form)
    assert (3, out) == (done.code, done.out)
    expected = f"No local stack is up in {home / '.runwatch'}: `runwatch up` starts one.\n"
    assert (expected if form == "table" else "") == done.err


def test_status_for_people(cli: Cli, found: Any) -> None:
    found([service("kafka", endpoint="127.0.0.1:9092", ready=True, uptime_s=9000.0), service("sink", restarts=2)])
    done = cli("status")
    assert (0, "") == (done.code, done.err)
    assert (
        """\
service  state     pid  uptime  restarts  memory  endpoint
kafka    running  4321  2.5 h          0  100 MB  127.0.0.1:9092
sink     running  4321  75 s           2  100 MB
201 MB in all.
"""
        == done.out
    )


def test_status_for_scripts(cli: Cli, found: Any) -> None:
    services = [service("kafka", ready=True), service("sink")]
    found(services)
    told = [vars(one) | {"counts": None} for one in services]
    assert told == json.loads(cli("status", "--format", "json").out)
    assert told == list(map(json.loads, cli("status", "-f", "jsonl").out.splitlines()))
    assert (
        "name,state,pid,uptime_s,restarts,rss_mb,endpoint,ready,exit_code,log,counts"
        == (cli("status", "-f", "csv").out.splitlines()[0])
    )


class TestWhatTheProcessorsMet:
    COUNTS: ClassVar = {"events": 12_000, "open_runs": 3, "anomalies": 7, "repeats": 2, "missing": 1, "late": 0}

    @pytest.fixture(autouse=True)
    def _workers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now_ms = int(time.time() * 1000)
        words = [Health(f"host:{pid}", "processors", now_ms, now_ms - 90_000, self.COUNTS) for pid in (1, 2)]
        monkeypatch.setattr("runwatch.commands.health.read_health", lambda _: words)

    def test_for_people(self, cli: Cli, found: Any) -> None:
        found([service("processors")])
        assert [
            "24,000 events read, 6 runs open, 14 times that a run was told of.",
            "2 events had not come when their run stopped: there were gaps in its `seq`.",
            "4 events came more than once, and were counted once.",
        ] == cli("status").out.splitlines()[-3:]

    def test_for_scripts(self, cli: Cli, found: Any) -> None:
        found([service("kafka"), service("processors")])
        rows = json.loads(cli("status", "--format", "json").out)
        assert [None, {name: 2 * count for name, count in self.COUNTS.items()}] == [row["counts"] for row in rows]

    def test_of_another_deployment(self, cli: Cli, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        found([], up=False, ready=False)
        assert 3 == cli("status").code
        monkeypatch.setenv("RUNWATCH_KAFKA", "127.0.0.1:1")
        done = cli("status", "--format", "json")
        assert (0, ["host:1", "host:2"]) == (done.code, [row["endpoint"] for row in json.loads(done.out)])


class TestWhatIsStored:
    """The end-to-end loss, and topics that are held."""

    def test_nothing_lost(self, cli: Cli, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        found([service("sink")])
        monkeypatch.setattr("runwatch.commands.stored.read_loss", lambda _: Loss(12, 3_456, 0, 0))
        done = cli("status")
        assert (0, "End to end, last 24 hours: 0 of 3,456 events are missing, in 0 of 12 runs.") == (
            done.code, done.out.splitlines()[-1]
        )  # fmt: skip
        rows = json.loads(cli("status", "--format", "json").out)
        assert [{"stored_runs": 12, "stored_expected": 3_456, "stored_lost": 0, "stored_gaps": 0}] == [
            row["counts"] for row in rows
        ]

    def test_a_store_that_is_away(self, cli: Cli, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        found([service("sink")])
        monkeypatch.setattr("runwatch.commands.stored.read_loss", lambda _: "It cannot be told.")
        assert "It cannot be told." == cli("status").out.splitlines()[-1]
        assert [None] == [row["counts"] for row in json.loads(cli("status", "--format", "json").out)]

    def test_a_topic_that_is_held_is_trouble(self, cli: Cli, found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        found([service("sink")])
        monkeypatch.setattr("runwatch.commands.stored.read_held", lambda _: ["The sink: agent.events is not read on."])
        done = cli("status")
        assert (1, "The sink: agent.events is not read on.") == (done.code, done.out.splitlines()[-1])


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (service("sink", state="waiting", pid=None, uptime_s=None, rss_mb=None, exit_code=-9), "waiting"),
        (service("kafka", ready=False), "no answer"),
    ],
    ids=str,
)
def test_status_with_trouble_is_1(one: ServiceStatus, said: str, cli: Cli, found: Any) -> None:
    found([service("registry"), one])
    done = cli("status")
    assert 1 == done.code
    assert said in done.out.splitlines()[2]


def test_status_while_it_starts(cli: Cli, found: Any) -> None:
    found([], up=True, ready=False)
    assert (1, "", "The local stack in /home is only just starting.\n") == tuple(vars(cli("status")).values())


@pytest.mark.parametrize("arguments", [(), ("kafka",), ("kafka", "--follow")], ids=str)
def test_logs_before_there_are_any(arguments: tuple[str, ...], cli: Cli, home: Path) -> None:
    expected = f"No logs in {home / '.runwatch'} yet: `runwatch up` starts the stack.\n"
    assert (3, "", expected) == tuple(vars(cli("logs", *arguments)).values())


def test_logs(cli: Cli, home: Path, nasty: str) -> None:
    there = Home(home / ".runwatch")
    there.prepare()
    there.log("kafka").write_text("one\n\tat two\n")
    there.log("sink").write_text(nasty.replace("\r", "") + "\n")
    assert (0, "    at two\n", "") == tuple(vars(cli("logs", "kafka", "-n", "1")).values())
    both = cli("logs").out
    assert "kafka ─" in both and "sink ─" in both
    assert "[red]\\x1b[31m<b>\\x07[/red]\n" in both
    assert (2, "", "There is no log of 'nosuch'; there are kafka, sink.\n") == tuple(
        vars(cli("logs", "nosuch")).values()
    )
    assert 2 == cli("logs", "../logs/sink").code
    assert (2, "", "To follow, name one of kafka, sink.\n") == tuple(vars(cli("logs", "--follow")).values())


def test_tokens_that_nobody_was_shown_are_taken_back(cli: Cli, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert 3 == cli("up", "--detach", "--kafka-port", str(server.getsockname()[1])).code
    assert not (home / ".runwatch" / "console.json").exists()


@pytest.mark.parametrize("detach", [True, False])
def test_tokens_are_shown_once(detach: bool, cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def up(options: Any, report: Any, *, detach: bool, ready: Callable[[dict[str, str]], None]) -> None:
        ready({"kafka": "127.0.0.1:9092", "console": "http://127.0.0.1:9999"})

    monkeypatch.setattr("runwatch.stack.lifecycle.up", up)
    arguments = ("up", *(["--detach"] if detach else []))
    assert 2 == cli(*arguments).out.count("http://127.0.0.1:9999/login#token=")
    again = cli(*arguments).out
    assert "token=" not in again
    assert "Come in with the token that you have" in again
