"""Canonical JSON and its hash: equal values have one text, in every process."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas.canonical import HASH_DIGITS, canonical_json, sha, text_sha

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@dataclass
class Query:
    city: str
    days: int


class Point(NamedTuple):
    x: int
    y: int


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Plain:
    pass


class Model:
    """Stands for a pydantic model."""

    def model_dump(self) -> dict[str, Any]:
        return {"b": 1, "a": 2}


class Broken:
    """An object from which nothing can be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_the_format_is_the_designs() -> None:
    value = {"b": [1, 2.5, None, True], "a": "grüß \U0001f600 \u2028"}
    assert canonical_json(value) == '{"a":"grüß \U0001f600 \u2028","b":[1,2.5,null,true]}'


def test_the_hash_is_the_first_24_hex_digits_of_sha256_over_utf8() -> None:
    assert hashlib.sha256('{"q":"é"}'.encode()).hexdigest()[:24] == sha({"q": "é"})
    assert len(sha(None)) == HASH_DIGITS == 24


def test_known_hashes_stay() -> None:
    assert sha({}) == "44136fa355b3678a1146ad16"
    assert sha({"city": "Berlin", "days": 3}) == "2b38e2f64c6dc35dbb14afff"


@given(json_values)
def test_json_values_come_back_from_their_text(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(json_values)
def test_the_text_of_what_was_read_from_the_text_is_the_same(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), json_values, max_size=8), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert sha(value) == sha(dict(items))


@given(json_values, json_values)
def test_different_values_have_different_texts(a: Any, b: Any) -> None:
    # 1, 1.0 and True are equal to Python and not to JSON.
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (canonical_json(a) == canonical_json(b)) == same


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00\xff", '"00ff"'),
        (bytearray(b"ab"), '"6162"'),
        (memoryview(b"ab"), '"6162"'),
        ({3, 1, 2}, '["1","2","3"]'),
        (frozenset({"b", "a"}), '["\\"a\\"","\\"b\\""]'),
        ((1, (2, 3)), "[1,[2,3]]"),
        (Point(1, 2), "[1,2]"),
        (Query("Berlin", 3), '{"city":"Berlin","days":3}'),
        (Model(), '{"a":2,"b":1}'),
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Path("a/b"), "\"PosixPath('a/b')\""),
        (Plain(), '"Plain"'),
        (Broken(), '"Broken"'),
        (float("inf"), "Infinity"),
        ({1: "a", 2: "b"}, '{"1":"a","2":"b"}'),
        ({None: 1, "a": 2}, '{"a":2,"null":1}'),
        ({True: 1, "a": 2}, '{"a":2,"true":1}'),
        ({(1, 2): 1}, '{"[1,2]":1}'),
        ({b"ab": 1}, '{"\\"6162\\"":1}'),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str) else type(value).__name__,
)
def test_what_json_has_no_word_for_has_a_stand_in(value: Any, text: str) -> None:
    assert text == canonical_json(value)


def test_nan_is_equal_to_itself() -> None:
    assert canonical_json(math.nan) == "NaN"
    assert sha({"x": math.nan}) == sha({"x": float("nan")})


def test_a_lone_surrogate_has_a_hash() -> None:
    assert text_sha("\ud800") == sha_of_bytes(b"\xed\xa0\x80")
    assert sha("\ud800") != sha("\udfff")


def sha_of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]


def test_two_keys_with_one_text_give_one_answer_in_any_order() -> None:
    assert canonical_json({1: "int", "1": "text"}) == canonical_json({"1": "text", 1: "int"}) == '{"1":"text"}'


def test_a_structure_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert canonical_json(loop).count("[") == 65
    assert "…" in canonical_json(loop)


def test_a_structure_that_holds_itself_twice_ends_as_well() -> None:
    # Its text doubles with each level: bounded by items, not by depth alone.
    twins: list[Any] = []
    twins.extend([twins, twins])
    node: dict[str, Any] = {"children": []}
    node["children"] = [{"parent": node}, {"parent": node}, {"parent": node}]
    assert len(canonical_json(twins)) < 1_000_000
    assert sha(node) == sha(node)


def test_a_deep_structure_has_a_text() -> None:
    deep: Any = "leaf"
    for _ in range(100_000):
        deep = [deep]
    text = canonical_json(deep)
    assert text.startswith("[[[[")
    # Undone level by level: freeing it at once would overflow the C stack.
    while isinstance(deep, list):
        deep = deep.pop()


def test_an_int_too_long_to_print_has_a_text() -> None:
    assert canonical_json([10**5000]) == f'["{hex(10**5000)}"]'


def test_equal_objects_hash_the_same_in_another_process() -> None:
    code = (
        "from runwatch.schemas.canonical import sha\n"
        "class Handle: pass\n"
        "print(sha({'h': Handle(), 's': {'x', 'y', 'z'}, 'f': len}))"
    )
    hashes = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(hashes) == 1


@given(
    st.recursive(
        st.binary() | st.complex_numbers() | st.integers(),
        lambda x: (
            st.lists(x) | st.tuples(x, x) | st.dictionaries(st.integers() | st.text() | st.none() | st.booleans(), x)
        ),
        max_leaves=10,
    )
)
def test_it_never_raises(value: Any) -> None:
    assert len(sha(value)) == 24
