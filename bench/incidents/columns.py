"""Runs → events, as the columns that the live worker's fold reads. Nothing here runs per event in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ...processors.decode import FrameDecoder
from ...processors.partition import EVENT_COLUMNS
from ...schemas import reasons
from ...schemas.registry import LocalRegistry
from .profile import Agent, Ints, Mask, Reals
from .work import Runs

SCHEMA = FrameDecoder("agent_event", LocalRegistry(), EVENT_COLUMNS).schema
"""The fold's columns and their types."""

GROWTH = 0.12
"""What each further request of a run reads more than the first, as a part of it."""
MOST_GROWTH = 5.0
"""Older steps leave what a model reads when it has grown by so much."""
TIMEOUT_MS = 10_000.0
WAIT_MS = 200.0
"""Before a failed call is tried again."""
STEP_MS = 10.0
"""Between two steps."""

_FAULTS = ("HTTPStatusError", "ValueError", "ToolTimeout")
_HTTP, _VALUE, _TIMEOUT = range(3)
_USUAL_FAULTS = (0.5, 0.35, 0.15)
"""How often each is what an ordinary try fails with."""
_OTHER_STOPS = (reasons.MAX_STEPS, reasons.TOOL_ERROR, reasons.MODEL_ERROR, reasons.TOOL_TIMEOUT)
_NO_CHANGE = -1


@dataclass(frozen=True, slots=True)
class _Calls:
    """Logical tool calls, run by run in order; arrays run over them."""

    run: Ints
    tool: Ints
    same_as: Ints
    """The call that it repeats; itself where it repeats none."""
    loops: Mask
    """Whether it is one of those that a looping run repeats, the first included."""
    tries: Ints
    fails: Mask
    """Whether the last try fails too."""
    change: Ints
    """Which of the agent's changes makes it fail, `_NO_CHANGE` where none does."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where each step stands among all events, which are laid out run by run.

    A run is its start; a request and the tries of each call; a last request; its stop.
    """

    run: Ints
    """Per event: its run."""
    start: Ints
    stop: Ints
    """Per run: where it starts and stops."""
    asks: Ints
    """Places of the requests."""
    tries: Ints
    """Places of the tries."""
    call: Ints
    """Per try: its call."""
    attempt: Ints
    """Per try: 1 for the first of its call."""


def events_of(agent: Agent, runs: Runs, prefix: str, start_ms: int, rng: np.random.Generator) -> pl.DataFrame:
    """The events of these runs in event-time order. `prefix` begins their ids; history begins at `start_ms`.

    Columns: those of `SCHEMA`, and `looping`: whether the run was made to loop.
    """
    if not len(runs):
        return pl.DataFrame(schema={**SCHEMA, "looping": pl.Boolean})
    calls = _draw_calls(agent, runs, rng)
    at = _laid_out(runs, calls)
    asked = _requests(agent, runs, at, rng)
    tried = _tries(agent, runs, calls, at, rng)

    took = np.zeros(len(at.run))
    took[at.asks], took[at.tries] = asked.pop("took"), tried.pop("took")
    pause = np.full(len(at.run), STEP_MS)
    pause[at.tries] += np.where(at.attempt > 1, WAIT_MS, 0.0)
    elapsed = np.cumsum(took + pause)
    since = elapsed - elapsed[at.start][at.run]
    took[at.stop] = since[at.stop]

    totals = {
        name: np.bincount(at.run[at.asks], asked[name], len(runs)) for name in ("input_tokens", "output_tokens", "cost")
    }
    rows = pl.DataFrame(
        {
            "_row": np.arange(len(at.run)),
            "seq": np.arange(len(at.run)) - at.start[at.run],
            "ts_ms": start_ms + np.floor(runs.begin_ms[at.run] + since).astype(np.int64),
            "duration_ms": took.astype(np.int64),
            "_run": at.run,
        }
    )
    steps = pl.format("s{}", "seq").alias("step_id")
    parts = [
        rows[at.start].drop("duration_ms").with_columns(kind=pl.lit("run_start"), status=pl.lit("none")),
        rows[at.asks].with_columns(
            steps,
            kind=pl.lit("model_result"),
            status=pl.lit("ok"),
            input_tokens=asked["input_tokens"],
            output_tokens=asked["output_tokens"],
            cost_usd=asked["cost"],
        ),
        rows[at.tries].with_columns(steps, kind=pl.lit("tool_result"), **tried),
        rows[at.stop].with_columns(
            kind=pl.lit("stop"),
            status=pl.lit("none"),
            input_tokens=totals["input_tokens"].astype(np.int64),
            output_tokens=totals["output_tokens"].astype(np.int64),
            cost_usd=totals["cost"],
            tool_calls=np.bincount(at.run[at.tries], minlength=len(runs)),
            **_stops(agent, runs, calls, rng),
        ),
    ]
    of_run = pl.DataFrame(_of_runs(agent, runs, prefix)).with_row_index("_run")
    events = pl.concat(parts, how="diagonal_relaxed").join(of_run.with_columns(pl.col("_run").cast(pl.Int64)), "_run")
    absent = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in events.columns]
    return (
        events.sort("ts_ms", "_row")
        .with_columns(*absent)
        .select(*(pl.col(name).cast(kind) for name, kind in SCHEMA.items()), "looping")
    )


def _draw_calls(agent: Agent, runs: Runs, rng: np.random.Generator) -> _Calls:
    per_run = runs.calls + runs.repeats
    run = np.repeat(np.arange(len(runs)), per_run)
    number = np.arange(len(run))
    # What a looping run repeats is the first call after its honest ones.
    loop = (_exclusive(per_run) + runs.calls)[run]
    loops = number >= loop
    same_as = np.minimum(number, loop)
    tools = agent.profile.tools
    tool = _chosen([one.weight for one in tools], len(run), rng)[same_as]
    failing = np.array([one.failing for one in tools])[tool]
    retries = np.full(len(run), agent.profile.retries)
    change = np.full(len(run), _NO_CHANGE)
    for which, (made, met) in enumerate(zip(agent.changes, runs.meets, strict=True)):
        if made.failing is None:
            continue
        hit = met[run] & np.array([one.name == made.tool for one in tools])[tool]
        failing = np.where(hit, made.failing, failing)
        retries = np.where(hit & (made.retries is not None), made.retries or 0, retries)
        change[hit] = which
    # What is repeated comes back well, and is always the same.
    failing = np.where(loops, 0.0, failing)
    # How many tries in a row fail follows a geometric distribution.
    with np.errstate(divide="ignore"):
        failures = np.log(1 - rng.random(len(run))) / np.log(np.clip(failing, 0.0, 1.0))
    failures = np.where(failing >= 1, np.inf, failures)
    tries = np.minimum(np.floor(failures), retries).astype(np.int64) + 1
    return _Calls(run, tool, same_as, loops, tries, failures >= retries + 1, change)


def _laid_out(runs: Runs, calls: _Calls) -> _Layout:
    per_run = runs.calls + runs.repeats
    first_call = _exclusive(per_run)
    size = 3 + per_run + np.add.reduceat(calls.tries, first_call)
    start = _exclusive(size)
    before = _exclusive(1 + calls.tries)
    ask = start[calls.run] + 1 + before - before[first_call][calls.run]
    call = np.repeat(np.arange(len(calls.run)), calls.tries)
    attempt = np.arange(len(call)) - _exclusive(calls.tries)[call] + 1
    stop = start + size - 1
    return _Layout(
        run=np.repeat(np.arange(len(runs)), size),
        start=start,
        stop=stop,
        asks=np.sort(np.r_[ask, stop - 1]),
        tries=ask[call] + attempt,
        call=call,
        attempt=attempt,
    )


def _requests(agent: Agent, runs: Runs, at: _Layout, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Per request: tokens, cost in USD, and the time it took in milliseconds. What it reads grows with the run."""
    profile = agent.profile
    run = at.run[at.asks]
    nth = np.arange(len(run)) - _exclusive(runs.calls + runs.repeats + 1)[run]
    own = _spread(profile.tokens_tail, len(runs), rng) * runs.tokens
    read = profile.tokens * own[run] * (1 + np.minimum(GROWTH * nth, MOST_GROWTH)) * _spread(0.1, len(run), rng)
    written = profile.written * runs.tokens[run] * _spread(0.5, len(run), rng)
    tokens = {"input_tokens": read.astype(np.int64) + 1, "output_tokens": written.astype(np.int64) + 1}
    usd = tokens["input_tokens"] * profile.usd_per_input + tokens["output_tokens"] * profile.usd_per_output
    return {
        **tokens,
        "cost": np.round(usd * runs.price[run], 6),
        "took": profile.model_ms * _spread(0.5, len(run), rng) * runs.latency[run],
    }


def _tries(agent: Agent, runs: Runs, calls: _Calls, at: _Layout, rng: np.random.Generator) -> dict[str, Any]:
    """Per try: the columns of a tool's result, and the time it took in milliseconds."""
    tools = agent.profile.tools
    tool, run, change = calls.tool[at.call], calls.run[at.call], calls.change[at.call]
    failed = (at.attempt < calls.tries[at.call]) | calls.fails[at.call]
    fault = _chosen(_USUAL_FAULTS, len(tool), rng)
    status = np.where(fault == _HTTP, 500, 0)
    for which, made in enumerate(agent.changes):
        hit = change == which
        if made.statuses:
            fault[hit] = _HTTP
            status[hit] = np.array(made.statuses)[rng.integers(0, len(made.statuses), int(hit.sum()))]
        else:
            fault[hit] = _TIMEOUT
            status[hit] = 0
    took = np.array([one.median_ms for one in tools])[tool] * runs.latency[run]
    took *= np.exp(np.array([one.tail for one in tools])[tool] * rng.standard_normal(len(tool)))
    took[failed & (fault == _TIMEOUT)] = TIMEOUT_MS
    # Hashes are only ever compared: numbers are as good. Every call is a new one but those that repeat another.
    args = rng.integers(0, 2**62, len(calls.run))[calls.same_as][at.call]
    result = rng.integers(0, 2**62, len(tool))
    result = np.where(calls.loops[at.call], args, result)
    return {
        "tool": _texts([one.name for one in tools], tool),
        "args_sha": pl.Series(args).cast(pl.String),
        "result_sha": _where(~failed, pl.Series(result).cast(pl.String)),
        "status": _texts(["ok", "error"], failed.astype(np.int64)),
        "error": _where(failed, _texts(_FAULTS, fault)),
        "attempt": at.attempt,
        "http_status": _where(failed & (status > 0), pl.Series(status)),
        "took": took,
    }


def _stops(agent: Agent, runs: Runs, calls: _Calls, rng: np.random.Generator) -> dict[str, pl.Series]:
    """Per run: why it stopped, and what came of it where anybody judged."""
    profile = agent.profile
    count = len(runs)
    names = [reasons.SUCCESS, reasons.LOOP_DETECTED, *_OTHER_STOPS]
    reason = np.where(rng.random(count) < profile.success, 0, 2 + rng.integers(0, len(_OTHER_STOPS), count))
    for which, made in enumerate(agent.changes):
        if made.stop_reason is not None:
            hit = np.bincount(calls.run[calls.fails & (calls.change == which)], minlength=count) > 0
            # Some agents make do without the answer.
            reason[hit & (rng.random(count) < 0.7)] = len(names)
            names.append(made.stop_reason)
    reason[runs.repeats > 0] = 1
    good = (reason == 0) & (rng.random(count) < runs.outcome)
    return {
        "stop_reason": _texts(names, reason),
        "outcome": _where(rng.random(count) < profile.judged, pl.Series(good.astype(np.float64))),
    }


def _of_runs(agent: Agent, runs: Runs, prefix: str) -> dict[str, pl.Series]:
    """Per run: what all its events have."""
    profile = agent.profile
    versions, models = [profile.version], [profile.model]
    version = np.zeros(len(runs), np.int64)
    model = np.zeros(len(runs), np.int64)
    for made, met in zip(agent.changes, runs.meets, strict=True):
        if made.version is not None:
            version[met] = len(versions)
            versions.append(made.version)
        if made.model is not None:
            model[met] = len(models)
            models.append(made.model)
    return {
        "run_id": pl.select(pl.format(prefix + "{}", pl.int_range(len(runs)))).to_series(),
        "agent": pl.repeat(profile.agent, len(runs), eager=True),
        "agent_version": _texts(versions, version),
        "model": _texts(models, model),
        "looping": pl.Series(runs.repeats > 0),
    }


def _exclusive(sizes: Ints) -> Ints:
    """Where each begins, laid out one after the other."""
    begins: Ints = np.cumsum(sizes) - sizes
    return begins


def _spread(sigma: float, count: int, rng: np.random.Generator) -> Reals:
    """Log-normal factors whose median is 1."""
    factors: Reals = np.exp(sigma * rng.standard_normal(count))
    return factors


def _chosen(weights: Sequence[float], count: int, rng: np.random.Generator) -> Ints:
    bounds = np.cumsum(weights)
    places: Ints = np.searchsorted(bounds, rng.random(count) * bounds[-1], "right").clip(0, len(weights) - 1)
    return places


def _texts(names: Sequence[str], places: Ints) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(places)


def _where(mask: Mask, values: pl.Series) -> pl.Series:
    """The values where the mask holds, null elsewhere."""
    return values.set(pl.Series(~mask), None)
