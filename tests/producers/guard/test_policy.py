"""Which tools may be called: the settings' table, and what a denied call looks like."""

import pytest

import runwatch
from runwatch.control.guardrails import UNGUARDED, Guardrails, ToolPolicy, Writes
from runwatch.producers.guard.policy import Policy, Ruling

FREE = Writes(require_approval=False)


def ruling(tool, writes=None, *, tools=None, its=FREE):
    return Policy(Guardrails(tools=tools or ToolPolicy(), writes=its)).ruling(tool, writes)


def verdict(found):
    if found.denied is not None:
        return "blocked" if "blocklist" in found.denied else "read only"
    return "write" if found.writes else "read"


@pytest.mark.parametrize(
    ("expected", "tool", "writes", "given"),
    [
        ("read", "http.get", None, {}),
        ("read", "http.get", False, {}),
        ("read only", "mail.send", True, {}),
        ("read only", "mail.send", None, {"its": Writes(tools=("*.send",))}),
        ("read only", "mail.send", False, {"its": Writes(tools=("*.send",))}),
        ("write", "mail.send", True, {"tools": ToolPolicy(allowlist=("mail.*",))}),
        ("read only", "mail.send", True, {"tools": ToolPolicy(allowlist=("Mail.*",))}),
        ("read", "http.get", None, {"tools": ToolPolicy(allowlist=("mail.*",))}),
        ("write", "mail.send", True, {"tools": ToolPolicy(default_mode="allow_all")}),
        ("write", "mail.send", True, {"its": Writes(enabled=True)}),
        ("blocked", "http.get", None, {"tools": ToolPolicy(blocklist=("db.*", "http.*"))}),
        ("blocked", "mail.send", True, {"tools": ToolPolicy("allow_all", ("*",), ("mail.send",))}),
        ("read", "", None, {"tools": ToolPolicy(blocklist=("?*",))}),
        ("blocked", "a\nb", None, {"tools": ToolPolicy(blocklist=("a*",))}),
    ],
)
def test_the_table(expected, tool, writes, given):
    assert expected == verdict(ruling(tool, writes, **given))


def test_a_write_that_may_be_has_its_conditions():
    its = Writes(enabled=True, require_approval=True, idempotency=False)
    assert Ruling(True, None, True, False) == ruling("t", True, its=its)
    assert Ruling(True, None, True, True) == Policy(Guardrails(writes=Writes(enabled=True))).ruling("t", True)


def test_a_denied_call_is_not_made_and_the_run_goes_on(make_watch, sink):
    watch = make_watch(guardrails=Guardrails(tools=ToolPolicy(blocklist=("shell",))))
    run = watch.run("r")
    with pytest.raises(runwatch.ToolDenied, match="'shell' was not called: it is on the blocklist") as caught:
        run.call_tool("shell", {"cmd": "ls"}, lambda cmd: 1 / 0)
    assert ("denied", "r", "shell", None) == (
        caught.value.stop_reason, caught.value.run_id, caught.value.tool, caught.value.scope,
    )  # fmt: skip
    assert {} == run.call_tool("http.get", {}, dict)
    assert {"tool_calls": 1, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0} == run.stop()["usage"]


def test_a_denial_that_nobody_catches_is_the_runs_reason(make_watch, sink):
    watch = make_watch()
    with pytest.raises(runwatch.ToolDenied), watch.run() as run:
        run.call_tool("mail.send", {}, dict, writes=True)
    assert "denied" == run.stop()["stop_reason"]


def test_denied_calls_count_as_steps(make_watch):
    """Else a model that asks again and again would never come to an end."""
    run = make_watch().run(budgets=runwatch.Budgets(tool_calls=3))
    for _ in range(3):
        with pytest.raises(runwatch.ToolDenied):
            run.call_tool("mail.send", {}, dict, writes=True)
    with pytest.raises(runwatch.RunStopped):
        run.call_tool("mail.send", {}, dict, writes=True)


def test_a_decorated_tool_is_bound_outside_of_runs_too(make_watch, control):
    watch = make_watch(control=control)

    @watch.tool("mail.send", writes=True)
    def send():
        return "sent"

    @watch.tool("http.get")
    def get():
        return "page"

    with pytest.raises(runwatch.ToolDenied, match="may only read"):
        send()
    assert "page" == get()
    control.say("fleet", "stop")
    with pytest.raises(runwatch.RunStopped, match="Agent 'support' is stopped: it was stopped by mia"):
        get()
    control.say("fleet", "allow")
    assert "page" == get()


def test_nothing_is_refused_of_the_unguarded(make_watch):
    run = make_watch(guardrails=UNGUARDED).run()
    assert [2] * 600 == [run.call_tool("t", {}, lambda: 2, writes=True) for _ in range(600)]


def test_a_refusal_crosses_processes():
    import pickle

    refused = runwatch.ApprovalRequired("no", stop_reason="approval_required", run_id="r", tool="t")
    refused.approval_id = "a"
    again = pickle.loads(pickle.dumps(refused))
    assert (runwatch.ApprovalRequired, "no", "r", "t", "a", "approval_required") == (
        type(again), str(again), again.run_id, again.tool, again.approval_id, again.stop_reason,
    )  # fmt: skip
