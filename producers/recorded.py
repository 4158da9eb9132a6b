"""Recorded runs in files, as events."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..schemas.events import AgentEvent
from ..schemas.json_form import NotAnEvent, RunOrder, parse_line
from .openai_messages import BASE_MS, events_of
from .reading import CHUNK, STDIN, CutOffError, Piece, Progress, chunks, lines, open_source, values
from .rejects import OnReject, Reject, source_name

FORMATS = ("events", "openai-messages")
"""`events`: one event a line, as `schemas/json_form.py` reads it. `openai-messages`: see that module."""

_ENDINGS = (".gz", ".jsonl", ".json", ".ndjson")


def iter_events(
    path: str | Path,
    form: str = "events",
    *,
    on_reject: OnReject,
    progress: Progress | None = None,
    agent: str | None = None,
    base_ms: int = BASE_MS,
) -> Iterator[AgentEvent]:
    """The events of a file, plain or gzip, or of standard input for `-`; in bounded memory but for run ids.

    `on_reject` is told of every line that is no event, and `progress` of every so many bytes read of the
    file. Conversations that name no agent get `agent`, or else the file's name, and those without times
    begin at `base_ms`. Raises `ReadingError`, and `ValueError` for a format that is none of `FORMATS`.
    """
    if form not in FORMATS:
        raise ValueError(f"there is no format {form!r}; it is one of {', '.join(FORMATS)}")
    path = str(path)
    source = source_name(path)
    raw = open_source(path)
    # Standard input is not ours to close.
    with nullcontext(raw) if path == STDIN else raw:
        parts = chunks(raw, source, progress or _nobody)
        if form == "events":
            yield from _events(lines(parts), source, on_reject)
        else:
            yield from _conversations(parts, source, on_reject, agent or _stem(source), base_ms)


def _events(pieces: Iterable[Piece], source: str, on_reject: OnReject) -> Iterator[AgentEvent]:
    order = RunOrder()
    for piece in pieces:
        try:
            if piece.fault:
                raise NotAnEvent(piece.fault)
            event = parse_line(piece.data, order)
        except NotAnEvent as error:
            on_reject(Reject(source, piece.line, str(error), piece.data))
        else:
            yield event


def _conversations(
    parts: Iterator[bytes], source: str, on_reject: OnReject, agent: str, base_ms: int
) -> Iterator[AgentEvent]:
    for place, piece in enumerate(_pieces(parts)):
        try:
            if piece.fault:
                raise NotAnEvent(piece.fault)
            # Whole or not at all: half a conversation would look like a run that broke off.
            events = events_of(_parsed(piece), place, agent, base_ms)
        except NotAnEvent as error:
            on_reject(Reject(source, piece.line, str(error), piece.data))
        else:
            yield from events


def _pieces(parts: Iterator[bytes]) -> Iterator[Piece]:
    """Conversations, whichever way the file is laid out: one a line, or a JSON array, or one alone."""
    first = b""
    try:
        while b"\n" not in first.lstrip() and len(first) < CHUNK and (part := next(parts, b"")):
            first += part
    except CutOffError as error:
        parts = _raising(error)
    line, _, _ = first.lstrip().partition(b"\n")
    parts = itertools.chain([first], parts)
    if line.startswith(b"{") and line.strip() != b"{":
        return lines(parts)
    if line.startswith(b"[") and _is_messages(line):
        return lines(parts)
    return _gathered(values(parts))


def _gathered(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The elements of an array, or one piece of all where they are the messages of one conversation."""
    messages: list[Any] = []
    began = 0
    for piece in pieces:
        if isinstance(piece.value, dict) and "role" in piece.value:
            began = began or piece.line
            messages.append(piece.value)
        else:
            yield piece
    if messages:
        yield Piece(began, json.dumps(messages).encode(), value=messages)


def _raising(error: CutOffError) -> Iterator[bytes]:
    """The rest of a file that was found to be cut off."""
    raise error
    yield b""


def _is_messages(line: bytes) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return bool(value) and all(isinstance(message, dict) and "role" in message for message in value)


def _parsed(piece: Piece) -> Any:
    if piece.value is not None:
        return piece.value
    try:
        return json.loads(piece.data)
    except (ValueError, RecursionError) as error:
        raise NotAnEvent(f"not JSON ({getattr(error, 'msg', type(error).__name__)})") from None


def _stem(source: str) -> str:
    """A file's name without its endings."""
    name = Path(source).name
    while name.endswith(_ENDINGS):
        name = name[: name.rindex(".")]
    return name or source


def _nobody(size: int) -> None:
    """For who does not ask how far it is."""
