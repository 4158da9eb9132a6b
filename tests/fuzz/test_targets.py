"""A short search of each target; `make fuzz` searches long."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.schemas.avro import NAMES, load

from .malformed import EVENT, Maker, is_malformed
from .targets import EVENTS, SEEDS, TARGETS, cut, frames

_WORDS = st.sampled_from(
    [
        b"{", b"}", b"[", b"]", b'"', b"'", b"`", b"$a$", b"/*", b"*/", b"--", b"\\", b"\n", b"\x00", b"\xff",
        b"INSERT INTO t ", b"FORMAT ", b"VALUES", b"SELECT ", b"SETTINGS ", b"input(", b"1e999", b"NaN", b"-0",
        b":", b"@", b"fleet", b"agent:", b"dry:", b"/subjects/", b"/schemas/ids/", b"%2f", b"//[", b'{"schema":',
        b'"tool_calls"', b'"messages"', b'"role"', b'"assistant"', b'"run_id"', b"[" * 500, b"\x80" * 9,
        b"\x1f\x8b", b"\xed\xa0\x80", b"\x28\xb5\x2f\xfd",
    ]
)  # fmt: skip


def anything(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Any bytes, words that matter to some target, and what a target may begin with, damaged."""
    words = st.lists(_WORDS | st.binary(max_size=12), max_size=24).map(b"".join)
    parts = st.lists(st.binary(max_size=60), max_size=5).map(
        lambda them: b"".join(bytes([len(one)]) + one for one in them)
    )
    damaged = st.builds(
        lambda seed, at, put, size: seed[: at % (len(seed) + 1)] + put + seed[at % (len(seed) + 1) + size :],
        st.sampled_from(seeds or (b"",)), st.integers(0, 1000), st.binary(max_size=8) | _WORDS, st.integers(0, 12),
    )  # fmt: skip
    return words | parts | damaged | st.binary(max_size=400)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    searched = 0

    @settings(max_examples=120)
    @given(anything(SEEDS.get(name, ())))
    def search(data: bytes) -> None:
        nonlocal searched
        searched += 1
        TARGETS[name](data)

    search()
    assert searched >= 100


@pytest.mark.parametrize("seed", SEEDS["statements"] + SEEDS["registries"] + SEEDS["sign_ins"])
def test_what_a_search_begins_with(seed: bytes) -> None:
    for name in ("statements", "registries", "sign_ins"):
        assert TARGETS[name](seed) is None


@pytest.mark.parametrize("piece", [b"/* ", b"'", b"`\\", b"$a$", b"'\\", b"/* '", b"#!"])
def test_a_long_statement_that_nothing_ends_takes_no_longer_than_it_is_long(piece: bytes) -> None:
    assert TARGETS["statements"](b"SELECT " + piece * (200_000 // len(piece))) is None
    assert TARGETS["statements"](b"".join(b"$%d$ " % number for number in range(20_000))) is None


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_malformed_message_is_one(name: str) -> None:
    schema = load(name)
    maker = Maker(schema, EVENT if name == "agent_event" else {}, random.Random(1))
    assert not is_malformed(maker.whole, schema)
    assert set(maker.kinds) == {maker.make(kind)[0] for kind in maker.kinds}


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_frame_of_malformed_messages(seed: int) -> None:
    maker = Maker(EVENTS, EVENT, random.Random(seed))
    parts = [bytes([0]) + (maker.make()[1] or b"") for _ in range(4)]
    data = b"".join(bytes([len(one)]) + one for one in parts if len(one) < 256)
    assert cut(data) == [one for one in parts if len(one) < 256]
    frames(data)


def test_parts_are_cut_where_they_say() -> None:
    found: Callable[[bytes], list[bytes]] = cut
    assert [b"ab", b"", b"c"] == found(b"\x02ab\x00\x05c")
