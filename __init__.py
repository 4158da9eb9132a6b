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
    from .producers.current import current_run
    from .producers.run import Run
    from .producers.watch import Watch, connect

__all__ = ["Run", "Watch", "connect", "current_run"]

_HOMES = {
    "Run": ".producers.run",
    "Watch": ".producers.watch",
    "connect": ".producers.watch",
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
