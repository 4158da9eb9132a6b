"""What is believed of the control topic, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.control.read import MOST_AHEAD_MS, BadControl, read_control
from runwatch.schemas.avro import load
from runwatch.schemas.controls import Control
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.wire import encode, header

REGISTRY = LocalRegistry()
LOG_MS = 1_795_000_000_000
GOOD = Control("c1", "run:r1", "stop", LOG_MS - 5, "it loops", "policy:loop.repeat", LOG_MS + 3_600_000, "a1")


def message(control: Control) -> bytes:
    schema = load("control")
    return encode(control.to_record(), schema, schema.schema_id)


def read(key: bytes | None, value: bytes | None, log_ms: int | None = LOG_MS) -> tuple[str, Control | None]:
    return read_control(key, value, REGISTRY.schema_of, log_ms)


def test_a_command_comes_back_as_it_was_sent() -> None:
    assert ("run:r1", GOOD) == read(b"run:r1", message(GOOD))


def test_a_message_without_a_value_takes_away_what_stands() -> None:
    assert ("run:r1", None) == read(b"run:r1", None)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("forged", {"scope": "fleet"}),
        ("forged", {"control_id": ""}),
        ("forged", {"by": " "}),
        ("forged", {"why": ""}),
        ("forged", {"why": "x" * 5_000}),
        ("forged", {"expires_ms": GOOD.ts_ms - 1}),
        ("forged", {"ts_ms": LOG_MS + MOST_AHEAD_MS + 1, "expires_ms": None}),
    ],
)
def test_what_does_not_fit_together_is_not_believed(reason: str, change: dict[str, Any]) -> None:
    with pytest.raises(BadControl) as caught:
        read(b"run:r1", message(replace(GOOD, **change)))
    assert reason == caught.value.reason


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    ahead = replace(GOOD, ts_ms=LOG_MS + MOST_AHEAD_MS, expires_ms=None)
    assert ("run:r1", ahead) == read(b"run:r1", message(ahead))


@pytest.mark.parametrize("key", [None, b"", b"everyone", b"\xff\xfe", b"run:"])
def test_a_key_that_is_no_scope_is_not_believed(key: bytes | None) -> None:
    for value in (message(GOOD), None):
        with pytest.raises(BadControl) as caught:
            read(key, value)
        assert "key" == caught.value.reason


def test_a_message_of_another_schema_is_not_believed() -> None:
    with pytest.raises(BadControl) as caught:
        read(b"run:r1", header(load("anomaly").schema_id) + message(GOOD)[5:])
    assert "schema" == caught.value.reason


@given(st.binary(max_size=200))
def test_noise_is_not_believed_and_does_no_harm(noise: bytes) -> None:
    with pytest.raises(BadControl):
        read(b"run:r1", noise)


@given(st.integers(0, len(message(GOOD)) - 1))
def test_a_message_cut_short_is_not_believed(length: int) -> None:
    with pytest.raises(BadControl):
        read(b"run:r1", message(GOOD)[:length])
