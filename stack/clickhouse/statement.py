"""Where an INSERT's statement ends and its data begins, and which format a query asks for.

Only the statement is looked at, token by token and never past its end: the data may be binary. The rules are those
of ClickHouse's ParserInsertQuery: after ``FORMAT name`` come blanks, then at most one line break, then the data;
after ``VALUES`` the data starts at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

# What nothing ends goes to the end of the text: else it would be looked for from each of its beginnings anew.
_TOKEN = re.compile(
    rb"""
      (?P<blank>[\s\x00]+ | --[^\n]* | \#[ !][^\n]* | /\*.*?(?:\*/|\Z))
    | (?P<string>'(?:[^'\\]|\\.|'')*(?:'|\\?\Z) | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<name>"(?:[^"\\]|\\.|"")*(?:"|\\?\Z) | `(?:[^`\\]|\\.|``)*(?:`|\\?\Z))
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d\w*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: bytes
    start: int
    end: int

    @property
    def keyword(self) -> bytes:
        """The word in capitals, or nothing for any other token."""
        return self.text.upper() if self.kind == "word" else b""


@dataclass(frozen=True)
class Insert:
    """An INSERT that brings its data along, taken apart.

    ``head`` is the statement up to FORMAT or VALUES; ``settings_at`` the place in it where a SETTINGS clause begins
    (its length if there is none); ``inputs`` the places of the arguments of ``input(...)``, with their brackets'
    ends; ``data_at`` where the data begins in the text that was parsed.
    """

    head: bytes
    format: str
    settings_at: int
    data_at: int
    inputs: tuple[tuple[int, int], ...] = ()

    def from_file(self, path: str) -> bytes:
        """The same INSERT, reading its data from the file at `path`."""
        quoted = b"'" + path.encode().replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"
        if self.inputs:
            return self._from_file_function(quoted)
        before, settings = self.head[: self.settings_at], self.head[self.settings_at :]
        source = b" FROM INFILE " + quoted + b" COMPRESSION 'none' "
        return before + source + settings + b" FORMAT " + self.format.encode()

    def _from_file_function(self, quoted: bytes) -> bytes:
        text, at = [], 0
        for word_at, bracket_at in self.inputs:
            text += [self.head[at:word_at], b"file(", quoted, b", '", self.format.encode(), b"', "]
            at = bracket_at + 1
        return b"".join([*text, self.head[at:]])


class StatementError(ValueError):
    """The text is an INSERT that no reader could take apart."""


def _tokens(text: bytes) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "sign"
        if kind == "tag":
            kind = "string"
        if kind != "blank":
            yield _Token(kind, match.group(), match.start(), match.end())


def parse_insert(text: bytes) -> Insert | None:
    """Take an INSERT with data apart; None for any other statement, INSERT … SELECT among them.

    `text` may end in data of any length, or stop where the data would begin.
    """
    tokens = _tokens(text)
    token = next(tokens, None)
    if token is None or token.keyword != b"INSERT":
        return None
    token = next(tokens, None)
    for optional in (b"INTO", b"TABLE", b"FUNCTION"):
        if token is not None and token.keyword == optional:
            token = next(tokens, None)
    if token is None:
        return None
    # `token` is the target's name, which may be spelt like a keyword; a dotted name goes on past it.
    depth = 1 if token.text == b"{" else 0
    after_dot = False
    settings_at = -1
    selects = False
    inputs: list[tuple[int, int]] = []
    previous = token
    for token in tokens:
        if token.text in (b"(", b"[", b"{"):
            if token.text == b"(" and selects and previous.keyword == b"INPUT":
                inputs.append((previous.start, token.start))
            depth += 1
        elif token.text in (b")", b"]", b"}"):
            depth -= 1
        elif depth == 0 and not after_dot:
            if token.keyword == b"VALUES" and not selects:
                return _with_data(text, token.start, token.end, "Values", settings_at, ())
            if token.keyword == b"FORMAT" and (not selects or inputs):
                name = next(tokens, None)
                if name is None or name.kind not in ("word", "name"):
                    return None
                return _with_data(
                    text,
                    token.start,
                    _data_start(text, name.end),
                    name.text.strip(b'`"').decode(),
                    settings_at,
                    tuple(inputs),
                )
            if token.keyword == b"SETTINGS" and settings_at < 0:
                settings_at = token.start
            elif token.keyword in (b"SELECT", b"WITH"):
                selects = True
            elif token.keyword in (b"INFILE", b"WATCH"):
                return None
        after_dot = token.text == b"."
        previous = token
    return None


def _with_data(
    text: bytes, head_end: int, data_at: int, format_name: str, settings_at: int, inputs: tuple[tuple[int, int], ...]
) -> Insert:
    return Insert(
        head=text[:head_end],
        format=format_name,
        settings_at=head_end if settings_at < 0 else settings_at,
        data_at=data_at,
        inputs=inputs,
    )


def _data_start(text: bytes, at: int) -> int:
    if text[at : at + 1] == b";":
        raise StatementError("there is a ';' between the INSERT's FORMAT and its data: leave it out")
    while text[at : at + 1] in (b" ", b"\t", b"\f"):
        at += 1
    if text[at : at + 1] == b"\r":
        at += 1
    if text[at : at + 1] == b"\n":
        at += 1
    return at


@dataclass(frozen=True)
class Shape:
    """What the front must know of a statement that it passes on: its first word, format, and file access."""

    verb: str
    format: str | None
    outfile: bool


def shape_of(text: bytes) -> Shape:
    """Look over a whole statement that carries no data."""
    verb = ""
    format_name: str | None = None
    outfile = False
    depth = 0
    expects_name = False
    previous = b""
    for token in _tokens(text):
        if not verb:
            verb = token.keyword.decode()
        if expects_name and token.kind in ("word", "name"):
            format_name = token.text.strip(b'`"').decode()
        expects_name = depth == 0 and token.keyword == b"FORMAT"
        if token.text in (b"(", b"[", b"{"):
            depth += 1
        elif token.text in (b")", b"]", b"}"):
            depth -= 1
        elif (token.keyword == b"OUTFILE" and previous == b"INTO") or (
            token.keyword == b"INFILE" and previous == b"FROM"
        ):
            outfile = True
        previous = token.keyword
    return Shape(verb, format_name, outfile)
