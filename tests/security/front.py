"""TLS in front of a server that speaks none: what is asked over TLS is asked of it, and its answer given back."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from .servers import Papers


@contextmanager
def tls_before(address: str, papers: Papers, *, asks: bool = False) -> Iterator[str]:
    """The https address of what is at `address`; `asks`: for a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.server)
    if asks:
        context.load_verify_locations(papers.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    place = urlsplit(address)
    behind = (str(place.hostname), int(place.port or 80))
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(listener, context, behind), daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _serve(listener: socket.socket, context: ssl.SSLContext, behind: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            came, _ = listener.accept()
            threading.Thread(target=_pass_on, args=(came, context, behind), daemon=True).start()


def _pass_on(came: socket.socket, context: ssl.SSLContext, behind: tuple[str, int]) -> None:
    with (
        contextlib.suppress(OSError),
        context.wrap_socket(came, server_side=True) as asker,
        socket.create_connection(behind) as server,
    ):
        threading.Thread(target=_copy, args=(server, asker), daemon=True).start()
        _copy(asker, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
