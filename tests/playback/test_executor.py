"""A replay answers as the recorded tools did, does nothing, and says where a new run leaves the old one's way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runwatch
from runwatch.playback.errors import NotRecorded, RecordedError
from runwatch.playback.executor import Replay
from runwatch.playback.record import Content, Record
from runwatch.schemas.canonical import sha
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.opaque import Opaque

Call = Callable[..., AgentEvent]

COMPARED = ("kind", "step_id", "tool", "args_sha", "result_sha", "status", "error", "http_status", "stop_reason", "seq")


def compared(events: list[AgentEvent]) -> list[tuple[Any, ...]]:
    """What a re-run must give again: all but times and ids."""
    return [tuple(getattr(event, name) for name in COMPARED) for event in events]


class Mistake(Exception):
    """An agent's own error."""

    status_code = 503


def world(seed: int) -> tuple[Callable[[str], Callable[..., Any]], list[Any]]:
    """Tools that answer at random, and all that they answered."""
    answers: list[Any] = []
    chance = random.Random(seed)

    def tool(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            what = chance.randrange(8)
            if what == 0:
                raise TimeoutError("too late")
            if what == 1:
                raise Mistake("secret")
            answer: Any = [None, chance.randrange(3), {"name": name, "n": chance.random()}, ["a", 1.5], b"bytes",
                           {"status_code": 429, "body": "later"}][what - 2]  # fmt: skip
            answers.append(answer)
            return answer

        return call

    return tool, answers


def agent_of(plan: list[tuple[int, int]]) -> Callable[..., None]:
    """An agent that does as it is planned, and what it was answered."""

    def agent(run: Any, tool: Callable[[str], Callable[..., Any]]) -> None:
        last: Any = None
        for which, shape in plan:
            name = f"tool{which}"
            args = [None, {"q": shape}, [1, shape], {"after": last}, "word", {}][shape % 6]
            try:
                last = run.call_tool(name, args, tool(name))
            except (TimeoutError, Mistake) as error:
                last = type(error).__name__

    return agent


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), max_size=30), st.integers(0, 10**6), st.booleans())
def test_a_deterministic_agent_gives_the_same_events_again(
    record_run: Any, contents: Any, plan: list[tuple[int, int]], seed: int, whole: bool
) -> None:
    tool, answers = world(seed)
    agent = agent_of([pair for pair in plan if whole or pair[1] % 6 != 3])
    events = record_run(agent, tool)
    replay = Replay(Record("run-1", events, contents(answers) if whole else {}), errors={"Mistake": Mistake})
    again = record_run(agent, replay.tool)
    assert compared(events) == compared(again)
    report = replay.report()
    assert (True, None, report.recorded) == (report.same, replay.divergence, report.made)
    assert not (report.extra or report.missing or report.moved or report.assumed)
    if whole:
        assert () == report.unknown


def keys(calls: list[AgentEvent]) -> list[tuple[Any, Any]]:
    return [(call.tool, call.args_sha) for call in calls]


def longest(found: list[int]) -> int:
    """The longest rising subsequence's length, the slow way."""
    best: list[int] = []
    for at, value in enumerate(found):
        best.append(1 + max((best[before] for before in range(at) if found[before] < value), default=0))
    return max(best, default=0)


@given(st.lists(st.integers(0, 4), max_size=14), st.lists(st.integers(0, 5), max_size=14))
def test_divergences_are_found_exactly(a_call: Call, a_record: Any, record: list[int], made: list[int]) -> None:
    calls = [a_call(seq, args=value) for seq, value in enumerate(record)]
    replay = Replay(a_record(calls), not_recorded=lambda tool, args: "mine")
    place = next((at for at, pair in enumerate(zip(record, made, strict=False)) if pair[0] != pair[1]), None)
    if place is None and len(made) > len(record):
        place = len(record)
    left = list(enumerate(record))
    indexes: list[int | None] = []
    for at, value in enumerate(made):
        answer = replay.call_tool("t", value)
        index = next((where for where, one in left if one == value), None)
        indexes.append(index)
        assert ("mine" if index is None else sha(index)) == (answer if index is None else sha(answer))
        left = [pair for pair in left if pair[0] != index]
        # It is told at the call, not at the end.
        assert (place is not None and at >= place) == (replay.divergence is not None)
    report = replay.report()
    assert [sha(value) for value, index in zip(made, indexes, strict=True) if index is None] == [
        one.args_sha for one in report.extra
    ]
    assert [where for where, _ in left] == [one.seq for one in report.missing]
    matched = [index for index in indexes if index is not None]
    assert len(matched) - longest(matched) == len(report.moved)
    if place is None and left:
        assert ("missing", len(made)) == (report.first.kind, report.first.place)
    else:
        assert place == (None if report.first is None else report.first.place)
    assert (record == made) == report.same


def test_what_is_not_recorded_raises_and_says_where(a_call: Call, a_record: Any) -> None:
    replay = Replay(a_record([a_call(0, "search", {"q": 1}), a_call(1, "search", {"q": 2})]))
    replay.call_tool("search", {"q": 1})
    with pytest.raises(NotRecorded) as error:
        replay.call_tool("pay", {"eur": 5})
    assert "call 2 is pay(" in str(error.value)
    assert f"not in the record; there it has search({sha({'q': 2})[:8]})" in str(error.value)
    assert "record of run r1 has no answer to pay(" in str(error.value)
    assert not isinstance(error.value, RecordedError)


def test_the_same_call_is_answered_in_turn_and_no_more_often(a_call: Call, a_record: Any) -> None:
    calls = [a_call(seq, args={"a": 1}, result_sha=sha(f"answer {seq}")) for seq in range(3)]
    replay = Replay(a_record(calls, [f"answer {seq}" for seq in range(3)]))
    assert ["answer 0", "answer 1", "answer 2"] == [replay.call_tool("t", {"a": 1}) for _ in range(3)]
    with pytest.raises(NotRecorded, match=r"there it has nothing more"):
        replay.call_tool("t", {"a": 1})


@pytest.mark.parametrize(
    ("name", "expected"),
    [("TimeoutError", TimeoutError), ("FileNotFoundError", OSError), ("UnicodeDecodeError", ValueError),
     ("KeyError", LookupError), ("SomeClientError", RecordedError)],
)  # fmt: skip
def test_what_failed_fails_with_the_recorded_class(
    name: str, expected: type[Exception], a_call: Call, a_record: Any
) -> None:
    replay = Replay(a_record([a_call(0, status="error", error=name, result_sha=None, http_status=429)]))
    with pytest.raises(expected) as error:
        replay.call_tool("t")
    assert (name, 429) == (type(error.value).__name__, error.value.status_code)
    assert isinstance(error.value, RecordedError)


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "SystemExit", "GeneratorExit", "print", "", "not a name"])
def test_what_would_end_the_process_does_not(name: str, a_call: Call, a_record: Any) -> None:
    replay = Replay(a_record([a_call(0, status="error", error=name, result_sha=None)]))
    with pytest.raises(RecordedError):
        replay.call_tool("t")


def test_an_answer_that_nobody_kept_is_opaque_and_has_its_hash(a_call: Call, a_record: Any) -> None:
    replay = Replay(a_record([a_call(0, result_sha="b" * 24), a_call(1, "use", args="?", result_sha=None)]))
    answer = replay.call_tool("t")
    assert Opaque("b" * 24) == answer
    assert "b" * 24 == sha(answer)
    # What is made of it has other hashes than it had: it is taken for the recorded call by tool and place.
    replay.call_tool("use", {"page": [answer]})
    report = replay.report()
    assert (True, 1, ["t"]) == (report.same, len(report.assumed), [one.tool for one in report.unknown])


def test_a_response_keeps_its_status_and_hash(a_call: Call, a_record: Any) -> None:
    payload = [503, b"gone".hex()]
    call = a_call(0, status="error", error="HTTPError", http_status=503, result_sha=sha(payload))
    answer = Replay(a_record([call], [payload])).call_tool("t")
    assert (503, sha(payload)) == (answer.status_code, sha(answer))


def test_answers_without_what_was_taken_out_of_them_are_told(a_call: Call) -> None:
    content = Content({"to": "[email]"}, {"email": 1})
    calls = [a_call(0, result_sha="c" * 24), a_call(1, "mail", args={"to": "ann@example.com"}, result_sha=sha(None))]
    replay = Replay(Record("r1", calls, {"c" * 24: content}))
    found = replay.call_tool("t")
    assert {"to": "[email]"} == found
    assert replay.call_tool("mail", found) is None
    report = replay.report()
    assert (True, 1, 1) == (report.same, len(report.redacted), len(report.assumed))


def test_an_answer_is_the_agents_to_change(a_call: Call, a_record: Any) -> None:
    calls = [a_call(seq, result_sha=sha({"a": [1]})) for seq in range(2)]
    replay = Replay(a_record(calls, [{"a": [1]}]))
    replay.call_tool("t")["a"].append(2)
    assert {"a": [1]} == replay.call_tool("t")


def test_refused_calls_need_not_be_made_again(a_call: Call, a_record: Any) -> None:
    refused = a_call(1, "pay", status="error", error="ToolDenied", stop_reason="denied", result_sha=None)
    again = a_call(2, "pay", error="AlreadyDone")
    calls = [a_call(0), refused, again, a_call(3)]
    replay = Replay(a_record(calls))
    replay.call_tool("t")
    replay.call_tool("t")
    assert replay.report().same
    asked = Replay(a_record(calls))
    asked.call_tool("t")
    with pytest.raises(RecordedError) as error:
        asked.call_tool("pay")
    assert ("ToolDenied", "denied") == (type(error.value).__name__, error.value.stop_reason)
    assert asked.divergence is None


def test_stand_ins_by_signature_position_and_name(a_call: Call, a_record: Any) -> None:
    def search(query: str, limit: int = 10) -> None: ...

    async def later(url: str) -> None: ...

    class Shop:
        def buy(self, what: str) -> None: ...

    calls = [
        a_call(0, "search", {"query": "a", "limit": 5}), a_call(1, "later", {"url": "u"}),
        a_call(2, "buy", {"what": "x"}),
        a_call(3, "one", "word"), a_call(4, "two", [1, 2]), a_call(5, "none", {}), a_call(6, "list", [[1]]),
    ]  # fmt: skip
    replay = Replay(a_record(calls))
    replay.tool("search", search)("a", limit=5)
    asyncio.run(replay.tool("later", later)("u"))
    replay.tool("buy", Shop.buy)(Shop(), "x")
    replay.tools["one"]("word")
    replay.tools["two"](1, 2)
    replay.tools["none"]()
    replay.tools["list"]([1])
    assert replay.report().same


def test_parallel_calls_are_in_the_order_in_which_they_began(record_run: Any, contents: Any) -> None:
    async def work(run: Any, tool: Callable[[str], Callable[..., Any]], delays: tuple[float, ...]) -> None:
        async def slow(after: float) -> float:
            await asyncio.sleep(after)
            return after

        functions = tool("slow") if tool is not None else slow
        await asyncio.gather(*(run.call_tool("slow", {"after": one}, functions) for one in delays))

    delays = (0.03, 0.0, 0.015)

    async def real(after: float) -> float:
        await asyncio.sleep(after)
        return after

    events = record_run(lambda run, tool: asyncio.run(work(run, tool, delays)), lambda name: real)
    ended = [event.args_sha for event in events if event.kind == "tool_result"]
    began = [sha({"after": one}) for one in delays]
    record = Record("run-1", events, contents(delays))
    assert began == [call.args_sha for call in record.calls] != ended
    replay = Replay(record)
    record_run(lambda run, tool: asyncio.run(work(run, tool, delays)), lambda name: replay.tool(name, real))
    assert replay.report().same


def test_a_call_without_hashed_arguments_is_answered_by_its_tool(a_call: Call, a_record: Any) -> None:
    replay = Replay(a_record([a_call(0, args_sha=None), a_call(1, args_sha=None)]))
    replay.call_tool("t", 1)
    replay.call_tool("t", 2)
    assert (True, 2) == (replay.report().same, len(replay.report().assumed))


def test_the_report_as_json(a_call: Call, a_record: Any) -> None:
    replay = Replay(a_record([a_call(0, "a"), a_call(1, "b")]), not_recorded=lambda tool, args: None)
    replay.call_tool("b")
    replay.call_tool("c")
    said = replay.report().to_json()
    expected = {"same": False, "first": {"kind": "order", "place": 0}, "made": 2, "recorded": 2}
    assert expected == {name: said[name] for name in expected}
    assert [{"tool": "a", "args_sha": sha(None)}] == said["missing"]
    assert ["c"] == [one["tool"] for one in said["extra"]]
    assert said["told"].startswith("call 1 is b(")


def test_it_is_what_runwatch_exports() -> None:
    assert (Replay, NotRecorded, RecordedError) == (runwatch.Replay, runwatch.NotRecorded, runwatch.RecordedError)
    assert SimpleNamespace(replay=runwatch.replay).replay.__module__ == "runwatch.playback.replay"
