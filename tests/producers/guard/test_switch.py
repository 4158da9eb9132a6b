"""The kill switch: whom a command binds, when it ends, and what holds while the control topic is away."""

import gc
import threading
import time

import pytest

import runwatch
from runwatch.control.guardrails import Guardrails, KillSwitch, ToolPolicy, Writes
from runwatch.producers import connection

MAY_WRITE = Guardrails(tools=ToolPolicy("allow_all"), writes=Writes(require_approval=False))


@pytest.fixture
def bound(make_watch, control, clock):
    """A watch that follows `control`, and may write."""
    return make_watch(control=control, clock=clock, guardrails=MAY_WRITE)


def state(run, tool="t"):
    """What a run may do: `stop`, `read`, `write`, or `no tool`."""
    try:
        run.check()
    except runwatch.RunStopped:
        return "stop"
    try:
        run.call_tool(tool, {}, dict)
    except runwatch.ToolDenied:
        return "no tool"
    try:
        run.call_tool(tool, [object()], lambda _: 1, writes=True)
    except runwatch.ToolDenied:
        return "read"
    return "write"


@pytest.mark.parametrize(
    ("scope", "mode", "expected"),
    [
        ("fleet", "stop", "stop"),
        ("agent:support", "stop", "stop"),
        ("version:support@1.4.2", "stop", "stop"),
        ("run:r", "stop", "stop"),
        ("tool:t", "stop", "no tool"),
        ("fleet", "disable_writes", "read"),
        ("agent:support", "disable_writes", "read"),
        ("version:support@1.4.2", "disable_writes", "read"),
        ("run:r", "disable_writes", "read"),
        ("tool:t", "disable_writes", "read"),
        ("fleet", "allow", "write"),
        ("agent:other", "stop", "write"),
        ("version:support@1.4.1", "stop", "write"),
        ("run:q", "stop", "write"),
        ("tool:u", "stop", "write"),
        ("dry:fleet", "stop", "write"),
        ("alerts:*@support", "stop", "write"),
    ],
)
@pytest.mark.parametrize("is_late", [False, True], ids=["before the run", "while it runs"])
def test_whom_a_command_binds(bound, control, scope, mode, expected, is_late):
    if not is_late:
        control.say(scope, mode)
    run = bound.run("r")
    if is_late:
        assert "write" == state(run)
        control.say(scope, mode)
    assert expected == state(run)


def test_the_strictest_holds_and_a_narrow_allow_lifts_nothing(bound, control):
    control.say("fleet", "disable_writes")
    control.say("run:r", "allow")
    run = bound.run("r")
    assert "read" == state(run)
    control.say("agent:support", "stop")
    assert "stop" == state(bound.run("q"))


def test_what_is_lifted_or_expires_binds_no_more(bound, control, clock):
    run = bound.run("r")
    control.say("tool:t", "stop")
    control.say("fleet", "disable_writes", expires_ms=clock.now_ms() + 10_000)
    assert "no tool" == state(run)
    control.say("tool:t", "allow")
    assert "read" == state(run)
    clock.move(9.999)
    assert "read" == state(run)
    clock.move(0.001)
    assert "write" == state(run)
    control.say("tool:t", "stop", expires_ms=clock.now_ms() + 5_000)
    assert ["no tool", "write"] == [state(run), state(run, "u")]
    clock.move(5)
    assert "write" == state(run)


def test_a_run_that_was_stopped_stays_so(bound, control, clock, sink):
    run = bound.run("r")
    control.say("run:r", "stop", why="it repeats itself.", by="policy:loop.identical", expires_ms=clock.now_ms() + 1)
    with pytest.raises(runwatch.RunStopped) as caught:
        run.call_tool("t", {}, dict)
    assert (
        "Run r of agent 'support' is stopped: it was stopped by policy:loop.identical (run:r): it repeats itself."
        " `runwatch allow run:r --why ...` lifts it for runs to come."
    ) == str(caught.value)
    assert ("loop_detected", "run:r", "t") == (caught.value.stop_reason, caught.value.scope, caught.value.tool)
    clock.move(10)
    control.say("run:r", "allow")
    with pytest.raises(runwatch.RunStopped, match="repeats"):
        run.model_call(lambda: 1)
    assert "write" == state(bound.run("q"))
    assert "loop_detected" == run.stop()["stop_reason"]


def test_a_stop_by_a_person_is_killed(bound, control):
    control.say("fleet", "stop")
    run = bound.run()
    with pytest.raises(runwatch.RunStopped, match="by mia"):
        run.model_call(lambda: 1)
    assert "killed" == run.stop()["stop_reason"]


def test_agents_of_one_connection_have_their_own_scopes(bound, control):
    control.say("agent:other", "stop")
    assert ["stop", "write"] == [state(bound.agent("other").run()), state(bound.run())]


@pytest.mark.parametrize(
    ("setting", "lost_s", "expected"),
    [("allow", 1000, "write"), ("disable_writes", 30, "write"), ("disable_writes", 30.1, "read")],
)
def test_when_the_topic_is_away(make_watch, control, setting, lost_s, expected):
    guardrails = Guardrails(
        tools=MAY_WRITE.tools, writes=MAY_WRITE.writes, kill_switch=KillSwitch(on_control_lost=setting, lost_after=30)
    )
    run = make_watch(control=control, guardrails=guardrails).run()
    control.lost_s = lost_s
    assert expected == state(run)
    control.lost_s = 0.0
    assert "write" == state(run)


def test_a_stop_holds_while_the_topic_is_away(bound, control):
    control.say("fleet", "stop")
    control.lost_s = 1e6
    assert "stop" == state(bound.run())


def test_the_first_run_of_a_process_waits_and_no_other(bound, control):
    bound.run()
    bound.run()
    bound.agent("other").run()
    assert [2.0] == control.waited


def test_what_was_given_is_not_closed_here(make_watch, control):
    make_watch(control=control).close()
    assert 0 == control.closed


def test_what_is_followed_for_a_connection_ends_with_it(make_watch, control, monkeypatch):
    """With its close, or when nobody can reach it any more, and then without making anyone wait."""
    made = []

    def follower(*_):
        control.start = lambda: made.append("started")
        return control

    monkeypatch.setattr(connection, "Follower", follower)
    monkeypatch.setattr(connection, "KafkaTransport", lambda *_, **__: None)
    watch = connection.connect("a")
    watch.agent("b").close(0.1)
    assert (["started"], 0) == (made, control.closed)
    watch.close(0.1)
    watch.close(0.1)
    assert 1 == control.closed
    forgotten = connection.connect("a")
    del forgotten
    gc.collect()
    until = time.monotonic() + 5
    while control.closed < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    connection.connect("a", guardrails=Guardrails(kill_switch=KillSwitch(enabled=False)))
    assert 2 == len(made), "what is switched off is not followed"


def test_no_stop_is_missed_by_threads_that_look_while_it_comes(make_watch, control):
    """Answers are kept until something changes; two that look at once must not keep the older one."""
    run = make_watch(control=control, guardrails=MAY_WRITE).run(
        "r", budgets=runwatch.Budgets(None, None, None, None, None)
    )
    over = threading.Event()
    stale = []

    def work():
        while not over.is_set():
            before = len(told)
            try:
                run.call_tool("t", {}, dict)
            except runwatch.ToolDenied:
                continue
            # Said before the call began, and not taken back since: nothing may let it through.
            if before % 2 and before == len(told):
                stale.append(before)

    told = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        control.say("tool:t", "stop")
        told.append("stop")
        time.sleep(0.0005)
        told.append("allow")
        control.say("tool:t", "allow")
        for number in range(3):
            control.say(f"tool:other{number}", "stop")
    over.set()
    for thread in threads:
        thread.join()
    assert [] == stale
    assert 100 < len(told)
