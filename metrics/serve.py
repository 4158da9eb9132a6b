"""The server that answers Prometheus, one a process."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client import Metric as Family

from ..config import Settings
from .families import valued
from .names import BUILD
from .ports import TRIED, USUAL

log = logging.getLogger(__name__)


class Collector(Protocol):
    """Whoever has metrics to tell. Asked at each scrape, in the server's thread."""

    def collect(self) -> Iterable[Family]:
        """The metrics as they are now."""


@contextmanager
def serving(settings: Settings, part: str, *collectors: Collector) -> Iterator[int | None]:
    """Serves the collectors' metrics, and this process's own, as long as it lasts; gives the port.

    `part`: one of `ports.USUAL`. None is given where metrics are off, or no port can be had: that is logged, and is
    nothing to stop for.
    """
    wanted = USUAL[part] if settings.metrics_port is None else settings.metrics_port
    if not wanted:
        yield None
        return
    registry = registry_of(part, collectors)
    for port in range(wanted, min(wanted + TRIED, 65_536)):
        try:
            server, thread = start_http_server(port, settings.metrics_host, registry)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            log.warning("no metrics are served: %s port %d: %s", settings.metrics_host, port, error.strerror or error)
            yield None
            return
        break
    else:
        log.warning(
            "no metrics are served: the ports %d to %d are taken; RUNWATCH_METRICS_PORT sets another", wanted, port
        )
        yield None
        return
    taken = "" if port == wanted else f" ({wanted} is taken)"
    log.info("metrics of the %s are at http://%s:%d/metrics%s", part, settings.metrics_host, port, taken)
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def registry_of(part: str, collectors: Iterable[Collector]) -> CollectorRegistry:
    """A registry of these, this process's memory, CPU and open files, and which version it is."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Build(part))
    for one in collectors:
        registry.register(one)
    return registry


class _Build:
    def __init__(self, part: str) -> None:
        try:
            found = version("runwatch")
        except PackageNotFoundError:  # run from its folder
            found = "unknown"
        self._labels = (part, found)

    def collect(self) -> Iterable[Family]:
        yield valued(BUILD, [(self._labels, 1)])
