"""Budgets: each ends the run with its own reason, none is overshot, and every way of calling is alike."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runwatch
from runwatch.control.guardrails import NO_BUDGETS, Budgets
from runwatch.producers.clock import SystemClock
from runwatch.producers.guard.budgets import Meter
from runwatch.producers.usage import Usage


def only(**limits):
    names = ("steps", "tool_calls", "seconds", "tokens", "cost_usd")
    return Budgets(**{name: limits.get(name) for name in names})


def call(run):
    return run.call_tool("t", {}, dict)


def think(run):
    return run.model_call(lambda: {"usage": {"input_tokens": 30, "output_tokens": 20}}, cost_usd=0.5)


@pytest.mark.parametrize(
    ("limits", "act", "passed", "reason", "names"),
    [
        ({"steps": 3}, call, 3, "max_steps", "3 steps"),
        ({"steps": 3}, think, 3, "max_steps", "3 steps"),
        ({"tool_calls": 2}, call, 2, "max_tool_calls", "2 tool calls"),
        ({"tokens": 101}, think, 3, "max_tokens", "101 tokens"),
        ({"tokens": 100}, think, 2, "max_tokens", "100 tokens"),
        ({"cost_usd": 0.75}, think, 2, "max_cost", "0.75 US dollars"),
    ],
)
def test_a_budget_ends_the_run_with_its_own_reason(watch, logged, limits, act, passed, reason, names):
    run = watch.run("r", budgets=only(**limits))
    for _ in range(passed):
        act(run)
    with pytest.raises(runwatch.RunStopped, match=f"its budget of {names} is used up") as caught:
        act(run)
    assert (reason, "r", None) == (caught.value.stop_reason, caught.value.run_id, caught.value.scope)
    assert reason == run.stop("success")["stop_reason"]
    assert run.stopped
    refused, stop = logged()[-2:]
    assert ("error", "RunStopped", reason, 0) == (
        refused.status,
        refused.error,
        refused.stop_reason,
        refused.duration_ms,
    )
    assert ("stop", reason) == (stop.kind, stop.stop_reason)


def test_time_is_a_budget(watch, clock, logged):
    run = watch.run(budgets=only(seconds=90))
    clock.move(89.9)
    call(run)
    clock.move(0.1)
    with pytest.raises(runwatch.RunStopped, match="90 seconds"):
        call(run)
    assert "max_seconds" == logged()[-1].stop_reason


def test_a_budget_that_is_none_is_no_limit(watch):
    run = watch.run(budgets=NO_BUDGETS)
    for _ in range(1000):
        call(run)
    assert 1000 == run.stop()["usage"]["tool_calls"]


def test_the_defaults_hold_where_nothing_is_said(watch):
    run = watch.run()
    for _ in range(200):
        call(run)
    with pytest.raises(runwatch.RunStopped, match="200 tool calls"):
        call(run)


def test_what_happened_elsewhere_counts_and_is_never_refused(watch, logged):
    run = watch.run(budgets=only(tool_calls=2, tokens=100))
    for _ in range(5):
        run.record_tool("t", {}, "x")
    assert not run.stopped
    with pytest.raises(runwatch.RunStopped, match="2 tool calls"):
        run.check()
    assert ["stop", "max_tool_calls"] == [logged()[-1].kind, logged()[-1].stop_reason]
    other = watch.run(budgets=only(tool_calls=2, tokens=100))
    other.check()
    other.model_call(input_tokens=100)
    with pytest.raises(runwatch.RunStopped, match="100 tokens"):
        other.check()
    assert [0, 0] == [run.refused, other.refused], "a look is no call"


def test_every_later_call_is_refused_and_a_hundred_are_told(watch, logged):
    run = watch.run(budgets=only(steps=1))
    call(run)
    for _ in range(150):
        with pytest.raises(runwatch.RunStopped):
            call(run)
    assert 150 == run.refused
    kinds = [event.kind for event in logged()]
    assert ["run_start", "tool_result", "tool_result", "stop"] + 100 * ["tool_result"] == kinds
    assert 1 == logged()[3].tool_calls, "what was refused was not called"


def test_threads_do_not_overshoot(watch):
    done = []
    run = watch.run(budgets=only(tool_calls=100))
    start = threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(50):
            try:
                run.call_tool("t", {}, lambda: done.append(1))
            except runwatch.RunStopped:
                return

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 100 == len(done)


def test_tasks_do_not_overshoot(watch):
    async def main():
        run = watch.run(budgets=only(tool_calls=10))
        under_way = 0

        async def slow():
            nonlocal under_way
            under_way += 1
            await asyncio.sleep(0.01)

        async def one():
            return await run.call_tool("t", {}, slow)

        results = await asyncio.gather(*(one() for _ in range(30)), return_exceptions=True)
        return under_way, sum(isinstance(result, runwatch.RunStopped) for result in results)

    assert (10, 20) == asyncio.run(main())


def test_with_decorator_and_bare_calls_are_alike(watch, logged):
    def use(run):
        return [run.call_tool("t", {}, dict) for _ in range(3)]

    @watch.tool("t")
    def t():
        return {}

    with pytest.raises(runwatch.RunStopped), watch.run("block", budgets=only(tool_calls=2)) as run:
        use(run)
    with pytest.raises(runwatch.RunStopped), watch.run("decorated", budgets=only(tool_calls=2)):
        for _ in range(3):
            t()
    bare = watch.run("bare", budgets=only(tool_calls=2))
    with pytest.raises(runwatch.RunStopped):
        use(bare)
    told = {"block": [], "decorated": [], "bare": []}
    for event in logged():
        told[event.run_id].append((event.kind, event.status, event.error, event.stop_reason, event.args_sha))
    assert told["block"] == told["decorated"] == told["bare"]
    assert 5 == len(told["bare"])


@given(
    st.lists(st.sampled_from(["tool", "model"]), max_size=30),
    st.none() | st.integers(1, 20),
    st.none() | st.integers(1, 20),
)
def test_a_meter_says_what_plain_counting_says(begun, steps, calls):
    meter = Meter(only(steps=steps, tool_calls=calls), SystemClock())
    counted_calls = 0
    for counted_steps, what in enumerate(begun, 1):
        counted_calls += what == "tool"
        found = (meter.tool_begins if what == "tool" else meter.model_begins)(Usage())
        expected = None
        if steps is not None and counted_steps > steps:
            expected = "max_steps"
        elif what == "tool" and calls is not None and counted_calls > calls:
            expected = "max_tool_calls"
        assert expected == found
