"""runwatch watches fleets of AI agents while they run; this is what an agent imports.

import runwatch

watch = runwatch.connect(agent="support", version="1.4.2", model="gpt-4o")
with watch.run() as run:
    page = run.call_tool("http.get", {"url": url}, fetch)
    run.stop("success", outcome=1.0)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .control.guardrails import Budgets, Guardrails, KillSwitch, ToolPolicy, Writes
    from .control.snapshots import Snapshots
    from .control.spool import Spool
    from .playback.errors import NotRecorded, RecordedError
    from .playback.executor import Replay
    from .playback.replay import replay
    from .producers.connection import connect
    from .producers.current import current_run
    from .producers.guard.approvals import ApprovalRequest
    from .producers.guard.refusals import ApprovalRequired, Refused, RunStopped, ToolDenied
    from .producers.guard.store import SqliteStore
    from .producers.run import Run
    from .producers.watch import Watch
    from .schemas.errors import RunwatchError

__all__ = [
    "ApprovalRequest",
    "ApprovalRequired",
    "Budgets",
    "Guardrails",
    "KillSwitch",
    "NotRecorded",
    "RecordedError",
    "Refused",
    "Replay",
    "Run",
    "RunStopped",
    "RunwatchError",
    "Snapshots",
    "Spool",
    "SqliteStore",
    "ToolDenied",
    "ToolPolicy",
    "Watch",
    "Writes",
    "connect",
    "current_run",
    "replay",
]

_HOMES = {
    "ApprovalRequest": ".producers.guard.approvals",
    "ApprovalRequired": ".producers.guard.refusals",
    "Budgets": ".control.guardrails",
    "Guardrails": ".control.guardrails",
    "KillSwitch": ".control.guardrails",
    "NotRecorded": ".playback.errors",
    "RecordedError": ".playback.errors",
    "Refused": ".producers.guard.refusals",
    "Replay": ".playback.executor",
    "Run": ".producers.run",
    "RunStopped": ".producers.guard.refusals",
    "RunwatchError": ".schemas.errors",
    "Snapshots": ".control.snapshots",
    "Spool": ".control.spool",
    "SqliteStore": ".producers.guard.store",
    "ToolDenied": ".producers.guard.refusals",
    "ToolPolicy": ".control.guardrails",
    "Watch": ".producers.watch",
    "Writes": ".control.guardrails",
    "replay": ".playback.replay",
    "connect": ".producers.connection",
    "current_run": ".producers.current",
}


def __getattr__(name: str) -> Any:
    # Kafka's and Avro's libraries take a tenth of a second to import: not before they are needed.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
