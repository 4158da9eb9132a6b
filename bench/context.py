"""What a part is given: the servers, the data, the options, and somebody to tell how far it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from .errors import BenchError
from .fleet import FleetShape
from .load import Loaded, load
from .options import Options
from .servers import Servers

Tell = Callable[[str, float | None], None]
"""Hears what is being done, and which part of it is done (0 to 1), where that is known."""


class Context:
    """Given to every part of one run of the bench."""

    def __init__(self, servers: Servers | None, options: Options, tell: Tell) -> None:
        """`servers` where a part needs any."""
        self._servers = servers
        self.options = options
        self._tell = tell

    @property
    def servers(self) -> Servers:
        """The servers. Raises `BenchError` where they were not started: a part that needs them says so in `PARTS`."""
        if self._servers is None:
            raise BenchError("This part of the bench was run without servers, and asks for them")
        return self._servers

    def tell(self, what: str, done: float | None = None) -> None:
        """Says what is going on."""
        self._tell(what, done)

    def progress(self, what: str) -> Callable[[int, int], None]:
        """As `tell`, for something that counts."""
        return lambda done, total: self._tell(what, done / max(total, 1))

    @cached_property
    def data(self) -> Loaded:
        """The events, made when they are first asked for."""
        what = f"making {self.options.events:,} events"
        shape = FleetShape(events=self.options.events, open_runs=min(20_000, max(100, self.options.events // 100)))
        return load(self.servers.settings("bench."), shape, self.progress(what))
