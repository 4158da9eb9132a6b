"""Everything that runs: three brokers, ClickHouse behind a wire, workers, sinks, agents and the load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from runwatch.config import Settings
from runwatch.schemas.topics import EVENTS, TopicsError, ensure_topics
from runwatch.stack import kafka
from runwatch.stack.jars import kafka_jars
from runwatch.stack.ports import any_free

from .load import Job
from .traffic import Traffic
from .volume import Volume
from .ward import Ward, leashed

BROKERS = 3
PARTITIONS = 4
AGENTS = 3
AGENT_PAUSE_S = 0.3
READY_S = 90.0
CLICKHOUSE_MB = 4_000
BROKER_MB = 8_000
SPOOL_MB = 8
MODULE = [sys.executable, "-m"]
ROOT = Path(__file__).resolve().parents[2]


class Plant:
    """Starts it, and takes it down again. `say` gets a line per step."""

    def __init__(self, folder: Path, seed: int, rate: int, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.seed = seed
        self.rate = rate
        self._say = say
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.volumes = {
            "clickhouse": Volume(folder / "clickhouse", CLICKHOUSE_MB),
            "kafka-3": Volume(folder / "kafka-3", BROKER_MB),
            "spool": Volume(folder / "spool", SPOOL_MB),
        }
        ports = {name: any_free() for name in ("clickhouse", "wire", *(f"{n}{k}" for n in "123" for k in "bc"))}
        self.nodes = [kafka.Node(n, ports[f"{n}b"], ports[f"{n}c"]) for n in range(1, BROKERS + 1)]
        self.wire_file = folder / "wire"
        self.clock_file = folder / "clock"
        self.direct = f"http://127.0.0.1:{ports['clickhouse']}"
        self.settings = Settings(
            home=folder, kafka=",".join(node.bootstrap for node in self.nodes),
            clickhouse=f"http://127.0.0.1:{ports['wire']}", clickhouse_user="default",
            clickhouse_password=SecretStr(""), database="chaos", registry=None, prefix="chaos.",
            partitions=PARTITIONS, replication=BROKERS,
        )  # fmt: skip
        self.brokers = [
            Ward(f"kafka-{node.node_id}", lambda node=node: self._broker(node), {}, self._log(f"kafka-{node.node_id}"))
            for node in self.nodes
        ]
        self.clickhouse = self._ward(
            "clickhouse", "runwatch.stack.clickhouse",
            "--path", str(folder / "clickhouse" / "data"), "--port", str(ports["clickhouse"]),
        )  # fmt: skip
        self.wire = self._ward(
            "wire", "tests.chaos.proxy", str(ports["wire"]), str(ports["clickhouse"]), str(self.wire_file)
        )
        self.workers = [self.part("process", n) for n in (1, 2)]
        self.sinks = [self.part("sink", n) for n in (1, 2)]
        self.agents = [self._agent(n) for n in range(1, AGENTS + 1)]
        self.load: LoadProcess | None = None

    @property
    def wards(self) -> list[Ward]:
        """Everything that is looked after, in the order in which it starts."""
        return [*self.brokers, self.clickhouse, self.wire, *self.workers, *self.sinks, *self.agents]

    @property
    def checking(self) -> Settings:
        """Settings that reach ClickHouse past the wire."""
        return self.settings.model_copy(update={"clickhouse": self.direct})

    @property
    def ledgers(self) -> list[Path]:
        """What the agents noted."""
        return sorted(self.folder.glob("ledger-*"))

    def part(self, command: str, number: int) -> Ward:
        """A worker or a sink, as production starts it."""
        env = {f"RUNWATCH_{name.upper()}": str(value) for name, value in self._environ().items()}
        return Ward(
            f"{command}-{number}", lambda: [*MODULE, "runwatch", command], env, self._log(f"{command}-{number}"), ROOT
        )

    def up(self) -> None:
        """Starts all of it, but the load."""
        self._wire("pass")
        self.clock(0)
        for volume in self.volumes.values():
            volume.mount()
        self._say("starting three brokers, ClickHouse, two workers, two sinks, three agents")
        jars, cluster_id = kafka_jars(), kafka.new_cluster_id()
        for node in self.nodes:
            folder = self.folder / f"kafka-{node.node_id}"
            kafka.write_config(folder, node, self.nodes)
            kafka.format_storage(folder, jars, cluster_id)
        self._jars = jars
        for ward in (*self.brokers, self.clickhouse, self.wire):
            ward.start()
        deadline = time.monotonic() + READY_S
        while True:
            try:
                ensure_topics(self.settings.kafka, self.settings.prefix, partitions=PARTITIONS, replication=BROKERS)
                break
            except TopicsError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
        for ward in (*self.workers, *self.sinks, *self.agents):
            ward.start()

    def begin(self, seconds: float) -> None:
        """Starts the load."""
        traffic = Traffic(self.seed, self.rate, int(time.time() * 1000) + 2_000)
        job = Job(traffic, self.settings.kafka, self.settings.topic(EVENTS.name), seconds)
        self.load = LoadProcess(job, self._log("load"))

    def down(self) -> None:
        """Ends whatever still runs."""
        self._wire("pass")
        if self.load is not None:
            self.load.kill()
        for ward in reversed(self.wards):
            ward.close()
        for volume in self.volumes.values():
            volume.unmount()

    def bad_wire(self, state: str) -> None:
        """Makes the way to ClickHouse `slow`, `cut` or `pass`."""
        self._wire(state)

    def clock(self, ahead_s: int) -> None:
        """Makes the agents' clocks be ahead by so many seconds."""
        draft = self.clock_file.with_suffix(".new")
        draft.write_text(str(ahead_s))
        draft.replace(self.clock_file)

    def _wire(self, state: str) -> None:
        self.wire_file.write_text(state)

    def _environ(self) -> dict[str, Any]:
        given = self.settings.model_dump(include={
            "home", "kafka", "clickhouse", "clickhouse_user", "database", "prefix", "partitions", "replication",
        })  # fmt: skip
        return {**given, "clickhouse_password": "", "registry": "", "metrics_port": 0}

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _ward(self, name: str, module: str, *arguments: str) -> Ward:
        return Ward(name, lambda: [*MODULE, module, *arguments], {}, self._log(name), ROOT)

    def _broker(self, node: kafka.Node) -> list[str]:
        return kafka.broker_command(self.folder / f"kafka-{node.node_id}", self._jars, 512)

    def _agent(self, number: int) -> Ward:
        env = {
            "RUNWATCH_HOME": str(self.folder),
            "RUNWATCH_KAFKA": self.settings.kafka,
            "RUNWATCH_PREFIX": self.settings.prefix,
        }
        name = f"agent-{number}"
        arguments = [
            name,
            self.folder / f"ledger-{number}",
            self.clock_file,
            self.folder / "spool" / name,
            AGENT_PAUSE_S,
        ]
        command = [*MODULE, "tests.chaos.agent", *map(str, arguments)]
        return Ward(name, lambda: command, env, self._log(name), ROOT)


class LoadProcess:
    """The load, and what it says."""

    def __init__(self, job: Job, log: Path) -> None:
        self.job = job
        self.loops: dict[str, float] = {}
        """When each loop was complete, by the run's id."""
        self.result: dict[str, Any] | None = None
        with log.open("ab") as err:
            self._process = subprocess.Popen(
                [*leashed(), *MODULE, "tests.chaos.load", job.to_json()],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True, cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        self._thread = threading.Thread(target=self._hear, name="chaos-load", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self, patience_s: float = 240.0) -> dict[str, Any]:
        """Asks it to end, and waits until the brokers have what it sent. Raises `RuntimeError` where it failed."""
        self._process.terminate()
        self._thread.join(patience_s)
        if self.result is None:
            raise RuntimeError(f"the load did not come to its end (code {self._process.poll()}): see its log")
        return self.result

    def kill(self) -> None:
        """Ends it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):
            for text in self._process.stdout:
                line = json.loads(text)
                if "loop" in line:
                    self.loops[line["loop"]] = line["at"]
                else:
                    self.result = line
