"""The spool: where an agent's events wait on disk."""

from __future__ import annotations

from pydantic import Field

from ..control.spool import FSYNC_EVERY_MS, LEAST_BYTES, MOST_BYTES, Fsync, Mode, Spool, WhenFull
from .section import Duration, Section

_MB = 1 << 20


class SpoolSettings(Section):
    """Events that cannot be sent yet wait on disk, and outlive the agent."""

    folder: str | None = Field(
        default=None,
        description="A folder that all agents of a machine may share; `RUNWATCH_SPOOL` wins. Without one, events wait "
        "in memory.",
    )
    mode: Mode = Field(
        default="overflow",
        description="overflow: events do when the broker is away or slow. always: each does, before it is sent.",
    )
    fsync: Fsync = Field(
        default="every",
        description="Which events outlive the machine too: each, before it is sent; those before the last fsync, which "
        "is made every so often; or never any for certain. All that was written outlives the agent.",
    )
    fsync_every: Duration = Field(default=FSYNC_EVERY_MS, ge=1, le=60_000, description="How often, for `every`.")
    most_mb: int = Field(
        default=MOST_BYTES // _MB,
        ge=LEAST_BYTES // _MB,
        le=1 << 20,
        description="Megabytes on disk of one process, with what it took over from those that ended.",
    )
    when_full: WhenFull = Field(default="oldest", description="Which events are dropped then.")

    def for_agents(self) -> Spool:
        """The same, as an agent goes by it; the folder empty where none is named."""
        return Spool(
            folder=self.folder or "",
            mode=self.mode,
            fsync=self.fsync,
            fsync_every_ms=self.fsync_every,
            most_bytes=self.most_mb * _MB,
            when_full=self.when_full,
        )
