"""Identities: time-ordered where new, the same twice where derived."""

from __future__ import annotations

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas.ids import derived_hex, derived_id, uuid7

MOMENTS = st.integers(min_value=0, max_value=2**48 - 1)
PARTS = st.lists(st.none() | st.integers() | st.text(), max_size=5)


@given(MOMENTS)
def test_a_uuid7_is_a_valid_one(now_ms: int) -> None:
    value = uuid.UUID(uuid7(now_ms))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == now_ms


@given(MOMENTS, MOMENTS)
def test_uuid7s_sort_by_time(a: int, b: int) -> None:
    if a != b:
        assert (uuid7(a) < uuid7(b)) == (a < b)


def test_uuid7s_of_one_millisecond_differ() -> None:
    assert len({uuid7(1_700_000_000_000) for _ in range(10_000)}) == 10_000


def test_a_uuid7_is_written_as_uuids_are() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", uuid7(0))


@given(PARTS)
def test_a_derived_id_is_the_same_twice_and_a_valid_uuid8(parts: list[str | int | None]) -> None:
    assert derived_id(*parts) == derived_id(*parts)
    value = uuid.UUID(derived_id(*parts))
    assert (value.version, value.variant) == (8, uuid.RFC_4122)


@given(PARTS, PARTS)
def test_different_parts_give_different_ids(a: list[str | int | None], b: list[str | int | None]) -> None:
    # A number and its digits are one part: ids are derived from what files hold as well.
    same = [None if part is None else str(part) for part in a] == [None if part is None else str(part) for part in b]
    assert (derived_id(*a) == derived_id(*b)) == same
    assert (derived_hex(*a) == derived_hex(*b)) == same


def test_parts_keep_their_borders() -> None:
    assert len({derived_hex("ab", "c"), derived_hex("a", "bc"), derived_hex("abc"), derived_hex("abc", None)}) == 4


def test_known_ids_stay() -> None:
    # What is stored under these must be found again by later versions.
    assert derived_id("event", "run-1", 0) == "59926e1c-ccf4-86c4-8a3a-c6f5fa554669"
    assert derived_hex("loop.repeat", "run-1", None) == "3d90c1473fe173fe31b18bc2"
