"""Writes that need a person: the callback, the control topic, the wait, and what is said where nobody answers."""

import asyncio
import threading
import time

import pytest

import runwatch
from runwatch.control.guardrails import Guardrails, ToolPolicy, Writes
from runwatch.control.scopes import approval_id
from runwatch.schemas.canonical import sha

ARGS = {"to": "a"}
ID = approval_id("r", "mail.send", sha(ARGS))


def guarded(wait_s=0.0):
    return Guardrails(tools=ToolPolicy("allow_all"), writes=Writes(approval_wait=wait_s))


@pytest.fixture
def start(make_watch, control):
    def begin(approve=None, wait_s=0.0, control=control):
        return make_watch(guardrails=guarded(wait_s), approve=approve, control=control).run("r")

    return begin


def send(run, args=ARGS, fn=lambda to: f"sent to {to}", **given):
    return run.call_tool("mail.send", args, fn, writes=True, **given)


def test_without_an_answer_it_is_refused_and_says_what_to_do(start, sink):
    run = start()
    with pytest.raises(runwatch.ApprovalRequired, match=f"`runwatch approve {ID}` gives it") as caught:
        send(run)
    assert ("approval_required", "r", "mail.send", ID) == (
        caught.value.stop_reason, caught.value.run_id, caught.value.tool, caught.value.approval_id,
    )  # fmt: skip
    assert {} == run.call_tool("http.get", {}, dict), "what reads needs none"
    with pytest.raises(runwatch.ApprovalRequired), run:
        send(run)
    assert "approval_required" == run.stop()["stop_reason"]


def test_the_callback_is_asked_once_for_the_same_write(start):
    asked = []

    def approve(request):
        asked.append(request)
        return request.args["to"] == "a"

    run = start(approve)
    tries = [ConnectionError(), None]

    def flaky(to):
        if (error := tries.pop(0)) is not None:
            raise error
        return "sent"

    with pytest.raises(ConnectionError):
        send(run, fn=flaky)
    assert "sent" == send(run, fn=flaky)
    assert "sent" == send(run, fn=flaky)
    for _ in range(2):
        with pytest.raises(runwatch.ToolDenied, match=r"its approval .* was denied; the one who was asked said no"):
            send(run, {"to": "b"})
    assert [(ID, "r", "support", "mail.send", ARGS, sha(ARGS))] == [
        (one.approval_id, one.run_id, one.agent, one.tool, one.args, one.args_sha) for one in asked[:1]
    ]
    assert [{"to": "a"}, {"to": "b"}] == [one.args for one in asked]


def test_a_callback_may_be_async(start):
    async def approve(request):
        await asyncio.sleep(0)
        return True

    async def later(to):
        return f"sent to {to}"

    run = start(approve)
    assert "sent to a" == asyncio.run(send(run, fn=later))
    assert "sent to b" == send(run, {"to": "b"})

    async def within_a_loop():
        return send(run, {"to": "c"})

    assert "sent to c" == asyncio.run(within_a_loop())


def test_a_callback_that_fails_approves_nothing(start):
    run = start(lambda request: 1 / 0)
    with pytest.raises(
        runwatch.ApprovalRequired, match="the callback that was asked failed: ZeroDivisionError"
    ) as caught:
        send(run)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_callback_that_does_not_know_leaves_it_to_people(start, control):
    run = start(lambda request: None)
    with pytest.raises(runwatch.ApprovalRequired):
        send(run)
    control.say(f"approval:{ID}", "allow")
    assert "sent to a" == send(run)


def test_what_a_person_says_is_for_these_arguments(start, control, clock):
    run = start()
    control.say(f"approval:{ID}", "allow")
    assert "sent to a" == send(run)
    with pytest.raises(runwatch.ApprovalRequired):
        send(run, {"to": "b"})
    control.say(f"approval:{approval_id('r', 'mail.send', sha({'to': 'b'}))}", "stop", why="not to b", by="max")
    with pytest.raises(runwatch.ToolDenied, match="max said no: not to b") as caught:
        send(run, {"to": "b"})
    assert caught.value.scope.startswith("approval:")


def test_an_approval_that_has_expired_is_none(start, control):
    control.say(f"approval:{ID}", "allow", expires_ms=int(time.time() * 1000) - 1)
    with pytest.raises(runwatch.ApprovalRequired):
        send(start())


def test_one_approval_is_not_for_all_that_look_alike(start, control):
    """Where a hash cannot tell arguments apart, an approval is for one step."""
    run = start()
    ids = []
    for _ in range(2):
        with pytest.raises(runwatch.ApprovalRequired) as caught:
            send(run, {"to": object()})
        ids.append(caught.value.approval_id)
    assert 2 == len(set(ids))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_write_waits_for_its_approval(start, control, caplog, is_async):
    run = start(wait_s=20.0)
    threading.Timer(0.3, control.say, (f"approval:{ID}", "allow")).start()
    began = time.monotonic()

    async def later(to):
        return f"sent to {to}"

    assert "sent to a" == (asyncio.run(send(run, fn=later)) if is_async else send(run))
    assert 0.25 < time.monotonic() - began < 10
    assert [f"waits for its approval: runwatch approve {ID}"] == [
        record.getMessage().split("run r ")[1] for record in caplog.records
    ]


def test_the_wait_ends(start, control, make_watch):
    with pytest.raises(runwatch.ApprovalRequired):
        send(start(wait_s=0.2))
    with pytest.raises(runwatch.ApprovalRequired):
        send(start(wait_s=60.0, control=None))  # nobody can answer: there is nothing to wait for


def test_a_stop_ends_the_wait(start, control):
    run = start(wait_s=60.0)
    threading.Timer(0.2, control.say, ("fleet", "stop")).start()
    with pytest.raises(runwatch.RunStopped):
        send(run)
    run = start(wait_s=60.0)


def test_writes_that_are_disabled_meanwhile_are_not_made(start, control):
    def approve(request):
        control.say("fleet", "disable_writes")
        return True

    done = []
    with pytest.raises(runwatch.ToolDenied, match="writes are disabled by mia"):
        send(start(approve), fn=lambda to: done.append(to))
    assert [] == done


def test_approval_outside_of_a_run(make_watch):
    watch = make_watch(guardrails=guarded(), approve=lambda request: request.args == {"to": "a"})

    @watch.tool("mail.send", writes=True)
    def plain(to):
        return f"sent to {to}"

    @watch.tool("mail.send", writes=True)
    async def later(to):
        return f"sent to {to}"

    assert ["sent to a", "sent to a"] == [plain("a"), asyncio.run(later("a"))]
    with pytest.raises(runwatch.ToolDenied):
        plain("b")
    with pytest.raises(runwatch.ToolDenied):
        asyncio.run(later("b"))
