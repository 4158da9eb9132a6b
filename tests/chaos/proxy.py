"""A wire that can be made bad: `python -m tests.chaos.proxy LISTEN_PORT TARGET_PORT CONTROL_FILE`.

The file holds one word: `pass`; `slow` (each piece of 64 KiB takes 50 ms); `cut` (connections are refused, and those
that stand are broken off in the middle of whatever they carry).
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

PIECE = 1 << 16
SLOW_S = 0.05


class Wire:
    """Forwards connections as its file says just now."""

    def __init__(self, target: int, file: Path) -> None:
        self._target = target
        self._file = file
        self._state = "pass"
        self._open: set[asyncio.StreamWriter] = set()

    async def look(self) -> None:
        """Follows the file."""
        while True:
            with suppress(OSError):
                self._state = self._file.read_text().strip() or "pass"
            if self._state == "cut":
                for writer in self._open:
                    writer.transport.abort()
            await asyncio.sleep(0.1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways."""
        if self._state == "cut":
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._open |= both
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            self._open -= both
            for each in both:
                each.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(PIECE):
                if self._state == "slow":
                    await asyncio.sleep(SLOW_S)
                sink.write(data)
                await sink.drain()
            sink.write_eof()


async def main() -> None:
    listen, target, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    wire = Wire(target, file)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", listen)
    async with server:
        await wire.look()


if __name__ == "__main__":
    asyncio.run(main())
