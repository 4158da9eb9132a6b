"""Rows of a run's timeline."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runwatch.console.ask.steps import Found, Step
from runwatch.console.widgets.steps import brief, notes_of, status_of, step_rows

STEP = Step(0, "tool_result", 0, 0, 0, "search", None, "a" * 24, "b" * 24, "ok", None, None, 1, None, None, None, None,
            None, False, False, 0, [])  # fmt: skip


def test_steps_stand_where_they_were_in_the_runs_time() -> None:
    steps = [replace(STEP, seq=0, began_ms=1_000, at_ms=1_500), replace(STEP, seq=1, began_ms=1_500, at_ms=3_000)]
    assert [(0, 0, 25), (1, 25, 75)] == [(row["id"], row["l"], row["b"]) for row in step_rows(steps, [])]


def test_a_run_that_took_no_time_has_places_too() -> None:
    assert [(0, 0)] == [(row["l"], row["b"]) for row in step_rows([STEP], [])]
    assert [] == step_rows([], [])


def test_a_step_has_the_worst_severity_of_what_stands_on_it() -> None:
    found = [Found(one[0], "r", "open", one, 0, 0, None, "", []) for one in ("warning", "critical")]
    steps = [replace(STEP, anomalies=["w", "c"]), replace(STEP, anomalies=["w"]), STEP]
    assert ["critical", "warning", None] == [row.get("c") for row in step_rows(steps, found)]


def test_hashes_are_shortened_and_what_is_empty_is_left_out() -> None:
    (row,) = step_rows([replace(STEP, result_sha=None)], [])
    assert "aaaaaaaa" == row["a"]
    assert {"r", "c", "n", "g", "o", "k"}.isdisjoint(row)


def test_what_is_to_be_noticed() -> None:
    step = replace(STEP, again=4, same_result=True, attempt=2, lost_before=3)
    assert ["3 before it never arrived", "again, as 4", "same result", "attempt 2"] == notes_of(step)
    assert ["refused: killed"] == notes_of(replace(STEP, refused=True, stop_reason="killed", error="RunStopped"))
    assert ["answered from memory"] == notes_of(replace(STEP, refused=True, error="AlreadyDone"))
    assert [] == notes_of(STEP)


def test_what_it_came_to() -> None:
    assert "ok" == status_of(STEP)
    assert "HTTPError 429" == status_of(replace(STEP, status="error", error="HTTPError", http_status=429))
    assert "error" == status_of(replace(STEP, status="error"))
    assert "" == status_of(replace(STEP, kind="stop"))


@given(st.text(st.characters(categories=["L", "N", "P", "Cc", "Cf"])), st.integers(1, 60))
def test_a_name_is_cut_and_nothing_in_it_is_invisible(name: str, at_most: int) -> None:
    told = brief(name, at_most)
    assert told.isprintable()
    assert (len(name) > at_most) == (told == brief(name + "a", at_most))


def test_names_of_ten_thousand_letters_make_small_rows() -> None:
    (row,) = step_rows([replace(STEP, tool="<b>\x1b" + "A" * 10_000)], [])
    assert row["w"].startswith("<b>⟨U+001B⟩AAA")
    assert 100 > len(row["w"])
