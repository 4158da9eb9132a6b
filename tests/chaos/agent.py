"""An agent that is killed: `python -m tests.chaos.agent NAME LEDGER CLOCK_FILE SPOOL PAUSE_S`; Kafka by environment.

Makes one run after the other with the SDK, and notes in its ledger, a line an event, what the SDK has taken: `run_id
events process saved`, so many events of that run, by the process of that id, of whose events the first `saved` are on
the disk. A line is written once the SDK's call has returned: of what was taken before the process was killed, all but
the last event is in the ledger. A process that ended well writes `closed process` last.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import runwatch
from runwatch.producers.clock import SystemClock


class JumpingClock(SystemClock):
    """The machine's, ahead by the seconds that its file says."""

    __slots__ = ("_ahead_ms", "_file", "_look_at")

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ahead_ms = 0
        self._look_at = 0.0

    def now_ms(self) -> int:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + 0.2
            self._ahead_ms = int(1000 * float(self._file.read_text()))
        return super().now_ms() + self._ahead_ms


def main() -> None:
    name, pause_s = sys.argv[1], float(sys.argv[5])
    ledger, clock_file = Path(sys.argv[2]), Path(sys.argv[3])
    # Each event is on the disk before it goes to Kafka: what a killed agent had taken is sent by the next.
    spool = runwatch.Spool(sys.argv[4], mode="always", fsync="each")
    over = False

    def stop(*_: Any) -> None:
        nonlocal over
        over = True

    signal.signal(signal.SIGTERM, stop)
    out = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    random = Random(f"{name}{os.getpid()}")
    watch = runwatch.connect(name, "1.0", "made-up-1", clock=JumpingClock(clock_file), spool=spool)

    def note(run_id: str, events: int) -> None:
        saved = watch.spool_stats()["saved"]
        os.write(out, b"%s %d %d %d\n" % (run_id.encode(), events, os.getpid(), saved))

    while not over:
        with watch.run() as run:
            note(run.run_id, 1)
            calls = random.randrange(3, 40)
            for call in range(calls):
                run.record_tool(f"tool-{call % 7}", {"call": call}, random.random(), duration_ms=random.randrange(900))
                note(run.run_id, 2 + call)
                time.sleep(pause_s)
            run.stop("success", 1.0)
            note(run.run_id, 2 + calls)
    if not watch.close(60.0):
        sys.exit(1)
    os.write(out, b"closed %d\n" % os.getpid())


if __name__ == "__main__":
    main()
