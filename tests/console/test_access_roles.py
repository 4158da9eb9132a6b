"""What roles may, and how people are called."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.console.access.roles import LONGEST_NAME, Role, Session, person_named


def test_an_operator_may_all_that_a_viewer_may() -> None:
    assert Role.operator.covers(Role.viewer) and Role.operator.covers(Role.operator)
    assert Role.viewer.covers(Role.viewer) and not Role.viewer.covers(Role.operator)


def test_a_session_is_one_that_a_browser_sends() -> None:
    assert not Session(Role.viewer, "API").by_cookie
    assert Session(Role.viewer, "console", id="x").by_cookie


@pytest.mark.parametrize(
    ("said", "called"),
    [
        ("anna", "anna"),
        ("  Anna \t Berg\n", "Anna Berg"),
        ("<b>anna</b>", "<b>anna</b>"),
        ("an\x00na\x1b[31m", "an na [31m"),
        ("anna\u202egnp", "anna gnp"),
        ("", ""),
        ("x" * 10_000, "x" * LONGEST_NAME),
    ],
)
def test_a_name_is_one_line_without_anything_invisible(said: str, called: str) -> None:
    assert called == person_named(said)


@given(st.text())
def test_whatever_is_said_is_a_line_that_may_be_shown(said: str) -> None:
    called = person_named(said)
    assert LONGEST_NAME >= len(called)
    assert all(one.isprintable() and unicodedata.category(one) != "Cf" for one in called)
    assert called == person_named(called)
