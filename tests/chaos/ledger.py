"""What must be in the store: the load's runs by arithmetic, the agents' by what they noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from .traffic import Traffic


@dataclass(frozen=True)
class Sent:
    """The load's ledger."""

    runs: pl.DataFrame
    """`run_id`, `events`: each run, and how many of its events were sent, the first ones."""
    looping: frozenset[str]
    """Runs that repeated themselves until the rules speak of it."""


def of_load(traffic: Traffic, events: int) -> Sent:
    """What a load of so many events has sent."""
    frames, looping = [], set()
    for writer, count in traffic.sent(events):
        counts = np.bincount(writer.plan.run[:count], minlength=writer.plan.runs)
        some = np.flatnonzero(counts)
        frames.append(pl.DataFrame({"run_id": [writer.run_id(run) for run in some.tolist()], "events": counts[some]}))
        done = writer.plan.run[:count][writer.plan.completes[:count]]
        looping |= {writer.run_id(run) for run in done.tolist()}
    return Sent(pl.concat(frames), frozenset(looping))


@dataclass(frozen=True)
class Noted:
    """One run of an agent."""

    run_id: str
    safe: int
    """Its first events that must be stored."""
    taken: int
    """Its events that the SDK had taken when the process ended."""


def of_agents(ledgers: Iterable[Path]) -> list[Noted]:
    """What agents noted. Of a process that was killed, what it knew to be on the disk is safe; of others, all."""
    found = []
    for ledger in ledgers:
        lines = [line.split() for line in ledger.read_text().splitlines()]
        closed = {line[1] for line in lines if line[0] == "closed"}
        notes = [(line[0], int(line[1]), line[2], int(line[3])) for line in lines if line[0] != "closed"]
        saved: dict[str, int] = {}
        for _, _, process, count in notes:
            saved[process] = max(saved.get(process, 0), count)
        taken: Counter[str] = Counter()
        runs: dict[str, tuple[int, int]] = {}
        for run_id, events, process, _ in notes:
            safe, _ = runs.get(run_id, (0, 0))
            if process in closed or taken[process] < saved[process]:
                safe = events
            runs[run_id] = (safe, events)
            taken[process] += 1
        found += [Noted(run_id, safe, events) for run_id, (safe, events) in runs.items()]
    return found
