"""The files of one spool: appended at one end, read and let go of at the other."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..transport import Message
from .blocks import HEAD_BYTES, MARK, pack, read_head, unpack
from .claims import sync_folder
from .cursor import Place

_SUFFIX = ".seg"
_LOOKED_THROUGH = 1 << 16


@dataclass(frozen=True, slots=True)
class Found:
    """What was read."""

    messages: list[Message]
    """A block's, or what is left of it; none where there was nothing more."""
    start: Place
    """Of the first of them."""
    end: Place
    """Where the next block is read."""
    damaged: int
    """Messages that should have stood before them."""


class _Segment:
    """One file."""

    def __init__(self, path: Path, first: int, size: int, fd: int) -> None:
        self.path = path
        self.first = first
        self.size = size
        """What is known to be in it: of the one that is written, what was written whole."""
        self.fd = fd


class Segments:
    """Blocks of messages in files of bounded size. Each message has a number; those of a spool rise by one."""

    def __init__(self, folder: Path, segment_bytes: int, *, durable: bool) -> None:
        """Opens what is in the folder. `durable`: files are on disk before they are left. Raises `OSError`."""
        self._folder = folder
        self._most = segment_bytes
        self._durable = durable
        self._files: deque[_Segment] = deque()
        self._is_open = False
        """Whether the last file may be appended to: only by whoever began it."""
        self._is_dirty = False
        self.is_sound = True
        """Whether all that was to be on disk came there, as far as the system says."""
        self.size = 0
        """The size of all files."""
        self.next_number = 1
        """What the next message that is appended is numbered. Of a spool that was taken over it is not known."""
        paths = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
        try:
            for path in paths:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._files.append(_Segment(path, int(path.stem), os.fstat(fd).st_size, fd))
                self.size += self._files[-1].size
        except (OSError, ValueError):
            self.close()
            raise

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self._files)

    @property
    def first(self) -> int:
        """Number of the first message in the first file; 0 without files."""
        return self._files[0].first if self._files else 0

    def append(self, messages: Sequence[Message]) -> None:
        """Writes one block, whole or not at all. Raises `OSError`."""
        block = pack(messages, self.next_number)
        if not self._is_open or self._files[-1].size + len(block) > max(self._most, len(block)):
            self._roll()
        file = self._files[-1]
        try:
            view = memoryview(block)
            while view:
                view = view[os.write(file.fd, view) :]
        except OSError:
            try:
                os.ftruncate(file.fd, file.size)
            except OSError:
                self._is_open = False  # half a block stands at its end: nothing may follow it there
            raise
        file.size += len(block)
        self.size += len(block)
        self.next_number += len(messages)
        self._is_dirty = True

    def sync(self) -> None:
        """Waits until all that was written is on disk. Raises `OSError`."""
        if self._is_dirty:
            try:
                _sync(self._files[-1].fd)
            except OSError:
                # What the system has told once of a file it may not tell again.
                self._is_open = self.is_sound = False
                raise
            finally:
                self._is_dirty = False

    def _roll(self) -> None:
        """Begins a new file. Raises `OSError`."""
        if self._is_open and self._durable:
            self.sync()
        path = self._folder / f"{self.next_number:020d}{_SUFFIX}"
        # In the place of one of the same number that stayed empty because writing to it failed.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._files and self._files[-1].first == self.next_number:
            empty = self._files.pop()
            os.close(empty.fd)
            self.size -= empty.size
        self._files.append(_Segment(path, self.next_number, 0, fd))
        self._is_open = True
        if self._durable:
            sync_folder(self._folder)

    def read(self, place: Place) -> Found:
        """The messages of the next block, from that place on."""
        damaged = 0
        while True:
            file = next((file for file in self._files if file.first >= place.segment), None)
            if file is None:
                return self._nothing(place, damaged)
            if place.segment != file.first:
                # The files before are gone. Where it is not known up to where they were delivered, nor is what is lost.
                damaged += max(0, file.first - place.number) if place.number else 0
                place = Place(file.first, 0, max(file.first, place.number))
            elif place.offset >= file.size:
                if file is self._files[-1]:
                    return self._nothing(place, damaged)
                place = Place(file.first + 1, 0, place.number)
            else:
                first, messages, end = _block_at(file, place.offset)
                if messages is None:
                    place = replace(place, offset=_next_mark(file, place.offset + 1))
                elif first + len(messages) <= place.number:
                    # All of it is delivered, or it is a block of the past that stands in a damaged one.
                    place = replace(place, offset=end)
                else:
                    number = max(first, place.number)
                    damaged += number - place.number if place.number else 0
                    return Found(
                        messages[number - first :],
                        replace(place, number=number),
                        Place(file.first, end, first + len(messages)),
                        damaged,
                    )

    def _nothing(self, place: Place, damaged: int) -> Found:
        # Of what this process wrote it knows how much there should be.
        missing = max(0, self.next_number - max(1, place.number))
        place = replace(place, number=self.next_number) if missing else place
        return Found([], place, place, damaged + missing)

    def let_go(self, place: Place) -> None:
        """Deletes the files that lie wholly before a place, but for the one that is written."""
        while self._files and self._files[0].first < place.segment and len(self._files) > 1:
            self._delete_first()

    def drop_first(self) -> Place:
        """Deletes the first file, whatever is in it, and tells where the next begins. There must be one."""
        if len(self._files) == 1:
            self._is_open = self._is_dirty = False
        first = self._delete_first()
        following = self._files[0].first if self._files else max(self.next_number, first + 1)
        return Place(following, 0, following)

    def _delete_first(self) -> int:
        file = self._files.popleft()
        self.size -= file.size
        os.close(file.fd)
        with suppress(OSError):
            file.path.unlink()
        return file.first

    def close(self) -> None:
        """Lets go of the files, and leaves them where they are."""
        for file in self._files:
            os.close(file.fd)
        self._files.clear()
        self._is_open = self._is_dirty = False


def _block_at(file: _Segment, offset: int) -> tuple[int, list[Message] | None, int]:
    """Number of the first message, messages, and where the block ends; None for messages where there is no block."""
    try:
        head = read_head(os.pread(file.fd, HEAD_BYTES, offset))
        if head is None or offset + head.size > file.size:
            return 0, None, 0
        return head.first, unpack(head, os.pread(file.fd, head.body_bytes, offset + HEAD_BYTES)), offset + head.size
    except OSError:
        return 0, None, 0


def _next_mark(file: _Segment, offset: int) -> int:
    """Where the next block may begin; the file's end where none does."""
    while offset < file.size:
        try:
            piece = os.pread(file.fd, _LOOKED_THROUGH, offset)
        except OSError:
            piece = b""
        if not piece:
            break
        found = piece.find(MARK)
        if found >= 0:
            return offset + found
        # A mark may lie across the pieces' edge.
        offset += max(1, len(piece) - len(MARK) + 1) if len(piece) == _LOOKED_THROUGH else len(piece)
    return file.size


_sync = getattr(os, "fdatasync", os.fsync)
