"""Which Kafka a broker is: no client tells, so it is asked what it can do.

ApiVersions is the one request that a broker answers before anybody has signed in. Its first version has the same
form in every Kafka (protocol guide, "ApiVersions API (Key: 18)").
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import closing

from ...broker import Access
from .finding import Finding, error, note, ok

API_VERSIONS = 18
FETCH = 1
BY_FETCH = {11: "2.3", 12: "2.7", 13: "3.1", 14: "3.5", 15: "3.5", 16: "3.7", 17: "3.9", 18: "4.1"}
"""The newest version of the request Fetch that a broker answers → the first Kafka that answers it; by its sources'
clients/src/main/resources/common/message/FetchRequest.json."""
OLDEST = 13
"""Topics have ids since then, by which one that was made anew is told from the one before."""
_MOST = 1 << 16


def look(access: Access, address: str, timeout_s: float = 5.0) -> Finding:
    """A finding on the broker at `address`, host:port."""
    host, _, port = address.rpartition(":")
    try:
        newest = answered(access.resolved(), host.strip("[]"), int(port), timeout_s).get(FETCH)
    except (OSError, ValueError, struct.error) as failed:
        return note("broker", address, f"does not tell its version ({failed})")
    if newest is None:
        return note("broker", address, "does not tell its version")
    said = BY_FETCH.get(newest)
    if newest > max(BY_FETCH):
        said = BY_FETCH[max(BY_FETCH)]
    if newest < OLDEST or said is None:
        return error("broker", address, f"is older than Kafka {BY_FETCH[OLDEST]}", "upgrade it")
    return ok("broker", address, f"is Kafka {said} or newer")


def answered(access: Access, host: str, port: int, timeout_s: float) -> dict[int, int]:
    """The newest version of each request that the broker answers. Raises `OSError`, `struct.error`, `ValueError`."""
    plain = socket.create_connection((host, port), timeout=timeout_s)
    with closing(_encrypted(access, plain, host) if access.is_encrypted else plain) as connection:
        name = b"runwatch-doctor"
        request = struct.pack(">hhih", API_VERSIONS, 0, 1, len(name)) + name
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        if not 10 <= size <= _MOST:
            raise ValueError("it does not speak Kafka's protocol")
        answer = _exactly(connection, size)
    _, failed, count = struct.unpack_from(">ihi", answer)
    if failed or not 0 <= count <= (size - 10) // 6:
        raise ValueError(f"error {failed}")
    return {key: newest for key, _, newest in struct.iter_unpack(">hhh", answer[10 : 10 + 6 * count])}


def _encrypted(access: Access, plain: socket.socket, host: str) -> socket.socket:
    context = ssl.create_default_context(cafile=access.ca_file or None)
    if access.cert_file:
        context.load_cert_chain(access.cert_file, access.key_file or None, access.key_password or None)
    return context.wrap_socket(plain, server_hostname=host)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("it hung up")
        data += more
    return data
