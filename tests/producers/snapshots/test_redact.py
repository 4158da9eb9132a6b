"""Nothing that is planted in a payload is left in what leaves of it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.control.snapshots import KINDS, Redact
from runwatch.producers.snapshots.patterns import PATTERNS
from runwatch.producers.snapshots.redact import MARGIN, MOST_READ, Redacted, Redactor
from runwatch.schemas.canonical import canonical_json

from ...planted import EVERY, Planter, found

MOST = 16_384


def redacted(payload: Any, most: int = MOST, **options: Any) -> Redacted:
    return Redactor(Redact(**options), most)(canonical_json(payload))


def value(payload: Any, **options: Any) -> Any:
    return json.loads(redacted(payload, **options).text)


@pytest.mark.parametrize(("kind", "way"), EVERY)
def test_nothing_planted_is_left(kind: str, way: str) -> None:
    planter = Planter(sum(map(ord, kind + way)))
    for _ in range(25):
        one = planter.planted(kind, way)
        kept = redacted(one.payload)
        assert [] == found(kept.text.encode(), one.needles), (one, kept.text[:300])
        assert kept.counts or kept.truncated


@given(st.integers(0, 10**6), st.integers(256, 4_000), st.integers(0, 5_000))
def test_no_cut_leaves_half_a_secret(seed: int, most: int, before: int) -> None:
    one = Planter(seed).planted()
    kept = redacted(["x" * before, one.payload, "tail " * 100], most)
    assert [] == found(kept.text.encode(), one.needles)


@pytest.mark.parametrize("kind", ["key", "email", "private_key", "jwt", "auth", "connection"])
def test_what_begins_before_the_cut_is_whole_or_gone(kind: str) -> None:
    one = Planter(5).planted(kind, "value")
    text = one.secret.text
    for shift in range(len(text) + 2):
        kept = redacted("lorem " * 400 + text + " and on" * 2_000, 2_400 + shift)
        assert [] == found(kept.text.encode(), one.needles)
        # Nor any part that is long enough to be told.
        assert all(needle[:10] not in kept.text.encode() for needle in one.needles)


def test_a_key_longer_than_the_margin_is_not_cut_into() -> None:
    body = "\n".join("ab3" * 21 for _ in range(200))
    assert len(body) > MARGIN
    dashes = "-" * 5
    text = f"see {dashes}BEGIN PRIVATE KEY{dashes}\n{body}\n{dashes}END PRIVATE KEY{dashes} done"
    kept = redacted(text, 1_000)
    assert json.loads(kept.text).startswith("see [private_key]")
    assert "ab3" not in kept.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann@example.com now", "write to [email] now"),
        ("call +49 30 901820 or (415) 555-2671", "call [phone] or [phone]"),
        ("mysql://root:pa@ss/w@db:3306/x", "mysql://root:[password]@db:3306/x"),
        ("https://host:8080/a?b=c", "https://host:8080/a?b=c"),
        ("curl -u me:pw123 http://x", "curl -u me:[password] http://x"),
        ("?access_token=zzz9&page=2", "?access_token=[secret]&page=2"),
        ("password = my old dog\nuser = ann", "password = [secret]\nuser = ann"),
        ('{"pins": 1, "passwords": ["a", {"b": "c"}], "n": [1', '{"pins": 1, "passwords": [secret], "n": [1'),
        ("password=abc level=info", "password=[secret] level=info"),
        ("the password field, and 'token' too", "the password field, and 'token' too"),
        ("Authorization: Digest abcdef", "Authorization: [auth]"),
        ('{"password": "a b", "n": 1}', '{"password": "[secret]", "n": 1}'),
        ("a basic understanding of bearer certificates", "a basic understanding of bearer certificates"),
        ("order 2026-11-23 no 8841203, 12.50 EUR", "order 2026-11-23 no 8841203, 12.50 EUR"),
        ("1760000000000 0192d1c4-7a3e-7cc1-9a55-5d1f0c3b2a10", "1760000000000 0192d1c4-7a3e-7cc1-9a55-5d1f0c3b2a10"),
        ("sk-learn and task-force-one-two-three", "sk-learn and task-force-one-two-three"),
        ("max_tokens=100, token_count: 7", "max_tokens=100, token_count: 7"),
    ],
)  # fmt: skip
def test_a_mark_says_what_was_there_and_the_rest_stays(text: str, expected: str) -> None:
    assert expected == value(text)


def test_values_under_names_that_say_so_are_taken_out_whole() -> None:
    payload = {
        "apiKey": "x", "password": 12345, "credentials": {"user": "a", "pins": [1, 2]}, "phone": 4930901820,
        "token_count": 12, "max_tokens": 100, "key": "orders", "primary_key": "a8F3kd92Lq0ZpX7tYw", "secret": None,
        "is_secret": True, "email": "nobody",
    }  # fmt: skip
    expected = payload | {
        "apiKey": "[secret]", "password": "[secret]", "credentials": "[secret]", "phone": "[phone]",
        "primary_key": "[secret]",
    }  # fmt: skip
    assert expected == value(payload)


def test_ones_own_names_and_patterns() -> None:
    own = {"keys": ("customer number", "Salary"), "patterns": {"employee": r"EMP-\d{6}"}}
    payload = {"customerNumber": 7, "salary": 100, "note": "EMP-123456, salary: 100"}
    assert {"customerNumber": "[secret]", "note": "[employee], salary: [secret]", "salary": "[secret]"} == value(
        payload, **own
    )
    assert {"employee": 1, "secret": 3} == redacted(payload, **own).counts


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_turned_off(kind: str) -> None:
    examples = {
        "email": "ann@example.com", "phone": "+49 30 901820", "card": "4111 1111 1111 1111",
        "iban": "DE89 3704 0044 0532 0130 00", "key": "AK" + "IA" + "QWERTYUIOPASDF23", "jwt": "eyJ" + "a1" * 20,
        "private_key": "-----BEGIN PRIVATE " + "KEY-----\nab", "auth": "bearer 1234567890abcdef",
        "password": "ftp://a:bcd@host/", "secret": "password=abc",
    }  # fmt: skip
    text = examples[kind]
    assert f"[{kind}]" in value(text)
    assert text == value(text, off=frozenset({kind}))


def test_redacted_keys_that_fall_into_one_are_kept_apart() -> None:
    assert {"[email]": 2, "[email]#2": 1} == value({"john@example.com": 1, "jane@example.com": 2})


def test_what_is_harmless_stays_as_it_is() -> None:
    payload = {"text": "a", "n": [1, 2.5, None, True], "json": '{ "a" : 1 }', "hex": "00ff" * 10, "ü": "grüße"}
    kept = redacted(payload)
    assert (payload, {}, False) == (json.loads(kept.text), {}, False)
    assert canonical_json(payload) == kept.text


def test_what_is_too_long_is_cut_with_a_mark() -> None:
    kept = redacted({"a": "x" * 1_000, "b": list(range(5_000)), "c": "y"}, 1_200)
    assert kept.truncated
    assert len(kept.text) < 2_000
    assert json.loads(kept.text)["b"][-1].startswith("[+")
    assert json.loads(redacted("x" * 1_000, 256).text) == "x" * 256 + "…[+744 characters]"
    too_long = redacted("x" * (MOST_READ + 1))
    assert ('"[too long: 4,000,003 characters]"', True) == (too_long.text, too_long.truncated)


def test_what_cannot_be_read_is_not_kept() -> None:
    redactor = Redactor(Redact(), MOST)
    assert '"[cannot be read]"' == redactor("[" * 100_000).text
    deep = redactor("[" * 500 + "1" + "]" * 500)
    assert "[too deep]" in deep.text


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20,
))  # fmt: skip
def test_any_payload_gives_json(payload: Any) -> None:
    kept = redacted(payload, 2_000)
    json.loads(kept.text)
    assert kept.text == redacted(payload, 2_000).text
    kept.text.encode()


EVIL = {
    "letters": "a" * 20_000, "eyJ": "eyJ" * 7_000, "dashes": "-" * 20_000, "at": "a@" * 10_000, "blanks": "1 " * 10_000,
    "digits": "4" * 20_000, "names": "password=" * 2_500, "quotes": '"\\' * 9_000, "percent": "%41" * 7_000,
    "urls": "://a:" * 4_000, "base64": "QUFB" * 5_000, "plus": "+1 " * 6_000, "escapes": "\\u0041" * 3_300,
    "mails": "a@a.a.a.a.a.a.a" * 1_300, "bearer": "bearer " * 2_800, "brackets": "(1) " * 5_000, "sk": "sk-" * 6_000,
    "blocks": "-----BEGIN PRIVATE " "KEY-----" * 700, "zeros": "00 1 " * 4_000, "iban": "DE89" * 5_000,
}  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_time_grows_with_the_text_and_not_faster(name: str) -> None:
    """Agents read pages that others wrote: no text may hold the thread up."""

    def seconds(text: str) -> float:
        redact = Redactor(Redact(), 100_000)
        began = time.thread_time()
        redact(canonical_json(text))
        return time.thread_time() - began

    text = EVIL[name]
    short = min(seconds(text[: len(text) // 4]) for _ in range(3))
    long = min(seconds(text) for _ in range(3))
    # Four times the text: sixteen times the time would be the square.
    assert long < 10 * short + 0.02


def test_the_kinds_are_those_of_the_settings() -> None:
    assert {one.kind for one in PATTERNS} | {"card", "iban", "secret", "password"} == set(KINDS)
