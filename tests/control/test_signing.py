"""What is signed, how it travels, and what keys look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.control.signing import (
    HEADER,
    BadSignature,
    Envelope,
    Signer,
    WrongKey,
    found,
    is_signed_by,
    make_pair,
    read_private,
    read_public,
    signed_bytes,
)

TOPIC = "agent.control"
PUBLIC, PRIVATE = make_pair()
SIGNER = Signer(PRIVATE, lambda: 1_795_000_000_000)
# RFC 8032, section 7.1, test 2: its secret key and public key, in our way of writing.
RFC_PRIVATE = "ctl-key-TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs"
RFC_PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"

parts = st.tuples(
    st.text(max_size=20), st.binary(max_size=30), st.none() | st.binary(max_size=60), st.integers(0, 2**63)
)


def test_the_key_is_that_of_the_standard() -> None:
    assert RFC_PUBLIC == Signer(RFC_PRIVATE, lambda: 0).public.hex()


@given(st.binary(max_size=40), st.none() | st.binary(max_size=200))
def test_what_was_signed_is_known_and_the_least_change_is_too(key: bytes, value: bytes | None) -> None:
    ((name, data),) = SIGNER.headers(TOPIC, key, value)
    envelope = Envelope.read(data)
    assert (HEADER, 81, SIGNER.key_id, 1_795_000_000_000) == (name, len(data), envelope.key_id, envelope.at_ms)
    assert is_signed_by(SIGNER.public, envelope, TOPIC, key, value)
    for topic, key_, value_ in (
        ("other.agent.control", key, value),
        (TOPIC, key + b"x", value),
        (TOPIC, key, (value or b"") + b"x"),
        (TOPIC, key, b"" if value is None else None),
    ):
        assert not is_signed_by(SIGNER.public, envelope, topic, key_, value_)
    later = Envelope(envelope.key_id, envelope.at_ms + 1, envelope.signature)
    assert not is_signed_by(SIGNER.public, later, TOPIC, key, value)
    assert not is_signed_by(Signer(RFC_PRIVATE, lambda: 0).public, envelope, TOPIC, key, value)


@given(parts, parts)
def test_no_two_messages_have_the_same_bytes_to_sign(
    one: tuple[str, bytes, bytes | None, int], other: tuple[str, bytes, bytes | None, int]
) -> None:
    assert (one == other) == (signed_bytes(*one) == signed_bytes(*other))


def test_the_parts_cannot_be_shifted_into_one_another() -> None:
    assert signed_bytes("ab", b"c", b"d", 1) != signed_bytes("a", b"bc", b"d", 1)
    assert signed_bytes("a", b"bc", b"d", 1) != signed_bytes("a", b"b", b"cd", 1)
    assert signed_bytes("a", b"b", None, 1) != signed_bytes("a", b"b", b"", 1)


def test_a_message_without_the_header_is_not_signed() -> None:
    assert found(None) is None
    assert found([("traceparent", b"1")]) is None


@given(st.binary(max_size=120))
def test_noise_is_no_signature(noise: bytes) -> None:
    if len(noise) == 81 and noise[0] == 1:
        return
    with pytest.raises(BadSignature):
        found([(HEADER, noise)])


def test_two_signatures_or_an_empty_one_are_none() -> None:
    ((_, data),) = SIGNER.headers(TOPIC, b"fleet", None)
    for headers in ([(HEADER, data), (HEADER, data)], [(HEADER, None)], [(HEADER, b"\2" + data[1:])]):
        with pytest.raises(BadSignature):
            found(headers)


def test_a_pair_is_read_as_it_was_written() -> None:
    assert SIGNER.public == read_public(PUBLIC)
    assert 32 == len(read_private(PRIVATE + "\n"))
    assert make_pair()[1] != PRIVATE


# Named, since the keys are made anew by each process that runs tests.
@pytest.mark.parametrize(
    "text",
    ["", "x", "ctl-pub-", PUBLIC[:-1], PUBLIC + "a", "snap-pub-" + PUBLIC[8:], PRIVATE],
    ids=["empty", "letter", "no key", "too short", "too long", "another kind", "private"],
)
def test_what_is_no_public_key_is_told_and_not_shown(text: str) -> None:
    with pytest.raises(WrongKey) as caught:
        read_public(text)
    assert PRIVATE[8:] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", PRIVATE[:-2], PUBLIC, "snap-key-" + PRIVATE[8:], "ctl-key-" + "?" * 43],
    ids=["empty", "too short", "public", "another kind", "no letters"],
)
def test_what_is_no_private_key_is_told_and_not_shown(text: str) -> None:
    with pytest.raises(WrongKey) as caught:
        read_private(text)
    assert not text or text[8:] not in str(caught.value)


def test_a_signer_does_not_show_its_key() -> None:
    assert PRIVATE[8:20] not in repr(SIGNER) + str(SIGNER.__slots__)
