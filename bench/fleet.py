"""The events that are measured with: a made-up fleet at work, the same for the same seed.

A healthy run starts, asks its model and calls a tool in turns, and stops; some calls are retried after a 503,
some runs ask the same thing again and again and get a new answer each time. A looping run does so for a while
and then repeats itself until it ends: one call, one failing call, or a cycle of two or three calls. Runs
overlap, `open_runs` of them at a time, so that one fetch from Kafka holds events of many runs.

`Plan` says who does what in which order, in arrays; `messages.py` writes it as Avro.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import BenchError

START, MODEL, TOOL, STOP = range(4)
OK, RETRIED, RETRY, FAILING = range(4)
"""How a tool call goes: well, badly and is tried again, well at the second try, badly as always."""

LOOP_FROM = 2
"""A looping run's first healthy tool calls."""
# Calls a round, and after how many calls the detectors' default rules first speak of it: of rounds of three calls
# because nothing in them is new.
LOOPS = ((1, 3), (1, 3), (2, 6), (3, 8))
FAILING_LOOP = 1
LEAST_LOOPING = 28
"""Steps of the shortest looping run: enough for three rounds of three calls, each after the model's answer."""

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FleetShape:
    """What the fleet is like."""

    events: int = 3_000_000
    agents: int = 200
    tools: int = 50
    open_runs: int = 20_000
    shortest: int = 3
    longest: int = 60
    """Steps of a run."""
    loop_share: float = 0.01
    """Part of the runs that loop."""
    polling_share: float = 0.03
    """Part of the runs that make one call again and again, with ever new results."""
    retry_share: float = 0.02
    """Part of the tool calls that are a second try."""
    seed: int = 1

    def __post_init__(self) -> None:
        if not 3 <= self.shortest <= self.longest <= 60 or self.longest < LEAST_LOOPING:
            raise BenchError(f"bench: a run has 3 to 60 steps, and the longest at least {LEAST_LOOPING}")


class Plan:
    """Every event of the fleet, in the order in which it is sent. Arrays run over events unless said otherwise."""

    def __init__(self, shape: FleetShape) -> None:
        """Plans at least `shape.events` events: the last run is not cut short."""
        self.shape = shape
        rng = np.random.default_rng(shape.seed)
        lengths, looping = _runs(shape, rng)
        first = np.r_[0, np.cumsum(lengths)[:-1]]
        run = np.repeat(np.arange(len(lengths)), lengths)
        seq = np.arange(int(lengths.sum())) - first[run]
        kind = np.where(seq % 2, MODEL, TOOL)
        kind[seq == 0] = START
        kind[seq == lengths[run] - 1] = STOP
        call, result, manner, completes = _calls(shape, rng, run, seq, kind, first, looping)

        # A run's steps are as far apart as makes so many runs overlap; the unit is the time between two events.
        pace = np.minimum(shape.open_runs, max(1, len(run) // 30)) * rng.uniform(0.5, 1.5, len(lengths))
        order = np.argsort(first[run] + seq * pace[run], kind="stable")
        self.run: Ints = run[order]
        self.seq: Ints = seq[order]
        self.kind: Ints = kind[order]
        self.call: Ints = call[order]
        """Which call it is: equal numbers are the same tool with the same arguments."""
        self.result: Ints = result[order]
        """What came back: equal numbers are the same."""
        self.manner: Ints = manner[order]
        self.completes: Mask = completes[order]
        """The calls with which a loop is first told of."""
        self.agent: Ints = rng.integers(0, shape.agents, len(lengths))
        """Per run: its agent."""
        self.looping: Ints = np.flatnonzero(looping)
        """The runs that loop."""

    def __len__(self) -> int:
        return len(self.run)

    @property
    def runs(self) -> int:
        return len(self.agent)


def _runs(shape: FleetShape, rng: np.random.Generator) -> tuple[Ints, Mask]:
    """Per run: its steps, and whether it loops."""
    most = 2 * shape.events // (shape.shortest + shape.longest) + 64
    most += most // 2
    number = np.arange(most)
    # As even as can be: with a random draw a short bench might have no loop at all.
    looping = np.floor((number + 1) * shape.loop_share + 0.5) > np.floor(number * shape.loop_share + 0.5)
    lengths = np.where(
        looping,
        rng.integers(max(LEAST_LOOPING, shape.shortest), shape.longest + 1, most),
        rng.integers(shape.shortest, shape.longest + 1, most),
    )
    runs = int(np.searchsorted(np.cumsum(lengths), shape.events)) + 1
    return lengths[:runs], looping[:runs]


def _calls(
    shape: FleetShape, rng: np.random.Generator, run: Ints, seq: Ints, kind: Ints, first: Ints, looping: Mask
) -> tuple[Ints, Ints, Ints, Mask]:
    """Per event, run by run: the call's number, its result's, its manner, and whether with it a loop is told of.

    A call's number is the place of the event that made it first, so numbers of two runs never meet.
    """
    places = np.arange(len(run))
    call, result = places.copy(), places.copy()
    manner = np.full(len(run), OK)
    is_tool = kind == TOOL
    turn = seq // 2 - 1  # the run's first, second … tool call

    polling = ~looping & (rng.random(len(looping)) < shape.polling_share)
    asks_again = is_tool & polling[run] & (turn % 2 == 0)
    call[asks_again] = first[run][asks_again] + 2

    retry = is_tool & ~looping[run] & ~polling[run] & (turn > 0) & (rng.random(len(run)) < shape.retry_share)
    # Not two in a row: three calls alike would begin to be a loop.
    retry[2:] &= ~retry[:-2]
    at = np.flatnonzero(retry)
    call[at] = at - 2
    manner[at] = RETRY
    manner[at - 2] = RETRIED

    style = (np.cumsum(looping) - 1) % len(LOOPS)
    period, needed = (np.array(column)[style] for column in zip(*LOOPS, strict=True))
    loops = is_tool & looping[run] & (turn >= LOOP_FROM)
    turns_in = turn - LOOP_FROM
    same = first[run] + 2 * (LOOP_FROM + turns_in % period[run]) + 2
    call[loops] = same[loops]
    result[loops] = same[loops]
    manner[loops & (style[run] == FAILING_LOOP)] = FAILING
    completes = loops & (turns_in == needed[run] - 1)
    return call, result, manner, completes
