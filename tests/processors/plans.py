"""Logs of a partition to test with: made by hypothesis, with loops, repeats, disorder and stretches in them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .support import T0, event

Logged = tuple[int, dict[str, Any]]
"""Log time, and the event appended then."""


def _call(letter: str) -> dict[str, Any]:
    """A call by a letter: the same letter is the same call with the same result, failed in capitals."""
    failed = letter.isupper()
    return {
        "tool": f"tool-{letter.lower() < 'n'}",
        "args_sha": letter.lower(),
        "result_sha": None if failed else f"r{letter}",
        "status": "error" if failed else "ok",
        "error": "Timeout" if failed else None,
    }


_loops = st.sampled_from(["aaaaa", "AAAA", "bcbcbcbc", "defdefdef", "aa", "bc", "AbAbAb", "x", "y", "z", "."])


@st.composite
def logs(draw: st.DrawFn, most: int = 60, pause_ms: int = 20_000) -> list[Logged]:
    """A partition's log: a few runs of a few calls each, interleaved; some events twice; some out of order."""
    runs = draw(st.lists(st.lists(_loops, min_size=1, max_size=4), min_size=1, max_size=4))
    queues = []
    for number, pieces in enumerate(runs):
        letters = "".join(pieces)
        run = f"run-{number}"
        one = [event(run, 0, "run_start", agent=f"agent-{number % 2}")]
        for letter in letters:
            seq = len(one)
            # A stop in a run's middle: it goes on afterwards.
            given: dict[str, Any] = {"agent": f"agent-{number % 2}"} | ({} if letter == "." else _call(letter))
            one.append(event(run, seq, "stop" if letter == "." else "tool_result", **given))
        if draw(st.booleans()):
            one.append(event(run, len(one), "stop", agent=f"agent-{number % 2}"))
        queues.append(one)
    order = draw(st.permutations([at for at, one in enumerate(queues) for _ in one]))
    events = [queues[at].pop(0) for at in order][:most]
    for at, again in draw(st.lists(st.tuples(st.integers(0, most), st.integers(0, most)), max_size=6)):
        # Sent again after a crash, some time later.
        events.insert(max(again, at + 1), events[at % len(events)])
    for at in draw(st.lists(st.integers(0, most), max_size=3)):
        place = at % len(events)
        events[place - 1], events[place] = events[place], events[place - 1]
    log_ms, out = T0, []
    for later, one in zip(
        draw(st.lists(st.integers(0, pause_ms), min_size=len(events), max_size=len(events))), events, strict=True
    ):
        log_ms += later
        out.append((log_ms, one))
    return out
