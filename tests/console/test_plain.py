"""Whatever an agent is named, it is shown as text, on one line, and not without end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.console.widgets.plain import AT_MOST, in_chart, shown


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("support", "support"),
        ("Zürich 東京", "Zürich 東京"),
        ("<b>bold</b>", "<b>bold</b>"),  # a label is text already
        ("a\x00b", "a⟨U+0000⟩b"),
        ("two\nlines\t", "two⟨U+000A⟩lines⟨U+0009⟩"),
        ("exe\u202egpj", "exe⟨U+202E⟩gpj"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        (None, "None"),
    ],
)
def test_shown(said: object, seen: str) -> None:
    assert seen == shown(said)


def test_what_is_long_is_cut_and_says_how_long_it_is() -> None:
    assert "x" * AT_MOST + "… (10,000 characters)" == shown("x" * 10_000)


def test_in_a_chart_it_is_no_markup() -> None:
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" == in_chart('<img src=x onerror="alert(1)">')


@given(st.text())
def test_nothing_that_is_shown_can_move_the_text_around_it(text: str) -> None:
    seen = shown(text)
    assert "\n" not in seen and "\u202e" not in seen
    assert not set("<>\"'") & set(in_chart(text))
