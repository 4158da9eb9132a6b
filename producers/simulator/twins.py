"""What stopped runs would have come to: each is lived again to its end, unguarded, and unheard by anyone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...control.guardrails import UNGUARDED
from ..connection import connect
from ..run import Run
from ..transport import Message
from .schedule import Schedule
from .task import Life, Task, life


class _Nowhere:
    """A way out that leads nowhere, where everything arrives."""

    def __init__(self) -> None:
        self._sent = 0

    def send(self, messages: Sequence[Message]) -> int:
        self._sent += len(messages)
        return len(messages)

    def serve(self, timeout_s: float) -> None:
        """There is always room."""

    def flush(self, timeout_s: float) -> int:
        return 0

    def counts(self) -> tuple[int, int, int]:
        return self._sent, 0, 0

    def away(self) -> bool:
        return False

    def recall(self) -> list[Message]:
        return []

    def abandon(self) -> None:
        """Nothing is held."""


def without_guard(tasks: Iterable[Task], start_ms: int) -> list[Life]:
    """What each task comes to where nobody stops it, in a time of its own that begins at `start_ms`."""
    schedule = Schedule(start_ms)
    lives: list[Life] = []

    async def live(task: Task, run: Run) -> None:
        async with run:
            await task.worker(run).work()
        lives.append(life(run.stop()))

    with connect("twins", guardrails=UNGUARDED, transport=_Nowhere(), clock=schedule) as watch:
        for task in tasks:
            agent = watch.agent(task.profile.agent, task.version, task.profile.model)
            schedule.start(live(task, agent.run(task.run_id)))
            while schedule.next_ms is not None:
                schedule.step()
    return lives
