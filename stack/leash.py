"""Runs a command that ends when the process that started it does, even if that one was killed.

Started as a script of its own, ``python -I -S leash.py PARENT_PID COMMAND…``: it asks the system for that, then becomes
the command, under the same process id. (Asking in a fork of the supervisor instead could deadlock it: it has threads.)
With ``RUNWATCH_NICE`` in its environment it gives way to others by so much.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Tie this process to the parent named first and become the command that follows."""
    parent = int(arguments[0])
    command = arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        _watch(parent)
    if os.getppid() != parent:
        sys.exit(1)  # the parent died before the tie was in place
    os.nice(int(os.environ.pop("RUNWATCH_NICE", "0")))
    os.execv(command[0], command)  # nosec B606  # no shell is wanted


def _watch(parent: int) -> None:
    """Where the system has no such tie: a second process that looks after both once a second."""
    service = os.getpid()
    if os.fork() != 0:
        return
    while os.getppid() == service:
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os.killpg(service, signal.SIGKILL)
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
