"""What the policy stopped in the demo, and what that saved against the same runs lived to their end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..producers.simulator import Life, Stopped, Used
from ..schemas import reasons
from ..schemas.anomalies import Anomaly
from ..schemas.rule_names import CAPPED


@dataclass(frozen=True, slots=True)
class Stops:
    """The looping runs that the policy stopped, as they were and as they would have been."""

    used: Used
    """By them, up to where they were stopped."""
    without: Used
    """By the same runs with nobody to stop them."""
    incident: Used
    """By all runs that met the incident, the stopped ones among them."""
    looping: int
    """Runs with a critical loop; most of them are over before a stop can come."""
    capped: bool
    """Whether the policy left runs alone that it asked to stop: it may not stop so many in an hour."""
    delay_s: float | None
    """The median from the event that made a loop critical to the refused call, in real seconds; None of none."""

    @property
    def saved_calls(self) -> int:
        """Tool calls that were not made."""
        return self.without.tool_calls - self.used.tool_calls

    @property
    def saved_usd(self) -> float:
        """Money that was not spent."""
        return self.without.cost_usd - self.used.cost_usd

    def a_run_without(self) -> tuple[float, float]:
        """Tool calls and money that a run of the incident would have taken, on average, had none been stopped."""
        runs = max(1, self.incident.runs)
        return (self.incident.tool_calls + self.saved_calls) / runs, (self.incident.cost_usd + self.saved_usd) / runs

    def report(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "runs": self.used.runs,
            "looping_runs": self.looping,
            "calls": self.used.tool_calls,
            "calls_without": self.without.tool_calls,
            "cost_usd": round(self.used.cost_usd, 6),
            "cost_usd_without": round(self.without.cost_usd, 6),
            "incident_calls_without": self.incident.tool_calls + self.saved_calls,
            "incident_cost_usd_without": round(self.incident.cost_usd + self.saved_usd, 6),
            "delay_ms": None if self.delay_s is None else round(self.delay_s * 1000),
        }

    def lines(self, speed: float) -> list[str]:
        """For people. `speed` is how many times real time the fleet's clock went."""
        used, without, incident = self.used, self.without, self.incident
        others = (
            "others were left alone, since it may stop only so many in an hour"
            if self.capped
            else "the others were over before it could"
        )
        lines = [f"Of {self.looping:,} looping runs the policy stopped {used.runs:,}; {others}."]
        if not used.runs:
            return lines
        lines += [
            "Beside the same runs, lived again to their end without it:",
            f"  tool calls  {used.tool_calls:,} instead of {without.tool_calls:,}: {self.saved_calls:,} saved, "
            + _shares(self.saved_calls, without.tool_calls, incident.tool_calls),
            f"  spend       ${used.cost_usd:,.2f} instead of ${without.cost_usd:,.2f}: ${self.saved_usd:,.2f} saved, "
            + _shares(self.saved_usd, without.cost_usd, incident.cost_usd),
        ]
        if self.delay_s is not None:
            ms = f"{self.delay_s * 1000:.0f} ms"
            lines.append(
                f"  delay       {ms} from the event that makes a loop critical to the refused call, the median"
            )
            if speed > 1:
                late = f"{self.delay_s * speed:.1f} s"
                lines.append(f"              at {speed:g} times real time it comes {late} late by the fleet's clock")
        return lines


def reckon(stopped: Sequence[Stopped], unstopped: Sequence[Life], hit: Used, found: Iterable[Anomaly]) -> Stops:
    """Sums it up. `unstopped`: what each of the stopped runs would have come to; `hit`: all that met the incident."""
    critical: dict[str, int] = {}
    capped = False
    for anomaly in found:
        capped = capped or anomaly.rule == CAPPED
        if anomaly.run_id and anomaly.severity == "critical" and anomaly.seqs:
            seq = max(anomaly.seqs)
            critical[anomaly.run_id] = min(seq, critical.get(anomaly.run_id, seq))
    used, without, delays = Used(), Used(), []
    for one, otherwise in zip(stopped, unstopped, strict=True):
        if one.life.stop_reason != reasons.LOOP_DETECTED:
            continue  # by a person, or a budget
        used.add(one.life)
        without.add(otherwise)
        since = critical.get(one.task.run_id)
        if since is not None and since < len(one.logged_at):
            delays.append(one.refused_at - one.logged_at[since])
    return Stops(used, without, hit, len(critical), capped, median(delays) if delays else None)


def _shares(saved: float, without: float, incident: float) -> str:
    of_runs = saved / without if without else 0.0
    of_incident = saved / (incident + saved) if incident + saved else 0.0
    return f"{of_runs:.0%} of theirs, {of_incident:.0%} of the whole incident's"
