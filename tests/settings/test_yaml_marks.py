"""YAML with places: values by the core schema, and what is wrong with the syntax."""

from __future__ import annotations

from math import inf, isnan
from typing import Any

import pytest

from runwatch.settings.yaml_marks import MOST_BYTES, Mistake, Place, read


def test_values_and_places() -> None:
    marked = read(b"# first\na:\n  b: [1, x]\nc: 'y'\n")
    assert {"a": {"b": [1, "x"]}, "c": "y"} == marked.value
    assert (Place(3, 3), Place(3, 6)) == (marked.keys["a", "b"], marked.values["a", "b"])
    assert Place(3, 10) == marked.values["a", "b", 1]
    assert (Place(4, 1), Place(4, 4)) == (marked.keys["c",], marked.values["c",])
    assert [] == marked.mistakes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7), ("-7", -7), ("+7", 7), ("010", 10), ("0x10", 16), ("0o10", 8), ("1e3", 1000.0), ("-.5", -0.5),
        ("1.", 1.0), (".inf", inf), ("-.INF", -inf), ("~", None), ("null", None), ("", None), ("true", True),
        ("FALSE", False), ("yes", "yes"), ("off", "off"), ("1:30", "1:30"), ("2026-03-01", "2026-03-01"),
        ("10m", "10m"), ("'7'", "7"), ("1_000", "1_000"), ("0x", "0x"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_people_expect(text: str, value: Any) -> None:
    found = read(f"a: {text}".encode()).value["a"]
    assert (type(value), value) == (type(found), found)


def test_no_number() -> None:
    assert isnan(read(b"a: .nan").value["a"])


@pytest.mark.parametrize(
    ("data", "line", "column", "what"),
    [
        (b"a:\n\tb: 1", 2, 1, "a tab stands here; indent by spaces"),
        (b"a: [1,\nb: 2", 2, 5,
         "the file ends within something that line 1 begins: a quote or a bracket is not closed"),
        (b"a: 'x", 1, 6, "the file ends within something that line 1 begins: a quote or a bracket is not closed"),
        (b"a: 1\n b: 2", 2, 3,
         "a second `:`, or a line that is indented deeper than the one above; put texts with `:` in quotes"),
        (b"a:\n  b: 1\n c: 2", 3, 2, "this line is not indented like those above it"),
        (b"a: 1\n---\nb: 2", 2, 1, "`---` begins a second document; one is all that is read"),
        (b"a: *b", 1, 4, "there is no anchor 'b' for this alias"),
        (b"a: @b", 1, 4, "character '@' cannot begin a value; put it in quotes"),
        (b"a: -", 1, 4, "this is not YAML (sequence entries are not allowed here)"),
        (b"a: \x01", 1, 4, "the character '\\x01' is not allowed in YAML"),
        (b"x\ny: \xfc", 2, 4, "the byte 0xfc is not UTF-8; save it as UTF-8"),
        (b"\xff\xfea\0", 1, 1, "the file is UTF-16 text; save it as UTF-8"),
        (b"[" * 5_000, 1, 1, "brackets are nested too deeply"),
        (b"[" * 40 + b"]" * 40, 1, 34, "values are nested too deeply"),
        (b"&a [*a]", 1, 1, "values are nested too deeply"),
        (b" " * (MOST_BYTES + 1), 1, 1, "the file is larger than 256 KiB"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(data: bytes, line: int, column: int, what: str) -> None:
    marked = read(data)
    assert (None, [Mistake(line, column, what)]) == (marked.value, marked.mistakes)


def test_aliases_are_followed_within_bounds() -> None:
    assert {"a": {"x": 1}, "b": {"x": 1}} == read(b"a: &one {x: 1}\nb: *one").value
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert ["there are more than 10,000 values"] == [one.what for one in read(bomb.encode()).mistakes]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a: !!python/object:os.system x",
         "the tag tag:yaml.org,2002:python/object:os.system is not known here; leave it out"),
        (b"a: !!int x", "'x' is no int; leave the tag out"),
        (b"a: 1\na: 2", "a stands here again; it is set in line 1"),
        (b"{[a]: 1}", "a key is a name, not a list or a mapping"),
    ],
)  # fmt: skip
def test_what_is_read_and_wrong(data: bytes, what: str) -> None:
    assert [what] == [one.what for one in read(data).mistakes]
