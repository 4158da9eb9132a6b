"""Other agents' events, at a steady rate, beside what is measured; and a pipeline that is warm before it is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..config import Settings
from .child import Child
from .errors import BenchError
from .meter import Meter
from .paced import Pace
from .servers import Servers

Say = Callable[[dict[str, Any]], None]


def hear(sender: Child, say: Say = lambda _line: None) -> dict[str, Any]:
    """Hears a sender (`paced`) out, `say`ing each event that is to be waited for; returns its last line, and under
    `began` when its first event went. Raises `BenchError`."""
    began: float | None = None
    for text in sender.lines:
        line: dict[str, Any] = json.loads(text)
        if "sent" in line:
            sender.wait(30)
            return {**line, "began": began or time.time()}
        began = began or line["at"]
        say(line)
    sender.wait(30)
    raise BenchError(f"{sender.name}: the sender ended without a word")


def warm_up(servers: Servers, settings: Settings, worker: Child | None, sink: Child | None, pace: Pace) -> int:
    """Sends a second's worth, and waits until both have committed it; returns how many events it was.

    `sink` is None where nothing is stored, `worker` where nothing is judged.
    """
    few = replace(pace, events=pace.rate, seed=pace.seed + 1)
    with servers.module("paced", few.to_json(), says=True) as sender:
        sent = hear(sender)["sent"]
    meter = Meter(settings.kafka, few.topic, {})
    if worker is not None:
        meter.follow(f"{settings.prefix}runwatch-processors", worker, most_s=60)
    if sink is not None:
        meter.follow(f"{settings.prefix}runwatch-sink", sink, most_s=60)
    return int(sent)


class Listener:
    """Hears a sender out in the background."""

    def __init__(self, sender: Child, say: Say = lambda _line: None) -> None:
        self._said: dict[str, Any] | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._hear, args=(sender, say), name="bench-traffic", daemon=True)
        self._thread.start()

    def _hear(self, sender: Child, say: Say) -> None:
        try:
            self._said = hear(sender, say)
        except Exception as error:
            self._error = error

    def end(self, patience_s: float = 60.0) -> dict[str, Any]:
        """The sender's last line. Raises `BenchError` where it failed, or does not end."""
        self._thread.join(patience_s)
        if self._said is None:
            raise BenchError(f"the other traffic did not come to its end: {self._error or 'it is still sending'}")
        return self._said
