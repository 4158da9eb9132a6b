"""A value of which nothing is known but its hash."""

from __future__ import annotations


class Opaque:
    """Stands for a payload whose contents nobody kept. Its hash is the payload's, and so are its events.

    It equals what has the same hash, and says nothing else of itself.
    """

    def __init__(self, sha: str, status_code: int | None = None) -> None:
        """`status_code`: the HTTP status of the response that it stands for, if it was one."""
        self.sha = sha
        if status_code is not None:
            self.status_code = status_code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.sha == self.sha

    def __hash__(self) -> int:
        return hash(self.sha)

    def __repr__(self) -> str:
        return f"Opaque({self.sha!r})"
