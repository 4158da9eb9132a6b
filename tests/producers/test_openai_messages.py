import json

import pytest

from runwatch.producers.openai_messages import BASE_MS, events_of
from runwatch.schemas.canonical import sha
from runwatch.schemas.json_form import NotAnEvent


def asks(name, arguments, call_id="c1", **more):
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}],
        **more,
    }


def answers(content, call_id="c1", **more):
    return {"role": "tool", "tool_call_id": call_id, "content": content, **more}


def conversation(*messages, **more):
    return {"id": "r1", "model": "gpt-4o", "messages": list(messages), **more}


def test_a_conversation():
    events = events_of(
        conversation(
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            asks("find", '{"b": 1, "a": 2}', usage={"prompt_tokens": 50, "completion_tokens": 5}),
            answers("12"),
            {"role": "assistant", "content": "Done.", "usage": {"prompt_tokens": 60, "completion_tokens": 6}},
            tools=[{"name": "find"}],
            reward=1.0,
        ),
        2,
        "support",
    )
    start, asked, tool, said, stop = events
    first = BASE_MS + 120_000
    assert [(n, "r1", "support", "gpt-4o", sha("Be kind."), sha([{"name": "find"}])) for n in range(5)] == [
        (e.seq, e.run_id, e.agent, e.model, e.prompt_sha, e.tools_sha) for e in events
    ]
    assert [first, first + 2000, first + 4000, first + 6000, first + 6000] == [e.ts_ms for e in events]
    assert ["run_start", "model_result", "tool_result", "model_result", "stop"] == [e.kind for e in events]
    assert (50, 5, 60) == (asked.input_tokens, asked.output_tokens, said.input_tokens)
    assert ("find", "c1", sha({"a": 2, "b": 1}), sha("12"), "ok") == (
        tool.tool, tool.step_id, tool.args_sha, tool.result_sha, tool.status,
    )  # fmt: skip
    assert ("success", 1.0, 1, 110, 11, 6000, None) == (
        stop.stop_reason, stop.outcome, stop.tool_calls, stop.input_tokens, stop.output_tokens, stop.duration_ms,
        stop.cost_usd,
    )  # fmt: skip
    assert 5 == len({e.event_id for e in events})
    assert start.event_id != stop.event_id


def test_the_same_conversation_gives_the_same_events():
    given = conversation(asks("f", "{}"), answers("x"))
    assert events_of(given, 0, "a") == events_of(json.loads(json.dumps(given)), 0, "a")
    bare = given["messages"]
    assert events_of(bare, 0, "a")[0].run_id == events_of(bare, 0, "a")[0].run_id
    assert events_of(bare, 0, "a")[0].run_id != events_of(bare[:1], 0, "a")[0].run_id


@pytest.mark.parametrize(
    ("content", "error", "status"),
    [
        ("Error: payment amount does not add up", "ToolError", None),
        ("  error - no such user", "ToolError", None),
        ("Error executing tool find", "ToolError", None),
        ("ValueError: bad date", "ValueError", None),
        ("requests.exceptions.ConnectionError(x)", "requests.exceptions.ConnectionError", None),
        ("Traceback (most recent call last):\n ...", "ToolError", None),
        ('{"error": "not found"}', "ToolError", None),
        ('{"error": {"code": 5}, "error_type": "NotFound"}', "NotFound", None),
        ('{"isError": true, "content": []}', "ToolError", None),
        ('{"status_code": 503, "body": ""}', "ToolError", 503),
        ([{"type": "text", "text": "Error: x"}], "ToolError", None),
        ('{"status_code": 200}', None, 200),
        ('{"error": null, "rows": []}', None, None),
        ('{"success": false}', None, None),
        ('{"broken": ', None, None),
        ("Errors found: 0", None, None),
        ("No error", None, None),
        ("Terror: a film", None, None),
        ("error rate is 3 %", None, None),
        ("", None, None),
        ("[]", None, None),
        (None, None, None),
    ],
)
def test_what_counts_as_an_error(content, error, status):
    tool = events_of(conversation(asks("f", "{}"), answers(content)), 0, "a")[2]
    assert (error, "error" if error else "ok", status) == (tool.error, tool.status, tool.http_status)


def test_a_message_may_say_that_it_is_an_error():
    tool = events_of(conversation(asks("f", "{}"), answers("oh no", is_error=True)), 0, "a")[2]
    assert ("error", "ToolError") == (tool.status, tool.error)


def test_calls_without_an_answer_and_answers_without_a_call():
    two = asks("f", "{}")
    two["tool_calls"].append({"id": "c1", "function": {"name": "g", "arguments": "not json"}})
    events = events_of(conversation(two, answers("x"), answers("y", "c9", name="h"), {"role": "assistant"}), 0, "a")
    tools = [(e.tool, e.status, e.result_sha is not None, e.args_sha) for e in events if e.kind == "tool_result"]
    assert [
        ("f", "ok", True, sha({})), ("h", "ok", True, None), ("g", "none", False, sha("not json")),
    ] == tools  # fmt: skip
    assert 3 == events[-1].tool_calls
    assert [0, 1, 2, 3, 4, 5, 6][: len(events)] == [e.seq for e in events]


def test_the_old_form_of_calls():
    events = events_of(
        conversation(
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ),
        0,
        "a",
    )
    assert ("f", "m0.0", sha({})) == (events[2].tool, events[2].step_id, events[2].args_sha)


@pytest.mark.parametrize("when", [1_700_000_000, 1_700_000_000_000, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20"])
def test_times_are_taken_where_there_are_some(when):
    events = events_of(conversation(asks("f", "{}"), answers("x"), timestamp=when), 0, "a")
    assert 1_700_000_000_000 == events[0].ts_ms
    events = events_of(conversation({**asks("f", "{}"), "created": when}, answers("x")), 0, "a")
    assert [1_700_000_000_000, 1_700_000_002_000] == [e.ts_ms for e in events[1:3]]


@pytest.mark.parametrize(
    ("reward", "reason", "outcome"),
    [(1, "success", 1.0), (0.5, "unknown", 0.5), (7, "unknown", None), (None, "unknown", None)],
)
def test_reward_and_reason(reward, reason, outcome):
    stop = events_of(conversation({"role": "assistant"}, reward=reward), 0, "a")[-1]
    assert (reason, outcome) == (stop.stop_reason, stop.outcome)
    stop = events_of(conversation({"role": "assistant"}, reward=reward, stop_reason="max_steps"), 0, "a")[-1]
    assert "max_steps" == stop.stop_reason


@pytest.mark.parametrize(
    "bad",
    [
        3, {}, {"messages": 3}, {"messages": [3]}, {"messages": [{"role": "assistant", "tool_calls": 5}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, {"id": "", "messages": []},
        {"id": "x", "model": 5, "messages": []},
    ],
)  # fmt: skip
def test_what_is_no_conversation(bad):
    with pytest.raises(NotAnEvent):
        events_of(bad, 0, "a")
