"""What a message says, whoever named the agents and tools."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runwatch.alerts.letter import Letter, News, trial_letter
from runwatch.alerts.words import clean, link_of, subject, text

from .support import drift, loop, over


def test_one_episode() -> None:
    letter = Letter((News(loop()),))
    assert "CRITICAL: loop.repeat at support" == subject(letter)
    assert [
        "l1 is slow.", "agent: support", "tool: search", "run: run-l1", "rule: loop.repeat",
        "since: 2026-09-21 14:12:20 UTC", "runwatch show run-l1",
    ] == text(letter).splitlines()  # fmt: skip


def test_its_end() -> None:
    letter = Letter((News(over(drift(), message="Back to 1.0 s.")),))
    assert "Over: drift.latency_p95 at support" == subject(letter)
    assert "Over since 2026-09-21 14:18:20 UTC: Back to 1.0 s." == text(letter).splitlines()[0]


def test_an_end_together_with_its_beginning() -> None:
    letter = Letter((News(drift(), over(drift(), message="Back to 1.0 s.")),))
    assert "Was over at once: drift.latency_p95 at support" == subject(letter)
    assert "d1 is slow. It is over, since 2026-09-21 14:18:20 UTC: Back to 1.0 s." == text(letter).splitlines()[0]


def test_many_of_a_kind_say_how_many_and_name_some() -> None:
    letter = Letter(tuple(News(loop(f"l{number}")) for number in range(10_000)))
    assert "CRITICAL: loop.repeat at support, 10,000 times" == subject(letter)
    assert "And 9,999 more:\n- 9,999: loop.repeat at support, runs run-l1, run-l2, run-l3 …" in text(letter)


def test_many_kinds_are_counted_too() -> None:
    news = [News(loop(f"l{number}", agent=f"agent-{number}")) for number in range(20)]
    letter = Letter((News(drift()), *news))
    assert subject(letter).startswith("CRITICAL: 21 anomalies of 2 rules at 21 agents, loop.repeat at agent-0")
    assert "- 10 of 10 other kinds" in text(letter)


def test_several_agents_have_no_star_for_a_name() -> None:
    assert "Warning: fleet.failing at several agents" == subject(
        Letter((News(drift(rule="fleet.failing", agent="*")),))
    )


def test_a_trial_says_that_it_is_one() -> None:
    assert "Test: alerts of runwatch reach you" == subject(trial_letter(1))
    assert "nothing is wrong" in text(trial_letter(1))


def test_a_link_takes_names_as_pieces_of_an_address() -> None:
    one = loop(agent="a/../b?c", run_id=None)
    assert "https://x.example/a%2F..%2Fb%3Fc//{no}" == link_of(
        one, "https://x.example/{agent}/{run_id}/%7Bno%7D"
    ).replace("%7B", "{").replace("%7D", "}")


@given(st.text())
def test_what_is_clean_is_one_line_that_nothing_obeys(said: str) -> None:
    shown = clean(said)
    assert 500 >= len(shown)
    assert shown.isprintable()


@given(st.text(), st.text(), st.sampled_from([drift, loop]))
def test_any_names_can_be_told(agent: str, message: str, make: object) -> None:
    one = drift(agent=agent, message=message, tool=message)
    assert "\n" not in subject(Letter((News(one),)))
    assert "drift.latency_p95" in text(Letter((News(one),)))
