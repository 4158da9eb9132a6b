"""One metric of one agent, tool or version: its windows, its baseline, its episode."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import expm1, log, log1p, sqrt

from ...schemas.anomalies import Severity
from ..merge import Totals
from ..sketch import merge
from .baseline import Baseline, Reference
from .creep import Cusum
from .episode import Episode, How, Turn
from .hours import HOUR_MS
from .metrics import Metric, p95
from .recent import Recent, Sustained
from .rules import DriftRules
from .scores import MEDIAN_VARIANCE, Levels, Shares, level_score, middle, trimmed

FALLEN = 0.75
"""Half of the usual, roughly: what halves lies below the half as often as above it."""
EXACT = 1e-9
"""Twice is twice, whatever the logarithms make of it."""
FEW = 1.5
"""By how much a score must be higher for a single measurement, as a part of it; for two by half of that, and so on."""
SLACK = 0.3
"""How far below a multiple a single noisy measurement may lie and still count, as a logarithm."""
MOST_PENDING = 60
"""Measurements that may become part of an episode and wait; beyond it the oldest enter the baseline."""
MOST_PENDING_TRAILING = 30
"""The same where nothing but what came before tells what is usual: it must follow the time of day."""
COOL_SCORE = 4.0
CLIMBS = 0.1
"""A level that rose by so much within `accept` is not the new normal yet."""


def least_of(metric: Metric, rules: DriftRules) -> float:
    """The weight of a measurement."""
    least = {
        "runs": rules.least_runs,
        "share": rules.least_share,
        "calls": rules.least_calls,
        "quantile": rules.least_quantile,
    }
    return float(least[metric.needs])


class Track:
    """Windows in, turns out. Pure: the same windows give the same turns."""

    def __init__(
        self, metric: Metric, rules: DriftRules, fallback: Track | None = None, *, may_creep: bool = False
    ) -> None:
        """`fallback`: a version's agent's track; it is held against its baseline until it has one of its own.

        `may_creep`: whether slow climbs are looked for.
        """
        self.metric = metric
        self.rules = rules
        self._least = least_of(metric, rules)
        self._levels = Shares(metric.floor, self._least) if metric.is_share else Levels()
        self.baseline = Baseline(rules, self._levels)
        self.episode: Episode | None = None
        self._fallback = fallback
        self._may_creep = may_creep
        self._least_runs = rules.least_runs if metric.is_of_steps else 0
        self._recent = Recent(self._least, self._least_runs, 2 * rules.sustain, rules.longest)
        # A measurement under way: start, sum, weight, runs, sketches.
        self._start_ms = 0
        self._total = 0.0
        self._weight = 0.0
        self._runs = 0.0
        self._buckets: Mapping[int, int] = {}
        self._pending: deque[tuple[int, float]] = deque()
        self._cusum = Cusum()
        self._creep = Cusum()
        self._apart: deque[float] = deque(maxlen=rules.creep_hours)
        self._end_ms = 0
        self.last_level: float | None = None
        """Of the last measurement."""
        # Measurements since the last gap.
        self._unbroken = 0
        self._quiet_until_ms = 0

    @property
    def end_ms(self) -> int:
        """End of the last window that had something for this track."""
        return self._end_ms

    @property
    def heard_ms(self) -> int:
        """The same, or when its episode was opened, if that is later."""
        return self._end_ms if self.episode is None else max(self._end_ms, self.episode.opened_ms)

    def reference(self, at_ms: int) -> Reference | None:
        """What is usual at this time."""
        if self._fallback is not None and (self.baseline.hours is None or len(self.baseline) < MOST_PENDING_TRAILING):
            return self._fallback.baseline.reference(at_ms)
        return self.baseline.reference(at_ms)

    def add(self, start_ms: int, end_ms: int, totals: Totals) -> list[Turn]:
        """The next window. A turn that opens an episode is a proposal: `open` makes it one."""
        metric = self.metric
        if metric.sums is not None:
            total, weight = metric.sums(totals)
            buckets = None
        else:
            assert metric.sketched is not None
            buckets = totals.sketches[metric.sketched]
            total, weight = 0.0, sum(buckets.values())
        if weight <= 0:
            return []
        runs = totals.sums["runs_stopped"] if self._least_runs else 0.0
        turns = []
        if self._end_ms and start_ms - self._end_ms > self.rules.silence:
            turns += self._gap()
        self._end_ms = end_ms
        if buckets is None:
            self._recent.add(start_ms, end_ms, total, weight, runs)
        turns += self._measure(start_ms, end_ms, total, weight, runs, buckets)
        reference = self.reference(start_ms)
        if reference is not None and not any(one.state == "open" for one in turns):
            if self.episode is None:
                turns += self._changed(reference, end_ms)
            else:
                turns += self._followed(self.episode, reference, end_ms)
        return turns

    def open(self, turn: Turn, anomaly_id: str) -> None:
        """Makes a proposal an episode."""
        after = Baseline(self.rules, self._levels)
        for start_ms, level in self._pending:
            if start_ms >= turn.onset_ms:
                after.add(start_ms, level)
            else:
                self.baseline.add(start_ms, level)
        self._pending.clear()
        self._cusum.clear()
        self._creep.clear()
        self.episode = Episode(
            anomaly_id,
            turn.how,
            turn.severity,
            turn.onset_ms,
            turn.ts_ms,
            turn.level,
            turn.usual,
            after,
            checked_ms=turn.ts_ms,
            checked_apart=turn.level - turn.usual,
        )

    def lowered(self) -> Turn | None:
        """The proposal of a fall that goes with another metric's, though it has not lasted as long."""
        reference = self.reference(self._end_ms)
        if self.episode is not None or self.metric.is_share or reference is None:
            return None
        bar = reference.below - FALLEN / 2 * log(self.rules.factor)
        found = self._recent.sustained(-1, bar, SLACK, self.rules.sustain // 2, 2, self.metric.level, by_median=True)
        if found is None:
            return None
        return self._opening("fall", found.onset_ms, self._end_ms, found.level, reference)

    def begin_anew(self) -> None:
        """Forgets what it was about to make of the last windows: they lay in another's episode."""
        self._recent.clear()
        self._cusum.clear()
        self._pending.clear()
        self._forget_measurement()

    def cover(self, turn: Turn) -> None:
        """Makes a proposal an episode that is not spoken of: another says the same."""
        self.open(turn, "")
        self.still_covered()

    def still_covered(self) -> None:
        """The other one goes on."""
        if self.episode is not None:
            self.episode.covered_ms = self._end_ms + self.rules.cooldown

    def uncovered(self) -> Turn | None:
        """The turn that opens an episode that was covered, once the other has been over for a while and it goes on."""
        episode = self.episode
        if episode is None or episode.is_told or self._end_ms < episode.covered_ms:
            return None
        reference = self.reference(self._end_ms)
        if reference is None:
            return None
        bar = reference.above + (log(self.rules.factor) if episode.how == "factor" else log1p(self.rules.step))
        found = self._sustained(1, reference, bar, self.rules.sustain, self.rules.least_measured)
        if found is None:
            return None
        return Turn(
            "open", episode.how, episode.severity, episode.onset_ms, self._end_ms, found.level, reference.level,
            is_seasonal=reference.seasonal,
        )  # fmt: skip

    def fell_silent(self) -> list[Turn]:
        """Ends what is open: nothing more was heard."""
        return self._end("silent", self.heard_ms, None) if self.episode else []

    # -- measurements ------------------------------------------------------------------------------

    def _measure(
        self, start_ms: int, end_ms: int, total: float, weight: float, runs: float, buckets: Mapping[int, int] | None
    ) -> list[Turn]:
        """Adds up windows until there is enough in them, or it took too long; then it is a measurement."""
        if self._weight and end_ms - self._start_ms > self.rules.longest:
            self._forget_measurement()
        if not self._weight:
            self._start_ms = start_ms
        self._total += total
        self._weight += weight
        self._runs += runs
        if buckets is not None:
            self._buckets = merge((self._buckets, buckets)) if self._buckets else buckets
        is_late = end_ms - self._start_ms >= self.rules.longest
        is_enough = self._weight >= self._least and self._runs >= self._least_runs
        if not is_enough and not (is_late and self._weight >= self._least / 2):
            return []
        value = self._total / self._weight if buckets is None else p95(self._buckets)
        if buckets is not None:
            self._recent.add(self._start_ms, end_ms, value * self._weight, self._weight, 0.0)
        point_ms = self._start_ms
        self._forget_measurement()
        return self._point(point_ms, end_ms, self.metric.level(value))

    def _forget_measurement(self) -> None:
        self._total = self._weight = self._runs = 0.0
        self._buckets = {}

    def _point(self, start_ms: int, end_ms: int, level: float) -> list[Turn]:
        self._unbroken += 1
        self.last_level = level
        if self.episode is not None:
            self.episode.after.add(start_ms, level)
            return []
        reference = self.reference(start_ms)
        if reference is None:
            return self._learn(start_ms, level)
        above, below = reference.above, reference.below
        is_evident = self._cusum.step(self._apart_by(level - above) / reference.noise, start_ms)
        if self._cusum.total <= 0 and level > below - log(self.rules.factor) + SLACK:
            turns = [turn for one in self._pending for turn in self._learn(*one)]
            self._pending.clear()
            return turns + self._learn(start_ms, level)
        self._pending.append((start_ms, level))
        turns = []
        most = MOST_PENDING if reference.seasonal else MOST_PENDING_TRAILING
        while len(self._pending) > most:
            turns += self._learn(*self._pending.popleft())
        return turns + (self._stepped(reference, above, end_ms) if is_evident and self.metric.has_steps else [])

    def _learn(self, start_ms: int, level: float) -> list[Turn]:
        """A usual measurement: it enters the baseline, and may end an hour."""
        ended = self.baseline.add(start_ms, level)
        return [] if ended is None else self._crept(*ended, start_ms)

    # -- what opens an episode ---------------------------------------------------------------------

    def _changed(self, reference: Reference, end_ms: int) -> list[Turn]:
        """The rule of the multiple: `factor` times the usual, or a `factor`th of it, for `sustain`."""
        if end_ms < self._quiet_until_ms:
            return []
        rules = self.rules
        far = log(rules.factor)
        # What is usual of a share is known by few: it is beyond both.
        usual = reference.above if self.metric.is_share else reference.level
        found = self._sustained(1, reference, usual + far, rules.sustain, rules.least_measured)
        # A stretch of several hours is beyond what is usual in each of them.
        if found is not None and found.level - self.baseline.highest(found.onset_ms, end_ms, usual) >= far - EXACT:
            is_critical = found.level - reference.level >= log(rules.critical_factor)
            return [self._opening("factor", found.onset_ms, end_ms, found.level, reference, is_critical)]
        if rules.fall and not self.metric.is_share:
            found = self._sustained(-1, reference, reference.below - FALLEN * far, rules.sustain, rules.least_measured)
            if found is not None:
                return [self._opening("fall", found.onset_ms, end_ms, found.level, reference)]
        return []

    def _sustained(self, sign: int, reference: Reference, bar: float, sustain_ms: int, least: int) -> Sustained | None:
        slack = min(reference.noise, SLACK)
        found = self._recent.sustained(sign, bar, slack, sustain_ms, least, self.metric.level, not self.metric.is_share)
        if found is None:
            return None
        behind = 0 if reference.seasonal else reference.count
        apart = sign * (found.level - reference.level)
        score = level_score(apart, reference.noise, reference.sway, found.count, behind)
        # Few measurements have heavier tails than many.
        return found if score >= self.rules.score * (1 + FEW / found.count) else None

    def _stepped(self, reference: Reference, above: float, end_ms: int) -> list[Turn]:
        """A smaller change, by what was summed up of it."""
        rules = self.rules
        onset_ms = self._cusum.since_ms
        levels = sorted(level for start_ms, level in self._pending if start_ms >= onset_ms)
        is_known = reference.seasonal or min(self._unbroken - len(levels), reference.count) >= 2 * rules.least_points
        if not is_known or len(levels) < self.rules.least_measured or end_ms - onset_ms < rules.step_sustain:
            return []
        level = self._levels.centre(levels) if self.metric.is_share else trimmed(levels)
        behind = 0 if reference.seasonal else reference.count
        score = level_score(self._apart_by(level - above), reference.noise, reference.sway, len(levels), behind)
        if level - above < log1p(rules.step) or score < rules.step_score or end_ms < self._quiet_until_ms:
            return []
        return [self._opening("step", onset_ms, end_ms, level, reference)]

    def _apart_by(self, apart: float) -> float:
        """A difference of levels as what chance is reckoned in.

        Of many metrics what varies is a factor. How many runs of twenty went wrong varies by a number: in logarithms
        much of what a bad change brings would be lost.
        """
        return expm1(apart) if self.metric.falls else apart

    def _crept(self, hour: int, level: float, now_ms: int) -> list[Turn]:
        """A slow climb: the hours against the same hours of the days before yesterday, which do not follow it."""
        rules, baseline = self.rules, self.baseline
        hours = baseline.hours
        if self.episode is not None or hours is None or not self._may_creep or not hours.knows_day(hour):
            return []
        usual = hours.usual(hour, rules.least_days, 2) or hours.usual(hour, rules.least_days)
        if usual is None:
            return []
        apart = level - usual
        self._apart.append(apart)
        # Both the hour and what is usual for it are known by a few measurements.
        chance = MEDIAN_VARIANCE * baseline.noise() ** 2 / max(hours.count(hour), 1)
        spread = sqrt((baseline.sway() ** 2 + chance) * (1 + MEDIAN_VARIANCE / rules.least_days))
        is_evident = self._creep.step(apart / spread, hour * HOUR_MS)
        climbed = middle(sorted(self._apart))
        onset_ms = self._creep.since_ms
        lasted = hour + 1 - onset_ms // HOUR_MS
        if (
            not is_evident
            or climbed < log1p(rules.creep)
            or lasted < rules.creep_hours
            or now_ms < self._quiet_until_ms
        ):
            return []
        return [Turn("open", "creep", "warning", onset_ms, now_ms, usual + climbed, usual, is_seasonal=True)]

    def _opening(
        self, how: How, onset_ms: int, end_ms: int, level: float, reference: Reference, is_critical: bool = False
    ) -> Turn:
        severity: Severity = "info" if how == "fall" else "critical" if is_critical else "warning"
        return Turn(
            "open",
            how,
            severity,
            onset_ms,
            end_ms,
            level,
            reference.level,
            is_seasonal=reference.seasonal,
        )

    # -- what becomes of it ------------------------------------------------------------------------

    def _followed(self, episode: Episode, reference: Reference, end_ms: int) -> list[Turn]:
        """Whether an open episode is over, or got worse."""
        rules = self.rules
        sign = episode.sign
        # A level that is usual at another hour is not what this one opened against.
        usual = reference.level
        if episode.how in ("factor", "fall"):
            bar = usual + sign * log(rules.resolve_factor)
        else:
            bar = usual + (episode.level - episode.usual) / 2
        slack = min(reference.noise / 2, SLACK)
        cool = self._recent.sustained(
            -sign, bar, slack, rules.sustain // 2, rules.cool_points, self.metric.level, not self.metric.is_share
        )
        if cool is not None:
            way = sign * (episode.level - cool.level)
            if way >= COOL_SCORE * reference.noise / cool.count**0.5 or way >= abs(episode.level - episode.usual):
                return self._end("back", end_ms, cool.level, usual)
        if sign > 0 and episode.severity == "warning":
            worst = self._sustained(1, reference, usual + log(rules.critical_factor), rules.sustain, 3)
            if worst is None and end_ms - episode.opened_ms >= rules.critical_after:
                worst = self._sustained(1, reference, usual + log(rules.factor), rules.sustain, 3)
            if worst is not None:
                episode.severity = "critical"
                return [
                    Turn(
                        "escalated", episode.how, "critical", episode.onset_ms, end_ms, worst.level, usual,
                        is_seasonal=reference.seasonal, anomaly_id=episode.anomaly_id,
                    )
                ]  # fmt: skip
        if end_ms - episode.checked_ms >= rules.accept:
            level = episode.after.trailing()
            if level is None:
                return []
            apart = level - usual
            still = sign * (apart - episode.checked_apart) > CLIMBS and episode.how != "fall"
            episode.checked_ms, episode.checked_apart = end_ms, apart
            return [] if still else self._end("accepted", end_ms, level, usual)
        return []

    def _end(self, how: How, end_ms: int, level: float | None, usual: float | None = None) -> list[Turn]:
        episode = self.episode
        assert episode is not None
        self.episode = None
        if how == "accepted":
            self.baseline = episode.after
        else:
            self.baseline.suspect(episode.after)
        self._recent.clear()
        self._quiet_until_ms = end_ms + self.rules.cooldown
        return [
            Turn(
                "resolved", how, episode.severity, episode.onset_ms, end_ms,
                episode.level if level is None else level, episode.usual if usual is None else usual,
                anomaly_id=episode.anomaly_id,
            )
        ]  # fmt: skip

    def _gap(self) -> list[Turn]:
        """Nothing was heard for long: what was under way says nothing about now."""
        turns = self.fell_silent()
        for one in self._pending:
            self.baseline.add(*one)
        self._pending.clear()
        self._recent.clear()
        self._cusum.clear()
        self._forget_measurement()
        self._unbroken = 0
        return turns
