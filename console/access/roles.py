"""Viewers look; operators also act."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LONGEST_NAME: Final = 40


class Role(StrEnum):
    """What someone may do; an operator may do all that a viewer may."""

    viewer = "viewer"
    operator = "operator"

    def covers(self, needed: Role) -> bool:
        """Whether who has this role may do what takes `needed`."""
        return self is Role.operator or needed is Role.viewer


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who has shown a token. `name` is what the audit says of them."""

    role: Role
    name: str
    person: str = ""
    """What they said that they are called; empty where they did not."""
    id: str = ""
    """Empty where the token came with the request itself."""
    until_s: float = math.inf
    """When it ends: Unix time, seconds."""

    @property
    def by_cookie(self) -> bool:
        """Whether a browser sent it unasked, so that another site may have caused the request."""
        return self.id != ""


def person_named(text: str) -> str:
    """A name as it may stand in the audit and in a header: one line, nothing invisible, no more than 40 characters."""
    seen = "".join(one if one.isprintable() and unicodedata.category(one) != "Cf" else " " for one in text[:1_000])
    return " ".join(seen.split())[:LONGEST_NAME].strip()
