"""What the stack consists of: each service's command, how to tell that it is ready, how long it may take to stop."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import broker
from ..endpoints import SQL_USER
from . import kafka
from .errors import StackError
from .home import Home

# runwatch's own long-running parts, in the order in which they start. Whoever adds one adds a line.
PARTS: Mapping[str, tuple[str, ...]] = {
    "processors": ("process",),
    "sink": ("sink",),
    "alerts": ("alert",),
    "console": ("console",),
}
USUAL = ("processors", "sink", "console")
"""Those that run whatever the settings say. The alerts run where there are receivers."""
STORING_NICE = 5
"""What is stored and shown can wait for a moment where all share two cores; what is to be stopped cannot."""
SERVERS = ("kafka", "clickhouse", "registry")


@dataclass(frozen=True)
class Options:
    """How a local stack is to run. Ports that are None are chosen; `parts` are names out of :data:`PARTS`."""

    home: Path
    kafka_port: int | None = None
    clickhouse_port: int | None = None
    registry_port: int | None = None
    console_port: int | None = None
    prefix: str = ""
    partitions: int = 4
    parts: tuple[str, ...] = USUAL
    clickhouse_user: str = "default"
    clickhouse_password: str = field(default="", repr=False)
    kafka_heap_mb: int = 512
    rules: str | None = None
    """File of rules for the processors, by its whole path: they do not run in the folder in which `up` was said."""
    config: str | None = None
    """The config file, likewise."""
    metrics: bool = True
    """Whether the parts serve metrics."""

    def __post_init__(self) -> None:
        """Refuse names that nobody knows."""
        for part in self.parts:
            if part not in PARTS:
                raise StackError(f"There is no part '{part}' of the local stack; there are: {', '.join(PARTS)}")

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for :meth:`from_json` in another process."""
        return {**asdict(self), "home": str(self.home), "parts": list(self.parts)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Options:
        """The inverse of :meth:`to_json`."""
        return replace(
            cls(Path(value["home"])), **{**value, "home": Path(value["home"]), "parts": tuple(value["parts"])}
        )


@dataclass(frozen=True)
class Probe:
    """How to ask a service whether it is ready: `kind` is "kafka", "http" or "tcp"; `target` an address."""

    kind: str
    target: str

    def ready(self, timeout_s: float = 1.0) -> bool:
        """Whether the service answers within `timeout_s`."""
        if self.kind == "kafka":
            # A client of Kafka's that is refused waits before it tries again; a plain connection tells at once.
            return _connects(self.target, timeout_s) and kafka.is_ready(self.target, timeout_s)
        if self.kind == "http":
            try:
                # Of our own making, and http.
                with urllib.request.urlopen(self.target, timeout=timeout_s) as answer:  # nosec B310
                    return bool(answer.status == 200)
            except (OSError, urllib.error.URLError):
                return False
        return _connects(self.target, timeout_s)


def _connects(address: str, timeout_s: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout_s).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Service:
    """One process of the stack. `must_start`: the stack is not up unless this one is ready."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""
    probe: Probe | None = None
    must_start: bool = False
    ready_s: float = 60.0
    stop_s: float = 15.0
    nice: int = 0
    """How much it gives way to the others, who share the machine with it: see nice(1)."""


def endpoints(ports: Mapping[str, int], parts: Sequence[str] = (), *, metrics: bool = True) -> dict[str, str]:
    """The addresses of the three servers, and what `parts` serve: the console, metrics; as `endpoints.json` has them.

    `metrics`: whether they serve any.
    """
    found = {
        "kafka": f"127.0.0.1:{ports['kafka']}",
        "clickhouse": f"http://127.0.0.1:{ports['clickhouse']}",
        "registry": f"http://127.0.0.1:{ports['registry']}",
    }
    if "console" in parts:
        found["console"] = f"http://127.0.0.1:{ports['console']}"
    if metrics:
        found |= {_metrics(part): f"http://127.0.0.1:{ports[_metrics(part)]}/metrics" for part in parts}
    return found


def servers(options: Options, ports: Mapping[str, int], jars: Sequence[Path]) -> list[Service]:
    """Kafka, ClickHouse and the registry."""
    where = endpoints(ports)
    python = [sys.executable, "-m"]
    return [
        Service(
            "kafka",
            kafka.broker_command(options.home / "kafka", jars, options.kafka_heap_mb),
            endpoint=where["kafka"],
            probe=Probe("kafka", where["kafka"]),
            must_start=True,
            stop_s=30.0,
        ),
        Service(
            "clickhouse",
            [*python, "runwatch.stack.clickhouse", "--path", str(options.home / "clickhouse"),
             "--port", str(ports["clickhouse"]), "--user", options.clickhouse_user, "--reader", SQL_USER],
            env={
                "RUNWATCH_CLICKHOUSE_PASSWORD": options.clickhouse_password,
                "RUNWATCH_SQL_PASSWORD": Home(options.home).sql_password(),
            },
            endpoint=where["clickhouse"],
            probe=Probe("http", where["clickhouse"] + "/ping"),
            must_start=True,
            stop_s=30.0,
            nice=STORING_NICE,
        ),
        Service(
            "registry",
            [*python, "runwatch.stack.registry", "--port", str(ports["registry"]), "--prefix", options.prefix],
            endpoint=where["registry"],
            probe=Probe("http", where["registry"] + "/subjects"),
            must_start=True,
        ),
    ]  # fmt: skip


def parts(options: Options, ports: Mapping[str, int]) -> list[Service]:
    """runwatch's own parts, pointed at the servers."""
    where = endpoints(ports, options.parts, metrics=options.metrics)
    env = {
        "RUNWATCH_HOME": str(options.home),
        **broker.unset(),
        "RUNWATCH_KAFKA": where["kafka"],
        "RUNWATCH_CLICKHOUSE": where["clickhouse"],
        "RUNWATCH_CLICKHOUSE_USER": options.clickhouse_user,
        "RUNWATCH_CLICKHOUSE_PASSWORD": options.clickhouse_password,
        "RUNWATCH_CLICKHOUSE_PASSWORD_FILE": "",
        "RUNWATCH_PREFIX": options.prefix,
        "RUNWATCH_PARTITIONS": str(options.partitions),
    }
    if options.rules is not None:
        env["RUNWATCH_RULES"] = options.rules
    if options.config is not None:
        env["RUNWATCH_CONFIG"] = options.config
    return [_part(name, {**env, **_own_env(name, options)}, where) for name in options.parts]


def _own_env(name: str, options: Options) -> dict[str, str]:
    if name != "console":
        return {}
    return {
        "RUNWATCH_SQL_USER": SQL_USER,
        "RUNWATCH_SQL_PASSWORD": Home(options.home).sql_password(),
        "RUNWATCH_SQL_PASSWORD_FILE": "",
    }


def _part(name: str, env: Mapping[str, str], where: Mapping[str, str]) -> Service:
    metrics = where.get(_metrics(name), "")
    port = urlsplit(metrics).port if metrics else 0
    env = {**env, "RUNWATCH_METRICS_PORT": str(port), "RUNWATCH_METRICS_HOST": "127.0.0.1"}
    command = [sys.executable, "-m", "runwatch", *PARTS[name]]
    service = Service(name, command, env=env, endpoint=metrics, nice=nice_of(name))
    if name != "console":
        return service
    return replace(
        service,
        command=[*service.command, "--port", where[name].rpartition(":")[2]],
        endpoint=where[name],
        probe=Probe("http", where[name] + "/health"),
    )


def _metrics(part: str) -> str:
    """By what name the place of a part's metrics is known."""
    return f"metrics-{part}"


def nice_of(part: str) -> int:
    """How much a part gives way to the others."""
    return STORING_NICE if part in ("sink", "console") else 0
