"""Where in a text there is what must not leave."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping

from ...control.snapshots import KINDS
from .names import SECRET, Names, is_random
from .patterns import PATTERNS
from .views import view

Span = tuple[int, int, str]
"""Where it begins, where it ends, and its kind."""

_OPENING = "[{"
MOST_NESTED = 4_096
"""Characters of a list or mapping under a secret's name, in a text that is no JSON as a whole."""
NESTED = 3
"""Base64 within base64 is looked into so many times."""

# Cards' first digits and lengths, as ISO/IEC 7812 issuers have them.
_ISSUER = re.compile(r"4|5[1-5]|2[2-7]|3[47]|3(?:0[0-5]|[689])|6(?:011|4[4-9]|5)|35(?:2[89]|[3-8]\d)|62|5[0678]|6[037]")
_CARD_LENGTHS = (19, 18, 17, 16, 15, 14, 13)
_CARD = re.compile(r"(?<!\d)\d(?:[ .\-\u00a0]?\d){12,}+")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11,40}+")
_IBAN_LENGTHS = range(34, 14, -1)
# What follows in one word; the possessive quantifier keeps each from being read more than once.
_AFTER_SCHEME = re.compile(r"://([^\s'\"<>`]{1,400}+)")
_PORT = re.compile(r"[^:/@]*:\d{1,5}/")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}+={0,2}")
_PRINTABLE = re.compile(r"[^\x00-\x08\x0e-\x1f\x7f]*")

# A name and what stands between it and its value: JSON, YAML, .env, URLs, command lines, XML, repr, SQL, and
# "password is". Pairs, such as ('password', '...'), have a comma after the name's own quote.
_NAMED = re.compile(
    r"(?P<name>(?<![\w.-])-{0,2}[\w.-]{1,100}+)"
    r"(?:(?P<near>\\*[\"'`]?\s{0,3}(?::=|=>|[:=])\s{0,3}|\s{1,3}(?:is|was|ist|est|es)\s{1,3}|>"
    r"|\\*[\"'`]\s{0,2},\s{0,3})|(?P<far>\s{1,3}))"
)
_BLANK_SIGN = re.compile(r"\s=\s|:")
_VALUE = re.compile(
    r"(?P<quote>\\{0,7}[\"'`])(?P<inner>(?:(?!(?P=quote))(?:\\.|[^\n])){0,4096}+)|(?P<bare>[^\s\"'`<>]{1,4096}+)"
)
_LINE_START = re.compile(r"[ \t\-*>#]*\Z")
_SCALARS = frozenset(("true", "false", "null", "none", "nil", "undefined", "true,", "false,", "null,"))


class Finder:
    """Finds what must not leave in texts."""

    def __init__(self, names: Names, off: Iterable[str] = (), own: Mapping[str, str] | None = None) -> None:
        """`off`: kinds that are not looked for; `own`: the user's patterns, by their marks."""
        self._names = names
        self._on = frozenset(KINDS) - frozenset(off)
        self._patterns = [one for one in PATTERNS if one.kind in self._on]
        self._own = [(name, re.compile(expression)) for name, expression in (own or {}).items()]

    def spans(self, text: str, depth: int = 0) -> list[Span]:
        """What was found, in order, none within another."""
        found = list(self._all(text, depth))
        seen = view(text)
        if seen is not None:
            found += [(*seen.raw(start, end), kind) for start, end, kind in self._all(seen.text, depth)]
        return _merged(found)

    def _all(self, text: str, depth: int) -> Iterator[Span]:
        for name, expression in self._own:
            yield from ((*one.span(), name) for one in expression.finditer(text) if one.end() > one.start())
        userinfo = list(_userinfo(text)) if "password" in self._on else []
        yield from userinfo
        ends = {end for _, end, _ in userinfo}
        for pattern in self._patterns:
            if pattern.hints and not any(hint in text for hint in pattern.hints):
                continue
            for one in pattern.find.finditer(text):
                if pattern.kind == "email" and text.find("@", one.start()) in ends:
                    # `password@host`.
                    continue
                if pattern.holds is None or pattern.holds(one[pattern.group]):
                    yield (*one.span(pattern.group), pattern.kind)
        if "card" in self._on:
            yield from _cards(text)
        if "iban" in self._on:
            yield from _ibans(text)
        yield from self._given(text)
        if depth < NESTED:
            yield from self._encoded(text, depth)

    def _given(self, text: str) -> Iterator[Span]:
        """Values that stand beside a name that says what they are."""
        done = 0
        for found in _NAMED.finditer(text):
            if found.start() < done:
                continue
            name = found["name"]
            kind = self._names.kind_of(name.lstrip("-"))
            if kind is None or (SECRET if kind == "?" else kind) not in self._on:
                continue
            # Under a suspicious name a value is looked at before it is read to its end.
            given = _VALUE.match(text, found.end(), found.end() + (300 if kind == "?" else len(text)))
            if given is None:
                continue
            # Without a sign between, only an option of a command line names what follows, or what is in quotes.
            if found["far"] is not None and not name.startswith("--") and given["quote"] is None:
                continue
            group = "bare" if given["quote"] is None else "inner"
            start, end = given.span(group)
            value = given[group]
            if kind == "?":
                if not is_random(value):
                    continue
                kind = SECRET
                end = _VALUE.match(text, found.end()).end(group)  # type: ignore[union-attr]  # it matched just now
            elif value.lower() in _SCALARS or (kind != SECRET and sum(one.isdigit() for one in value) < 5):
                continue
            if kind == SECRET and group == "bare" and value[0] in _OPENING:
                end = _closed(text, start)
            elif group == "bare" and text[max(0, found.start() - 1) : found.start()] in ("?", "&"):
                # A URL's query: the next parameter is another matter.
                end = start + len(re.split("[&#]", value, maxsplit=1)[0])
            elif group == "bare" and _BLANK_SIGN.search(found["near"] or "") and _starts_line(text, found.start()):
                # A line of its own, as in YAML and INI files: blanks may be part of it.
                line = text.find("\n", start)
                end = line if line >= 0 else len(text)
            if end > start:
                done = end
                yield start, end, kind

    def _encoded(self, text: str, depth: int) -> Iterator[Span]:
        """What is base64 of a text in which there is something."""
        for one in _BASE64.finditer(text):
            inner = decoded(one[0])
            if inner and (spans := self.spans(inner, depth + 1)):
                yield (*one.span(), spans[0][2])


def decoded(text: str) -> str | None:
    """The text that this is base64 of, cut to whole groups; None where it is none."""
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(bare[: len(bare) // 4 * 4] if len(bare) % 4 == 1 else bare + "=" * (-len(bare) % 4))
    except (ValueError, binascii.Error):
        return None
    return plain_text(data)


def plain_text(data: bytes) -> str | None:
    """Bytes as the text that they are; None where they are none."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        # The last character may have been cut.
        if error.start < len(data) - 3 or error.start == 0:
            return None
        text = data[: error.start].decode()
    return text if _PRINTABLE.fullmatch(text) else None


def _closed(text: str, at: int) -> int:
    """Where a list or a mapping that begins there ends, as far as its brackets tell; at most `MOST_NESTED` further."""
    depth = 0
    for place in range(at, min(len(text), at + MOST_NESTED)):
        if text[place] in _OPENING:
            depth += 1
        elif text[place] in "]}":
            depth -= 1
            if not depth:
                return place + 1
    return min(len(text), at + MOST_NESTED)


def _starts_line(text: str, at: int) -> bool:
    return _LINE_START.match(text, text.rfind("\n", 0, at) + 1, at) is not None


def _userinfo(text: str) -> Iterator[Span]:
    """The password of `scheme://user:password@host`, which may hold `@` and `/`, or a token in the user's place."""
    for one in _AFTER_SCHEME.finditer(text):
        user, at, _ = one[1].rpartition("@")
        if not at or _PORT.match(user):
            continue
        name, colon, password = user.partition(":")
        if "/" in name:
            continue
        start = one.start(1) + (len(name) + 1 if colon else 0)
        if password if colon else len(name) >= 8:
            yield start, one.start(1) + len(user), "password"


def _cards(text: str) -> Iterator[Span]:
    for run in _CARD.finditer(text):
        places = [run.start() + at for at, letter in enumerate(run[0]) if letter.isdecimal()]
        if len(places) > 200:
            # No card, and no list of cards that a person wrote; but it may be one of a program.
            places = places[:200]
        digits = "".join(text[place] for place in places)
        at = 0
        while at <= len(digits) - _CARD_LENGTHS[-1]:
            length = _card_at(digits, places, at)
            if length:
                yield places[at], places[at + length - 1] + 1, "card"
            at += length or 1


def _card_at(digits: str, places: list[int], at: int) -> int:
    """The length of the card number that begins there, between separators; 0 for none."""
    if at and places[at] == places[at - 1] + 1:
        return 0
    for length in _CARD_LENGTHS:
        end = at + length
        if end > len(digits) or (end < len(digits) and places[end] == places[end - 1] + 1):
            continue
        number = digits[at:end]
        if _ISSUER.match(number) and is_luhn(number):
            return length
    return 0


def is_luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, letter in enumerate(reversed(digits)):
        value = int(letter) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _ibans(text: str) -> Iterator[Span]:
    for run in _IBAN.finditer(text):
        places = [run.start() + at for at, letter in enumerate(run[0]) if letter not in " -"]
        letters = "".join(text[place] for place in places).upper()
        for length in _IBAN_LENGTHS:
            if length > len(letters) or (length < len(letters) and places[length] == places[length - 1] + 1):
                continue
            if is_iban(letters[:length]):
                yield places[0], places[length - 1] + 1, "iban"
                break


def is_iban(letters: str) -> bool:
    """Whether the check digits are right (ISO 13616: the number, turned about, leaves 1 when divided by 97)."""
    if not letters.isascii():
        return False
    turned = letters[4:] + letters[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _merged(found: list[Span]) -> list[Span]:
    """Spans in order; those that overlap are one, of the kind of the longest."""
    out: list[Span] = []
    longest = 0
    for start, end, kind in sorted(found, key=lambda one: (one[0], -one[1])):
        if out and start < out[-1][1]:
            begins, ends, its = out[-1]
            if end - start > longest:
                its, longest = kind, end - start
            out[-1] = (begins, max(ends, end), its)
        else:
            out.append((start, end, kind))
            longest = end - start
    return out
