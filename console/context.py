"""What pages and routes are given: the settings, the store, the control topic, and who may do what."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Settings
from .access.access import Access
from .ask.sql import SqlDesk
from .commander import Commander
from .live import Live
from .stats import Asked
from .store import Store


@dataclass(frozen=True, slots=True)
class Context:
    """One console."""

    settings: Settings
    store: Store
    live: Live
    commander: Commander
    access: Access
    sql: SqlDesk

    def close(self) -> None:
        """Let go of everything."""
        self.commander.close()
        self.sql.close()
        self.store.close()


def open_context(settings: Settings, access: Access, asked: Asked | None = None) -> Context:
    """A console that has not asked for anything yet. It starts to follow the control topic."""
    store = Store(settings, asked or Asked())
    commander = Commander(settings)
    commander.start()
    return Context(settings, store, Live(store), commander, access, SqlDesk(settings))
