"""How much is measured, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import BenchError


@dataclass(frozen=True, slots=True)
class Options:
    """One set for all parts; each takes what concerns it."""

    events: int = 3_000_000
    """How many events are made and read, about: the last run is not cut short."""
    repeats: int = 3
    """How often each contestant runs; they take turns."""
    peer_s: float = 20.0
    """How long a peer may work each time. They are too slow to be sent through all events."""
    peers: bool = True
    """Whether peers run at all."""
    rate: int | None = None
    """Parts `delay` and `control`: events a second; part `sdk`: calls. Each has its own where none is named."""
    delay_s: float = 30.0
    """The same: how long is sent at that rate."""
    scenarios: tuple[str, ...] = ()
    """Part `detection`: the simulated histories by name; all where none is named."""
    seed: int = 1
    """Part `detection`: of the simulated histories; another one is another fleet's luck."""
    recorded: Path | None = None
    """Part `detection`: the folder of recorded runs; see `recorded.find_folder`."""
    folder: Path | None = None
    """Where the stack's temporary folder is made; the system's place for such by default."""

    stored: int = 50_000_000
    """Part `store`: how many events are stored."""

    aged_s: float = 360.0
    """Part `recovery`: so much history there is."""
    watch_s: float = 45.0
    """The same: how long anomalies are looked at after a kill."""
    outage_s: float = 120.0
    """Part `outage`: how long ClickHouse is away."""

    def __post_init__(self) -> None:
        """Refuses what cannot be measured. Raises `BenchError`."""
        least = {"events": 1_000, "stored": 1_000, "repeats": 1, "peer_s": 1.0, "rate": 10, "delay_s": 1.0}
        for name, value in least.items():
            given = getattr(self, name)
            if given is not None and given < value:
                raise BenchError(f"bench: {name} is at least {value}, and this is {given}")
