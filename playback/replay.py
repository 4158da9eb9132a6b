"""`runwatch.replay`: a recorded run's tools, for a new run of the same agent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .executor import Answer, Replay
from .sources import from_file, from_store
from .token import find_token

if TYPE_CHECKING:
    from ..config import Settings


def replay(
    run_id: str | None = None,
    *,
    file: str | Path | None = None,
    token: str | None = None,
    settings: Settings | None = None,
    not_recorded: Answer | None = None,
    errors: Mapping[str, type[BaseException]] | None = None,
) -> Replay:
    """Stand-ins for the tools of a recorded run, that answer from the record and do nothing.

    The record is that of ClickHouse (`settings`, or what the environment says), or of `file`: JSON lines of events.
    `token` opens snapshots, and is `RUNWATCH_SNAPSHOT_TOKEN`'s where it is not given. See `Replay` for the rest.
    Raises `RunwatchError` where the record cannot be had.
    """
    if file is not None:
        return Replay(from_file(file, run_id), not_recorded=not_recorded, errors=errors)
    if run_id is None:
        raise ValueError("replay needs a run_id, or a file that holds one run")
    if settings is None:
        # Here, since a record from a file needs none of it.
        from ..config import load

        settings = load()
    record = from_store(settings, run_id, token if token is not None else find_token())
    return Replay(record, not_recorded=not_recorded, errors=errors)
