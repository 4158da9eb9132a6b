"""What a turn says to the person on call."""

from __future__ import annotations

from collections.abc import Sequence

from .episode import Turn
from .metrics import Metric
from .mix import MixTurn

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def sentence(metric: Metric, subject: str, turn: Turn, cause: str = "") -> str:
    """One sentence; `subject` is whose metric it is, `cause` a further one, or nothing."""
    value, usual = shown(metric, metric.value(turn.level)), shown(metric, metric.value(turn.usual))
    often = " at this hour" if turn.is_seasonal else ""
    lasted = spell(turn.ts_ms - turn.onset_ms)
    head = f"{metric.label} of {subject}"
    if turn.state == "resolved":
        if turn.how == "accepted":
            return f"{head}: {value} for {lasted}, and no longer changing; taken as the new usual."
        if turn.how == "silent":
            return f"{head}: nothing more was heard since; it was {value} (usual: {usual})."
        return f"{head} is back to {value} (usual: {usual})."
    if turn.how == "creep" and turn.state == "open":
        way = "sinks" if metric.falls else "climbs"
        text = f"{head} {way} slowly: {value} now, instead of the usual {usual}{often}; it has for {lasted}."
    else:
        text = f"{head}: {value} for {lasted}, {compared(metric, turn)} the usual {usual}{often}."
    if turn.state == "escalated":
        text = f"{text} It is getting no better."
    return f"{text} {cause}" if cause else text


def compared(metric: Metric, turn: Turn) -> str:
    """How it stands beside the usual."""
    usual = metric.value(turn.usual)
    if metric.falls or not usual:
        return "instead of"
    times = metric.value(turn.level) / usual
    return f"{times:.1f} times" if times >= 1.95 or times < 1 else f"{times - 1:.0%} above"


def fell(agent: str, metrics: Sequence[tuple[Metric, Turn]]) -> str:
    """What fell, all in one sentence."""
    first = metrics[0][1]
    parts = [
        f"{metric.label.lower()} {shown(metric, metric.value(turn.usual))} → {shown(metric, metric.value(turn.level))}"
        for metric, turn in metrics
    ]
    return f"{agent} does with half, or less, for {spell(first.ts_ms - first.onset_ms)}: {listed(parts)}."


def risen_again(agent: str, turn: Turn) -> str:
    """How a fall ended."""
    if turn.how == "accepted":
        return f"{agent} has done with less for {spell(turn.ts_ms - turn.onset_ms)}; taken as the new usual."
    if turn.how == "silent":
        return f"{agent} was not heard of any more after it began to do with less."
    return f"{agent} is back to what it used to take."


def mix_sentence(label: str, agent: str, turn: MixTurn) -> str:
    """Which parts of a mix changed the most."""
    if turn.how == "back":
        return f"{label} of {agent} are the usual ones again."
    if turn.how == "silent":
        return f"{label} of {agent}: nothing more was heard since they changed."
    before, now = turn.before, turn.now
    names = sorted(set(before) | set(now), key=lambda name: (-abs(now.get(name, 0) - before.get(name, 0)), name))
    parts = listed([f"{name} {_percent(before.get(name, 0))} → {_percent(now.get(name, 0))}" for name in names[:3]])
    lasted = spell(turn.ts_ms - turn.onset_ms)
    if turn.how == "accepted":
        return f"{label} of {agent} have been others for {lasted}, taken as usual now: {parts}."
    return f"{label} of {agent} have changed, {lasted} ago: {parts}."


def listed(parts: Sequence[str]) -> str:
    """Parts with commas, and an "and" before the last."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def spell(ms: int) -> str:
    """A length of time, in the unit in which it is said."""
    if ms < 2 * HOUR_MS:
        return f"{round(ms / MINUTE_MS)} minutes"
    return f"{round(ms / HOUR_MS)} hours" if ms < 48 * HOUR_MS else f"{round(ms / HOUR_MS / 24)} days"


def shown(metric: Metric, value: float) -> str:
    """A metric's value with its unit: three significant digits, and no exponent where people read."""
    if metric.is_share:
        return _percent(value)
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}") + metric.unit


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or not share else f"{share:.1%}"
