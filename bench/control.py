"""Part `control`: from the event that makes a loop critical to the agent's next call being refused.

Everything on that way runs as production starts it: agents that write events and follow the control topic, a broker,
and a worker that finds loops and holds its policy to them; under a steady rate of other events. An agent of the bench's
own loops, through the real SDK, until the guard refuses a call. The delay begins when the call whose event made the
loop critical had come back, which is before the produce call, and ends when the next refused call raised. Which call
made the loop critical is read from the anomaly that the command names.

It is measured twice: so, and with a sink and ClickHouse on the same cores, which store all of it meanwhile and are not
on the way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ..config import Settings
from ..control.follow import read_once
from ..control.scopes import run_scope
from ..schemas.avro import load
from ..schemas.events import epoch_ms
from ..schemas.registry import LocalRegistry
from ..schemas.topics import ANOMALIES, CONTROL, EVENTS
from ..schemas.wire import decode_body, split
from .child import Child
from .context import Context
from .databases import database
from .errors import BenchError
from .figures import Figures, delays, rounded
from .looper import Loops
from .paced import Pace
from .result import Result
from .traffic import Listener, warm_up

RATE = 10_000
"""Other events a second, where no rate is asked for."""
LOOPS_PER_S = 7.0
POLICY = """
# The default, but for its cap of 100 runs an hour, which is less than what loops here in a minute.
policy:
  rules:
    - {rule: loop.*, action: stop_run, severity: critical, most_runs_an_hour: 100000}
    - {rule: "*", action: notify}
"""
SETTLE_S = 3.0
"""So long is the other traffic on its way before the first run loops."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One run that was stopped, in seconds of the system's clock."""

    critical_at: float
    """When the call that made the loop critical had come back."""
    detected_at: float
    refused_at: float


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` where the pipeline does not come up or the agents fail."""
    figures: Figures = {}
    problems: list[str] = []
    for name, storing in (("", False), ("storing_", True)):
        turn = _turn(context, name, storing)
        figures |= turn.figures
        problems += turn.problems
    return Result("control", figures, problems=tuple(problems))


@dataclass(frozen=True, slots=True)
class _Turn:
    figures: Figures
    problems: list[str]


def _turn(context: Context, name: str, storing: bool) -> _Turn:
    """One measurement; `name` begins its figures' names."""
    options, servers = context.options, context.servers
    settings = servers.settings(f"control-{name.strip('_')}.", "control")
    config = servers.folder / "control.yaml"
    config.write_text(POLICY, encoding="utf-8")
    settings = settings.model_copy(update={"config": config})
    rate = options.rate or RATE
    pace = Pace(
        kafka=settings.kafka,
        topic=settings.topic(EVENTS.name),
        events=int(rate * (SETTLE_S + options.delay_s)),
        rate=rate,
        rows_per_s=1.0,
        loop_share=0.0,
        seed=5,
    )
    loops = Loops(settings.kafka, settings.prefix, options.delay_s, LOOPS_PER_S)
    with ExitStack() as running:
        worker = running.enter_context(servers.part("process", settings))
        sink = None
        if storing:
            running.enter_context(database(settings))
            sink = running.enter_context(servers.part("sink", settings))
        context.tell("control: waiting for the worker" + (" and the sink" if storing else ""))
        warm_up(servers, settings, worker, sink, pace)
        beside = ", all of it stored" if storing else ""
        context.tell(f"control: {rate:,} other events/s for {options.delay_s:.0f} s{beside}, and runs that loop")
        before = (worker.usage().cpu_s, time.monotonic())
        with servers.module("paced", pace.to_json(), says=True) as sender:
            traffic = Listener(sender)
            time.sleep(SETTLE_S)
            with servers.module("looper", loops.to_json(), says=True) as looper:
                runs = _hear(looper)
            sent = traffic.end()
        cpu = (worker.usage().cpu_s - before[0]) / (time.monotonic() - before[1])
        anomalies = _anomalies(servers.read(settings.topic(ANOMALIES.name)))
        stops = _stops(runs, anomalies, settings)
    stopped = [run for run in runs if run["refused_at"] is not None]
    if not stops:
        raise BenchError("control: no run was stopped")
    figures: Figures = {
        "rate_events_per_s": rounded(sent["sent"] / sent["seconds"]),
        "sender_late_max_ms": rounded(1000 * sent["late_s"]),
        **delays([one.refused_at - one.critical_at for one in stops], "stop"),
        **delays([max(0.0, one.detected_at - one.critical_at) for one in stops], "found"),
        **delays([max(0.0, one.refused_at - one.detected_at) for one in stops], "carried_out"),
        "runs": len(runs),
        "runs_not_stopped": len(runs) - len(stopped),
        "worker_cpu_percent": rounded(100 * cpu),
    }
    problems = []
    if len(stopped) < len(runs):
        problems.append(f"control: {len(runs) - len(stopped)} of {len(runs)} looping runs were not stopped")
    if wrong := sorted({run["stop_reason"] for run in stopped} - {"loop_detected"}):
        problems.append(f"control: runs ended for another reason than their loop: {', '.join(wrong)}")
    return _Turn({name + figure: value for figure, value in figures.items()}, problems)


def _hear(looper: Child) -> list[dict[str, Any]]:
    runs = [json.loads(line) for line in looper.lines]
    looper.wait(30)
    if not runs:
        raise BenchError("control: the agent that loops ended before its time")
    return runs


def _anomalies(values: Any) -> dict[str, dict[str, Any]]:
    """The critical loops by their ids, as they were first told."""
    schema = load("anomaly")
    found: dict[str, dict[str, Any]] = {}
    for value in values:
        record = decode_body(split(value)[1], schema)
        if record["severity"] == "critical":
            found.setdefault(record["anomaly_id"], record)
    return found


def _stops(runs: list[dict[str, Any]], anomalies: Mapping[str, dict[str, Any]], settings: Settings) -> list[Stop]:
    """Each stopped run with the anomaly that its command names."""
    read = read_once(settings.kafka_client(), settings.topic(CONTROL.name), LocalRegistry, 15.0)
    if not read.loaded:
        raise BenchError("control: the control topic cannot be read")
    now_ms = int(time.time() * 1000)
    stops = []
    for run in runs:
        command = read.state.standing(run_scope(run["run_id"]), now_ms)
        if run["refused_at"] is None or command is None:
            continue
        anomaly = anomalies[command.anomaly_id or ""]
        stops.append(
            Stop(
                run["ends"][anomaly["step_id"]],
                epoch_ms(anomaly["detected_ms"]) / 1000,
                run["refused_at"],
            )
        )
    return stops
