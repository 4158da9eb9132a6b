"""What `backtest` judges: recorded runs in files, or stored ones in ClickHouse, as pieces of a stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config
from .exits import MISUSED, Fail
from .output import clock
from .progress import LateBar

if TYPE_CHECKING:
    from ..processors.backtest import Piece
    from ..producers.rejects import Reject
    from ..schemas.events import AgentEvent
    from ..sinks.history import Extent, History

SHOWN = 20
MOST_DISORDER_MS = 3_600_000
"""Files whose events lie further from their order count as unordered: their windows wait for the end."""


@dataclass(slots=True)
class Rejects:
    """Counts lines that held no event, and keeps the first ones."""

    count: int = 0
    first: list[Reject] = field(default_factory=list)

    def __call__(self, reject: Reject) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(reject)


@dataclass(slots=True)
class Source:
    """A history, to be read once."""

    pieces: Iterator[Piece]
    partitions: int
    disorder_ms: int | None
    """See `processors.backtest.Backtest`."""
    rejects: Rejects = field(default_factory=Rejects)


def of_files(names: Sequence[str], form: str, agent: str | None, partitions: int, bar: LateBar) -> Source:
    """Recorded runs, of one agent or all. Raises `ReadingError`."""
    from ..processors.backtest import pieces_of
    from ..producers.order import disorder_ms

    rejects = Rejects()
    disorder = disorder_ms(names) if form == "events" else None
    if disorder is not None and disorder > MOST_DISORDER_MS:
        disorder = None
    events = _events(names, form, rejects, bar)
    if agent is not None:
        events = (event for event in events if event.agent == agent)
    pieces = pieces_of(events, partitions, in_order=disorder is not None, now_ms=int(time.time() * 1000))
    return Source(pieces, partitions, disorder, rejects)


def of_store(since: str, until: str | None, agent: str | None, bar: LateBar) -> Source:
    """Stored events that came in within that time, of one agent or all. Raises `StoreError`, and `Fail` for none."""
    from ..sinks.history import History

    now_ms = int(time.time() * 1000)
    from_ms = moment(since, now_ms, "--from")
    to_ms = now_ms if until is None else moment(until, now_ms, "--to")
    if from_ms >= to_ms:
        raise Fail(f"--from ({clock(from_ms)}) lies after --to ({clock(to_ms)}).", MISUSED)
    settings = config.load()
    history = History(settings)
    extent = history.extent(from_ms, to_ms, agent or "")
    if not extent.events:
        whose = f" of agent {agent}" if agent else ""
        raise Fail(f"No event{whose} came in between {clock(from_ms)} and {clock(to_ms)} UTC.", MISUSED)
    disorder = extent.late_ms if extent.late_ms <= MOST_DISORDER_MS else None
    return Source(
        _stored(history, extent, agent or "", now_ms, disorder is not None, bar), settings.partitions, disorder
    )


def _stored(history: History, extent: Extent, agent: str, now_ms: int, in_order: bool, bar: LateBar) -> Iterator[Piece]:
    from ..processors.backtest import piece_of_arrow
    from ..processors.partition import EVENT_COLUMNS

    done = 0
    for block in history.blocks(extent, EVENT_COLUMNS, agent):
        yield piece_of_arrow(block.data, block.end_ms if in_order else now_ms)
        done += block.events
        bar.set(done, extent.events)


def moment(text: str, now_ms: int, option: str) -> int:
    """A time as people give it: how long ago (`7d`, `90m`), or ISO 8601, in UTC unless it says otherwise."""
    from ..settings.section import parse_duration

    try:
        ago = parse_duration(text)
        assert isinstance(ago, int)
        return now_ms - ago
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Fail(
            f"{option} is how long ago, such as 7d or 90m, or a time such as 2026-03-01T12:00; this is {text!r}.",
            MISUSED,
        ) from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def _events(files: Iterable[str], form: str, rejects: Rejects, bar: LateBar) -> Iterator[AgentEvent]:
    from ..producers.reading import STDIN
    from ..producers.recorded import iter_events

    names = list(files)
    total = None if STDIN in names else sum(Path(name).stat().st_size for name in names if Path(name).is_file())
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        bar.set(done, total)

    for name in names:
        yield from iter_events(name, form, on_reject=rejects, progress=advance)
