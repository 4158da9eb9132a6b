"""Part `sdk`: what a tool call costs an agent, beside OpenTelemetry's SDK that records the same, and beside nothing.

Contestants take turns, each in a process of its own, at a steady rate of calls. Ours has all guards on: budgets, tool
policy, writes that are done once, and the control topic followed, in which commands to others arrive meanwhile. Both
really send: ours to Kafka, theirs to a collector on this machine. A call's time is that of the whole call, the tool's
own function included, which `bare` shows. Calls come five at a time, as models want them; the first of them, for which
the machine has done other things before, is told apart too: its instructions and data come from main memory.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from ..config import Settings
from ..control.scopes import agent_scope, run_scope
from ..control.send import send
from ..schemas.controls import Control
from ..schemas.ids import uuid7
from ..schemas.registry import LocalRegistry
from ..schemas.topics import CONTROL
from .calls import Work
from .context import Context
from .errors import BenchError
from .figures import Figures, quantile, rounded
from .result import Result

RATE = 500
"""Calls a second, if none is named: a busy process of several agents."""
WARM_UP_S = 2.0
COMMANDS = 50
"""That stand in the control topic already, for other agents."""
COMMAND_EVERY_S = 1.0
BAR_P50_US, BAR_P99_US = 25.0, 150.0


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` where a contestant fails."""
    options = context.options
    settings = context.servers.settings("sdk.", "sdk")
    rate = options.rate or RATE
    turn_s = max(1.0, options.delay_s / options.repeats)
    contestants = ["bare", "runwatch"] + (["opentelemetry"] if options.peers else [])
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    for number in range(COMMANDS):
        _command(settings, agent_scope(f"other-{number}"))
    with context.servers.module("peers.otlp_sink", says=True) as sink, _commands(settings):
        address = sink.lines.readline().strip()
        for turn in range(options.repeats):
            for name in contestants:
                context.tell(f"sdk: {name}, turn {turn + 1} of {options.repeats}, {rate} calls/s for {turn_s:.0f} s")
                job = Work(
                    contestant=name,
                    rate=rate,
                    calls=int(rate * (WARM_UP_S + turn_s)),
                    warm_up=int(rate * WARM_UP_S),
                    kafka=settings.kafka,
                    prefix=settings.prefix,
                    otlp=address,
                )
                turns[name].append(_turn(context, job))
    ours, bare = _figures(turns["runwatch"]), _figures(turns["bare"])
    ours["check_p50_us"] = rounded(quantile([ns for turn in turns["runwatch"] for ns in turn["check_ns"]], 0.5) / 1000)
    ours["rate_calls_per_s"] = rate
    problems = [
        f"sdk: of {turn['sent']:,} records of {name} {turn['arrived']:,} arrived"
        for name, each in turns.items()
        for turn in each
        if turn["sent"] != turn["arrived"]
    ]
    peers = {"bare": bare}
    notes = [f"The aims: p50 under {BAR_P50_US:g} µs, p99 under {BAR_P99_US:g} µs, both below OpenTelemetry's."]
    if options.peers:
        theirs = peers["opentelemetry"] = _figures(turns["opentelemetry"])
        for name in ("call_p50_us", "call_p99_us", "cpu_us_per_call"):
            ours[f"times_less_{name}"] = rounded(theirs[name] / ours[name])
    return Result("sdk", ours, peers, problems=tuple(problems), notes=notes)


def _figures(turns: list[dict[str, Any]]) -> Figures:
    """Of all turns of one contestant: quantiles over all calls, CPU time as the median of the turns."""
    us, first_us = [
        [ns / 1000 for turn in turns for name in names for ns in turn[name]]
        for names in (("first_ns", "next_ns"), ("first_ns",))
    ]
    return {
        "call_p50_us": rounded(quantile(us, 0.5)),
        "call_p90_us": rounded(quantile(us, 0.9)),
        "call_p99_us": rounded(quantile(us, 0.99)),
        "call_p999_us": rounded(quantile(us, 0.999)),
        "first_call_p50_us": rounded(quantile(first_us, 0.5)),
        "first_call_p99_us": rounded(quantile(first_us, 0.99)),
        "cpu_us_per_call": rounded(1e6 * median(turn["cpu_s"] / turn["calls"] for turn in turns)),
        "calls": len(us),
        "records": sum(turn["arrived"] for turn in turns),
    }


def _turn(context: Context, job: Work) -> dict[str, Any]:
    with context.servers.module("calls", job.to_json(), says=True) as child:
        line = child.lines.readline()
        child.wait(60)
    if not line:
        raise BenchError(f"sdk: {job.contestant} ended without a word")
    return {**json.loads(line), "calls": job.calls}


@contextmanager
def _commands(settings: Settings) -> Iterator[None]:
    """Meanwhile commands arrive, to runs that are none of ours: agents have to look whether they are meant."""
    over = threading.Event()
    trouble: list[Exception] = []

    def work() -> None:
        try:
            while not over.wait(COMMAND_EVERY_S):
                _command(settings, run_scope(uuid7(0)))
        except Exception as error:
            trouble.append(error)

    thread = threading.Thread(target=work, name="bench-commands", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
    if trouble:
        raise BenchError(f"sdk: {trouble[0]}") from trouble[0]


def _command(settings: Settings, scope: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    command = Control(uuid7(now_ms), scope, "stop", now_ms, "to be looked at", "bench", now_ms + 3_600_000)
    send(settings.kafka_client(), settings.topic(CONTROL.name), LocalRegistry(), command)
