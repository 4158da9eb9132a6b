"""The event that tells of events that were lost."""

from __future__ import annotations

import json

from ...schemas import reasons
from ...schemas.events import AgentEvent
from ...schemas.ids import derived_id


def loss_event(spool: str, before: int, count: int, agent: str, version: str | None, now_ms: int) -> AgentEvent:
    """A run of its own that is over with it, since what was lost may be of many runs.

    Of the same spool and the same loss, told twice, the ids are the same; `before` is how much was told already.
    """
    run_id = derived_id("spool", spool, before)
    return AgentEvent(
        derived_id(run_id, 0),
        run_id,
        0,
        "stop",
        now_ms,
        agent,
        agent_version=version,
        stop_reason=reasons.EVENTS_DROPPED,
        labels=json.dumps({"dropped_events": count, "spool": spool}, separators=(",", ":")),
    )
