"""Looks at this machine: the packages that are installed, and the disk of the local stack's folder."""

from __future__ import annotations

import platform
import re
import resource
import shutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from ...config import Settings
from .finding import Finding, error, note, ok, room, warning

CHECK = "packages"
FEW_FILES = 1_024
"""A busy worker holds some hundred files and sockets; a console as many more as there are browsers."""


def look(settings: Settings) -> Iterator[Finding]:
    """Findings on this machine."""
    yield from of_packages(metadata.requires("runwatch") or (), installed())
    yield _home(settings.home)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < FEW_FILES:
        yield warning("limits", "this machine", f"a process may have {soft} files open", f"ulimit -n {FEW_FILES * 8}")


def installed() -> dict[str, str]:
    """Version by package's name, in the form in which requirements are compared."""
    return {_plain(one.metadata["Name"]): one.version for one in metadata.distributions() if one.metadata["Name"]}


def of_packages(requirements: Iterable[str], found: Mapping[str, str]) -> Iterator[Finding]:
    """Findings on which packages are there, against what runwatch asks for in its own metadata.

    Of packages that are not there, nothing is said: who runs a sink needs no Polars.
    """
    where = f"Python {platform.python_version()}"
    wrong = 0
    checked: dict[str, str] = {}
    for requirement in requirements:
        match = re.match(r"\s*([\w.-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?", requirement)
        if match is None:
            continue
        name, wanted = _plain(match[1]), match[2].strip()
        version = found.get(name)
        if version is None or not wanted or (name, wanted) in checked.items():
            continue
        checked[name] = wanted
        if not fits(version, wanted):
            wrong += 1
            yield error(
                CHECK, where, f"{name} is {version}, and runwatch needs {wanted}", f"pip install '{name}{wanted}'"
            )
    if not wrong:
        known = ", ".join(f"{name} {found[name]}" for name in sorted(checked) if name in _TOLD)
        yield ok(
            CHECK, where, f"runwatch {found.get('runwatch', 'from a checkout')}; {len(checked)} packages fit: {known}"
        )


_TOLD = {"confluent-kafka", "fastavro", "faust-streaming", "aiokafka", "polars", "clickhouse-connect", "chdb"}


def fits(version: str, wanted: str) -> bool:
    """Whether a version is in a range such as `>=2.6,<3`. Of a pre-release the numbers alone count."""
    its = _numbers(version)
    for clause in wanted.split(","):
        match = re.match(r"\s*(==|>=|<=|!=|<|>|~=)\s*([\w.]+)", clause)
        if match is None:
            continue
        sign, bound = match[1], _numbers(match[2])
        length = max(len(its), len(bound))
        one, other = its + (0,) * (length - len(its)), bound + (0,) * (length - len(bound))
        holds = {
            "==": one == other,
            "!=": one != other,
            ">=": one >= other,
            "<=": one <= other,
            ">": one > other,
            "<": one < other,
            "~=": one >= other and its[: len(bound) - 1] == bound[:-1],
        }[sign]
        if not holds:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _home(home: Path) -> Finding:
    """The disk of the local stack's folder, or of where it would be."""
    place = home
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        usage = shutil.disk_usage(place)
    except OSError as failed:
        return note("disk", str(home), f"cannot be looked at: {failed.strerror}", "set RUNWATCH_HOME to another folder")
    return room(
        "disk", f"the disk of {home}", usage.free, usage.total, "free some, or set RUNWATCH_HOME to a folder elsewhere"
    )
