"""The section `snapshots`: its defaults are the agent's, and its mistakes have their lines."""

from __future__ import annotations

from typing import get_args

import pytest

from runwatch.control.snapshots import KINDS, Snapshots, checked
from runwatch.schemas.sealing import make_pair
from runwatch.settings.file import parse_config
from runwatch.settings.load import SettingsError
from runwatch.settings.snapshots import Kind, SnapshotSettings

PUBLIC, PRIVATE = make_pair()


def sentences(text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as error:
        parse_config(text.encode(), "c.yaml")
    return error.value.sentences


def test_the_defaults_are_those_of_an_agent() -> None:
    assert Snapshots(PUBLIC) == SnapshotSettings(seal_for=PUBLIC).for_agents()
    assert KINDS == get_args(Kind)


def test_all_of_it_reaches_the_agent() -> None:
    text = (
        f"snapshots:\n  seal_for: {PUBLIC}\n  most_bytes: 1000\n  redact:\n    off: [phone]\n    keys: [salary]\n"
        "    patterns:\n      employee: {find: 'EMP-\\d+'}\n"
    )
    made = checked(parse_config(text.encode(), "c.yaml").snapshots.for_agents())
    assert (1000, {"phone"}, ("salary",)) == (made.most_bytes, made.redact.off, made.redact.keys)
    assert {"employee": r"EMP-\d+"} == made.redact.patterns


def test_ones_own_pattern_that_does_not_compile_is_told_with_its_line() -> None:
    text = "snapshots:\n  redact:\n    patterns:\n      one: {find: 'a'}\n      two:\n        find: 'EMP-(\\d+'\n"
    (told,) = sentences(text)
    assert told.startswith("c.yaml:6:15: snapshots.redact.patterns.two.find is 'EMP-(\\\\d+': it is no regular")
    (told,) = sentences("snapshots:\n  redact:\n    patterns:\n      one: {find: 'a*'}\n")
    assert "c.yaml:4:" in told
    assert "matches nothing at all" in told


def test_an_unknown_kind_is_told_with_those_that_there_are() -> None:
    (told,) = sentences("snapshots:\n  redact:\n    off: [mail]\n")
    assert "it must be one of email, phone, card" in told


def test_a_private_key_is_told_and_not_shown() -> None:
    (told,) = sentences(f"snapshots:\n  seal_for: {PRIVATE}\n")
    assert "it is the private key" in told
    assert PRIVATE not in told
    assert PRIVATE[12:] not in told


def test_turned_on_without_a_key_is_refused() -> None:
    (told,) = sentences("logging: {events: {store_args: true}}\n")
    assert "seal_for" in told
