"""Runs parts of the bench, one after the other, on one stack of its own where any of them needs one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from . import control, delay, detection, outage, process, recovery, sdk, sink, store
from .context import Context, Tell
from .errors import BenchError
from .machine import machine
from .options import Options
from .result import Result
from .servers import running


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the bench."""

    measure: Callable[[Context], Result]
    needs_servers: bool = True
    only_named: bool = False
    """Whether it runs only where it is named: it breaks what it measures, and takes minutes."""


PARTS: Mapping[str, Part] = {
    "process": Part(process.measure),
    "sink": Part(sink.measure),
    "delay": Part(delay.measure),
    "control": Part(control.measure),
    "recovery": Part(recovery.measure, only_named=True),
    "outage": Part(outage.measure, only_named=True),
    "sdk": Part(sdk.measure),
    "store": Part(store.measure),
    "detection": Part(detection.measure, needs_servers=False),
}
"""The parts by name, in the order in which they run where none is named."""
USUAL = [name for name, part in PARTS.items() if not part.only_named]
"""Those that run then."""


def run(
    parts: Sequence[str] = (),
    options: Options | None = None,
    *,
    tell: Tell = lambda _what, _done: None,
    show: Callable[[Result], None] = lambda _result: None,
) -> list[Result]:
    """Measures these parts, the usual ones where none is named.

    `tell` hears what is being done, `show` gets each part's result when it is there. Servers are started only
    where a part needs them; they are stopped and their folder is removed in the end, however it comes: call it
    in the main thread, so that SIGTERM too ends it in order (as `KeyboardInterrupt`). Raises `BenchError`,
    `StackError` and `TopicsError`; where a name is nobody's, before anything is started.
    """
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise BenchError(f"There is no part '{unknown[0]}' of the bench; there are: {', '.join(PARTS)}")
    options = options or Options()
    about = machine()
    results: list[Result] = []
    chosen = {name: PARTS[name] for name in parts or USUAL}
    with_servers = any(part.needs_servers for part in chosen.values())
    if with_servers:
        tell("starting Kafka and ClickHouse", None)
    with (
        _terminated_as_interrupted(),
        running(options.folder, lambda text: tell(text, None)) if with_servers else nullcontext() as servers,
    ):
        context = Context(servers, options, tell)
        for part in chosen.values():
            result = replace(part.measure(context), machine=about)
            show(result)
            results.append(result)
    return results


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
