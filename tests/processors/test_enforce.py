"""The policy's arm: what is commanded, what is left alone, and the same again by whoever begins anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.control.read import _check
from runwatch.control.state import ControlState
from runwatch.processors.enforce.asked import Asked
from runwatch.processors.enforce.enforcer import NOTED, Enforcer
from runwatch.processors.replay import stretch_start
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.controls import Control
from runwatch.settings.policy import HOUR_MS, Policy, PolicyRule

from .enforce_model import Log, Topic, anomaly, expected_stops, said
from .support import T0

MINUTE = 60_000
DRIFT = "drift.spend_per_run"


def policy(*entries: dict[str, Any], **given: Any) -> Policy:
    return Policy(rules=tuple(PolicyRule(**one) for one in entries), **given)


STOP_LOOPS = {"rule": "loop.*", "action": "stop_run"}
WRITES = {"rule": "drift.*", "action": "disable_writes"}
STOP_AGENT = {"rule": "drift.*", "action": "stop_agent"}


def commands(policy: Policy, *log: tuple[int, Anomaly], state: ControlState | None = None) -> list[Control]:
    enforcer = Enforcer(policy, state or ControlState())
    out = [one for log_ms, its in log for one in enforcer.take(its, log_ms)]
    for one in out:
        if isinstance(one, Control):
            _check(one.scope, one, one.ts_ms)  # whoever reads commands takes it
    return [one for one in out if isinstance(one, Control)]


def by_person(scope: str, mode: Any, ts_ms: int, **given: Any) -> ControlState:
    state = ControlState()
    state.apply(Control("1", scope, mode, ts_ms, "why", "somebody", **given))
    return state


def brief(found: list[Control]) -> list[tuple[str, str, int]]:
    return [(one.mode, one.scope, one.ts_ms - T0) for one in found]


def test_a_critical_loop_stops_its_run() -> None:
    (found,) = commands(Policy(), (T0 + 7, anomaly(message="Look: it loops.")))
    assert ("stop", "run:r", T0 + 7, T0 + 7 + HOUR_MS) == (found.mode, found.scope, found.ts_ms, found.expires_ms)
    assert ("Look: it loops.", "policy:loop.repeat", anomaly().anomaly_id) == (found.why, found.by, found.anomaly_id)


@pytest.mark.parametrize(
    "its",
    [
        anomaly(severity="warning"),
        anomaly(DRIFT),
        anomaly("fleet.failing", agent="*"),
        anomaly("policy.capped", agent="*"),
        anomaly(state="resolved"),
    ],
)
def test_the_defaults_leave_the_rest_alone(its: Anomaly) -> None:
    assert [] == commands(Policy(), (T0, its))


def test_the_first_entry_that_matches_counts() -> None:
    rules = policy({"rule": "loop.retries", "action": "ignore"}, {**STOP_LOOPS, "agents": "test-*"}, WRITES)
    of_test = anomaly(run="s", agent="test-1")
    log = [(T0, anomaly("loop.retries", agent="test-1")), (T0, anomaly()), (T0, of_test), (T0, anomaly(DRIFT))]
    assert [("stop", "run:s", 0), ("disable_writes", "agent:a", 0)] == brief(commands(rules, *log))


def test_writes_are_disabled_where_the_trouble_is() -> None:
    rules = policy({"rule": "loop.*", "action": "disable_writes"}, WRITES)
    found = commands(rules, (T0, anomaly(severity="warning")), (T0, anomaly(DRIFT, severity="warning")))
    assert [("disable_writes", "run:r", 0), ("disable_writes", "agent:a", 0)] == brief(found)


@pytest.mark.parametrize(
    "its",
    [
        anomaly("fleet.failing", agent="*"),
        anomaly(run=None),
        anomaly(run=""),
        anomaly(run="x" * 5_000),
        anomaly(DRIFT, agent="*"),
    ],
)
def test_who_is_not_named_cannot_be_commanded(its: Anomaly) -> None:
    entries = ({"rule": "loop.*", "action": "stop_run"}, {"rule": "drift.*", "action": "stop_agent"})
    assert [] == commands(policy(*entries), (T0, its))


def test_a_policy_that_is_off_does_nothing() -> None:
    assert [] == commands(Policy(enabled=False), (T0, anomaly()))


def test_a_dry_run_says_what_would_have_been_done() -> None:
    found = commands(Policy(dry_run=True), (T0, anomaly()), (T0 + 5, anomaly("loop.retries")))
    assert [("stop", "dry:run:r", 0)] == brief(found)
    assert found[0].control_id != commands(Policy(), (T0, anomaly()))[0].control_id


# -- one command while one is in force -------------------------------------------------------------


def test_what_is_in_force_is_not_said_again_but_once_it_is_over() -> None:
    log = [(T0 + at * 20 * MINUTE, anomaly(rule)) for at, rule in enumerate(["loop.repeat", "loop.retries"] * 3)]
    assert [("stop", "run:r", 0), ("stop", "run:r", HOUR_MS)] == brief(commands(Policy(), *log))


def test_what_is_stricter_is_said() -> None:
    rules = policy(STOP_AGENT, WRITES)
    log = [(T0, anomaly(DRIFT, severity="warning")), (T0 + 1, anomaly(DRIFT, state="escalated"))]
    found = commands(rules, *log, (T0 + 2, anomaly("drift.outcome", severity="warning")))
    assert [("disable_writes", "agent:a", 0), ("stop", "agent:a", 1)] == brief(found)
    assert 2 == len({one.control_id for one in found})


# -- persons ---------------------------------------------------------------------------------------


def test_a_persons_later_word_holds() -> None:
    for mode in ("allow", "disable_writes", "stop"):
        assert [] == commands(Policy(), (T0, anomaly()), state=by_person("run:r", mode, T0 + 1))


def test_a_persons_earlier_word_holds_where_it_is_as_strict() -> None:
    rules = policy(WRITES)
    for mode in ("disable_writes", "stop"):
        assert [] == commands(rules, (T0, anomaly(DRIFT)), state=by_person("agent:a", mode, T0 - 1))
    for state in (
        by_person("agent:a", "allow", T0 - HOUR_MS),
        by_person("agent:a", "allow", T0 - 2, expires_ms=T0 - 1),
        by_person("agent:a", "disable_writes", T0 - 1, expires_ms=T0 + MINUTE),
        by_person("agent:a", "stop", T0 - 2, expires_ms=T0 - 1),
        by_person("agent:b", "stop", T0 - 1),
    ):
        assert [("disable_writes", "agent:a", 0)] == brief(commands(rules, (T0, anomaly(DRIFT)), state=state))


@pytest.mark.parametrize(
    "state",
    [
        by_person("agent:a", "allow", T0 - HOUR_MS + 1),
        by_person("agent:a", "allow", T0 - 9 * HOUR_MS, expires_ms=T0 + 1),
    ],
)
def test_whom_a_person_allows_is_left_alone_for_a_while(state: ControlState) -> None:
    for entry in (WRITES, STOP_AGENT):
        assert [] == commands(policy(entry), (T0, anomaly(DRIFT)), state=state)
        assert [("dry:agent:a", T0 + 1)] == [
            (one.scope, one.ts_ms)
            for one in commands(policy(entry, dry_run=True), (T0 + 1, anomaly(DRIFT)), state=state)
        ]


# -- ends ------------------------------------------------------------------------------------------


def over(rule: str = DRIFT, **given: Any) -> Anomaly:
    return anomaly(rule, state="resolved", message="It is over.", **given)


def test_what_is_over_is_lifted() -> None:
    opened, lifted = commands(policy(WRITES), (T0, anomaly(DRIFT)), (T0 + MINUTE, over()), (T0 + MINUTE, over()))
    assert ("allow", "agent:a", T0 + MINUTE) == (lifted.mode, lifted.scope, lifted.ts_ms)
    assert ("It is over.", opened.by, opened.anomaly_id) == (lifted.why, lifted.by, lifted.anomaly_id)
    assert opened.control_id != lifted.control_id


def test_a_dry_run_is_lifted_dryly() -> None:
    found = commands(policy(WRITES, dry_run=True), (T0, anomaly(DRIFT)), (T0 + 5, over()))
    assert [("disable_writes", "dry:agent:a", 0), ("allow", "dry:agent:a", 5)] == brief(found)


def test_the_end_of_something_else_or_too_late_lifts_nothing() -> None:
    log = [(T0, anomaly(DRIFT)), (T0 + 1, over("drift.outcome")), (T0 + 2, over(agent="b")), (T0 + HOUR_MS, over())]
    assert 1 == len(commands(policy(WRITES), *log))


def test_what_a_person_said_is_not_lifted() -> None:
    topic = Topic()
    topic.add(said(policy(WRITES), [(T0, anomaly(DRIFT))]))
    state = topic.state()
    state.apply(Control("p", "agent:a", "stop", T0 + 1, "I want to look", "somebody"))
    assert [] == commands(policy(WRITES), (T0 + 2, over()), state=state)


def test_what_is_still_open_goes_on() -> None:
    rules = policy(STOP_AGENT, WRITES)
    writes, stops = anomaly("drift.outcome", severity="warning"), anomaly(DRIFT)
    log = [(T0, writes), (T0 + 1, stops), (T0 + 2, over()), (T0 + 3, over("drift.outcome"))]
    found = commands(rules, *log)
    expected = [("disable_writes", 0), ("stop", 1), ("disable_writes", 2), ("allow", 3)]
    assert expected == [(mode, at) for mode, _, at in brief(found)]
    assert T0 + HOUR_MS == found[2].expires_ms
    assert (writes.anomaly_id, 4) == (found[2].anomaly_id, len({one.control_id for one in found}))
    # The other way round, what is open but covered is as it was.
    assert ["disable_writes", "stop", "allow"] == [
        one.mode for one in commands(rules, (T0, writes), (T0 + 1, stops), (T0 + 2, over("drift.outcome")), log[2])
    ]


def test_a_runs_stop_stays() -> None:
    assert 1 == len(commands(Policy(), (T0, anomaly()), (T0 + 1, over("loop.repeat"))))


# -- caps ------------------------------------------------------------------------------------------


def loops(count: int, first: int = 0, apart_ms: int = 1000) -> list[tuple[int, Anomaly]]:
    return [(T0 + apart_ms * at, anomaly(run=f"r{at}")) for at in range(first, first + count)]


def test_a_bad_rule_ends_no_fleet() -> None:
    start = stretch_start(T0, HOUR_MS)
    log = [(start + 1000 * at, anomaly(run=f"r{at}")) for at in range(1000)]
    out = said(policy({**STOP_LOOPS, "most_runs_an_hour": 10}), log)
    stopped = [one.scope for one in out if isinstance(one, Control) and one.scope.startswith("run:")]
    noted = [one.scope for one in out if isinstance(one, Control) and one.scope.startswith("dry:run:")]
    assert ([f"run:r{at}" for at in range(10)], 990) == (stopped, len(noted))
    (told,) = [one for one in out if isinstance(one, Anomaly)]
    assert ("policy.capped", "critical", "*", 10.0) == (told.rule, told.severity, told.agent, told.baseline)
    assert "loop.*" in told.message and "10 runs" in told.message


def test_what_is_noted_has_an_end_too() -> None:
    found = commands(policy({**STOP_LOOPS, "most_runs_an_hour": 10}), *loops(NOTED + 500, apart_ms=1))
    assert ["run"] * 10 + ["dry"] * NOTED == [one.scope.partition(":")[0] for one in found]


def test_it_is_told_once_an_hour() -> None:
    log = loops(100, apart_ms=3 * MINUTE)
    told = [one for one in said(policy({**STOP_LOOPS, "most_runs_an_hour": 2}), log) if isinstance(one, Anomaly)]
    hours = sorted({log_ms // HOUR_MS for log_ms, _ in log[2:]})
    assert hours == [one.ts_ms // HOUR_MS for one in told]
    assert len(hours) == len({one.anomaly_id for one in told})


def test_each_entry_has_its_own_cap() -> None:
    one_an_hour = {**STOP_LOOPS, "most_runs_an_hour": 1}
    rules = policy({**one_an_hour, "rule": "loop.retries"}, {**one_an_hour, "agents": "b"}, one_an_hour)
    log = [(T0, anomaly(rule, run, agent=agent)) for rule, run, agent in [
        ("loop.retries", "1", "a"), ("loop.repeat", "2", "b"), ("loop.repeat", "3", "a"), ("loop.cycle", "4", "a"),
    ]]  # fmt: skip
    assert ["run:1", "run:2", "run:3", "dry:run:4"] == [one.scope for one in commands(rules, *log)]


def test_who_was_left_alone_is_stopped_once_there_is_room() -> None:
    rules = policy({**STOP_LOOPS, "most_runs_an_hour": 1, "duration": "3h"})
    log = [(T0, anomaly(run="1")), (T0 + 1, anomaly(run="2")), (T0 + 2, anomaly("loop.retries", "2"))]
    later = [(T0 + HOUR_MS, anomaly("loop.cycle", "2")), (T0 + HOUR_MS + 1, anomaly("loop.cycle", "1"))]
    assert ["run:1", "dry:run:2", "run:2"] == [one.scope for one in commands(rules, *log, *later)]


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, HOUR_MS // 2), st.integers(0, 6)), max_size=60))
def test_a_cap_is_what_a_plain_count_says(most: int, steps: list[tuple[int, int]]) -> None:
    counted, now, asked = Asked(most), T0, list[tuple[int, str]]()
    for step, who in steps:
        now += step
        others = {other for at, other in asked if at > now - HOUR_MS and other != f"run:{who}"}
        assert min(len(others), most) == counted.others(f"run:{who}", now)
        asked.append((now, f"run:{who}"))
    assert len(counted._asked) <= most + 1


# -- whoever begins anew ---------------------------------------------------------------------------

steps = st.sampled_from([0, 1, 1000, MINUTE, 20 * MINUTE, HOUR_MS])
loop_logs = st.lists(
    st.tuples(
        steps,
        st.builds(
            anomaly,
            rule=st.sampled_from(["loop.repeat", "loop.retries"]),
            run=st.sampled_from("pqrs"),
            severity=st.sampled_from(["warning", "critical"]),
        ),
    ),
    max_size=30,
)
any_logs = st.lists(
    st.tuples(
        steps,
        st.builds(
            anomaly,
            rule=st.sampled_from(["loop.repeat", DRIFT, "drift.outcome", "fleet.failing"]),
            run=st.sampled_from("pq"),
            agent=st.sampled_from("ab"),
            severity=st.sampled_from(["warning", "critical"]),
            state=st.sampled_from(["open", "escalated", "resolved"]),
        ),
    ),
    max_size=30,
)
policies = st.builds(
    lambda most, dry, short: policy(
        {**STOP_LOOPS, "most_runs_an_hour": most, "duration": short},
        {**STOP_AGENT, "duration": "2h", "most_runs_an_hour": 2},
        {**WRITES, "duration": short},
        dry_run=dry,
    ),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["10m", "1h"]),
)


def timed(log: list[tuple[int, Anomaly]]) -> Log:
    now, out = T0, []
    for step, its in log:
        now += step
        out.append((now, its))
    return out


def episodes(log: list[tuple[int, Anomaly]]) -> Log:
    """The log as rules tell: what opens is new, what goes on gets worse, and what ends was open."""
    number, worst, out = Counter[str](), dict[str, str](), []
    for log_ms, its in timed(log):
        of = its.anomaly_id
        if its.state == "resolved":
            if worst.pop(of, None) is None:
                continue
        elif worst.get(of) in ("critical", its.severity):
            continue
        else:
            number[of] += of not in worst
            its = replace(its, state="escalated" if of in worst else "open")
            worst[of] = its.severity
        out.append((log_ms, replace(its, anomaly_id=f"{of}-{number[of]}")))
    return out


@given(loop_logs, st.integers(1, 3))
def test_runs_are_stopped_as_the_plain_model_says(log: list[tuple[int, Anomaly]], most: int) -> None:
    rules = policy({**STOP_LOOPS, "most_runs_an_hour": most})
    found = [one for one in said(rules, timed(log)) if isinstance(one, Control)]
    assert expected_stops(rules, timed(log)) == [
        (one.ts_ms, one.scope.rpartition(":")[2], one.scope.startswith("dry:")) for one in found
    ]


@settings(max_examples=300)
@given(policies, any_logs, st.data())
def test_a_worker_that_begins_anew_goes_on_as_one_that_lived(
    rules: Policy, log: list[tuple[int, Anomaly]], data: st.DataObject
) -> None:
    its = episodes(log)
    lived = said(rules, its)
    topic, capped = Topic(), list[Anomaly]()
    committed = 0
    while committed < len(its) or not its:
        enforcer = Enforcer(rules, topic.state())
        # As the transport: from a whole stretch before the one of the last message that was committed.
        since = stretch_start(its[committed - 1][0], rules.longest_ms) - rules.longest_ms if committed and its else 0
        end = data.draw(st.integers(committed, len(its)))
        lost = data.draw(st.integers(0, 3))
        said_now: list[Control | Anomaly] = []
        for at, (log_ms, one) in enumerate(its[:end]):
            if log_ms >= since:
                said_now += enforcer.take(one, log_ms, replay=at < committed)
        # Killed: the last that it said may not have arrived, and then what led to it was not committed.
        arrived = len(said_now) - min(lost, len(said_now))
        topic.add(said_now[:arrived])
        capped += [one for one in said_now[:arrived] if isinstance(one, Anomaly)]
        if arrived == len(said_now):
            committed = max(committed, data.draw(st.integers(committed, end)))
        if end == len(its) and arrived == len(said_now):
            break
    whole = Topic()
    whole.add(lived)
    # What did not arrive for sure may be said twice, but nothing else is, and the same stands in the end.
    assert set(whole.commands) == set(topic.commands)
    assert whole.state().commands(T0) == topic.state().commands(T0)
    assert {one.anomaly_id for one in lived if isinstance(one, Anomaly)} == {one.anomaly_id for one in capped}


def test_what_is_read_again_is_the_same_and_what_is_said_anew_is_not() -> None:
    first, again, later = (commands(Policy(), (T0 + at, anomaly()))[0] for at in (0, 0, HOUR_MS))
    assert first == again
    assert first.control_id != later.control_id
