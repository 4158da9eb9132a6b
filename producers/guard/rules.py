"""What all runs of a connection go by: the settings, and who follows the control topic."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ...control.guardrails import Guardrails
from ...control.outgoing import Outgoing
from ..notices import Notices
from ..run_log import RunInfo
from ..usage import Usage
from .approvals import Approve
from .policy import Policy
from .store import Store
from .switch import ControlSource

if TYPE_CHECKING:
    from ..snapshots.taking import Taker

LOADED_S = 2.0
"""How long a process's first run waits to hear what the control topic says."""


class Logged(Protocol):
    """What the guard reads of a run's log."""

    @property
    def info(self) -> RunInfo:
        """Who the run is."""

    @property
    def usage(self) -> Usage:
        """What it has used so far."""


class Rules:
    """Shared by all watches and runs of a connection."""

    def __init__(
        self,
        guardrails: Guardrails,
        outgoing: Outgoing,
        source: ControlSource | None,
        approve: Approve | None,
        store: Store | None,
        notices: Notices,
        *,
        owns_source: bool,
        taker: Taker | None = None,
    ) -> None:
        """`source` follows the control topic; None where nothing does. `owns_source`: it is closed here.

        `taker` keeps snapshots of payloads; None where none are kept.
        """
        self.guardrails = guardrails
        self.outgoing = outgoing
        self.policy = Policy(guardrails)
        self.source = source
        self.approve = approve
        self.store = store
        self.notices = notices
        self.taker = taker
        self._owns_source = owns_source and source is not None
        self._waits = source is not None
        self._lock = threading.Lock()

    def wait_loaded(self) -> None:
        """Waits, the first time, until it is known what the control topic says, or it has taken too long."""
        if self._waits and self.source is not None:
            with self._lock:
                if self._waits:
                    self.source.wait_loaded(LOADED_S)
                    self._waits = False

    def close(self) -> None:
        """Ends the following; the last state stays."""
        if self._owns_source and self.source is not None:
            self._owns_source = False
            self.source.close()

    def retire(self) -> None:
        """The same without waiting for the thread's end: for a connection that is forgotten."""
        if self._owns_source:
            # Where the interpreter is ending no thread begins, and the one that follows ends with it.
            with suppress(RuntimeError):
                threading.Thread(target=self.close, name="runwatch-retire", daemon=True).start()

    def after_fork(self) -> None:
        """A child goes on from what its parent knew."""
        self._lock = threading.Lock()
        if self._owns_source and self.source is not None:
            self.source.after_fork()
