"""What commands do, and what they touch: sentences and numbers for whoever is about to give one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...control.approvals import waiting
from ...control.scopes import Scope, approval_scope, parse
from ...control.state import ControlState
from ...schemas.controls import Control, Mode
from ...sinks.query import Reader, Row

RECENT_MS: Final = 5 * 60_000
"""A run that did something within this time, and has not stopped, is under way."""

# By the time of storing, which is the clock of commands too: events of a simulation or an import have times of their
# own, and parts that were stored before are not read.
_TOUCHED: Final = """
SELECT count() AS runs FROM
(
    SELECT run_id FROM events_stored
    WHERE ingested_at >= fromUnixTimestamp64Milli({after_ms:Int64})
      AND ({agent:String} = '' OR agent = {agent:String})
      AND ({run:String} = '' OR run_id = {run:String})
    GROUP BY run_id
    HAVING countIf(kind = 'stop') = 0
       AND ({version:String} = '' OR countIf(agent_version = {version:String}) > 0)
       AND ({tool:String} = '' OR countIf(tool = {tool:String}) > 0)
)
"""

MOST_NAMES: Final = 500

_NAMES: Final = """
SELECT
    arraySort(groupUniqArray({most:UInt32})(toString(agent))) AS agents,
    arraySort(groupUniqArrayIf({most:UInt32})(concat(toString(agent), '@', toString(assumeNotNull(agent_version))),
        agent_version IS NOT NULL AND agent_version != '')) AS versions,
    (
        SELECT arraySort(groupUniqArray({most:UInt32})(toString(assumeNotNull(tool)))) FROM window_parts_stored
        WHERE tool IS NOT NULL AND window_start >= (SELECT max(window_start) FROM window_parts_stored) - INTERVAL 7 DAY
    ) AS tools
FROM run_hours_stored
WHERE hour >= (SELECT max(hour) FROM run_hours_stored) - INTERVAL 7 DAY
"""

_WIDTH: Final = {"fleet": 0, "agent": 1, "version": 2, "tool": 3, "run": 4}
_WHOM_KINDS: Final = frozenset(_WIDTH)

_WHOM: Final = {
    "fleet": "every run of every agent",
    "agent": "every run of {name}",
    "version": "every run of {name}",
    "run": "run {name}",
}


def runs_touched(reader: Reader, scope: str, now_ms: int) -> int:
    """How many runs under way a command of that scope would bind; 0 for scopes that bind no agent.

    Of a tool: runs that called it lately. `now_ms`: wall clock. Raises `ScopeError`.
    """
    its = parse(scope)
    if not its.binds_agents:
        return 0
    agent, _, version = its.name.rpartition("@") if its.kind == "version" else ("", "", "")
    row = reader.rows(
        _TOUCHED,
        after_ms=now_ms - RECENT_MS,
        agent=its.name if its.kind == "agent" else agent,
        version=version,
        run=its.name if its.kind == "run" else "",
        tool=its.name if its.kind == "tool" else "",
    )[0]
    return int(row["runs"])


def effect(scope: Scope, mode: Mode, name: str) -> str:
    """What a command does, in a sentence. `name`: the scope's, as it is to be shown."""
    match scope.kind:
        case "approval":
            return "This one write may be done." if mode == "allow" else "This one write is denied."
        case "alerts":
            return f"Alerts of {name} are heard again." if mode == "allow" else f"Alerts of {name} are silenced."
        case "dry":
            return "Nobody goes by it: it is what the policy would have done."
        case "tool":
            return {
                "stop": f"Every call of {name} is refused, whoever makes it.",
                "disable_writes": f"Calls of {name} that write are refused, whoever makes them.",
                "allow": f"Calls of {name} are allowed again, as far as nothing wider forbids them.",
            }[mode]
        case kind:
            whom = _WHOM[kind].format(name=name)
            told = {
                "stop": "{whom} is refused its next call, and ends.",
                "disable_writes": "{whom} may read, and is refused its next write.",
                "allow": "{whom} is allowed to go on, as far as nothing wider forbids it.",
            }[mode].format(whom=whom)
            return told[0].upper() + told[1:]


@dataclass(frozen=True, slots=True)
class Standing:
    """A command in force."""

    scope: str
    kind: str
    name: str
    mode: str
    since_ms: int
    until_ms: int | None
    """None where it holds until something else is said."""
    by: str
    why: str
    anomaly_id: str | None
    control_id: str


@dataclass(frozen=True, slots=True)
class InForce:
    """All that stands in the control topic, the widest scope first and of these the latest."""

    forbidden: list[Standing]
    """What agents may not do."""
    allowed: list[Standing]
    """Scopes that a person allowed, and that the policy therefore leaves alone."""
    silences: list[Standing]
    dry: list[Standing]
    """What the policy would have done."""


@dataclass(frozen=True, slots=True)
class WaitingWrite:
    """A write that waits for a person."""

    approval: str
    scope: str
    since_ms: int
    agent: str
    tool: str
    args_sha: str | None
    run_id: str


@dataclass(frozen=True, slots=True)
class Names:
    """Whom a command may name: what was seen lately, in alphabetical order."""

    agents: list[str]
    versions: list[str]
    """As scopes have them: `NAME@VERSION`."""
    tools: list[str]


def in_force(state: ControlState, now_ms: int) -> InForce:
    """What stands now."""
    every = [_standing(one) for one in reversed(state.commands(now_ms))]
    every.sort(key=lambda one: _WIDTH.get(one.kind, len(_WIDTH)))
    return InForce(
        forbidden=[one for one in every if one.kind in _WHOM_KINDS and one.mode != "allow"],
        allowed=[one for one in every if one.kind in _WHOM_KINDS and one.mode == "allow"],
        silences=[one for one in every if one.kind == "alerts" and one.mode == "stop"],
        dry=[one for one in every if one.kind == "dry" and one.mode != "allow"],
    )


def writes_waiting(calls: list[Row], state: ControlState, now_ms: int) -> list[WaitingWrite]:
    """Writes that nobody has answered; `calls` as `Reader.unapproved` has them. Oldest first."""
    return [
        WaitingWrite(
            one.approval,
            approval_scope(one.approval),
            round(one.since.timestamp() * 1000),
            one.agent,
            one.tool,
            one.args_sha,
            one.run_id,
        )
        for one in waiting(calls, state, now_ms)
    ]


def names(reader: Reader) -> Names:
    """Names of the latest week."""
    row = reader.rows(_NAMES, most=MOST_NAMES)[0]
    return Names(list(row["agents"]), list(row["versions"]), list(row["tools"]))


def _standing(one: Control) -> Standing:
    its = parse(one.scope)
    return Standing(
        one.scope, its.kind, its.name, one.mode, one.ts_ms, one.expires_ms, one.by, one.why, one.anomaly_id,
        one.control_id,
    )  # fmt: skip
