"""What is sealed is opened by its key, under its own hash, and by nothing else."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas import sealing
from runwatch.schemas.sealing import NotOpened, Opener, Sealer, WrongKey, make_pair

PUBLIC, PRIVATE = make_pair()
SHA = "a" * 24


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_is_opened(text: str) -> None:
    assert text == Opener(PRIVATE).open(SHA, Sealer(PUBLIC).seal(SHA, text))


def test_both_sides_name_the_key_alike() -> None:
    assert Sealer(PUBLIC).key_id == Opener(PRIVATE).key_id
    assert 16 == len(Sealer(PUBLIC).key_id)
    assert Sealer(make_pair()[0]).key_id != Sealer(PUBLIC).key_id


def test_nothing_of_it_is_seen_and_no_two_boxes_are_alike() -> None:
    sealer = Sealer(PUBLIC)
    one, other = sealer.seal(SHA, '"hunter2"'), sealer.seal(SHA, '"hunter2"')
    assert one != other
    assert b"hunter2" not in one
    assert SHA.encode() not in one


@pytest.mark.parametrize("at", [0, 31, 40, -1])
def test_a_changed_box_does_not_open(at: int) -> None:
    box = bytearray(Sealer(PUBLIC).seal(SHA, "[]"))
    box[at] ^= 1
    with pytest.raises(NotOpened, match="not sealed for this key, or was changed"):
        Opener(PRIVATE).open(SHA, bytes(box))


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(NotOpened):
        Opener(make_pair()[1]).open(SHA, Sealer(PUBLIC).seal(SHA, "[]"))


def test_a_box_under_another_hash_is_noticed() -> None:
    with pytest.raises(NotOpened, match="another payload's"):
        Opener(PRIVATE).open("b" * 24, Sealer(PUBLIC).seal(SHA, "[]"))


def test_a_box_that_grows_without_end_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MOST_OPENED", 1_000)
    with pytest.raises(NotOpened, match="too large"):
        Opener(PRIVATE).open(SHA, Sealer(PUBLIC).seal(SHA, "x" * 100_000))


def test_a_box_of_something_else_is_not_opened() -> None:
    sealer = Sealer(PUBLIC)
    for data in (b"no zlib", zlib.compress(b"\xff\xfe")):
        with pytest.raises(NotOpened, match="is none"):
            Opener(PRIVATE).open(SHA, bytes(sealer._box.encrypt(data)))


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (PRIVATE, "it is the private key"),
        ("", "a public key is snap-pub- and 43 letters"),
        (PUBLIC[:-1], "not whole"),
        (PUBLIC + "x", "not whole"),
        (PUBLIC.replace("snap-pub-", "snap-pub-ä"), "not whole"),
    ],
    ids=["private", "none", "short", "long", "no letter of keys"],
)
def test_a_wrong_public_key_is_told_and_not_shown(key: str, told: str) -> None:
    with pytest.raises(WrongKey) as error:
        Sealer(key)
    assert told in str(error.value)
    assert PRIVATE not in str(error.value)


def test_a_public_key_is_no_token() -> None:
    with pytest.raises(WrongKey, match="this is the public one"):
        Opener(PUBLIC)
    with pytest.raises(WrongKey, match="reader's token is snap-key-"):
        Opener("hello")
