"""An agent that loops until it is stopped: `python -m runwatch.bench.looper`, settings as one JSON object.

Its runs go through the real SDK, one after the other: the same call with the same result, again and again, until
the guard refuses one. Each run is told on standard output as a JSON object on a line: `{"run_id", "ends": {step_id:
at}, "refused_at", "stop_reason"}`, times in seconds of the system's clock. `ends` is when a call had come back and its
event was handed over, which is before the produce call; `refused_at` is null where nobody stopped the run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..control.guardrails import NO_BUDGETS
from ..producers.connection import connect
from ..producers.guard.refusals import RunStopped
from ..producers.run import Run

CALL_PAUSE_S = 0.005
"""Between two calls: a refusal comes at the next one, so that this is part of the delay."""
PATIENCE_S = 10.0
"""After which a run is given up: nobody stops it."""


@dataclass(frozen=True)
class Loops:
    """How many runs loop, and how often one begins."""

    kafka: str
    prefix: str
    seconds: float
    per_s: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def loop(loops: Loops, say: Callable[[dict[str, Any]], None]) -> None:
    """Runs one looping run after the other, as often as it is told to, and tells of each."""
    with connect("bench-looper", "1", "none", kafka=loops.kafka, prefix=loops.prefix) as watch:
        # Connected, and heard of, before the first run loops: how long that takes is another question.
        with watch.run() as run:
            run.call_tool("bench.search", {"query": "warm"}, _nothing_found)
            run.stop()
        watch.flush(10.0)
        end = time.monotonic() + loops.seconds
        while (began := time.monotonic()) < end:
            say(_until_stopped(watch.run(budgets=NO_BUDGETS)))
            time.sleep(max(0.0, 1 / loops.per_s - (time.monotonic() - began)))


def _until_stopped(run: Run) -> dict[str, Any]:
    ends: dict[str, float] = {}
    refused_at, reason = None, None
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        step_id = f"s{len(ends)}"
        try:
            run.call_tool("bench.search", {"query": "the same"}, _nothing_found, step_id=step_id)
        except RunStopped as stopped:
            refused_at, reason = time.time(), stopped.stop_reason
            break
        ends[step_id] = time.time()
        time.sleep(CALL_PAUSE_S)
    run.stop()
    return {"run_id": run.run_id, "ends": ends, "refused_at": refused_at, "stop_reason": reason}


def _nothing_found(query: str) -> list[str]:
    return []


def main() -> None:
    loop(Loops(**json.loads(sys.argv[1])), lambda line: print(json.dumps(line), flush=True))


if __name__ == "__main__":
    main()
