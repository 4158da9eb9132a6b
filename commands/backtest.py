"""`runwatch backtest`: the detectors over history, by any rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import config
from . import polars_env
from .config_file import load_config_file
from .exits import FOUND, MISUSED, Fail
from .history import Source, of_files, of_store
from .ingest import InputFormat, report_rejects
from .output import Format, clock, counted, print_json, print_rows, say
from .progress import LateBar
from .rules import load_rules

if TYPE_CHECKING:
    from ..processors.backtest import Piece
    from ..processors.compare import Episodes
    from ..processors.rules import Rules
    from ..schemas.anomalies import Anomaly

_COLUMNS = ("time", "severity", "rule", "agent", "message", "run_id")
_CHANGES = ("change", "time", "severity", "rule", "agent", "message", "run_id")


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Ask")(backtest)


def backtest(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]…", help="Recorded runs; `-` for standard input.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="Stored events that came in since: 7d, 90m, or a time in UTC."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="WHEN", help="And before then; else until now.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only this agent's runs.")] = None,
    rules: Annotated[Path | None, typer.Option(help="Rules to go by, in place of RUNWATCH_RULES.")] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="OTHER", help="Print what would change with these rules instead.")
    ] = None,
    series: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Score a CSV of `timestamp,value` by the drift rules instead.")
    ] = None,
    source: Annotated[InputFormat, typer.Option("--input", "-i", help="What the files hold.")] = InputFormat.events,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.jsonl,
) -> None:
    """Judge history by the code that watches live, and print what it says: recorded runs, or stored events.

    One JSON object per anomaly: anomaly_id, rule, state, severity, ts_ms, agent, run_id, step_id, tool, value,
    baseline, message. With --compare, one per episode that the other rules add (new), leave out (gone) or see
    otherwise; with --series, one per point: timestamp, score (0 to 1), anomaly. Exits with 1 if a line held no
    event. Files need no servers.

    Example: [bold]runwatch backtest runs.jsonl.gz --format table[/bold]
    """
    polars_env.prepare()
    names = files or []
    if sum((bool(names), since is not None, series is not None)) != 1:
        raise Fail("Give files of recorded runs, or --from for stored events, or --series for a CSV.", MISUSED)
    if until is not None and since is None:
        raise Fail("--to goes with --from.", MISUSED)
    settings = config.load()
    tracked = load_config_file(settings.config).metrics.track
    ours = load_rules(rules if rules is not None else settings.rules).tracking(tracked)
    if series is not None:
        if compare is not None or agent is not None:
            raise Fail("--compare and --agent are for events; --series has none.", MISUSED)
        from .series import score_series

        score_series(series, ours, form)
        return
    theirs = None if compare is None else load_rules(compare).tracking(tracked)
    from ..producers.reading import ReadingError

    try:
        with LateBar("judging") as bar:
            history = (
                of_files(names, source.value, agent, settings.partitions, bar)
                if since is None
                else of_store(since, until, agent, bar)
            )
            judged = _Judged(history)
            if theirs is None:
                _print_anomalies(judged, ours, form)
            else:
                _print_changes(judged, ours, theirs, str(compare), form)
    except ReadingError as error:
        raise Fail(str(error), MISUSED) from error
    report_rejects(history.rejects.first, history.rejects.count)
    if history.rejects.count:
        raise typer.Exit(FOUND)


class _Judged:
    """A history on its way through the judges, counted."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.events = 0
        self._runs: set[int] = set()

    @property
    def runs(self) -> int:
        return len(self._runs)

    def by(self, rules: Sequence[Rules]) -> Iterator[tuple[int, Anomaly]]:
        """(Which of the rules, what it found), as it comes up. The history is read once for all of them."""
        from ..processors.backtest import Backtest

        judges = [Backtest(one, self._source.partitions, self._source.disorder_ms) for one in rules]
        for piece in self._source.pieces:
            self._count(piece)
            for number, judge in enumerate(judges):
                yield from ((number, anomaly) for anomaly in judge.add(piece))
        for number, judge in enumerate(judges):
            yield from ((number, anomaly) for anomaly in judge.finish())

    def _count(self, piece: Piece) -> None:
        self.events += piece.columns.height
        self._runs.update(piece.columns["run_id"].unique().hash().to_list())

    def __str__(self) -> str:
        return f"{counted(self.events, 'event')} of {counted(self.runs, 'run')} judged"


def _print_anomalies(judged: _Judged, rules: Rules, form: Format) -> None:
    from ..processors.compare import Episodes
    from ..schemas.anomalies import REPORT_FIELDS

    if form is Format.jsonl:
        for _, anomaly in judged.by([rules]):
            print_json(anomaly.report())
        return
    episodes = Episodes()
    reports = []
    for _, anomaly in judged.by([rules]):
        episodes.add(anomaly)
        reports.append(anomaly.report())
    if form is not Format.table:
        print_rows(reports, REPORT_FIELDS, form, "")
        return
    rows = [{**one, "time": clock(one["ts_ms"])} for one in reports]
    print_rows(rows, _COLUMNS, form, "Nothing loops and nothing drifts.", below=("message", "run_id"))
    say(f"{judged}; {_counted(episodes)}.")
    for rule, severities in episodes.counts().items():
        say(f"  {rule}: {_severities(severities)}")


def _print_changes(judged: _Judged, ours: Rules, theirs: Rules, name: str, form: Format) -> None:
    from ..processors.compare import COLUMNS, Episodes, compare, summed

    both = (Episodes(), Episodes())
    for number, anomaly in judged.by([ours, theirs]):
        both[number].add(anomaly)
    changes = list(compare(*both))
    reports = [one.report() for one in changes]
    if form is not Format.table:
        print_rows(reports, COLUMNS, form, "")
    else:
        rows = [_told(one) for one in reports]
        print_rows(rows, _CHANGES, form, "With these rules nothing would change.", below=("message", "run_id"))
        say(f"{judged}; {_counted(both[0])}, and with {name} {_counted(both[1])}.")
        for rule, counts in summed(*both, changes).items():
            told = ", ".join(f"{count} {_CHANGED[how]}" for how, count in counts.changes.items() if count)
            say(f"  {rule}: {counts.a}, then {counts.b}{': ' + told if told else ', the same'}")


_CHANGED = {"new": "new", "gone": "gone", "severity": "of another severity", "time": "at another time"}


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A change as a row for people."""
    times = [clock(row[name]) for name in ("time_a", "time_b") if row[name] is not None]
    severities = [row[name] for name in ("severity_a", "severity_b") if row[name] is not None]
    return {
        **row,
        "time": " → ".join(dict.fromkeys(times)),
        "severity": " → ".join(dict.fromkeys(severities)),
    }


def _counted(episodes: Episodes) -> str:
    found = len(episodes.by_id)
    return f"{found:,} anomal{'y' if found == 1 else 'ies'}"


def _severities(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
