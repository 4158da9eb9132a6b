"""Whether a request comes from the console's own pages, and was meant for it. Pure: headers in, a verdict out.

A browser sends cookies along with whatever any page makes it send. SameSite=Strict keeps other sites out, but not other
ports of the same machine, which are the same site: so every request also says where it was made (Origin,
Sec-Fetch-Site), and what was made elsewhere is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PAGE_SCHEME: Final = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Place:
    """A scheme, host and port, as browsers compare them."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Own:
    """Where the console is: the names it goes by, and its address behind a proxy."""

    names: frozenset[str]
    public: Place | None = None

    @classmethod
    def of(cls, host: str, url: str | None, hosts: str) -> Own:
        """`host`: what it listens on; `url` and `hosts`: the settings. Raises `ValueError` for a bad address."""
        public = None
        if url:
            public = place_of(url)
            if public is None:
                raise ValueError(
                    f"RUNWATCH_CONSOLE_URL is {url!r}, which is no address such as https://runwatch.example.org."
                )
        further = (one.strip() for one in hosts.split(","))
        names = {"localhost", host, *further, *([public.host] if public else [])}
        return cls(frozenset(one.lower().rstrip(".") for one in names if one), public)

    @property
    def secure(self) -> bool:
        """Whether people reach it by TLS, whatever reaches us."""
        return self.public is not None and self.public.scheme == "https"

    def is_called(self, host: str | None) -> bool:
        """Whether `host`, a Host header, is a name of ours.

        A site that lets its own name point to our address (DNS rebinding) sends its own name. An address in place of a
        name cannot have come by DNS, and is taken.
        """
        found = None if host is None else place_of(f"http://{host}")
        return found is not None and (found.host in self.names or _is_address(found.host))


def place_of(url: str) -> Place | None:
    """The place of an address; None where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return Place(parts.scheme, parts.hostname.rstrip("."), port or _PORTS[parts.scheme])


def is_foreign(scheme: str, method: str | None, headers: Mapping[str, str], own: Own) -> bool:
    """Whether a request was made by a page of another origin. `method`: None for a websocket.

    `headers`: lower-case names. Following a link from elsewhere to a page of ours is not foreign: it only looks.
    """
    origin = headers.get("origin")
    if origin is not None:
        made_at = place_of(origin)
        here = place_of(f"{_PAGE_SCHEME.get(scheme, scheme)}://{headers.get('host', '')}")
        if made_at is None or made_at not in (here, own.public):
            return True
    if headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
        return False
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    return not (followed and method in ("GET", "HEAD"))


def is_shown_own(headers: Mapping[str, str]) -> bool:
    """Whether a request that is not foreign proves it: every browser says where a request that acts was made."""
    return "origin" in headers or headers.get("sec-fetch-site") == "same-origin"


def local_path(path: str | None, otherwise: str = "/") -> str:
    """`path` if it leads to a page of ours, else `otherwise`: whoever signs in is not sent elsewhere."""
    if not path or len(path) > 4_000 or not path.startswith("/") or path.startswith("//"):
        return otherwise
    # Browsers take a backslash for a slash, and drop tabs and line ends before they look.
    if "\\" in path or any(not one.isprintable() or one.isspace() for one in path):
        return otherwise
    if path.split("?")[0].split("#")[0].rstrip("/") in ("/login", "/logout"):
        return otherwise
    return path


def single(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str] | None:
    """Headers by their names in lower case; None where one that decides who may come in is there twice."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        if name in found and name in _ONCE:
            return None
        found[name] = value.decode("latin-1")
    return found


_ONCE: Final = frozenset(("host", "origin", "authorization", "sec-fetch-site"))


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
