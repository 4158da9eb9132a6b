"""What a file held that could not be taken: told with its place, and kept to be mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .reading import STDIN, ReadingError

SHOWN = 20
"""Rejects that are kept in memory for people to see; the files have all."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A line, or a conversation of several, that is not what it should be."""

    source: str
    """The file as it was named; `stdin` for standard input."""
    line: int
    """Where it begins, from 1."""
    why: str
    data: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}: {self.why}"


OnReject = Callable[[Reject], None]


class RejectFiles:
    """Writes rejects as they come to `FILE.rejected.jsonl`, made when there is a first; `stdin...` for `-`.

    A context manager. Calling it takes one `Reject`, and raises `ReadingError` where it cannot be written.
    """

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[Reject] = []
        self.paths: list[Path] = []
        self._files: dict[str, IO[bytes]] = {}

    def __call__(self, reject: Reject) -> None:
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(reject)
        try:
            self._file(reject.source).write(_one_line(reject.data) + b"\n")
        except OSError as error:
            raise ReadingError(
                f"the rejected lines of {reject.source} cannot be written to {reject.source}.rejected.jsonl:"
                f" {error.strerror or error}. The first of them is line {reject.line}: {reject.why}"
            ) from error

    def __enter__(self) -> RejectFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def _file(self, source: str) -> IO[bytes]:
        file = self._files.get(source)
        if file is None:
            path = Path(f"{source}.rejected.jsonl")
            file = self._files[source] = path.open("wb")
            self.paths.append(path)
        return file


def source_name(path: str) -> str:
    """What a file is called in messages and in the name of its rejects' file."""
    return "stdin" if path == STDIN else path


def _one_line(data: bytes) -> bytes:
    """A value as one line of a JSONL file; what is no JSON with its line ends made blanks."""
    if b"\n" not in data:
        return data
    try:
        return json.dumps(json.loads(data), ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return data.replace(b"\n", b" ")
