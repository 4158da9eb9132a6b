"""A search that is guided by which lines the input reaches: `python -m tests.fuzz.guided TARGET --seconds 60`.

Uses atheris (libFuzzer). What was found interesting is kept in `.build/fuzz/TARGET`, and the next search goes on from
there; an input that fails is written there as `crash-…`, and the search ends with another code than 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[2] / ".build" / "fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()

    import atheris

    # Our own lines guide the search; what others wrote is only run.
    with atheris.instrument_imports(include=["runwatch"]):
        from .targets import SEEDS, TARGETS
    folder = CORPUS / options.target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(options.target, ())):
        (folder / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={options.seconds}", "-max_len=2000", "-timeout=20", "-rss_limit_mb=3000"]
    quiet = ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *limits, *quiet, str(folder)], TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
