"""Dead letters: raw bytes with their origin, and the same as a row."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro
import pytest

from runwatch.sinks.batch import Bad
from runwatch.sinks.deadletter import SCHEMA, body, headers_of

Make = Callable[..., Any]


def row(message: Any) -> dict[str, Any]:
    stream = BytesIO(body(message))
    found = fastavro.schemaless_reader(stream, SCHEMA.parsed, None)
    assert stream.read() == b""
    assert isinstance(found, dict)
    return found


def test_headers_tell_why_and_where(message: Make) -> None:
    letter = Bad(message(41, partition=3), "avro", "the body does not parse")
    assert [
        ("reason", b"avro"),
        ("detail", b"the body does not parse"),
        ("topic", b"agent.events"),
        ("partition", b"3"),
        ("offset", b"41"),
    ] == headers_of(letter)


@pytest.mark.parametrize("value", [None, b"", b"\x00\xff" * 100])
@pytest.mark.parametrize("key", [None, b"run-1", b"\xff"])
def test_a_dead_letter_is_a_row_with_its_bytes(message: Make, key: bytes | None, value: bytes | None) -> None:
    headers = headers_of(Bad(message(41, partition=3), "avro", "why"))
    found = row(message(7, value=value, key_bytes=key, header_list=headers, of_topic="agent.deadletter"))
    assert {
        "topic": "agent.events",
        "partition": 3,
        "offset": 41,
        "reason": "avro",
        "detail": "why",
        "key": key,
        "value": value,
        "retries": 0,
        "retried_ms": None,
        "cut_from_bytes": None,
    } == found


def test_a_letter_that_died_again_knows_how_often_it_was_sent_back(message: Make) -> None:
    again = message(41, header_list=[("runwatch-retries", b"2"), ("else", b"x")])
    headers = headers_of(Bad(again, "avro", "why"))
    assert ("runwatch-retries", b"2") == headers[-1]
    assert 2 == row(message(7, header_list=headers))["retries"]


@pytest.mark.parametrize("said", [b"-1", b"9" * 18, b"x", b""])
def test_numbers_that_nobody_counted_to_are_none(message: Make, said: bytes) -> None:
    found = row(message(7, header_list=[("runwatch-retries", said), ("retried_ms", said)]))
    assert (0, None) == (found["retries"], found["retried_ms"])


def test_when_it_was_sent_back_and_how_much_there_was_of_it_are_kept(message: Make) -> None:
    found = row(message(7, header_list=[("retried_ms", b"1760000000000"), ("cut_from_bytes", b"300000")]))
    assert (1_760_000_000_000, 300_000) == (found["retried_ms"], found["cut_from_bytes"])


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [("reason", b"x")],
        [("topic", b"t"), ("partition", b"one"), ("offset", b"2")],
        [("topic", b"t"), ("partition", b"1"), ("offset", b"9" * 30)],
        [("topic", b"t"), ("partition", None), ("offset", b"2")],
    ],
)
def test_without_its_origin_a_dead_letter_is_its_own(
    message: Make, headers: list[tuple[str, bytes | None]] | None
) -> None:
    found = row(message(7, partition=2, header_list=headers, of_topic="agent.deadletter"))
    assert ("agent.deadletter", 2, 7) == (found["topic"], found["partition"], found["offset"])


def test_a_reason_of_no_text_is_made_readable(message: Make) -> None:
    found = row(message(7, header_list=[("reason", b"\xff\xfe")]))
    assert found["reason"] == "\ufffd\ufffd"
