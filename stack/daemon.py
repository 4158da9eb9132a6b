"""``python -m runwatch.stack.daemon FD``: the supervisor in the background.

Its options come as JSON on standard input. How the start goes is told to the pipe FD, a line each: ``say TEXT``, then
``ready ENDPOINTS`` or ``error SENTENCE``; then the pipe is closed and standard output is its log.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from ..schemas.topics import TopicsError
from .errors import StackError
from .lifecycle import run
from .services import Options


def main() -> int:
    """Run the stack until SIGTERM; 0 after an orderly end, 3 where it could not start."""
    # The caller may live long and do other things: it is not to be left with a child to wait for.
    if os.fork() != 0:
        return 0
    pipe = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    os.set_inheritable(pipe.fileno(), False)
    options = Options.from_json(json.load(sys.stdin))

    def tell(kind: str, text: str) -> None:
        # The caller may be gone by now, which is no reason for the stack to go too.
        with contextlib.suppress(BrokenPipeError, ValueError):
            pipe.write(f"{kind} {' '.join(text.split())}\n")

    def say(text: str) -> None:
        print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)

    def report(text: str) -> None:
        say(text)
        tell("say", text)

    def ready(endpoints: str) -> None:
        tell("ready", endpoints)
        pipe.close()

    try:
        run(options, report, say, ready)
    except (StackError, TopicsError) as error:
        say(str(error))
        tell("error", str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
