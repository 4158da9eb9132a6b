"""Tool calls at a steady rate, each of them timed: `python -m runwatch.bench.calls`, settings as one JSON object in
its argument.

An agent is simulated that calls tools: at its time it puts a conversation into JSON, as for a model, takes some calls
out of the model's answer, and makes them one after the other, by the contestant's means, of functions that do next to
nothing. Only the calls are timed. The one line on standard output is `{"first_ns": […], "next_ns": […], "check_ns":
[…], "seconds", "cpu_s", "sent", "arrived"}`: how long the first call of an answer took, and how long the others, the
tool itself included; how long `Run.check` took where there is one; what the process used in all; and what was sent of
the calls and known to have arrived when it ended.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..control.guardrails import Guardrails, ToolPolicy, Writes
from ..producers.connection import connect

CALLS_AN_ANSWER = 5
CALLS_A_RUN = 150
"""Within the budgets that hold where nothing is set."""
WRITES_EVERY = 20
AGAIN_EVERY = 100
"""Every so many calls a write is wanted that was done before."""
CHECKS = 2_000
AGENT, VERSION, MODEL = "bench", "1.4.2", "gpt-4o"
READS = ("http.get", "search", "orders.find", "docs.read")
WRITE = "orders.update"

Args = dict[str, Any]
Call = Callable[[str, Args, Callable[..., Any], bool], Any]
"""Makes a call of a tool: its name, its arguments, its function, and whether it writes."""


class Contestant(Protocol):
    """One way of having tool calls on record."""

    def begin(self) -> Call:
        """A run begins; what makes its calls."""

    def end(self) -> None:
        """The run ends."""

    def check(self) -> None:
        """Asks whether the run may go on, where that can be asked."""

    def close(self) -> tuple[int, int]:
        """Waits until all has arrived; how many records were sent, and how many are known to have arrived."""


class Bare:
    """None at all: what the calls themselves cost, and looking at the clock."""

    def begin(self) -> Call:
        return lambda tool, args, fn, writes: fn(**args)

    def end(self) -> None:
        """Nobody is told."""

    def check(self) -> None:
        """Nobody is asked."""

    def close(self) -> tuple[int, int]:
        return 0, 0


class Runwatch:
    """The SDK with all guards: budgets, tool policy, writes done once, and the control topic followed."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self._watch = connect(
            AGENT,
            VERSION,
            MODEL,
            kafka=kafka,
            prefix=prefix,
            guardrails=Guardrails(
                tools=ToolPolicy(allowlist=("orders.*",), blocklist=("shell.*",)),
                writes=Writes(tools=("*.update",), require_approval=False),
            ),
        )

    def begin(self) -> Call:
        self._run = self._watch.run(tools=READS)
        call_tool = self._run.call_tool
        return lambda tool, args, fn, writes: call_tool(tool, args, fn, writes=writes)

    def end(self) -> None:
        self._run.stop("success", outcome=1.0)

    def check(self) -> None:
        self._run.check()

    def close(self) -> tuple[int, int]:
        self._watch.close(30.0)
        stats = self._watch.stats()
        return stats["sent"] + stats["dropped"], stats["delivered"]


@dataclass(frozen=True)
class Work:
    """What is done."""

    contestant: str
    """`bare`, `runwatch` or `opentelemetry`."""
    rate: int
    """Calls a second."""
    calls: int
    warm_up: int
    """How many of the first are not timed."""
    kafka: str
    prefix: str
    otlp: str
    """Address of the sink of spans."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def work(job: Work) -> dict[str, Any]:
    """Makes the calls."""
    contestant = _contestant(job)
    first: list[int] = []
    others: list[int] = []
    began, cpu_s = time.perf_counter(), time.process_time()
    call = contestant.begin()
    for number in range(0, job.calls, CALLS_AN_ANSWER):
        if number and number % CALLS_A_RUN == 0:
            contestant.end()
            call = contestant.begin()
        answer = _answer(number)
        ahead_s = began + number / job.rate - time.perf_counter()
        if ahead_s > 0:
            time.sleep(ahead_s)
        took = first
        for tool, args, fn, writes in _thought(answer):
            at = time.perf_counter_ns()
            call(tool, args, fn, writes)
            took.append(time.perf_counter_ns() - at)
            took = others
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    checks = []
    for _ in range(CHECKS):
        at = time.perf_counter_ns()
        contestant.check()
        checks.append(time.perf_counter_ns() - at)
    contestant.end()
    sent, arrived = contestant.close()
    return {
        "first_ns": first[job.warm_up // CALLS_AN_ANSWER :],
        "next_ns": others[job.warm_up // CALLS_AN_ANSWER * (CALLS_AN_ANSWER - 1) :],
        "check_ns": checks,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "sent": sent,
        "arrived": arrived,
    }


def _contestant(job: Work) -> Contestant:
    if job.contestant == "runwatch":
        return Runwatch(job.kafka, job.prefix)
    if job.contestant == "opentelemetry":
        from .peers.otel_spans import OpenTelemetry

        return OpenTelemetry(job.otlp)
    return Bare()


def _answer(number: int) -> str:
    """A model's answer that wants some calls, the first of that number: the same for every contestant."""
    message = {
        "role": "assistant",
        "content": _TEXT,
        "tool_calls": [_wanted(number + place) for place in range(CALLS_AN_ANSWER)],
    }
    return json.dumps({"model": MODEL, "choices": [{"message": message}], "usage": {"prompt_tokens": 2_000}})


def _wanted(number: int) -> dict[str, Any]:
    tool, args = READS[number % len(READS)], {"url": f"https://shop.example.com/orders/{number}", "page": number % 7}
    if number % WRITES_EVERY == WRITES_EVERY - 1:
        again = number % AGAIN_EVERY == AGAIN_EVERY - 1 and number % CALLS_A_RUN >= WRITES_EVERY
        which = number - WRITES_EVERY if again else number
        tool, args = WRITE, {"order": f"A-{which}", "status": "refunded", "amount": 19.99}
    return {"id": f"call_{number}", "type": "function", "function": {"name": tool, "arguments": json.dumps(args)}}


def _thought(answer: str) -> list[tuple[str, Args, Callable[..., Any], bool]]:
    """What an agent does before its calls: asks the model with all that was said so far, and reads its answer."""
    json.dumps({"model": MODEL, "messages": _CONVERSATION})
    calls = []
    for wanted in json.loads(answer)["choices"][0]["message"]["tool_calls"]:
        tool = wanted["function"]["name"]
        args = json.loads(wanted["function"]["arguments"])
        calls.append((tool, args, _update if tool == WRITE else _read, tool == WRITE))
    return calls


_TEXT = "The customer asks for a refund of an order that has not arrived. I look for the order first. " * 5
_CONVERSATION = [{"role": "user" if place % 2 else "assistant", "content": _TEXT} for place in range(20)]


def _read(url: str, page: int) -> dict[str, Any]:
    return {"url": url, "items": [{"id": page + 1, "title": "A pair of shoes"}, {"id": page + 2, "title": "A hat"}]}


def _update(order: str, status: str, amount: float) -> dict[str, Any]:
    return {"order": order, "status": status, "refunded": amount}


if __name__ == "__main__":
    print(json.dumps(work(Work(**json.loads(sys.argv[1])))), flush=True)
