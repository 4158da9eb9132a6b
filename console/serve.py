"""Serves the console until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn

from ..config import Settings
from ..schemas.errors import RunwatchError
from .access.access import Access
from .app import build
from .context import open_context
from .stats import Asked

FINISH_S = 1
"""How long an answer that is under way may take when we are told to end."""


class PlaceTaken(RunwatchError):
    """The console cannot listen there."""


class PlaceUnfit(RunwatchError):
    """The address that people are to use is none."""


class _Server(uvicorn.Server):
    """Ends on signals as any other part does: with 0, and once, instead of raising the signal anew."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.should_exit = True


def serve(settings: Settings, host: str, port: int, asked: Asked | None = None) -> None:
    """Listens on `host:port` until SIGINT or SIGTERM; `asked` takes note of what it asks of ClickHouse.

    Raises `PlaceTaken`, `PlaceUnfit` and `TokenError`.
    """
    try:
        access = Access(settings, host)
    except ValueError as error:
        raise PlaceUnfit(str(error)) from None
    with _listening(host, port) as place:
        context = open_context(settings, access, asked)
        try:
            config = uvicorn.Config(
                build(context),
                log_config=None,  # as every other part logs
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=FINISH_S,
                proxy_headers=bool(settings.console_proxies),
                forwarded_allow_ips=settings.console_proxies,
            )
            logging.getLogger("uvicorn.error").addFilter(_is_news)
            _Server(config).run(sockets=[place])
        finally:
            context.close()


def _is_news(record: logging.LogRecord) -> bool:
    """That what was still under way did not come to its end is not: it was told to end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens: before anything else is begun, so that a taken port is told at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PlaceTaken(f"The console cannot listen on {host}: {error.strerror}.") from None
    place = socket.socket(family, kind, protocol)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind(address)
        place.listen(128)
    except OSError as error:
        place.close()
        if error.errno == errno.EADDRINUSE:
            raise PlaceTaken(
                f"Port {port} of {host} is taken by another process, perhaps by the console of a local stack: "
                "end that one, or name another port with --port."
            ) from None
        raise PlaceTaken(f"The console cannot listen on {host}, port {port}: {error.strerror}.") from None
    return place
