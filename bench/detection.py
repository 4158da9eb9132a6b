"""Part `detection`: what the detectors see and what they say wrongly, on simulated histories and recorded runs.

No servers: the events go through the fold, the merging and the judge of the worker, by event time. Recorded runs
are others' and not part of this project; where they are not at hand, that half is left out and said so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ..processors.backtest import backtest
from ..processors.rules import Rules
from . import recorded
from .context import Context
from .errors import BenchError
from .figures import Figures
from .incidents.history import history
from .incidents.judged import judged
from .incidents.scenarios import LIBRARY, Scenario
from .incidents.verdict import Verdict, episodes, quiet_days, verdicts
from .peers.loop_rules import LOOP_RULES, first_alert
from .result import Result, Sheet

PER_DAYS = 30
"""False episodes are told per so many agent-days."""
MOST_WRONG = 1.0
"""So many of them are tolerable."""


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` for a scenario that nobody knows, or recorded runs that are not to be read."""
    scenarios = chosen(context.options.scenarios)
    told = list(_simulated(context, scenarios).values())
    figures, problems = _totals(told)
    real, quiet = ([one for one in told if one.scenario.is_real is is_real] for is_real in (True, False))
    sheets = [make(some) for make, some in ((_real, real), (_quiet, quiet)) if some]
    notes: list[str] = []
    peers: dict[str, Figures] = {}
    folder = recorded.find_folder(context.options.recorded)
    if folder is None:
        notes.append(
            "The recorded runs are left out: there is no folder of them beside the repository, "
            "and neither --recorded nor RUNWATCH_RECORDED names one."
        )
    else:
        ours, peers = _recorded(context, folder)
        figures |= ours
        sheets.append(_beside({"runwatch": ours, **peers}))
    return Result("detection", figures, peers, problems=tuple(problems), sheets=sheets, notes=tuple(notes))


def chosen(names: Sequence[str]) -> list[Scenario]:
    """The scenarios of these names, all where none is named. Raises `BenchError`."""
    for name in names:
        if name not in LIBRARY:
            raise BenchError(f"There is no scenario '{name}'; there are: {', '.join(LIBRARY)}")
    return [LIBRARY[name] for name in names or LIBRARY]


def _simulated(context: Context, scenarios: Sequence[Scenario]) -> Mapping[str, Verdict]:
    looping: set[str] = set()
    days = max(scenario.days for scenario in scenarios)

    def pieces() -> Iterator[pl.DataFrame]:
        for day, piece in enumerate(history(scenarios, context.options.seed)):
            looping.update(piece.filter("looping")["run_id"].unique())
            context.tell(f"detection: day {min(day + 1, days)} of {days}", min(day / days, 1.0))
            yield piece

    found = episodes(judged(pieces(), Rules()))
    return verdicts(scenarios, found, looping)


def _totals(told: Sequence[Verdict]) -> tuple[Figures, list[str]]:
    real = [one for one in told if one.scenario.is_real]
    quiet = [one for one in told if not one.scenario.is_real]
    figures: Figures = {"real": len(real), "real_seen": sum(one.seen for one in real)}
    problems = [f"detection: {one.scenario.name} was not seen in time" for one in real if not one.seen]
    for name, some in (("quiet", quiet), ("before_onset", real)):
        days = sum(quiet_days(one.scenario) for one in some)
        wrong = sum(len(one.wrong) for one in some)
        figures[f"{name}_agent_days"] = round(days, 1)
        figures[f"{name}_false"] = wrong
        figures[f"{name}_false_per_{PER_DAYS}_days"] = round(wrong / days * PER_DAYS, 2) if days else 0.0
    # Of a few days one episode says nothing about thirty.
    if figures["quiet_false"] > MOST_WRONG * max(figures["quiet_agent_days"] / PER_DAYS, 1):
        problems.append(f"detection: more than {MOST_WRONG:g} false episode in {PER_DAYS} agent-days")
    return figures, problems


def _real(told: Iterable[Verdict]) -> Sheet:
    rows = [
        {
            "incident": one.scenario.name,
            "what": one.scenario.title,
            "seen": one.seen,
            "after": _shown_minutes(one.delay_min),
            "at most": _shown_minutes(one.scenario.within_min),
            "by": list(one.rules),
            "false before": len(one.wrong),
            "delay_min": one.delay_min,
            "within_min": one.scenario.within_min,
            "false_rules": _rules(one),
        }
        for one in told
    ]
    return Sheet("incidents", rows, ("incident", "seen", "after", "at most", "by", "false before"))


def _quiet(told: Iterable[Verdict]) -> Sheet:
    rows = [
        {
            "ordinary life": one.scenario.name,
            "what": one.scenario.title,
            "agent-days": round(quiet_days(one.scenario), 1),
            "false": len(one.wrong),
            "by": _rules(one),
        }
        for one in told
    ]
    return Sheet("quiet", rows, ("ordinary life", "agent-days", "false", "by"))


def _rules(verdict: Verdict) -> list[str]:
    return sorted({episode.rule for episode in verdict.wrong})


def _shown_minutes(minutes: float | None) -> str:
    if minutes is None:
        return "never"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _recorded(context: Context, folder: Path) -> tuple[Figures, dict[str, Figures]]:
    ours: Figures = {}
    peers: dict[str, Figures] = {name: {} for name in LOOP_RULES}
    for place, name in enumerate(recorded.SETS):
        context.tell(f"detection: recorded runs, {name}", place / len(recorded.SETS))
        runs = recorded.read(folder, name)
        flagged = recorded.flagged_at(runs, backtest(runs.events, Rules()))
        ours |= _named(name, recorded.score(runs, flagged))
        for peer, rule in LOOP_RULES.items():
            alerts = {run: first_alert(rule, calls) for run, calls in runs.calls.items()}
            at = {run: alert for run, alert in alerts.items() if alert is not None}
            peers[peer] |= _named(name, recorded.score(runs, at))
    cases = recorded.read_cases(folder)
    loops = [any(one.severity == "critical" for one in backtest(case.events, Rules())) for case in cases]
    ours |= _named("cases", recorded.score_cases(cases, loops))
    for peer, rule in LOOP_RULES.items():
        said = [any(first_alert(rule, run) is not None for run in recorded.by_run(case.events)) for case in cases]
        peers[peer] |= _named("cases", recorded.score_cases(cases, said))
    return ours, peers


def _beside(figures: Mapping[str, Figures]) -> Sheet:
    """Each rule set's figures on the recorded runs: flagged, of them good, saved."""
    rows = []
    for name, own in figures.items():
        row: dict[str, object] = {"rules": name}
        for one in recorded.SETS:
            row[one] = f"{own[f'{one}_flagged']}, {own[f'{one}_good_flagged']}, {own[f'{one}_saved_pct']} %"
        row["tau2 spent"] = f"{own['tau2_exhausted_found']} of {own['tau2_exhausted']}"
        for kind in ("settled", "others"):
            row[kind] = f"{own[f'cases_{kind}_right']} of {own[f'cases_{kind}']}"
        rows.append(row)
    return Sheet("recorded", rows, tuple(rows[0]))


def _named(name: str, figures: Figures) -> Figures:
    return {f"{name}_{figure}": value for figure, value in figures.items()}
