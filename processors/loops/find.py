"""From measures to what is said: each run's first warning, and its first critical finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..runs import I64, RING, RunTable
from .measures import Calls, measure
from .rules import LoopRules
from .said import say
from .streaks import Runs
from .verdicts import CRITICAL, RETRIES, WARNING, Held, Verdict, judge


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that was found: the verdict, the call that met it, and the evidence."""

    at: int
    """Place of the call among those given."""
    verdict: Verdict
    escalates: bool
    """Whether the same rule warned of the run before."""
    seqs: tuple[int, ...]
    """Places within the run of the calls that make up the evidence, oldest first; the latest `RING` of them."""
    onset_ms: int
    """Event time of the first of these."""


def find(table: RunTable, rows: I64, calls: Calls, rules: LoopRules) -> list[Loop]:
    """What these tool calls (in the order they came) show: of each run one warning at the most, and one critical loop.

    Notes the calls. `rows`: each call's run. The result is the same however a run's calls are split over calls of
    this function.
    """
    if not len(rows):
        return []
    order = np.argsort(rows, kind="stable")
    ordered = calls.take(order)
    runs = Runs.of(table, rows[order])
    measures = measure(table, runs, ordered, rules)
    held = list(judge(measures, rules))
    found = [
        Loop(int(order[place]), verdict, escalates, *_evidence(table, runs, ordered, place, verdict))
        for place, verdict, escalates in _said(table, runs, held)
    ]
    ms = np.clip(ordered.times - table.first_ms[runs.rows][runs.which], -(2**31), 2**31 - 1)
    seqs = np.minimum(ordered.seqs, 2**31 - 1)
    kept = {
        "call": ordered.call,
        "outcome": ordered.outcome,
        "seq": np.where(measures.waited, ~seqs, seqs),
        "ms": ms,
    }
    table.push(runs.rows, runs.starts, runs.lengths, kept)
    return sorted(found, key=lambda loop: loop.at)


def _said(table: RunTable, runs: Runs, held: list[Held]) -> list[tuple[int, Verdict, bool]]:
    """What is new at which call, in the runs' order; notes it."""
    hits: list[tuple[int, int, int, Verdict]] = []
    for number, one in enumerate(held):
        for level in (WARNING, CRITICAL):
            met = np.flatnonzero(one.level >= level)
            if not len(met):
                break
            # Of each run the first: what it says later, it has said.
            _, first = np.unique(runs.which[met], return_index=True)
            for place in met[first].tolist():
                verdict = one.at(place)
                # Of several rules at one call the gravest, then the first.
                hits.append((place, -verdict.level, number, verdict))
    said: list[tuple[int, Verdict, bool]] = []
    for place, _, _, verdict in sorted(hits, key=lambda hit: hit[:3]):
        row = int(runs.rows[runs.which[place]])
        state = say(table, row, verdict.rule, verdict.level)
        if state is not None:
            said.append((place, verdict, state == "escalated"))
    return said


def _evidence(table: RunTable, runs: Runs, calls: Calls, place: int, verdict: Verdict) -> tuple[tuple[int, ...], int]:
    """Places within the run of the calls that a verdict stands on, and event time of the first."""
    run, start = int(runs.which[place]), int(runs.start[place])
    row, ordinal = int(runs.rows[run]), int(runs.ordinal[place])
    # What stands between other calls is looked for in all that is kept.
    least = RING if verdict.between or verdict.rule == RETRIES else verdict.calls
    seqs: list[int] = []
    first_ms = int(calls.times[place])
    for back in range(min(least, RING, ordinal + 1)):
        at = place - back
        if at >= start:
            call, outcome, seq, ms = calls.call[at], calls.outcome[at], calls.seqs[at], int(calls.times[at])
        else:
            slot = (ordinal - back) % RING
            call, outcome, seq = table.ring_call[row, slot], table.ring_outcome[row, slot], table.ring_seq[row, slot]
            seq = seq if seq >= 0 else ~seq
            ms = int(table.first_ms[row]) + int(table.ring_ms[row, slot])
        if verdict.between and (call != calls.call[place] or outcome != calls.outcome[place]):
            continue
        seqs.append(int(seq))
        first_ms = ms
    return tuple(reversed(seqs)), first_ms
