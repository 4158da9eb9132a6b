"""A payload without what must not leave: JSON in, JSON out, bounded.

A payload is the canonical JSON that its hash is of. Whatever is cut is cut after it was redacted: each text is
read so far beyond the cut that whatever begins before it is known whole.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ...control.snapshots import Redact
from .find import Finder, plain_text
from .names import SECRET, Names, is_random

MARGIN = 4_096
"""Characters read beyond where a text is cut: no secret that is not open-ended is longer."""
MOST_READ = 4_000_000
"""Characters of a payload that is looked into; of a larger one only its size is kept."""
MOST_DEPTH = 80
MOST_KEY = 200
MOST_INNER = 1_000_000
"""Characters of a text that is tried as JSON."""

_BYTES = re.compile(r"(?:[0-9a-f]{2}){8,}")
_NAMING = ("name", "key", "header", "field", "variable", "param", "parameter", "id")
_OPTION = re.compile(r"-{1,2}[\w.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Redacted:
    """What may leave of a payload."""

    text: str
    """JSON."""
    counts: dict[str, int]
    """How many were taken out, by kind."""
    truncated: bool


class Redactor:
    """Redacts payloads. One thread at a time."""

    def __init__(self, redact: Redact, most: int) -> None:
        """`most`: characters of text that are kept of one payload."""
        self._names = Names(redact.keys)
        self._secrets = SECRET not in redact.off
        self._off = redact.off
        self._finder = Finder(self._names, redact.off, redact.patterns)
        self._most = most

    def __call__(self, canonical: str) -> Redacted:
        """What may leave of a payload, given its canonical JSON."""
        if len(canonical) > MOST_READ:
            return _nothing(f"[too long: {len(canonical):,} characters]")
        try:
            value = json.loads(canonical)
        except (ValueError, RecursionError):
            return _nothing("[cannot be read]")
        work = _Work(self._names, self._finder, self._secrets, self._off, self._most)
        kept = work.value(value, 0)
        text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        return Redacted(text.encode("utf-8", "replace").decode(), dict(work.counts), work.truncated)


def _nothing(mark: str) -> Redacted:
    return Redacted(json.dumps(mark), {}, True)


class _Work:
    """One payload under way."""

    def __init__(self, names: Names, finder: Finder, secrets: bool, off: frozenset[str], most: int) -> None:
        self._names = names
        self._finder = finder
        self._secrets = secrets
        self._off = off
        self._room = most
        self.counts: Counter[str] = Counter()
        self.truncated = False

    def value(self, value: Any, depth: int) -> Any:
        if depth > MOST_DEPTH:
            self.truncated = True
            return "[too deep]"
        if isinstance(value, str):
            return self._text(value, depth)
        if isinstance(value, dict):
            return self._mapping(value, depth)
        if isinstance(value, list):
            return self._list(value, depth)
        self._room -= 4
        if isinstance(value, int) and not isinstance(value, bool) and value >= 10**12:
            shown = str(value) if value < 10**20 else ""
            if spans := self._finder.spans(shown):
                return self._mark(spans[0][2])
        return value

    def _mapping(self, mapping: dict[str, Any], depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        named = self._named(mapping)
        for done, (key, value) in enumerate(mapping.items()):
            if self._room <= 0:
                self.truncated = True
                out["…"] = f"[+{len(mapping) - done:,} items]"
                break
            kind = self._names.kind_of(key) or (named if key not in _NAMING else None)
            out[self._key(key, out)] = self._under(kind, value, depth)
        return out

    def _named(self, mapping: dict[str, Any]) -> str | None:
        """The kind of a mapping that says its value's name in a field: `{"name": "password", "value": …}`."""
        if len(mapping) > 8 or not any(field in mapping for field in ("value", "val", "content", "default", "data")):
            return None
        kinds = (self._names.kind_of(mapping[key]) for key in _NAMING if isinstance(mapping.get(key), str))
        return next((kind for kind in kinds if kind is not None and kind != "?"), None)

    def _list(self, values: list[Any], depth: int) -> list[Any]:
        out: list[Any] = []
        kind: str | None = None
        for done, value in enumerate(values):
            if self._room <= 0:
                self.truncated = True
                out.append(f"[+{len(values) - done:,} items]")
                break
            out.append(self._under(kind, value, depth))
            # A header beside its value, or an option of a command line before it.
            names = isinstance(value, str) and (
                (len(values) == 2 and not done) or (_OPTION.fullmatch(value) is not None and "=" not in value)
            )
            kind = self._names.kind_of(value.lstrip("-")) if names else None
            if kind == "?":
                kind = None
        return out

    def _under(self, kind: str | None, value: Any, depth: int) -> Any:
        """A value beside a name of that kind."""
        if kind is None or value is None or isinstance(value, bool) or value in ("", [], {}):
            return self.value(value, depth + 1)
        if kind == "?":
            if isinstance(value, str):
                if self._secrets and is_random(value):
                    return self._mark(SECRET)
            elif isinstance(value, list):
                return [self._under(kind, one, depth + 1) for one in value[:1_000]] + self._rest(value, 1_000)
            return self.value(value, depth + 1)
        if kind in self._off:
            return self.value(value, depth + 1)
        if kind != SECRET and not (isinstance(value, int | str) and sum(map(str.isdigit, str(value)[:200])) >= 5):
            return self.value(value, depth + 1)
        return self._mark(kind)

    def _rest(self, values: list[Any], at: int) -> list[Any]:
        if len(values) <= at:
            return []
        self.truncated = True
        return [f"[+{len(values) - at:,} items]"]

    def _key(self, key: str, taken: dict[str, Any]) -> str:
        room = self._room
        short, self._room = self._plain(key, MOST_KEY), room - min(len(key), MOST_KEY)
        name, number = short, 2
        while name in taken:
            name, number = f"{short}#{number}", number + 1
        return name

    def _text(self, text: str, depth: int) -> str:
        found = self._inner(text, depth)
        return self._plain(text, max(0, self._room)) if found is None else found

    def _inner(self, text: str, depth: int) -> str | None:
        """A text that holds something of its own: JSON, or bytes in hex; None for one that does not."""
        if len(text) > MOST_INNER:
            return None
        bare = text.strip()
        if bare[:1] in ("{", "[") and bare[-1:] in ("}", "]"):
            try:
                inner = json.loads(bare)
            except (ValueError, RecursionError):
                return None
            before = sum(self.counts.values()), self.truncated
            out = json.dumps(self.value(inner, depth + 1), ensure_ascii=False)
            # As it was, blanks and all, where there was nothing in it.
            return text if before == (sum(self.counts.values()), self.truncated) else out
        if _BYTES.fullmatch(bare):
            data = bytes.fromhex(bare)
            inner_text = plain_text(data)
            if inner_text is None:
                spans = self._finder.spans(data.decode("latin-1"))
                return self._mark(spans[0][2]) if spans else None
            before = sum(self.counts.values()), self.truncated
            room = self._room
            out = self._text(inner_text, depth + 1)
            if before != (sum(self.counts.values()), self.truncated):
                return out
            self._room = room
        return None

    def _plain(self, text: str, room: int) -> str:
        """A text redacted, then cut to `room` characters."""
        head = text[: room + MARGIN]
        out: list[str] = []
        at = 0
        for start, end, kind in self._finder.spans(head):
            if start >= room:
                break
            out.append(head[at:start])
            out.append(self._mark(kind))
            at = end
        if at < room:
            out.append(head[at:room])
            at = min(room, len(text))
        self._room -= at
        if at < len(text):
            self.truncated = True
            out.append(f"…[+{len(text) - at:,} characters]")
        return "".join(out)

    def _mark(self, kind: str) -> str:
        self.counts[kind] += 1
        self._room -= len(kind)
        return f"[{kind}]"
