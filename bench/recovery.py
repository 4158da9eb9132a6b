"""Part `recovery`: how long nothing is found after a worker was killed, with many runs open.

There are six minutes of history in the topic when it begins, as log times tell, and runs go on: a hundred thousand at a
time. A worker is killed (SIGKILL) just before a stretch of log time ends, when a replay is at its longest. Either the
next one is started at once, as a supervisor does (`restart`), or another that is there takes over (`takeover`). Then
runs that begin to loop are waited for, from their produce call to their anomaly: as long as one waits for more than a
second, detection does not work.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from ..config import Settings
from ..processors.rules import Rules
from ..schemas.topics import EVENTS
from .child import Child
from .context import Context
from .delay import Waiting, Watcher, waits, watch_loops
from .errors import BenchError
from .figures import Figures, together
from .paced import Pace
from .result import Result
from .traffic import Listener

RATE = 5_000
"""Events a second, where no rate is asked for: of 100,000 open runs each makes a step every 20 seconds."""
OPEN_RUNS = 100_000
TOOLS = 10
AGED_S = 360.0
"""Two stretches, and what is sent late."""
STRETCH_S = Rules().windows.stretch / 1000
REST_S = 5.0
"""So close to the end of a stretch the kill comes."""
READY_S = 180.0
"""So long it may take to send what is to be there, and again until a worker has read it."""
LOOPS_PER_S = 20.0
STEPS_A_RUN = 32
SUPERVISOR_S = 0.5
"""A supervisor's first pause before it starts again what died."""
LATE_S = 1.0
"""An anomaly that takes so long is late: nobody looks."""
LIVELY_S = 3.0
WATCH_S = 45.0
"""How long anomalies are looked at after the kill."""
AIM_S = 15.0


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` where a worker does not come up or the sender fails."""
    figures: Figures = {}
    problems: list[str] = []
    for manner in ("restart", "takeover"):
        turns = []
        for turn in range(context.options.repeats):
            what = f"recovery: {manner}, turn {turn + 1} of {context.options.repeats}"
            turns.append(_turn(context, manner, turn, what))
        told = together(turns, ("again_s", "first_s"))
        figures |= {f"{manner}_{name}": value for name, value in told.items()}
        again_s = max(turn["again_s"] for turn in turns)
        if missed := sum(turn["missed"] for turn in turns):
            problems.append(f"recovery: {missed} loops were never told after a {manner}")
        if again_s > AIM_S:
            problems.append(f"recovery: after a {manner} it took up to {again_s:.1f} s until detection worked again")
    return Result("recovery", figures, problems=tuple(problems))


def _turn(context: Context, manner: str, turn: int, what: str) -> Figures:
    servers, options = context.servers, context.options
    rate = options.rate or RATE
    settings = servers.settings(f"recovery-{manner}-{turn}.", "recovery")
    _take_log_times(context, settings)
    aged_s = min(AGED_S, options.aged_s)
    pace = Pace(
        kafka=settings.kafka,
        topic=settings.topic(EVENTS.name),
        # As many as are sent until the end, however slow it all is.
        events=int(rate * (aged_s + 2 * READY_S + STRETCH_S + WATCH_S)),
        rate=rate,
        rows_per_s=0.001,
        loop_share=min(0.5, LOOPS_PER_S * STEPS_A_RUN / rate),
        seed=3 + turn,
        aged_s=aged_s,
        open_runs=OPEN_RUNS,
        tools=TOOLS,
    )
    loops = Waiting()
    with ExitStack() as stack:
        context.tell(f"{what}: {rate * aged_s:,.0f} events of history")
        sender = stack.enter_context(servers.module("paced", pace.to_json(), says=True))
        note = waits(Waiting(), loops)
        aged: list[dict[str, Any]] = []
        Listener(sender, lambda line: aged.append(line) if "aged" in line else note(line))
        _until(lambda: bool(aged), READY_S, sender)
        workers = [stack.enter_context(servers.part("process", settings))]
        if manner == "takeover":
            workers.append(stack.enter_context(servers.part("process", settings)))
        watcher = Watcher(lambda stop: watch_loops(settings, loops, stop))
        context.tell(f"{what}: waiting for the workers")
        _until(lambda: _is_lively(loops), READY_S, *workers)
        rest_s = _wait_for_end_of_stretch(context.options.watch_s)
        killed = time.time()
        workers[0].signal(signal.SIGKILL)
        context.tell(f"{what}: killed {rest_s:.0f} s before the end of a stretch")
        if manner == "restart":
            time.sleep(SUPERVISOR_S)
            workers.append(stack.enter_context(servers.part("process", settings)))
        end = killed + min(WATCH_S, options.watch_s)
        while time.time() < end:
            workers[-1].check()
            time.sleep(0.2)
        used = workers[-1].usage()
        watcher.stop()
    return {**_judged(loops, killed, end), "rate": rate, "worker_rss_mib": used.rss >> 20}


def _judged(loops: Waiting, killed: float, end: float) -> Figures:
    """When loops were told that were complete after the kill."""
    after = [(at, delay) for at, delay in loops.delays if killed <= at < end - LIVELY_S]
    if not after:
        raise BenchError("recovery: no loop was told after the kill")
    late = [at + delay for at, delay in after if delay > LATE_S]
    missed = sum(killed <= at < end - LIVELY_S for at in loops.waiting())
    return {
        "first_s": min(at + delay for at, delay in after) - killed,
        # What was never told was not told until the end either.
        "again_s": max(late, default=killed) - killed if not missed else end - killed,
        "loops": len(after),
        "missed": missed,
    }


def _wait_for_end_of_stretch(most_s: float) -> float:
    """Waits until a stretch is nearly over, when a replay is longest; returns how long it is still. Seconds."""
    end = time.monotonic() + most_s
    while (rest_s := STRETCH_S - time.time() % STRETCH_S) > REST_S and time.monotonic() < end:
        time.sleep(0.1)
    return rest_s


def _is_lively(loops: Waiting) -> bool:
    """Whether of the loops of the last seconds all were told, and soon."""
    now = time.time()
    recent = [delay for at, delay in loops.delays if at > now - 2 * LIVELY_S]
    waits_long = any(at < now - LATE_S for at in loops.waiting())
    return len(recent) > LIVELY_S and max(recent) < LATE_S and not waits_long


def _take_log_times(context: Context, settings: Settings) -> None:
    """Has the event topic take log times as they are told."""
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.topic(EVENTS.name), incremental_configs=[entry])
    for future in context.servers.admin.incremental_alter_configs([resource]).values():
        future.result(15)


def _until(truth: Callable[[], bool], within_s: float, *children: Child) -> None:
    end = time.monotonic() + within_s
    while not truth():
        for child in children:
            child.check()
        if time.monotonic() > end:
            raise BenchError(f"recovery: {children[0].name} was not ready within {within_s:.0f} s")
        time.sleep(0.2)
