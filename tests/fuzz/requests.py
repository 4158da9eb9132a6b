"""Odd HTTP requests, said to a server as bytes; the same for the same seed."""

from __future__ import annotations

import json
import random
import re
import socket
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

HALF_S = 1.0
"""After so long without an answer a server is told that no more comes."""
PATIENCE_S = 20.0
_TEXTS = (
    "", "x", "0", "-1", "1e999", "NaN", "null", "true", "9" * 400, "%00", "%0d%0aX-Y: 1", "%ff%fe", "%", "%zz",
    "..%2f..%2f", "../../etc/passwd", "//[", "é🜁", "'", '"', "`", "<script>", "{{7*7}}", "a" * 3000, "fleet",
    "agent:a", "dry:dry:x", "*", "1h", "loop.*", "SELECT 1", "SELECT '", "/* ", "INSERT INTO t FORMAT Values (",
    "2147483648", "9223372036854775808", "[]", "{}",
)  # fmt: skip
_NAMES = (
    "query", "database", "default_format", "query_id", "user", "password", "session_id", "readonly", "param_x",
    "wait_end_of_query", "enable_http_compression", "from_ms", "to_ms", "agent", "tool", "limit", "span", "metric",
    "dimension", "top", "find", "kind", "scope", "name[]", "since_ms", "severity", "x_structure", "max_threads",
)  # fmt: skip
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Length": ("", "x", "-1", "99999999999999999999", "1, 1", "0x10", "²"),
    "Content-Type": (
        "application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/plain; charset=utf-99",
        "application/x-www-form-urlencoded", "a/b/c", "",
    ),
    "Content-Encoding": ("gzip", "zstd", "lz4", "br", "deflate", "nothing", "gzip, gzip"),
    "Accept-Encoding": ("gzip;q=x", "lz4", "*", "zstd, br, gzip"),
    "Accept": ("text/csv", "text/html", "application/openmetrics-text; version=1.0.0", ";;;", "*/*;q=nan"),
    "Authorization": ("Basic", "Basic éé", "Basic =", "Bearer", "Bearer ", "Bearer é", "Digest x", "Basic /////w=="),
    "X-ClickHouse-User": ("é", "", "default"),
    "X-ClickHouse-Format": ("JSON", "Nothing", "é"),
    "Origin": ("null", "http://[", "http://evil.example", "é"),
    "Sec-Fetch-Site": ("cross-site", "é"),
    "Cookie": ("=", "a=b; a=c", "é=é", "session=" + "x" * 4000),
    "Transfer-Encoding": ("chunked", "gzip", "chunked, chunked"),
    "Expect": ("100-continue", "a meal"),
    "Host": ("", "evil.example", "127.0.0.1:x", "[::1"),
    "Range": ("bytes=0-", "bytes=-", "lines=1"),
}  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "G\x00T", "get", "CONNECT")


def request(rng: random.Random, paths: Sequence[str], usual: Mapping[str, str]) -> bytes:
    """One of them: a path of these, or an odd one, with the usual headers or odd ones in their places."""
    path = rng.choice(paths)
    path = re.sub(r"\{\w+\}", lambda _: rng.choice(_TEXTS).replace("/", "%2f").replace(" ", "%20"), path)
    if rng.random() < 0.15:
        path += "/" + rng.choice(_TEXTS)
    pairs = [f"{rng.choice(_NAMES)}={rng.choice(_TEXTS)}" for _ in range(rng.choice((0, 0, 1, 2, 4)))]
    target = path + ("?" + "&".join(pairs) if pairs else "")
    if rng.random() < 0.9:
        target = target.replace(" ", "+")
    body = rng.choice((b"", b"", _json(rng), rng.randbytes(rng.randrange(200)), rng.choice(_TEXTS).encode()))
    headers = {"Host": "127.0.0.1", **usual, "Content-Length": str(len(body)), "Connection": "close"}
    if rng.random() < 0.5:
        headers["Content-Type"] = "application/json"
    for name in rng.sample([*_HEADERS], rng.choice((0, 0, 1, 2))):
        headers[name] = rng.choice(_HEADERS[name])
    method = rng.choices(_METHODS, (8, 8, 1, 1, 1, 1, 1, 1, 1, 1))[0]
    lines = [f"{method} {target} HTTP/{rng.choice(('1.1', '1.1', '1.0', '9.9'))}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    whole = "\r\n".join([*lines, "", ""]).encode("latin-1" if rng.random() < 0.3 else "utf-8", "replace") + body
    if rng.random() < 0.1:
        at = rng.randrange(len(whole))
        whole = whole[:at] + rng.randbytes(3) + whole[at + rng.randrange(4) :]
    return whole


def _json(rng: random.Random, depth: int = 0) -> bytes:
    if rng.random() < 0.05:
        return b"[" * 5000

    def value(depth: int) -> object:
        if depth > 2 or rng.random() < 0.6:
            return rng.choice((None, True, -1, 1e308, 2**70, *_TEXTS))
        return {
            rng.choice(("scope", "mode", "why", "for", "query", "schema", *_NAMES)): value(depth + 1) for _ in range(3)
        }

    return json.dumps(value(depth)).encode()


def say(port: int, data: bytes) -> int:
    """The status of the answer; 0 where the server closed without one. Raises `TimeoutError` where none comes."""
    with socket.create_connection(("127.0.0.1", port), HALF_S) as connection:
        answer = b""
        try:
            connection.sendall(data)
            while piece := _heard(connection):
                answer = answer or piece
        except (ConnectionError, BrokenPipeError):
            pass
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 2 and words[1].isdigit() else 0


def _heard(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except TimeoutError:
        # What is half a request now is whole or over.
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(PATIENCE_S)
        return connection.recv(65_536)


def storm(
    port: int,
    rng: random.Random,
    count: int,
    paths: Sequence[str],
    usual: Mapping[str, str],
    fine: Collection[int] = (501, 503, 505),
) -> tuple[Counter[int], list[tuple[int, bytes]]]:
    """How many answers there were of each status; and which requests met a server's own failure.

    `fine`: what is none from 500 on, such as the words for methods and versions that a server does not know.
    """
    statuses: Counter[int] = Counter()
    failures = []
    for _ in range(count):
        data = request(rng, paths, usual)
        try:
            status = say(port, data)
        except TimeoutError:
            status = -1
        statuses[status] += 1
        if status == -1 or (status >= 500 and status not in fine):
            failures.append((status, data))
    return statuses, failures
