"""The supervisor, over processes that cost nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwatch.stack.errors import StackError
from runwatch.stack.home import Home
from runwatch.stack.services import Probe, Service
from runwatch.stack.supervisor import StopAsked, Supervisor

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.prepare()
    return home


def services(home: Home) -> dict[str, Any]:
    return {entry["name"]: entry for entry in json.loads(home.state.read_text())["services"]}


class Watched(Supervisor):
    """Leaves `supervise` once a condition holds."""

    condition: Callable[[], bool]

    def _look_after(self, child: Any, now: float) -> None:
        super()._look_after(child, now)
        if self.condition():
            raise StopAsked


def watch(supervisor: Watched, condition: Callable[[], bool], timeout: float = 15) -> None:
    deadline = time.monotonic() + timeout

    def met() -> bool:
        assert time.monotonic() < deadline, "the condition does not come"
        return condition()

    supervisor.condition = met
    with pytest.raises(StopAsked):
        supervisor.supervise()


def test_a_service_that_dies_is_started_again_later_and_later(home: Home) -> None:
    said: list[str] = []
    supervisor = Watched(home, said.append)
    supervisor.start(Service("brief", [sys.executable, "-c", "print('here'); raise SystemExit(7)"]))
    watch(supervisor, lambda: services(home)["brief"]["restarts"] == 2)
    supervisor.stop()
    waits = [line.split("starts again in ")[1].split(" s")[0] for line in said if "ended with code 7" in line]
    assert ["0.5", "1.0"] == waits[:2]
    assert ["here"] * 2 == home.log("brief").read_text().splitlines()[:2]
    assert "stopped" == services(home)["brief"]["state"]


def test_services_stop_in_reverse_order_and_stubborn_ones_are_killed(home: Home, tmp_path: Path, gone: Any) -> None:
    note = textwrap.dedent(
        f"""
        import signal, sys, time, pathlib
        def end(*_):
            with pathlib.Path({str(tmp_path / "order")!r}).open("a") as file:
                file.write(sys.argv[1] + "\\n")
            if sys.argv[1] != "stubborn":
                sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("up", flush=True)
        while True:
            time.sleep(0.05)
        """
    )
    supervisor = Watched(home, lambda _: None)
    for name in ("first", "stubborn", "last"):
        supervisor.start(Service(name, [sys.executable, "-c", note, name], stop_s=0.3))
    pids = [entry["pid"] for entry in services(home).values()]
    watch(supervisor, lambda: all("up" in home.log(name).read_text() for name in services(home)))
    supervisor.stop()
    assert ["last", "stubborn", "first"] == (tmp_path / "order").read_text().split()
    assert [0, -signal.SIGKILL, 0] == [entry["exit_code"] for entry in services(home).values()]
    assert gone(*pids)


def test_what_a_service_left_behind_goes_with_it(home: Home, until: Any, gone: Any) -> None:
    spawn = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    )
    supervisor = Watched(home, lambda _: None)
    supervisor.start(Service("parent", [sys.executable, "-c", spawn]))
    watch(supervisor, lambda: services(home)["parent"]["exit_code"] == 0)
    left = int(home.log("parent").read_text().split()[0])
    supervisor.stop()
    until(lambda: gone(left), "what it left is gone", timeout=5)


def test_a_server_that_dies_before_it_is_ready(home: Home) -> None:
    supervisor = Supervisor(home, lambda _: None)
    probe = Probe("tcp", "127.0.0.1:1")
    supervisor.start(Service("kafka", [sys.executable, "-c", "print('no room'); raise SystemExit(3)"], probe=probe))
    with pytest.raises(StackError, match=r"kafka ended with code 3 before it was ready; its log .* ends with: no room"):
        supervisor.wait_ready("kafka")
    supervisor.stop()


def test_a_server_that_is_never_ready(home: Home) -> None:
    supervisor = Supervisor(home, lambda _: None)
    supervisor.start(Service("kafka", SLEEPER, probe=Probe("tcp", "127.0.0.1:1"), ready_s=0.2))
    with pytest.raises(StackError, match="kafka was not ready after 0 s"):
        supervisor.wait_ready("kafka")
    supervisor.stop()
    assert "stopped" == services(home)["kafka"]["state"]


def test_the_environment_of_a_service(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWATCH_REGISTRY", "http://elsewhere")
    code = (
        "import os; e = os.environ; print(e.get('RUNWATCH_REGISTRY'), e['RUNWATCH_KAFKA'], os.getpgrp() == os.getpid())"
    )
    supervisor = Watched(home, lambda _: None)
    supervisor.start(Service("env", [sys.executable, "-c", code], env={"RUNWATCH_KAFKA": "here"}))
    watch(supervisor, lambda: "\n" in home.log("env").read_text())
    supervisor.stop()
    assert "None here True" == home.log("env").read_text().splitlines()[0]


def test_a_killed_supervisor_leaves_nothing(home: Home, until: Any, gone: Any) -> None:
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from runwatch.stack.home import Home
        from runwatch.stack.services import Service
        from runwatch.stack.supervisor import Supervisor
        supervisor = Supervisor(Home(Path({str(home.path)!r})), print)
        for name in ("one", "two"):
            supervisor.start(Service(name, {SLEEPER!r}))
        supervisor.supervise()
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        both = [home.log(name) for name in ("one", "two")]
        until(lambda: all(log.exists() and "up" in log.read_text() for log in both), "both run")
        pids = [entry["pid"] for entry in services(home).values()]
        assert not gone(*pids)
    finally:
        process.kill()
        process.wait()
    until(lambda: gone(*pids), "the services ended with their supervisor", timeout=5)
