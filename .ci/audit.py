"""Known holes in what is installed: usage audit.py REQUIREMENTS, with what a virtual environment has of pip-audit.

pip-audit asks an advisory service about each package. One that does not answer, and one that answers without knowing
anything, must not pass for a clean bill: a mirror of a package index often has no advisories, and pip-audit then says
"No known vulnerabilities found". So each service is first asked about a package that is known to have a hole.

Exit code 0: none is known, or nobody could be asked, which is said; with RUNWATCH_AUDIT=required that is 1. 1: a hole
is known, or pip-audit cannot read the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SERVICES = ("osv", "pypi")
WITH_A_HOLE = "jinja2==2.10"
"""CVE-2019-10906, since 2019 in every data base of advisories."""
KNOWN_S = 12.0
"""For a service's answer about the one package."""
ALL_S = 50.0
"""For all of them, with each service together: the checks have three minutes."""
ACCEPTED: dict[str, str] = {}
"""Holes that are let stand: their id, and why they do no harm here and until when that is looked at again."""


class Unanswered(Exception):
    """A service could not be asked; the message says why, without an end."""


def main(requirements: Path) -> int:
    """Tells what is known, and returns the exit code."""
    until = time.monotonic() + ALL_S
    reasons = []
    for service in SERVICES:
        try:
            check_knows(service)
            packages = ask(service, requirements, until - time.monotonic())
        except Unanswered as error:
            reasons.append(f"{service}: {error}")
        else:
            return tell(service, packages)
    required = os.environ.get("RUNWATCH_AUDIT") == "required"
    print(
        f"audit: NOT DONE, no advisory service could be asked about {requirements.name} ({'; '.join(reasons)}). "
        + ("RUNWATCH_AUDIT=required, so this fails." if required else "Nothing is known of holes in it."),
        file=sys.stderr,
    )
    return 1 if required else 0


def check_knows(service: str) -> None:
    """Raises `Unanswered` where a service does not know the hole that everybody does."""
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known.txt"
        known.write_text(WITH_A_HOLE + "\n", encoding="utf-8")
        if not any(package.get("vulns") for package in ask(service, known, KNOWN_S)):
            raise Unanswered(f"it answers, but knows of no hole in {WITH_A_HOLE}: it has no advisories")


def ask(service: str, requirements: Path, seconds: float) -> list[dict[str, Any]]:
    """pip-audit's answer, a mapping a package. Raises `Unanswered`, also when it takes longer."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--format", "json"),
        # Every package is pinned in the file, so that nothing is to be resolved, installed or downloaded.
        *("--requirement", str(requirements), "--no-deps", "--disable-pip"),
        *("--progress-spinner", "off", "--desc", "off", "--timeout", "5"),
    ]
    if service == "osv" and (url := os.environ.get("RUNWATCH_AUDIT_OSV")):
        command += ["--osv-url", url]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, seconds), check=False)
    except subprocess.TimeoutExpired:
        raise Unanswered(f"no answer within {max(1.0, seconds):.0f} s") from None
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise Unanswered(last_line(done.stderr)) from None
    return packages


def last_line(stderr: str) -> str:
    """What a program said last, which with Python is the error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:120] if lines else "it said nothing"


def tell(service: str, packages: Sequence[dict[str, Any]]) -> int:
    """Prints what a service knows of the packages, and returns the exit code."""
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    holes = [
        (package, hole)
        for package in packages
        for hole in package.get("vulns", ())
        if not {hole["id"], *hole.get("aliases", ())} & ACCEPTED.keys()
    ]
    for package, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "no version yet"
        called = ", ".join(sorted({hole["id"], *hole.get("aliases", ())}))
        print(f"audit: {package['name']} {package['version']}: {called}; mended in {mended}", file=sys.stderr)
    asked = len(packages) - len(unknown)
    print(f"audit: packages that {service} was asked about: {asked}; holes that it knows: {len(holes)}")
    if unknown:
        print(f"audit: NOT KNOWN to {service}, and so not audited: {', '.join(unknown)}", file=sys.stderr)
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
