"""The library of simulated histories: incidents that must be seen, and ordinary life in which nothing may be.

Every history begins on a Monday at 0:00 UTC. An incident begins after a week or more of ordinary life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from ...schemas import reasons
from .profile import DAY_H, Agent, Change, Profile, Tool

START_MS = 1_772_409_600_000
"""2026-03-02 0:00 UTC, a Monday."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One history."""

    name: str
    title: str
    """What happens, for people."""
    agents: tuple[Agent, ...]
    days: int
    onset_h: float | None = None
    """When the incident begins, in hours since the history began; None where there is none."""
    over_h: float | None = None
    """When it ends again; None where it lasts."""
    seen_by: tuple[str, ...] = ()
    """Rules that see it, as patterns: one of them must open a warning or worse."""
    within_min: float = 0.0
    """How long after its onset it must be seen."""
    judged_from_h: float = 0.0
    """Before it nothing is counted."""
    rightly: tuple[str, ...] = ()
    """Rules that rightly say something of ordinary life, as patterns."""

    @property
    def is_real(self) -> bool:
        return self.onset_h is not None

    def sees(self, rule: str) -> bool:
        """Whether an anomaly by this rule means that the incident was seen."""
        return any(fnmatchcase(rule, pattern) for pattern in self.seen_by)

    def allows(self, rule: str) -> bool:
        """Whether an anomaly by this rule is right without an incident."""
        return any(fnmatchcase(rule, pattern) for pattern in self.rightly)


def _at(day: int, hour: float = 0.0) -> float:
    """Hours since the history began; days count from 0, a Monday."""
    return day * DAY_H + hour


def _tools(suffix: str) -> tuple[Tool, ...]:
    """A usual set. Each scenario has its own names, so that no fleet-wide rule takes two for one."""
    return (
        Tool(f"search.{suffix}", 5.0, 250.0),
        Tool(f"lookup.{suffix}", 3.0, 90.0, tail=0.4, failing=0.01),
        Tool(f"fetch.{suffix}", 2.0, 400.0, tail=0.9, failing=0.03),
        Tool(f"update.{suffix}", 1.0, 120.0, failing=0.015),
    )


def _agent(name: str, *changes: Change, first_h: float = 0.0, last_h: float = float("inf"), **own: object) -> Agent:
    profile = replace(Profile(name, _tools(name)), **own)  # type: ignore[arg-type]  # fields of a profile
    return Agent(profile, changes, first_h, last_h)


# Calls that time out show in all of these.
_OUTAGE_RULES = ("drift.error*", "drift.*latency*", "drift.retr*", "drift.stop*", "drift.success*", "fleet.*")
_ONSET_H = _at(8, 10.5)
"""A Tuesday morning, after eight days."""


def _article() -> Scenario:
    """A tool begins to answer 429 and 503 now and then, and retries were raised from 2 to 8, without jitter."""
    tools = (
        Tool("http.get", 7.0, 110.0, tail=0.5),
        Tool("web.search", 2.0, 90.0, tail=0.5),
        Tool("notes.write", 1.0, 20.0, tail=0.5),
    )
    change = Change(
        _ONSET_H,
        tool="http.get",
        failing=0.525,
        statuses=(429, 429, 503),
        retries=8,
        looks_elsewhere=0.81,
        loops=0.05,
        # Whoever meets errors reads them too, and who is overloaded is slow.
        tokens=1.15,
        latency=1.3,
    )
    return Scenario(
        "article",
        "a tool answers 429 and 503 now and then, retries go from 2 to 8",
        (_agent("research", change, tools=tools, model_ms=143.0, mean_calls=4.2, calls_tail=0.35, runs_per_min=8.0),),
        days=9,
        onset_h=_ONSET_H,
        seen_by=("drift.tool_calls*", "drift.*latency*", "drift.retr*", "drift.spend*", "drift.error*", "fleet.*"),
        within_min=12,
    )


def _real() -> list[Scenario]:
    swap = Change(_ONSET_H, version="1.1.0", model="gpt-5.2", tokens=1.6, latency=1.6)
    return [
        _article(),
        Scenario(
            "creep",
            "tool calls and tokens grow by 1 % an hour, for 5 days",
            (_agent("creep", Change(_at(8), _at(13), 120.0, calls=2.2, tokens=2.2)),),
            days=13,
            onset_h=_at(8),
            seen_by=("drift.tool_calls*", "drift.tokens*", "drift.spend*"),
            within_min=48 * 60,
        ),
        Scenario(
            "outage",
            "one tool answers nothing any more, for two hours",
            (
                _agent(
                    "outage",
                    Change(_ONSET_H, _ONSET_H + 2, tool="fetch.outage", failing=1.0, stop_reason=reasons.TOOL_TIMEOUT),
                ),
            ),
            days=9,
            onset_h=_ONSET_H,
            over_h=_ONSET_H + 2,
            seen_by=_OUTAGE_RULES,
            within_min=15,
        ),
        Scenario(
            "outage at night",
            "the same in the deepest night, when little is done",
            (
                _agent(
                    "night-shift",
                    Change(
                        _at(9, 1.5),
                        _at(9, 4.5),
                        tool="fetch.night-shift",
                        failing=1.0,
                        stop_reason=reasons.TOOL_TIMEOUT,
                    ),
                ),
            ),
            days=10,
            onset_h=_at(9, 1.5),
            over_h=_at(9, 4.5),
            seen_by=_OUTAGE_RULES,
            within_min=60,
        ),
        Scenario(
            "model swap",
            "another model: 60 % more tokens, 60 % slower",
            (_agent("swapped", swap),),
            days=10,
            onset_h=_ONSET_H,
            seen_by=("drift.tokens*", "drift.*latency*", "drift.spend*"),
            within_min=60,
        ),
        Scenario(
            "sparse model swap",
            "the same for an agent with a run in three minutes, at most",
            (_agent("seldom", swap, runs_per_min=0.33),),
            days=10,
            onset_h=_ONSET_H,
            seen_by=("drift.tokens*", "drift.*latency*", "drift.spend*"),
            within_min=6 * 60,
        ),
        Scenario(
            "prompt regression",
            "a new prompt: good outcomes fall from 85 to 65 %, nothing else changes",
            (_agent("regressed", Change(_ONSET_H, outcome=0.703)),),
            days=10,
            onset_h=_ONSET_H,
            seen_by=("drift.outcome*", "drift.success*", "drift.*good*"),
            within_min=6 * 60,
        ),
        Scenario(
            "price change",
            "the provider's price rises by 40 %, nothing else changes",
            (_agent("dearer", Change(_ONSET_H, price=1.4)),),
            days=10,
            onset_h=_ONSET_H,
            seen_by=("drift.spend*",),
            within_min=6 * 60,
        ),
        Scenario(
            "bad canary",
            "15 % of the traffic meets a new version with twice the calls",
            (_agent("canary", Change(_ONSET_H, share=0.15, calls=2.0, version="1.1.0-rc1"), runs_per_min=5.0),),
            days=10,
            onset_h=_ONSET_H,
            seen_by=("drift.tool_calls*", "drift.spend*", "drift.*latency*"),
            within_min=6 * 60,
        ),
        Scenario(
            "looping fleet",
            "one run in eight repeats itself until it is stopped",
            (_agent("loopers", Change(_ONSET_H, loops=0.125), loops=0.003),),
            days=9,
            onset_h=_ONSET_H,
            seen_by=("drift.stop*", "drift.loop*", "drift.success*", "fleet.*"),
            within_min=60,
        ),
    ]


def _quiet() -> list[Scenario]:
    rush = Change(_at(8, 11), _at(8, 13), traffic=10.0, latency=1.15)
    return [
        Scenario(
            "day and night",
            "five times the traffic by day, and a third more work a run by night",
            (_agent("tides", night_traffic=0.15, night_work=1.35),),
            days=14,
        ),
        Scenario(
            "night batches",
            "every night runs take two and a half times as much, judged once a week is known",
            (_agent("batches", night_traffic=0.5, night_work=2.5, weekend_traffic=1.0),),
            days=14,
            judged_from_h=_at(7, 12),
        ),
        Scenario(
            "weekends",
            "a tenth of the traffic on Saturday and Sunday",
            (_agent("weekends", weekend_traffic=0.1),),
            days=16,
        ),
        Scenario(
            "traffic x 10",
            "ten times the traffic for two hours, a sixth slower under it",
            (_agent("rush", rush, replace(rush, begin_h=_at(9, 2), end_h=_at(9, 4))),),
            days=11,
        ),
        Scenario(
            "new agents",
            "six agents' first twelve hours, the first of them half as slow again",
            tuple(
                _agent(
                    f"new-{number}",
                    Change(_at(0, hour), _at(0, hour) + 1, latency=1.5),
                    first_h=_at(0, hour),
                    last_h=_at(0, hour) + 12,
                    runs_per_min=rate,
                )
                for number, (hour, rate) in enumerate(((0, 2.5), (6, 5.0), (9, 0.33), (10, 1.0), (12, 10.0), (8, 2.5)))
            ),
            days=1,
        ),
        Scenario(
            "huge runs",
            "now and then one run makes 500 calls",
            (
                _agent("huge", *(Change(at, huge=500) for at in (_at(1, 10), _at(5, 15), _at(8, 3), _at(9, 10)))),
                _agent("huge-seldom", *(Change(_at(day, 11), huge=500) for day in (2, 8, 9)), runs_per_min=0.33),
            ),
            days=11,
            rightly=("loop.runaway*",),
        ),
        Scenario(
            "gaps",
            "no data for three hours, in the day and in the night",
            (
                _agent(
                    "gaps",
                    *(
                        Change(_at(day, hour), _at(day, hour + 3), traffic=0.0)
                        for day, hour in ((2, 9), (6, 1), (9, 14))
                    ),
                ),
            ),
            days=11,
        ),
        Scenario(
            "halved",
            "a deploy that halves everything",
            (_agent("halved", Change(_ONSET_H, calls=0.5, tokens=0.5, latency=0.5, version="2.0.0"), mean_calls=6.0),),
            days=11,
        ),
        Scenario(
            "deploys",
            "a new version every other day, none of them different",
            (_agent("deploys", *(Change(_at(day, 11), version=f"1.{day}.0") for day in range(1, 12, 2))),),
            days=12,
        ),
        Scenario(
            "a month",
            "a month of ordinary life: a busy agent with heavy tails, a usual one, a sparse one",
            (
                _agent("busy", runs_per_min=5.0, calls_tail=0.8, tokens_tail=0.8),
                _agent("usual"),
                _agent("sparse", runs_per_min=0.33),
            ),
            days=30,
        ),
    ]


LIBRARY: Mapping[str, Scenario] = {scenario.name: scenario for scenario in (*_real(), *_quiet())}
"""All scenarios by name, the real ones first."""
