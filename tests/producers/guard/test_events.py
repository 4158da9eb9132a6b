"""Refusals as events: the very bytes' fields, held fast."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

import runwatch
from runwatch.control.guardrails import Guardrails, ToolPolicy, Writes
from runwatch.control.outgoing import Outgoing
from runwatch.producers import connection
from runwatch.schemas import reasons

GOLDEN = Path(__file__).parent / "golden" / "refusals.jsonl"
TIMELESS = ("event_id",)


def refused(run, *call, **given):
    with pytest.raises(runwatch.Refused):
        run.call_tool(*call, **given)


def told(events):
    """One JSON line an event, without what differs from time to time."""
    return [
        json.dumps({name: value for name, value in event.to_json().items() if name not in TIMELESS}, sort_keys=True)
        for event in events
    ]


def test_every_refusal_is_an_event(make_watch, control, clock, sink):
    guardrails = Guardrails(
        tools=ToolPolicy(blocklist=("shell",), allowlist=("mail.*",)),
        writes=Writes(tools=("db.*", "mail.*")),
    )
    watch = make_watch(
        guardrails=guardrails, control=control, clock=clock, approve=lambda request: request.args.get("ok")
    )
    run = watch.run("refused", budgets=runwatch.Budgets(tokens=100))
    refused(run, "shell", {"cmd": "ls"}, dict, attempt=1)
    refused(run, "db.write", {"row": 1}, dict)
    refused(run, "mail.send", {"to": "a"}, dict)
    refused(run, "mail.send", {"ok": False}, dict, step_id="mine")
    run.call_tool("mail.send", {"ok": True}, dict)
    clock.move(0.25)
    run.call_tool("mail.send", {"ok": True}, dict)
    control.say("tool:http.get", "stop")
    refused(run, "http.get", {}, dict)
    run.model_call(input_tokens=100)
    with pytest.raises(runwatch.RunStopped):
        run.model_call(lambda: 1 / 0, model="m2")
    refused(run, "http.get", {}, dict)
    run.stop("success")

    for run_id, by in (("killed", "mia"), ("looping", "policy:loop.identical")):
        control.say(f"run:{run_id}", "stop", by=by)
        refused(watch.run(run_id), "http.get", {"n": 1}, dict)
    assert watch.flush(5)
    found = told(sink.events)
    if os.environ.get("RUNWATCH_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text("\n".join(found) + "\n")
    assert GOLDEN.read_text().splitlines() == found
    calls = [event for event in sink.events if event.kind in ("tool_result", "model_result")]
    assert {"RunStopped", "ToolDenied", "ApprovalRequired"} == {
        event.error for event in calls if event.stop_reason in reasons.REFUSALS
    }


@pytest.mark.parametrize(
    ("outgoing", "kinds"),
    [
        (Outgoing(), ["run_start", "tool_result", "tool_result", "stop"]),
        (Outgoing(refusals=False), ["run_start", "tool_result", "stop"]),
        (Outgoing(events=False), []),
    ],
    ids=["all", "no refusals", "nothing"],
)
def test_what_is_set_to_be_sent_is_sent_and_the_guard_goes_on(make_watch, sink, monkeypatch, outgoing, kinds):
    monkeypatch.setattr(connection, "_settings", lambda path: (Guardrails(), outgoing, None, None))
    watch = make_watch()
    run = watch.run(budgets=runwatch.Budgets(tool_calls=1))
    run.call_tool("t", {}, dict)
    refused(run, "t", {}, dict)
    assert ("max_tool_calls", 1) == (run.stop()["stop_reason"], run.refused)
    assert watch.flush(5)
    assert kinds == [event.kind for event in sink.events]


def test_a_config_file_says_what_may_be_done_and_what_is_sent(make_watch, sink, tmp_path, monkeypatch):
    path = tmp_path / "runwatch.yaml"
    path.write_text(
        "guardrails:\n  tools: {blocklist: [shell]}\n  budgets: {tool_calls: 2}\n"
        "logging: {events: {include: [run_id, tool, status, stop_reason]}}\nmetrics: {track: []}\n"
    )
    watch = make_watch(config=path)
    run = watch.run("r")
    refused(run, "shell", {}, dict)
    run.call_tool("t", {}, dict)
    refused(run, "t", {}, dict)
    assert watch.flush(5)
    monkeypatch.setenv("RUNWATCH_CONFIG", str(path))
    refused(make_watch().run(), "shell", {}, dict)
    events = [event for event in sink.events if event.run_id == "r"]
    assert [None, "shell", "t", "t", None] == [event.tool for event in events]
    assert {None} == {event.error for event in events} | {event.step_id for event in events}
    given = Guardrails(tools=ToolPolicy())
    assert {} == make_watch(guardrails=given).run().call_tool("shell", {}, dict), "what is given goes before the file"
    path.write_text("guardrails: {tools: {blocklist: 3}}\n")
    with pytest.raises(Exception, match="blocklist"):
        make_watch()


def test_a_fork_is_bound_as_its_parent_is(make_watch, control, new_sink):
    """It has budgets of its own, obeys what is said to its parent's run, and stays stopped if that was."""
    sink = new_sink()
    watch = make_watch(control=control, transport=sink)
    run = watch.run("parent", budgets=runwatch.Budgets(tool_calls=2))
    over = watch.run("over", budgets=runwatch.Budgets(tool_calls=0))
    refused(over, "t", {}, dict)
    run.call_tool("t", {}, dict)
    assert watch.flush(5)

    def in_child():
        refused(over, "t", {}, dict)
        for _ in range(2):
            run.call_tool("t", {}, dict)
        refused(run, "t", {}, dict)
        other = watch.run("child")
        other.call_tool("t", {}, dict)
        control.say("run:parent", "stop")
        other.call_tool("t", {}, dict)

    def stopped_in_child():
        control.say("run:parent", "stop")
        with pytest.raises(runwatch.RunStopped, match="by mia"):
            run.call_tool("t", {}, dict)

    for work in (in_child, stopped_in_child):
        holder = threading.Thread(target=lambda: _hold(run), daemon=True)
        holder.start()
        time.sleep(0.05)
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
        assert 0 == os.waitpid(child, 0)[1], work.__name__
        holder.join()
    run.call_tool("t", {}, dict)
    refused(run, "t", {}, dict)


def _hold(run):
    """The locks that a forked child must not inherit as held."""
    guard = run._guard
    with guard._lock, guard._switch._lock, guard._rules._lock:
        time.sleep(0.3)


def test_whoever_runs_an_agent_is_told_what_nobody_will_see(make_watch, tmp_path, caplog):
    path = tmp_path / "runwatch.yaml"
    path.write_text("logging: {events: {store_args_hash: false}}\n")
    make_watch(config=path)
    assert [
        "runwatch: logging.events.store_args_hash is false: loops cannot be found, since no two calls can be compared."
    ] == caplog.messages
