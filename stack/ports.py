"""Which ports the servers take: those asked for, else those of last time, else the usual ones, else free ones."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Mapping
from typing import Final

from ..metrics.ports import USUAL as METRICS
from .errors import StackError

USUAL = {"kafka": 9092, "kafka-controller": 9093, "clickhouse": 8123, "registry": 8081, "console": 8090} | {
    f"metrics-{part}": port for part, port in METRICS.items()
}

# Below those that Linux gives to outgoing connections, 32768 to 60999 (ip_local_port_range in
# https://docs.kernel.org/networking/ip-sysctl.html), and above those that servers are known by.
_QUIET: Final = range(20_000, 32_768)
_given: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port is free although connections of its last user still linger.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except (OSError, OverflowError):
            return False
    return True


def any_free(host: str = "127.0.0.1") -> int:
    """A port that is free, that no connection takes by chance, and that this process was not given before.

    Not one that the system picks: it picks for every connection that goes out too, and so might hand the port to
    another process before a server listens on it.
    """
    untried = [port for port in _QUIET if port not in _given]
    random.SystemRandom().shuffle(untried)
    for port in untried:
        if is_free(port, host):
            _given.add(port)
            return port
    raise StackError(f"No port from {_QUIET[0]} to {_QUIET[-1]} is free on {host}: end what listens there")


def choose(
    asked: Mapping[str, int | None],
    last: Mapping[str, int],
    free: Callable[[int], bool] = is_free,
    another: Callable[[], int] = any_free,
) -> dict[str, int]:
    """A port for each name of :data:`USUAL`. :class:`StackError` where one that was asked for is taken."""
    chosen: dict[str, int] = {}
    for name in USUAL:
        wanted = asked.get(name)
        if wanted is not None:
            if wanted in chosen.values() or not free(wanted):
                raise StackError(
                    f"Port {wanted}, asked for {name}, is taken by another process: end that one, or leave the port "
                    "out and a free one is chosen"
                )
            chosen[name] = wanted
    reserved = set(chosen.values())
    for name, usual in USUAL.items():
        if name in chosen:
            continue
        candidates = [port for port in (last.get(name), usual) if isinstance(port, int) and port not in reserved]
        port = next((port for port in candidates if free(port)), None)
        while port is None or port in reserved:
            port = another()
        chosen[name] = port
        reserved.add(port)
    return chosen
