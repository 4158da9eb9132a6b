"""Stacks start one after the other."""

from __future__ import annotations

import subprocess
import sys
import time

from runwatch.stack.turn import turn

WAITS = "from runwatch.stack.turn import turn\nprint('asks', flush=True)\nwith turn():\n    print('has it', flush=True)"


def test_another_process_waits_for_its_turn() -> None:
    with turn():
        other = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert "asks\n" == other.stdout.readline()
        time.sleep(0.3)
        assert other.poll() is None, "it did not wait"
    assert "has it\n" == other.stdout.readline()
    assert 0 == other.wait(10)


def test_whoever_is_killed_holds_up_nobody() -> None:
    holds = WAITS + "\n    import time\n    time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert ["asks\n", "has it\n"] == [other.stdout.readline(), other.stdout.readline()]
    other.kill()
    other.wait(10)
    began = time.monotonic()
    with turn():
        assert 10 > time.monotonic() - began
