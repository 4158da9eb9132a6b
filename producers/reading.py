"""A file's bytes as lines or JSON values, with their line numbers: plain or gzip, in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..schemas.errors import RunwatchError

STDIN = "-"
CHUNK = 1 << 18
MAX_PIECE = 16 << 20
"""The longest line or value, in bytes or characters, that is held in memory."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BETWEEN = re.compile(r"[\s,]*")

Progress = Callable[[int], None]
"""Told how many bytes more have been read, as they lie on the disk."""


class ReadingError(RunwatchError):
    """A file that cannot be read; the message says which, why, and what to do."""


class CutOffError(ReadingError):
    """A compressed file that ends too early; what came before is good."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A line, or a JSON value that may cover several."""

    line: int
    """Where it begins, from 1."""
    data: bytes
    fault: str | None = None
    """What is wrong with it already as text."""
    value: Any = None
    """What it holds, where that was found out on the way."""


def open_source(path: str) -> IO[bytes]:
    """The file, or standard input for `-`. Raises `ReadingError`."""
    if path == STDIN:
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ReadingError(f"{path} cannot be read: {error.strerror or error}.") from error


def chunks(raw: IO[bytes], name: str, progress: Progress) -> Iterator[bytes]:
    """All bytes of `raw`, decompressed where they are gzip, without a byte order mark.

    Raises `CutOffError` after the last good byte of a damaged file, and `ReadingError` on UTF-16.
    """
    # A pipe may give less than it is asked for.
    head = raw.read(1)
    head += raw.read(1)
    stream: Any = io.BufferedReader(_Counted(head, raw, progress), CHUNK)
    first = True
    for chunk in _unzipped(stream) if head == _GZIP else iter(lambda: stream.read1(CHUNK), b""):
        if first and chunk.startswith(_UTF16):
            raise ReadingError(f"{name} is UTF-16 text: save it as UTF-8.")
        yield chunk.removeprefix(_BOM) if first else chunk
        first = False


def lines(parts: Iterable[bytes]) -> Iterator[Piece]:
    """The lines of what comes in chunks, without blanks at their ends; empty ones are left out but counted."""
    number = 1
    rest = b""
    is_too_long = False
    try:
        for part in parts:
            head, *others = part.split(b"\n")
            rest += head
            for line in others:
                if not is_too_long and (data := rest.strip()):
                    yield Piece(number, data)
                number += 1
                rest, is_too_long = line, False
            if len(rest) > MAX_PIECE:
                if not is_too_long:
                    yield Piece(number, rest, f"the line is longer than {MAX_PIECE >> 20} MiB")
                rest, is_too_long = b"", True
    except CutOffError as error:
        yield Piece(number, rest, str(error))
        return
    if not is_too_long and (data := rest.strip()):
        yield Piece(number, data)


def values(parts: Iterable[bytes]) -> Iterator[Piece]:
    """The elements of a top-level JSON array, or JSON values one after the other, however they are laid out.

    Where the JSON is broken there is no telling where the next value begins: the last piece says so.
    """
    texts = codecs.iterdecode(parts, "utf-8", "surrogateescape")
    decode = json.JSONDecoder().raw_decode
    text, line = "", 1
    in_array: bool | None = None
    fault = None
    while True:
        # As much again as is there already, so that a long value is not begun too often.
        wanted = max(CHUNK, len(text))
        more, fault = _take(texts, wanted)
        text += more
        is_end = len(more) < wanted
        why = None
        at = 0
        while True:
            at, line = _skip(text, at, line)
            if in_array is None and at < len(text):
                in_array = text[at] == "["
                at, line = _skip(text, at + in_array, line)
            if at == len(text):
                why = "not JSON (the array does not end)" if in_array else None
                break
            if in_array and text[at] == "]":
                return
            try:
                value, end = decode(text, at)
            except (ValueError, RecursionError) as error:
                why = f"not JSON ({getattr(error, 'msg', type(error).__name__)})"
                break
            yield Piece(line, text[at:end].encode("utf-8", "surrogateescape"), value=value)
            line += text.count("\n", at, end)
            at = end
        text = text[at:]
        if is_end:
            if fault or why:
                yield Piece(line, text.encode("utf-8", "surrogateescape"), fault or f"{why}; nothing after it is read")
            return
        if len(text) > MAX_PIECE:
            yield Piece(line, text.encode("utf-8", "surrogateescape"), f"{why}, or longer than {MAX_PIECE >> 20} MiB")
            return


def _take(texts: Iterator[str], wanted: int) -> tuple[str, str | None]:
    """At least `wanted` characters unless the end comes first, and what is wrong with that end."""
    out = []
    try:
        while wanted > 0 and (text := next(texts, None)) is not None:
            out.append(text)
            wanted -= len(text)
    except CutOffError as error:
        return "".join(out), str(error)
    return "".join(out), None


def _skip(text: str, at: int, line: int) -> tuple[int, int]:
    """The place after blanks and commas, and its line."""
    found = _BETWEEN.match(text, at)
    end = found.end() if found else at
    return end, line + text.count("\n", at, end)


def _unzipped(stream: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=stream) as unzipped:
        while True:
            try:
                # read1, since what came before a cut must be handed on before the cut is met.
                chunk = unzipped.read1(CHUNK)
            except EOFError:
                raise CutOffError("the gzip data is cut off here: copy or download the file again") from None
            except (zlib.error, gzip.BadGzipFile) as error:
                raise CutOffError(f"the gzip data is damaged here ({error}): copy or download the file again") from None
            if not chunk:
                return
            yield chunk


class _Counted(io.RawIOBase):
    """What was read of a file and what is still to be, counted."""

    def __init__(self, head: bytes, rest: IO[bytes], progress: Progress) -> None:
        self._head = head
        self._rest = rest
        self._progress = progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Together, so that the first chunk holds a byte order mark whole.
        data = self._head + self._rest.read(len(buffer) - len(self._head))
        self._head = b""
        buffer[: len(data)] = data
        self._progress(len(data))
        return len(data)
