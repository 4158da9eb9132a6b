import asyncio
import gc
import re

import pytest

from runwatch.producers.current import current_run
from runwatch.schemas.canonical import sha


def kinds(events):
    return [event.kind for event in events]


def test_a_run_from_start_to_stop(watch, clock, logged):
    with watch.run("r1", prompt="Be kind.", tools=[{"name": "add"}], labels={"team": "a"}) as run:
        clock.move(1.0)
        run.model_call(input_tokens=100, output_tokens=20, cost_usd=0.01, duration_ms=900)
        args = {"x": 2, "y": 3}

        def add(x, y):
            clock.move(0.25)
            return x + y

        assert 5 == run.call_tool("add", args, add, attempt=1)
        answer = run.stop("success", outcome=1.0)
    usage = {"tool_calls": 1, "input_tokens": 100, "output_tokens": 20, "cost_usd": 0.01}
    assert {"status": "stopped", "stop_reason": "success", "usage": usage} == answer
    start, model, tool, stop = logged()
    assert ["run_start", "model_result", "tool_result", "stop"] == kinds([start, model, tool, stop])
    assert [0, 1, 2, 3] == [event.seq for event in (start, model, tool, stop)]
    for event in (start, model, tool, stop):
        assert ("r1", "support", "1.4.2", "m1") == (event.run_id, event.agent, event.agent_version, event.model)
        assert (sha("Be kind."), sha([{"name": "add"}])) == (event.prompt_sha, event.tools_sha)
        assert '{"team":"a"}' == event.labels
    assert ("s1", 100, 20, 0.01, 900, "ok") == (
        model.step_id, model.input_tokens, model.output_tokens, model.cost_usd, model.duration_ms, model.status,
    )  # fmt: skip
    assert ("s2", "add", sha(args), sha(5), 250, "ok", None, 1) == (
        tool.step_id, tool.tool, tool.args_sha, tool.result_sha, tool.duration_ms, tool.status, tool.error,
        tool.attempt,
    )  # fmt: skip
    assert ("success", 1.0, 1250, 1, 100, 20, 0.01) == (
        stop.stop_reason, stop.outcome, stop.duration_ms, stop.tool_calls, stop.input_tokens, stop.output_tokens,
        stop.cost_usd,
    )  # fmt: skip
    assert clock.now_ms() == stop.ts_ms
    assert 4 == len({event.event_id for event in (start, model, tool, stop)})
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", start.event_id)


@pytest.mark.parametrize(
    ("args", "got"),
    [({"a": 1}, ((), {"a": 1})), ([1, 2], ((1, 2), {})), ((1,), ((1,), {})), ("ab", (("ab",), {})), (None, ((), {}))],
)
def test_how_a_tool_is_given_its_arguments(watch, args, got):
    assert got == watch.run().call_tool("t", args, lambda *a, **k: (a, k))


def test_arguments_are_hashed_as_they_were_before_the_call(watch, logged):
    args = {"items": [1]}
    watch.run().call_tool("t", args, lambda items: items.append(2))
    assert sha({"items": [1]}) == logged()[1].args_sha


class Answer:
    status_code = 429


class ClientError(Exception):
    response = Answer()


def test_an_error_is_logged_and_raised(watch, logged):
    run = watch.run()
    error = ClientError("a secret")
    with pytest.raises(ClientError) as raised:
        run.call_tool("http.get", {}, lambda: (_ for _ in ()).throw(error), attempt=3)
    assert error is raised.value
    event = logged()[1]
    assert ("error", "ClientError", 429, 3, None) == (
        event.status, event.error, event.http_status, event.attempt, event.result_sha,
    )  # fmt: skip
    assert 1 == run.stop()["usage"]["tool_calls"]


class Response:
    """As httpx and requests make them."""

    def __init__(self, status_code, content):
        self.status_code = status_code
        self._content = content

    def raise_for_status(self):
        pass

    def __repr__(self):
        return f"<Response [{self.status_code}]>"


@pytest.mark.parametrize(("code", "status", "error"), [(200, "ok", None), (503, "error", "HTTPError")])
def test_a_response_tells_its_status(watch, logged, code, status, error):
    watch.run().call_tool("http.get", {}, lambda: Response(code, b"x"))
    event = logged()[1]
    assert (code, status, error) == (event.http_status, event.status, event.error)


def test_a_stand_in_for_something_remote_is_not_asked(watch):
    class Remote:
        def __getattr__(self, name):
            # What JSON asks any value is another matter; it may not be asked for statuses and bodies.
            assert name not in ("status_code", "status", "_content", "_body")
            raise AttributeError(name)

    remote = Remote()
    assert remote is watch.run().call_tool("t", {}, lambda: remote)
    assert 0 == len([kind for kind in watch._notices._told if kind == "trouble"])


def test_responses_with_other_bodies_are_other_results(watch, logged):
    run = watch.run()
    for body in (b"a", b"b", b"a"):
        run.call_tool("http.get", {}, lambda body=body: Response(200, body))
    first, second, third = (event.result_sha for event in logged()[1:])
    assert first == third
    assert first != second


def test_async_tools(watch, clock, logged):
    async def slow(x):
        await asyncio.sleep(0)
        clock.move(0.5)
        return x

    async def fails():
        raise KeyError("k")

    async def main():
        async with watch.run() as run:
            assert 7 == await run.call_tool("slow", {"x": 7}, slow)
            assert 8 == await run.call_tool("slow", [8], lambda x: slow(x))
            with pytest.raises(KeyError):
                await run.call_tool("fails", None, fails)
            task = asyncio.ensure_future(run.call_tool("hangs", None, lambda: asyncio.sleep(60)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            run.stop("success")

    asyncio.run(main())
    assert [("slow", "ok", None, 500), ("slow", "ok", None, 500), ("fails", "error", "KeyError", 0)] == [
        (event.tool, event.status, event.error, event.duration_ms) for event in logged()[1:4]
    ]
    assert ("hangs", "error", "CancelledError") == (logged()[4].tool, logged()[4].status, logged()[4].error)


def test_decorators_plain_async_and_of_the_current_run(watch, logged):
    run = watch.run()

    @run.tool("add")
    def add(x, y=1):
        """Adds."""
        return x + y

    @run.tool()
    async def later(x):
        return x

    @watch.tool("fetch")
    def fetch(url):
        return url

    assert "Adds." == add.__doc__
    assert 3 == add(2)
    assert 5 == add(2, y=3)
    assert 4 == asyncio.run(later(x=4))
    assert "u" == fetch("u"), "outside of a run: just called"
    with watch.run("inner"):
        assert "v" == fetch("v")
    tools = [event for event in logged() if event.kind == "tool_result"]
    assert ["add", "add", "later", "fetch"] == [event.tool for event in tools]
    assert [sha({"x": 2}), sha({"x": 2, "y": 3}), sha({"x": 4}), sha({"url": "v"})] == [
        event.args_sha for event in tools
    ]
    assert "inner" == tools[3].run_id


def test_a_method_counts_without_its_object(watch, logged):
    run = watch.run()

    class Kit:
        @run.tool("find")
        def find(self, what, *more):
            return what

    assert "a" == Kit().find("a", "b")
    assert sha({"what": "a", "*": ["b"]}) == logged()[1].args_sha


def test_the_current_run_and_hand_offs(watch, logged):
    assert current_run() is None
    with watch.run("outer") as outer:
        assert current_run() is outer
        with watch.run("inner") as inner:
            assert current_run() is inner
        assert current_run() is outer
    assert current_run() is None
    parents = {event.run_id: event.parent_run_id for event in logged()}
    assert {"outer": None, "inner": "outer"} == parents


class Own(Exception):
    stop_reason = "bored"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "cancelled"),
        (ValueError(), "tool_error"),
        (TimeoutError(), "tool_timeout"),
        (KeyboardInterrupt(), "cancelled"),
        (ClientError(), "rate_limited"),
        (Own(), "bored"),
    ],
)
def test_a_run_left_without_stop_gets_one(watch, logged, error, reason):
    try:
        with watch.run():
            if error:
                raise error
    except BaseException as raised:
        assert error is raised
    assert [("stop", reason)] == [(event.kind, event.stop_reason) for event in logged()[1:]]


def test_a_forgotten_run_is_stopped(watch, logged):
    watch.run()
    gc.collect()
    assert [None, "cancelled"] == [event.stop_reason for event in logged()]


def test_a_second_stop_changes_nothing(watch, logged):
    run = watch.run()
    first = run.stop("success", outcome=1)
    first["usage"]["tool_calls"] = 99
    assert {**first, "usage": {**first["usage"], "tool_calls": 0}} == run.stop("tool_error")
    assert 2 == len(logged())


def test_what_was_never_told_is_null_not_zero(watch, logged):
    watch.run().stop()
    stop = logged()[1]
    assert (None, None, None, None, 0) == (
        stop.input_tokens, stop.output_tokens, stop.cost_usd, stop.outcome, stop.tool_calls,
    )  # fmt: skip


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __repr__


def test_the_callers_oddities_never_raise(watch, make_watch, logged):
    run = watch.run(run_id=17, prompt=Hostile(), labels={"a": Hostile()})
    assert 1 == run.call_tool("t", [Hostile()], lambda x: 1, attempt="two")
    assert isinstance(run.call_tool(3, {}, Hostile), Hostile)
    run.call_tool("\ud800" + "x" * 5000, {}, lambda: 1)
    run.record_tool(None, duration_ms=-4, http_status="x", error=3)
    run.model_call(input_tokens="many", cost_usd=float("nan"))
    run.model_call(lambda: {"usage": {"input_tokens": 2}}, cost_usd=lambda response: 1 / 0)
    run.stop(None, outcome=7)
    events = logged()
    assert ["run_start"] + 4 * ["tool_result"] + ["model_result", "stop"] == kinds(events)
    assert "17" == events[0].run_id
    assert ["t", "3", "?" + "x" * 999, ""] == [event.tool for event in events[1:5]]
    assert ("unknown", None) == (events[-1].stop_reason, events[-1].outcome)
    assert list(range(7)) == [event.seq for event in events]


def test_a_recorded_call(watch, logged):
    run = watch.run()
    run.record_tool("sql", {"q": 1}, [3], duration_ms=12.6, attempt=2, step_id="call_1")
    run.record_tool("sql", args_sha="a" * 24, error=ClientError())
    run.record_tool("sql", {}, error="Timeout", http_status=504)
    first, second, third = logged()[1:]
    assert ("call_1", sha({"q": 1}), sha([3]), 12, 2, "ok") == (
        first.step_id, first.args_sha, first.result_sha, first.duration_ms, first.attempt, first.status,
    )  # fmt: skip
    assert ("a" * 24, "error", "ClientError", 429) == (
        second.args_sha, second.status, second.error, second.http_status,
    )  # fmt: skip
    assert ("Timeout", 504, None) == (third.error, third.http_status, third.result_sha)


class Thing:
    def __init__(self, **items):
        self.__dict__.update(items)


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (Thing(usage=Thing(prompt_tokens=10, completion_tokens=4), model="gpt"), (10, 4)),
        ({"usage": {"input_tokens": 7, "output_tokens": 3}}, (7, 3)),
        ({"usage": {"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 100}}, (107, 3)),
        (Thing(usage_metadata=Thing(prompt_token_count=5, candidates_token_count=2)), (5, 2)),
        ("text", (None, None)),
        ({"usage": None}, (None, None)),
    ],
)
def test_tokens_are_read_from_responses(watch, logged, response, tokens):
    run = watch.run()
    assert response is run.model_call(lambda: response, cost_usd=lambda r: 0.5)
    event = logged()[1]
    assert tokens == (event.input_tokens, event.output_tokens)
    assert 0.5 == event.cost_usd
    assert ("gpt" if isinstance(response, Thing) and "model" in response.__dict__ else "m1") == event.model


def test_model_calls_that_fail_or_are_awaited(watch, logged):
    run = watch.run()

    async def ask():
        return {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}

    async def refuse():
        raise ClientError

    assert asyncio.run(run.model_call(ask))
    with pytest.raises(ClientError):
        asyncio.run(run.model_call(refuse))
    with pytest.raises(ClientError):
        run.model_call(lambda: (_ for _ in ()).throw(ClientError()))
    assert [("ok", None, 1), ("error", "ClientError", None), ("error", "ClientError", None)] == [
        (event.status, event.error, event.input_tokens) for event in logged()[1:]
    ]
    assert {"tool_calls": 0, "input_tokens": 1, "output_tokens": 2, "cost_usd": 0.0} == run.stop()["usage"]
