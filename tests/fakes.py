"""One fake for each boundary: the way out to Kafka, the clock, the control topic, the topic of holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runwatch.control.state import ControlState
from runwatch.schemas import avro, wire
from runwatch.schemas.controls import Control
from runwatch.schemas.events import AgentEvent


class FakeSink:
    """A transport that keeps what it is given, and has room for as much as it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.room = 10**9
        self.is_away = False
        self.abandoned = 0

    def send(self, messages: Sequence[tuple[bytes, bytes]]) -> int:
        taken = messages[: max(0, self.room - len(self.messages))]
        self.messages.extend(taken)
        return len(taken)

    def serve(self, timeout_s: float) -> None:
        pass

    def flush(self, timeout_s: float) -> int:
        return 0

    def counts(self) -> tuple[int, int, int]:
        return len(self.messages), 0, 0

    def away(self) -> bool:
        return self.is_away

    def recall(self) -> list[tuple[bytes, bytes]]:
        return []

    def abandon(self) -> None:
        self.abandoned += 1

    @property
    def events(self) -> list[AgentEvent]:
        schema = avro.load("agent_event")
        out = []
        for key, value in self.messages:
            schema_id, body = wire.split(value)
            assert schema_id == schema.schema_id
            event = AgentEvent.from_record(wire.decode_body(body, schema))
            assert key == event.run_id.encode()
            out.append(event)
        return out


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_760_000_000_000.0

    def now_ms(self) -> int:
        return int(self.ms)

    def monotonic(self) -> float:
        return self.ms / 1000

    def move(self, seconds: float) -> None:
        self.ms += seconds * 1000


class FakeControl:
    """A control topic in which stands what a test says; nothing at first."""

    def __init__(self) -> None:
        self.state = ControlState()
        self.lost_s = 0.0
        self.waited: list[float] = []
        self.closed = 0
        self.forked = 0
        self._count = 0

    def say(self, scope: str, mode: str, why: str = "it is too much", by: str = "mia", expires_ms: int | None = None):
        self._count += 1
        self.state.apply(Control(f"c{self._count}", scope, mode, self._count, why, by, expires_ms))  # type: ignore

    def start(self) -> None:
        """It is there already."""

    def wait_loaded(self, timeout_s: float) -> bool:
        self.waited.append(timeout_s)
        return True

    def lost_for_s(self) -> float:
        return self.lost_s

    def close(self) -> None:
        self.closed += 1

    def after_fork(self) -> None:
        self.forked += 1
        self.state.after_fork()


class NoWords:
    """A topic of holds in which nothing stands: (topic, state) of what is said there is kept."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def read(self) -> dict[str, Any]:
        return {}

    def say(self, hold: Any) -> None:
        self.said.append((hold.topic, hold.state))
