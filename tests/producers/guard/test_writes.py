"""The same write twice in a run is done once: one after the other, at once, in threads, in tasks."""

import asyncio
import gc
import os
import threading
import time
from datetime import UTC, datetime

import pytest

import runwatch
from runwatch.control.guardrails import Guardrails, ToolPolicy, Writes
from runwatch.schemas.canonical import is_exact

FREE = Guardrails(tools=ToolPolicy("allow_all"), writes=Writes(require_approval=False, tools=("*.write",)))


@pytest.fixture
def run(make_watch, clock):
    return make_watch(guardrails=FREE, clock=clock).run("r")


class Tool:
    """A tool that counts what it does."""

    def __init__(self, pause=0.0, fails=0):
        self.done = []
        self.pause = pause
        self.fails = fails
        self._lock = threading.Lock()

    def __call__(self, **args):
        time.sleep(self.pause)
        return self._do(args)

    async def later(self, **args):
        await asyncio.sleep(self.pause)
        return self._do(args)

    def _do(self, args):
        with self._lock:
            if self.fails:
                self.fails -= 1
                raise ConnectionError
            self.done.append(args)
            return {"id": len(self.done)}


def test_the_same_write_gives_the_first_ones_result(run, sink):
    tool = Tool()
    first = run.call_tool("mail.send", {"to": "a"}, tool, writes=True)
    assert first is run.call_tool("mail.send", {"to": "a"}, tool, writes=True)
    assert {"id": 2} == run.call_tool("mail.send", {"to": "b"}, tool, writes=True)
    assert {"id": 3} == run.call_tool("mail.post", {"to": "a"}, tool, writes=True)
    assert [{"to": "a"}, {"to": "b"}, {"to": "a"}] == tool.done


def test_reads_are_made_as_often_as_they_are_asked_for(run):
    tool = Tool()
    assert [{"id": 1}, {"id": 2}] == [run.call_tool("http.get", {}, tool) for _ in range(2)]


def test_a_pattern_makes_a_write(run):
    tool = Tool()
    assert [{"id": 1}, {"id": 1}] == [run.call_tool("db.write", {}, tool) for _ in range(2)]


def test_runs_do_not_share(make_watch):
    watch = make_watch(guardrails=FREE)
    tool = Tool()
    assert [{"id": 1}, {"id": 2}] == [watch.run().call_tool("t", {}, tool, writes=True) for _ in range(2)]


def test_an_idempotency_key_goes_before_the_arguments(run):
    tool = Tool()
    calls = [({"at": 1}, "k"), ({"at": 2}, "k"), ({"at": 1}, "l"), ({"at": 1}, None)]
    ids = [run.call_tool("t", args, tool, writes=True, idempotency_key=key)["id"] for args, key in calls]
    assert [1, 1, 2, 3] == ids


def test_without_idempotency_each_is_done(make_watch):
    guardrails = Guardrails(tools=FREE.tools, writes=Writes(require_approval=False, idempotency=False))
    run = make_watch(guardrails=guardrails).run()
    tool = Tool()
    assert [{"id": 1}, {"id": 2}] == [run.call_tool("t", {}, tool, writes=True) for _ in range(2)]


class Opaque:
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, None, True, "x"], "b": (1,)}, True),
        (datetime(2026, 1, 1, tzinfo=UTC), True),
        ({"s": {b"x", 1}}, True),
        (Opaque(), False),
        ({"a": [Opaque()]}, False),
        ({1: "a", "b": 2}, False),
        ({(1, 2): "a"}, False),
        (range(3), True),
        (Opaque, False),
        (10**5000, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_hash_tells_apart(value, expected):
    assert expected is is_exact(value)


def test_what_a_hash_cannot_tell_apart_is_not_taken_for_the_same(run, caplog):
    """Two messages of one class look alike: the second is not to be lost."""
    tool = Tool()
    for _ in range(2):
        run.call_tool("t", {"message": Opaque()}, tool, writes=True)
    assert 2 == len(tool.done)
    assert 1 == sum("idempotency_key" in record.getMessage() for record in caplog.records)
    for _ in range(2):
        run.call_tool("t", {"message": Opaque()}, tool, writes=True, idempotency_key="k")
    assert 3 == len(tool.done)


def test_a_failed_write_is_not_remembered(run):
    tool = Tool(fails=1)
    with pytest.raises(ConnectionError):
        run.call_tool("t", {}, tool, writes=True)
    assert {"id": 1} == run.call_tool("t", {}, tool, writes=True)


def test_a_servers_error_is_no_write_that_is_done(run):
    answers = [{"status_code": 503}, {"status_code": 201}, {"status_code": 500}]
    assert [503, 201, 201] == [
        run.call_tool("t", {}, lambda: answers.pop(0), writes=True)["status_code"] for _ in range(3)
    ]


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_threads_wait_for_the_first(make_watch, fails):
    """A failed first is done by one of those who wait, and no more."""
    run = make_watch(guardrails=FREE).run()
    tool = Tool(pause=0.02, fails=fails)
    results, errors = [], []

    def work():
        try:
            results.append(run.call_tool("t", {"n": 1}, tool, writes=True))
        except ConnectionError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (fails, 1) == (len(errors), len(tool.done))
    assert (8 - fails) * [{"id": 1}] == results


@pytest.mark.parametrize("fails", [0, 2])
@pytest.mark.parametrize("form", ["function", "lambda", "decorated"])
def test_tasks_wait_for_the_first(make_watch, fails, form):
    watch = make_watch(guardrails=FREE)
    tool = Tool(pause=0.01, fails=fails)

    @watch.tool("t", writes=True)
    async def decorated(n):
        return await tool.later(n=n)

    async def main():
        async with watch.run() as run:

            async def one():
                if form == "decorated":
                    return await decorated(1)
                fn = tool.later if form == "function" else lambda n: tool.later(n=n)
                return await run.call_tool("t", {"n": 1}, fn, writes=True)

            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.001)
                    ticks += 1

            ticking = asyncio.create_task(tick())
            found = await asyncio.wait_for(asyncio.gather(*(one() for _ in range(6)), return_exceptions=True), 10)
            ticking.cancel()
            run.stop("success")
            return found, ticks

    found, ticks = asyncio.run(main())
    assert (6 - fails) * [{"id": 1}] == [one for one in found if isinstance(one, dict)]
    assert fails == sum(isinstance(one, ConnectionError) for one in found)
    assert [{"n": 1}] == tool.done
    assert ticks > 2, "the loop goes on while they wait"


def test_a_waiter_that_is_cancelled_spoils_nothing(make_watch):
    run = make_watch(guardrails=FREE).run()
    tool = Tool(pause=0.05)

    async def main():
        calls = [asyncio.create_task(run.call_tool("t", {}, tool.later, writes=True)) for _ in range(3)]
        await asyncio.sleep(0.01)
        calls[1].cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    first, cancelled, third = asyncio.run(main())
    assert ({"id": 1}, {"id": 1}) == (first, third)
    assert isinstance(cancelled, asyncio.CancelledError)


def test_a_first_that_is_cancelled_lets_the_next_do_it(make_watch):
    run = make_watch(guardrails=FREE).run()
    tool = Tool(pause=0.05)

    async def main():
        calls = [asyncio.create_task(run.call_tool("t", {}, tool.later, writes=True)) for _ in range(2)]
        await asyncio.sleep(0.01)
        calls[0].cancel()
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)

    assert {"id": 1} == asyncio.run(main())[1]


def test_threads_and_tasks_wait_for_one_another(make_watch):
    run = make_watch(guardrails=FREE).run()
    tool = Tool(pause=0.05)
    found = []

    async def main():
        thread = threading.Thread(target=lambda: found.append(run.call_tool("t", {}, tool, writes=True)))
        thread.start()
        await asyncio.sleep(0.01)
        found.append(await run.call_tool("t", {}, tool.later, writes=True))
        await asyncio.to_thread(thread.join)

    asyncio.run(main())
    assert ([{"id": 1}] * 2, [{}]) == (found, tool.done)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_write_that_nobody_awaits_keeps_nobody_waiting(run):
    tool = Tool()

    async def main():
        waiting = run.call_tool("t", {}, lambda: tool.later(), writes=True)
        del waiting
        gc.collect()
        return await asyncio.wait_for(run.call_tool("t", {}, lambda: tool.later(), writes=True), 5)

    assert {"id": 1} == asyncio.run(main())


def test_a_tool_that_is_wrapped_twice_does_not_wait_for_itself(make_watch):
    watch = make_watch(guardrails=FREE)

    @watch.tool("t", writes=True)
    def send(to):
        return f"sent to {to}"

    @watch.tool("u", writes=True)
    async def send_later(to):
        return f"sent to {to}"

    async def main(run):
        return await asyncio.wait_for(run.call_tool("u", {"to": "a"}, send_later, writes=True), 5)

    with watch.run() as run:
        assert "sent to a" == run.call_tool("t", {"to": "a"}, send, writes=True)
        assert "sent to a" == asyncio.run(main(run))


def test_a_write_that_waits_is_refused_if_the_run_is_stopped_meanwhile(make_watch, control):
    run = make_watch(guardrails=FREE, control=control).run("r")
    tool = Tool(pause=0.1, fails=1)
    errors = []

    def work():
        try:
            run.call_tool("t", {}, tool, writes=True)
        except (ConnectionError, runwatch.RunStopped) as error:
            errors.append(type(error).__name__)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.03)
    control.say("run:r", "stop")
    for thread in threads:
        thread.join(10)
    assert ["ConnectionError", "RunStopped"] == errors
    assert [] == tool.done


def test_a_child_keeps_what_is_done_and_does_not_wait_for_what_was_under_way(make_watch):
    run = make_watch(guardrails=FREE).run()
    tool = Tool()
    run.call_tool("t", {"n": 1}, tool, writes=True)
    slow = Tool(pause=0.5)
    thread = threading.Thread(target=run.call_tool, args=("t", {"n": 2}, slow), kwargs={"writes": True})
    thread.start()
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        try:
            again = run.call_tool("t", {"n": 1}, tool, writes=True)
            own = run.call_tool("t", {"n": 2}, lambda n: "own", writes=True)
            os._exit(0 if (again, own) == ({"id": 1}, "own") else 1)
        except BaseException:
            os._exit(2)
    thread.join()
    assert 0 == os.waitpid(child, 0)[1]
