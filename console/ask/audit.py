"""The audit: who said what to whom, and what agents refused because of it. Times are epoch milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ...schemas import reasons
from ...sinks.query import Reader

Kind = Literal["all", "people", "policy", "refusals", "dry", "approvals", "alerts"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MOST: Final = 500

# What the view `audit` shows, without reading each event of a span twice to find copies: of refusals these are left
# out here, and what was stored before the span is not read at all.
_AUDIT: Final = f"""
SELECT * FROM
(
    SELECT
        toUnixTimestamp64Milli(ts) AS at_ms, 'command' AS entry, by AS who, scope, toString(mode) AS what, why,
        if(startsWith(scope, 'run:'), substring(scope, 5), '') AS run_id,
        multiIf(startsWith(scope, 'agent:'), substring(scope, 7),
                startsWith(scope, 'version:'), extract(scope, '^version:(.*)@[^@]*$'), '') AS agent,
        if(startsWith(scope, 'tool:'), substring(scope, 6), '') AS tool,
        ifNull(anomaly_id, '') AS anomaly_id, toUnixTimestamp64Milli(expires_at) AS expires_ms
    FROM control_stored FINAL
    WHERE ts >= fromUnixTimestamp64Milli({{from_ms:Int64}}) AND ts < fromUnixTimestamp64Milli({{to_ms:Int64}})
      AND {{kind:String}} != 'refusals'
      AND ({{kind:String}} != 'people' OR (NOT startsWith(by, 'policy:') AND NOT startsWith(scope, 'dry:')))
      AND ({{kind:String}} != 'policy' OR (startsWith(by, 'policy:') AND NOT startsWith(scope, 'dry:')))
      AND ({{kind:String}} != 'dry' OR startsWith(scope, 'dry:'))
      AND ({{kind:String}} != 'approvals' OR startsWith(scope, 'approval:'))
      AND ({{kind:String}} != 'alerts' OR startsWith(scope, 'alerts:'))
    UNION ALL
    SELECT
        toUnixTimestamp64Milli(ts) AS at_ms, 'refusal' AS entry, toString(agent) AS who,
        concat('run:', run_id) AS scope, ifNull(toString(error), '') AS what, ifNull(toString(stop_reason), '') AS why,
        run_id, toString(agent) AS agent, ifNull(toString(tool), '') AS tool, '' AS anomaly_id,
        CAST(NULL AS Nullable(Int64)) AS expires_ms
    FROM events_stored
    WHERE ts >= fromUnixTimestamp64Milli({{from_ms:Int64}}) AND ts < fromUnixTimestamp64Milli({{to_ms:Int64}})
      AND ingested_at >= fromUnixTimestamp64Milli({{from_ms:Int64}}) - INTERVAL 1 HOUR
      AND {{kind:String}} IN ('all', 'refusals')
      AND kind != 'stop' AND status = 'error'
      AND stop_reason IN ({", ".join(f"'{one}'" for one in sorted(reasons.REFUSALS))})
    LIMIT 1 BY event_id
)
WHERE {{text:String}} = '' OR positionCaseInsensitiveUTF8(
    concat(who, '\\n', scope, '\\n', what, '\\n', why, '\\n', agent, '\\n', tool), {{text:String}}) > 0
ORDER BY at_ms DESC, entry, scope
LIMIT {{limit:UInt32}}
"""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries."""

    kind: Kind = "all"
    """`people` and `policy`: commands by these; `dry`: what the policy would have done."""
    text: str = ""
    """Part of a name, a scope or a reason."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A command, or a call that an agent refused."""

    at_ms: int
    entry: str
    """`command` or `refusal`."""
    who: str
    scope: str
    what: str
    """The command's mode, or the error that the agent's code saw."""
    why: str
    run_id: str
    agent: str
    tool: str
    anomaly_id: str
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class Audit:
    """Some entries, newest first, and whether there are older ones in the span."""

    entries: list[AuditEntry]
    more: bool


def audit(reader: Reader, its: AuditFilter, from_ms: int, to_ms: int, limit: int = 50) -> Audit:
    """Entries of that time, `from_ms` on and before `to_ms`; `limit` is 1 to `MOST`."""
    limit = max(1, min(limit, MOST))
    rows = reader.rows(_AUDIT, kind=its.kind, text=its.text, from_ms=from_ms, to_ms=to_ms, limit=limit + 1)
    return Audit([AuditEntry(**row) for row in rows[:limit]], len(rows) > limit)
