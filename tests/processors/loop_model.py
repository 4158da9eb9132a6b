"""The loop rules told again, a run at a time and call by call: slow, plain, and what the arrays must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runwatch.processors.loops import LoopRules
from runwatch.processors.loops.measures import FAILED, POOR, RETRIED, UNKNOWN
from runwatch.processors.runs import RING

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Call:
    """A tool call."""

    call: int
    outcome: int
    error: int = 0
    flags: int = 0
    ms: int = 0

    @property
    def failed(self) -> bool:
        return bool(self.outcome & FAILED)

    @property
    def unknown(self) -> bool:
        return bool(self.outcome & UNKNOWN)

    def is_as(self, other: Call) -> bool:
        return (self.call, self.outcome) == (other.call, other.outcome)


def in_a_row(held: Sequence[bool]) -> int:
    count = 0
    for one in reversed(held):
        if not one:
            break
        count += 1
    return count


class Model:
    """One run."""

    def __init__(self, rules: LoopRules) -> None:
        self.rules = rules
        self.calls: list[Call] = []
        self.held: dict[str, list[bool]] = {}
        self.poor: list[bool] = []
        self.new_gaps: list[int] = []
        self.gaps: list[int] = []
        self.waited: list[bool] = []

    def add(self, one: Call) -> list[tuple[str, int, int, int]]:
        """(rule, level, count, period) of every rule that holds at this call, the gravest and first of them first."""
        rules, calls = self.rules, self.calls
        last = calls[-1] if calls else None
        kept = calls[-RING:]
        gap = min(max(one.ms - last.ms, 0), HOUR_MS) if last else 0
        before = next((back for back in range(1, len(kept) + 1) if kept[-back].call == one.call), 0)
        outcome_seen = any(each.outcome == one.outcome for each in kept)
        seen = before > 0 and outcome_seen and not one.unknown
        if last and not before:
            self.new_gaps.append(gap)
        pace = sum(self.new_gaps) / max(len(self.new_gaps), 1)
        again = last is not None and one.is_as(last)
        waited = False
        if before:
            since = min(max(one.ms - kept[-before].ms, 0), HOUR_MS)
            waited = since >= max(rules.waiting.interval, rules.waiting.pace * pace * before)
        twice = again and self.held["same"][-1]
        if twice and not one.failed and self.gaps[-1] > 0 and gap >= rules.waiting.backoff * self.gaps[-1]:
            waited = True
        retried = bool(one.flags & RETRIED)
        fails_again = last is not None and one.failed and last.failed and not waited
        stale = seen and not waited and not retried
        held = {
            "same": again,
            "eager": again and not waited and not one.failed,
            "failing": fails_again and last is not None and last.call == one.call,
            "error": fails_again and last is not None and last.outcome == one.outcome,
            "error_class": fails_again and last is not None and last.error == one.error,
            "stale": stale,
            "poor_stale": stale and bool(one.outcome & POOR),
            "stagnant": (one.failed or stale) and not waited and not retried,
        }
        for period in range(2, 7):
            held[f"cycle_{period}"] = (
                len(calls) >= period and calls[-period].is_as(one) and not (waited or retried or one.unknown)
            )
        calls.append(one)
        self.gaps.append(gap)
        self.waited.append(waited)
        self.poor.append(bool(one.outcome & POOR) or stale)
        for name, holds in held.items():
            self.held.setdefault(name, []).append(holds)
        row = {name: in_a_row(each) for name, each in self.held.items()}
        since_ms = calls[-1 - row["eager"]].ms
        return self._judge(one, row, one.ms - since_ms)

    def _judge(self, one: Call, row: dict[str, int], eager_ms: int) -> list[tuple[str, int, int, int]]:
        rules, last = self.rules, self.calls[-RING:]
        hopeless = sum(self.poor) / len(self.poor) >= rules.hopeless_share
        retried = bool(one.flags & RETRIED)
        out: list[tuple[str, int, int, int]] = []

        def hold(rule: str, count: int, warning: int, critical: int, period: int = 1) -> None:
            level = 2 if count >= critical else 1 if count >= warning else 0
            if level:
                out.append((f"loop.{rule}", level, count, period))

        failing = row["failing"] + 1 if one.failed else 0
        few, patience = rules.failing.warning, rules.failing.critical
        if retried:
            few, patience = rules.failing.retries_warning, rules.failing.retries_critical
        elif hopeless:
            patience = min(patience, rules.failing.hopeless)
        hold("failing", failing, few, patience)
        eager = row["eager"] + 1
        if one.unknown:
            hold("repeat", eager, rules.repeat.unknown_warning, rules.repeat.unknown_critical)
        else:
            enough = rules.repeat.burst_critical if eager_ms < rules.repeat.burst else rules.repeat.critical
            hold("repeat", eager, rules.repeat.warning, enough)
        for period in range(2, 7):
            rounds = 1 + row[f"cycle_{period}"] // period
            if row["same"] + 1 >= period:
                continue
            if period == 2:
                hold("cycle", rounds, rules.cycle.pairs, rules.cycle.pairs, 2)
            else:
                hold("cycle", rounds, rules.cycle.warning, rules.cycle.critical, period)
        if row["poor_stale"] >= rules.stale.poor:
            out.append(("loop.stale", 2, row["stale"], 1))
        else:
            hold("stale", row["stale"], rules.stale.warning, rules.stale.critical)
        if one.failed:
            hold("error", row["error"] + 1, rules.error.warning, rules.error.critical)
            hold("error", row["error_class"] + 1, rules.error.class_warning, rules.error.class_critical)
        stagnation = rules.stagnation
        most = min(stagnation.hopeless, stagnation.critical) if hopeless else stagnation.critical
        hold("stagnation", row["stagnant"], stagnation.warning, most)
        if not one.unknown and not self.waited[-1]:
            lately = zip(last, self.waited[-RING:], strict=True)
            between = sum(each.is_as(one) and not waited for each, waited in lately)
            hold("repeat", between, rules.repeat.between_warning, rules.repeat.between_critical)
        hold("waiting", row["same"] + 1, rules.waiting.warning, rules.waiting.critical)
        hold("retries", sum(each.flags != 0 for each in last), rules.retries.warning, rules.retries.critical)
        return sorted(out, key=lambda each: -each[1])


class Teller:
    """What is said of a run: one warning and one critical loop, and as much of its retries."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, int]] = {"loops": {}, "retries": {}}

    def tell(self, holds: Sequence[tuple[str, int, int, int]]) -> list[tuple[str, int, int, int, bool]]:
        """What is new of these: with it, whether the same rule had warned."""
        out = []
        for rule, level, count, period in holds:
            said = self.said["retries" if rule == "loop.retries" else "loops"]
            if 2 in said.values() or (level == 1 and said):
                continue
            out.append((rule, level, count, period, level == 2 and said.get(rule) == 1))
            said[rule] = level
        return out
