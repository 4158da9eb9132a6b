"""Where records come from: ClickHouse, or a file of events."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schemas.canonical import sha
from ..schemas.events import FIELDS, AgentEvent
from ..schemas.json_form import NotAnEvent, RunOrder, from_json
from ..schemas.sealing import NotOpened, Opener
from .errors import ReplayError
from .record import Content, Record, content_of

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from ..config import Settings

_EVENTS = f"""
SELECT {", ".join(name for name in FIELDS)} FROM events
WHERE run_id = {{run_id:String}} ORDER BY seq, ts, event_id
"""
_SNAPSHOTS = """
SELECT sha, key_id, sealed, truncated, redactions, redaction_counts FROM snapshots
WHERE sha IN {shas:Array(String)}
"""
_AT_ONCE = 1_000
"""Hashes in one query."""


def from_store(settings: Settings, run_id: str, token: str | None = None, client: Client | None = None) -> Record:
    """The run as ClickHouse has it; contents where there are snapshots and `token` opens them.

    Raises `StoreError`, `ReplayError` where no event of the run is stored, and `WrongKey` for a token that is none.
    """
    # Here, since a record from a file needs none of it.
    from ..clickhouse import StoreMissing, connect, told

    opener = None if token is None else Opener(token)
    its = client if client is not None else connect(settings)
    its.database = settings.database
    try:
        with told(settings):
            found = its.query(_EVENTS, parameters={"run_id": run_id})
            events = [
                AgentEvent.from_record(dict(zip(found.column_names, row, strict=True))) for row in found.result_rows
            ]
            if not events:
                raise ReplayError(f"No event of run {run_id} is stored; `runwatch runs` lists the latest ones.")
            wanted = sorted({digest for one in events for digest in (one.args_sha, one.result_sha) if digest})
            rows: list[Any] = []
            for at in range(0, len(wanted), _AT_ONCE):
                shas = {"shas": wanted[at : at + _AT_ONCE]}
                # Of a sink that did not know snapshots yet there is no such table.
                with suppress(StoreMissing), told(settings):
                    # The sealed boxes are bytes, which no text may be made of.
                    rows += its.query(_SNAPSHOTS, parameters=shas, column_formats={"sealed": "bytes"}).result_rows
    finally:
        if client is None:
            its.close()
    contents, sealed = _opened(rows, opener)
    return Record(run_id, events, contents, sealed)


def _opened(rows: list[Any], opener: Opener | None) -> tuple[dict[str, Content], int]:
    """What the snapshots hold, and how many payloads stayed closed."""
    contents: dict[str, Content] = {}
    for digest, key_id, sealed, truncated, kinds, counts in rows:
        if opener is None or key_id != opener.key_id:
            continue
        try:
            text = opener.open(digest, bytes(sealed))
            contents[digest] = content_of(text, digest, dict(zip(kinds, counts, strict=False)), bool(truncated))
        except (NotOpened, ValueError):
            continue
    return contents, len({row[0] for row in rows} - contents.keys())


def from_file(path: str | Path, run_id: str | None = None) -> Record:
    """The run as a file has it: JSON lines of events, plain or gzip, that may hold `args` and `result`.

    Without `run_id` the file is to hold one run. Lines that are no events are passed over. Raises `ReplayError`.
    """
    events: list[AgentEvent] = []
    contents: dict[str, Content] = {}
    runs: dict[str, None] = {}
    order = RunOrder()
    for line in _lines(Path(path)):
        try:
            value = json.loads(line)
            event = from_json(value, order)
        except (ValueError, RecursionError, NotAnEvent):
            continue
        runs[event.run_id] = None
        if run_id is not None and event.run_id != run_id:
            continue
        if run_id is None and len(runs) > 1:
            raise ReplayError(f"{path} holds several runs: say which, such as {', '.join(list(runs)[:2])}.")
        events.append(event)
        for name, digest in (("args", event.args_sha), ("result", event.result_sha)):
            if name in value and digest:
                # Hashes that were given with it may be another payload's.
                content = value[name]
                contents[digest] = Content(content, truncated=sha(content) != digest)
    if not events:
        raise ReplayError(f"{path} holds no event of run {run_id}." if run_id else f"{path} holds no events.")
    return Record(events[0].run_id, sorted(events, key=lambda event: event.seq), contents)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as lines:
            yield from lines
    except (OSError, EOFError, zlib.error) as error:
        raise ReplayError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
