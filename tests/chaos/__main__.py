"""`python -m tests.chaos`: suites of faults, one after the other. Exits with 1 where something did not hold."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import faults, suite
from .report import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times (default: a random one)")
    parser.add_argument("--rate", type=int, help="events a second (default: 20,000, short: 4,000)")
    parser.add_argument("--minutes", type=float, default=10.0, help="the load runs for at least so long (default: 10)")
    parser.add_argument("--short", action="store_true", help="a few faults, once each")
    parser.add_argument("--only", action="append", default=[], choices=[fault.name for fault in faults.ALL])
    parser.add_argument("--most", type=int, help="each fault so often at the most: a suite to try things with")
    parser.add_argument("--folder", type=Path, help="keep everything there (default: a folder that is removed)")
    parser.add_argument("--out", type=Path, default=Path(".build/chaos"), help="where reports go")
    options = parser.parse_args()
    # Whoever ends us ends what we started: as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.out.mkdir(parents=True, exist_ok=True)
    reports = []
    for seed in options.seed or [secrets.randbelow(1_000_000)]:
        began = time.time()

        def say(line: str, began: float = began) -> None:
            print(f"{time.time() - began:7.1f}  {line}", flush=True)

        print(f"seed {seed}", flush=True)
        given: dict[str, Any] = {"short": options.short, "only": tuple(options.only), "most": options.most}
        rate = options.rate or (4_000 if options.short else 20_000)
        seconds = 0.0 if options.short or options.only else 60 * options.minutes
        with tempfile.TemporaryDirectory(prefix="runwatch-chaos-", ignore_cleanup_errors=True) as scratch:
            folder = options.folder or Path(scratch)
            report = suite.run(suite.Options(seed, rate, seconds, **given), folder, say)
        (options.out / f"{seed}.json").write_text(report.to_json())
        print("\n".join(report.lines()), flush=True)
        reports.append(report)
    if len(reports) > 1:
        print("\n".join(["all together", "", *table([hit for one in reports for hit in one.hits])]), flush=True)
    return 0 if all(report.passed for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
