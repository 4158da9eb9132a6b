"""The demo's story: a quiet history, then the incident, told as the stream sees it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.markup import escape

from .. import connect
from ..config import Settings
from ..control.guardrails import Guardrails
from ..producers.clock import Clock
from ..producers.simulator import Fleet, FleetProgress, FleetSettings, Stopped
from ..producers.watch import Watch
from ..schemas.anomalies import Anomaly
from ..schemas.rule_names import CAPPED
from .caught_up import wait_read
from .follow import AnomalyFeed
from .output import clock
from .progress import LateBar
from .reader import open_reader
from .stops import Stops, reckon

MINUTE_MS = 60_000
SETTLE_S = 60.0
"""How long the last events may take to be stored and judged."""
TOLD_LOOPS = 5
"""Loops that are told one by one; there are many."""
TOLD_STOPS = 3
"""The same of runs that were stopped."""

_EVENTS_OF = """
SELECT count() AS stored FROM events
WHERE agent IN {agents:Array(String)} AND ts >= fromUnixTimestamp64Milli({start_ms:Int64})
"""
_AGENTS_LIKE = "SELECT DISTINCT agent FROM events_stored WHERE startsWith(agent, {name:String})"
_BEFORE_AND_AFTER = """
SELECT
    avgIf(tool_calls, started_at < onset) AS calls_before, avgIf(tool_calls, started_at >= onset) AS calls_after,
    quantileIf(0.95)(duration_ms, started_at < onset) AS ms_before,
    quantileIf(0.95)(duration_ms, started_at >= onset) AS ms_after,
    avgIf(cost_usd, started_at < onset) AS usd_before, avgIf(cost_usd, started_at >= onset) AS usd_after,
    avgIf(stop_reason = 'success', started_at < onset) AS good_before,
    avgIf(stop_reason = 'success', started_at >= onset) AS good_after
FROM (SELECT *, fromUnixTimestamp64Milli({onset_ms:Int64}) AS onset FROM runs WHERE agent = {agent:String})
WHERE stopped_at IS NOT NULL
"""


@dataclass(frozen=True)
class Plan:
    """How long the story is, in its own minutes, and how fast the incident passes."""

    history: int
    incident: int
    speed: float


class Story:
    """One telling. Needs the stack to be up."""

    def __init__(self, settings: Settings, plan: Plan, out: Console, page: str | None = None) -> None:
        """`page`: the address of the web page, to end with what to look at there."""
        self._settings = settings
        self._page = page
        self._plan = plan
        self._out = out
        self._reader = open_reader(settings, SETTLE_S)
        end_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
        self._onset_ms = end_ms - plan.incident * MINUTE_MS
        self._start_ms = self._onset_ms - plan.history * MINUTE_MS
        self._end_ms = end_ms
        self._found: list[Anomaly] = []
        self._capped: list[Anomaly] = []
        self._loops: Counter[str] = Counter()
        self._stops = 0
        self._fleet_settings = self._unheard_of()

    def tell(self) -> dict[str, Any]:
        """Lives through it and returns the summary, all but its seconds."""
        stopping = threading.Event()
        with AnomalyFeed(self._settings) as feed:
            listener = threading.Thread(target=self._listen, args=(feed, stopping), daemon=True)
            listener.start()
            try:
                with Fleet(self._fleet_settings, self._start_ms, self._connect, self._tell_stop) as fleet:
                    self._live(fleet)
                    fleet.close(speed=self._plan.speed)
                    progress, stats = fleet.progress, fleet.stats
                # Meanwhile the last events are stored and judged.
                unstopped = fleet.unstopped()
                stored = self._settle(stats["delivered"])
            finally:
                # Ctrl-C too: nothing more is told, and nobody reads the feed when it is closed.
                stopping.set()
                listener.join()
        stops = reckon(fleet.stopped, unstopped, fleet.hit, [*self._found, *self._capped])
        self._conclude(progress, stats["delivered"], stored, stops)
        saved = {
            one.task.run_id: otherwise.tool_calls - one.life.tool_calls
            for one, otherwise in zip(fleet.stopped, unstopped, strict=True)
        }
        self._suggest(max(saved, key=saved.__getitem__, default=None))
        return {
            "events": {"sent": stats["sent"], "stored": stored},
            "runs": progress.runs,
            "anomalies": [anomaly.report() for anomaly in self._found],
            "incident": {"onset_ms": self._onset_ms, "seen": self._seen()},
            "stopped": stops.report(),
        }

    def _unheard_of(self) -> FleetSettings:
        """The fleet, under names that no earlier demo has used: an agent's history is told but once."""
        settings = FleetSettings()
        first = settings.profiles[0].agent
        known = {row["agent"] for row in self._reader.rows(_AGENTS_LIKE, name=first)}
        number = 1
        while _named(first, number) in known:
            number += 1
        return replace(
            settings,
            profiles=tuple(replace(one, agent=_named(one.agent, number)) for one in settings.profiles),
        )

    @property
    def _agents(self) -> list[str]:
        return [profile.agent for profile in self._fleet_settings.profiles]

    def _connect(self, time_of_fleet: Clock) -> Watch:
        return connect(
            "fleet",
            kafka=self._settings.kafka,
            prefix=self._settings.prefix,
            kafka_config=self._settings.kafka_client(),
            clock=time_of_fleet,
            guardrails=Guardrails(),
        )

    # -- living through it -------------------------------------------------------------------------

    def _live(self, fleet: Fleet) -> None:
        plan, settings = self._plan, self._fleet_settings
        self._out.print(
            f"\n[bold]{settings.agents} agents[/bold] of four kinds go about their work. First {plan.history} quiet "
            "minutes, as fast as they can be sent."
        )
        with LateBar("quiet history") as bar:
            total = self._onset_ms - self._start_ms

            def show(progress: FleetProgress) -> None:
                bar.set(progress.now_ms - self._start_ms, total)

            progress = fleet.run(self._onset_ms, on_progress=show)
        self._out.print(
            f"{progress.sent:,} events of {progress.runs:,} runs sent; the processors read the last of them.",
            highlight=False,
        )
        # Who is still reading what was sent at once would find the incident's loops too late.
        fleet.flush(SETTLE_S)
        if not wait_read(self._settings, SETTLE_S):
            self._out.print("The processors are far behind; what they find will come late.")
        incident = settings.incident
        self._out.print(
            f"\n[bold]{clock(self._onset_ms)}[/bold]  {incident.tool} begins to answer 429 and 503 now and then, and "
            f"release {incident.version} has raised retries from 2 to {incident.retries}. "
            f"{plan.incident} minutes pass at {plan.speed:g} times real time:",
            highlight=False,
        )
        fleet.run(self._end_ms, speed=plan.speed, onset_ms=self._onset_ms)

    def _listen(self, feed: AnomalyFeed, stopping: threading.Event) -> None:
        ours = set(self._agents)
        for anomaly in feed.read(stopping.is_set):
            if anomaly.agent in ours:
                self._found.append(anomaly)
                self._tell(anomaly)
            elif anomaly.rule == CAPPED:
                self._capped.append(anomaly)

    def _tell(self, anomaly: Anomaly) -> None:
        when = clock(anomaly.ts_ms)
        if anomaly.rule.startswith("loop."):
            # Warnings are many: they are in the table.
            if anomaly.severity != "critical":
                return
            self._loops[anomaly.rule] += 1
            told = self._loops.total()
            if told <= TOLD_LOOPS:
                self._out.print(f"{when}  [yellow]{anomaly.rule}[/yellow]  {escape(anomaly.message)}", highlight=False)
            elif told == TOLD_LOOPS + 1:
                self._out.print("          more loops follow; they are only counted from here.", highlight=False)
            return
        style = "green" if anomaly.state == "resolved" else "bold red"
        after = (anomaly.ts_ms - self._onset_ms) // MINUTE_MS
        self._out.print(
            f"{when}  [{style}]{anomaly.rule}[/{style}]  {escape(anomaly.message)} ({after} minutes into the incident)",
            highlight=False,
        )

    def _tell_stop(self, stopped: Stopped) -> None:
        self._stops += 1
        say = self._out.print
        calls = stopped.life.tool_calls
        if self._stops == 1:
            say(
                f"{clock(stopped.at_ms)}  [bold]stopped[/bold] after {calls} calls. Its next call raised:",
                highlight=False,
            )
            say(f"          RunStopped: {escape(stopped.sentence)}", highlight=False)
        elif self._stops <= TOLD_STOPS:
            run_id = stopped.task.run_id
            say(f"{clock(stopped.at_ms)}  [bold]stopped[/bold] run {run_id} after {calls} calls", highlight=False)
        elif self._stops == TOLD_STOPS + 1:
            say("          more runs are stopped; they are only counted from here.", highlight=False)

    def _settle(self, sent: int) -> int:
        """Waits until everything is stored, and nothing more is found; returns how many events are stored."""
        deadline = time.monotonic() + SETTLE_S
        stored, before = 0, -1
        while time.monotonic() < deadline:
            found = len(self._found)
            stored = self._reader.rows(_EVENTS_OF, agents=self._agents, start_ms=self._start_ms)[0]["stored"]
            if stored >= sent and found == before:
                break
            before = found
            # Longer than the processors wait for a silent partition before they judge without it.
            time.sleep(6.0 if stored >= sent else 0.5)
        return int(stored)

    # -- telling it --------------------------------------------------------------------------------

    def _seen(self) -> dict[str, int]:
        """Rule → event time at which it first fired in the incident."""
        seen: dict[str, int] = {}
        for anomaly in self._found:
            if anomaly.state == "open" and anomaly.ts_ms >= self._onset_ms:
                seen[anomaly.rule] = min(anomaly.ts_ms, seen.get(anomaly.rule, anomaly.ts_ms))
        return seen

    def _conclude(self, progress: FleetProgress, sent: int, stored: int, stops: Stops) -> None:
        agent = self._agents[0]
        row = self._reader.rows(_BEFORE_AND_AFTER, onset_ms=self._onset_ms, agent=agent)[0]
        say = self._out.print
        say(f"\n[bold]{agent}[/bold] before and after:", highlight=False)
        calls, usd = stops.a_run_without()
        calls_after = f"{row['calls_after']:.1f} ({calls:.1f} without the policy)"
        say(f"  tool calls a run   {row['calls_before']:.1f} → {calls_after}", highlight=False)
        say(f"  run latency, p95   {row['ms_before'] / 1000:.1f} s → {row['ms_after'] / 1000:.1f} s", highlight=False)
        say(
            f"  spend a run        ${row['usd_before']:.4f} → ${row['usd_after']:.4f} (${usd:.4f} without)",
            highlight=False,
        )
        say(f"  success            {row['good_before']:.0%} → {row['good_after']:.0%}", highlight=False)
        say(f"\n{sent:,} events sent, {stored:,} stored; {progress.runs:,} runs.", highlight=False)
        say("Critical loops: " + (", ".join(f"{n} {rule}" for rule, n in sorted(self._loops.items())) or "none"))
        say("")
        for line in stops.lines(self._plan.speed):
            say(line, highlight=False)

    def _suggest(self, stopped: str | None) -> None:
        """`stopped`: a run that was."""
        say, agent = self._out.print, self._agents[0]
        if self._page is not None and (telling := self._most_telling()) is not None:
            say("\n[bold]What to look at[/bold]")
            say(f"  {self._page}/incidents/{telling.anomaly_id}", highlight=False, markup=False, soft_wrap=True)
        looping = stopped or next(
            (one.run_id for one in self._found if one.run_id and one.severity == "critical"), None
        )
        say("\n[bold]What to ask next[/bold]")
        for line in (
            "runwatch anomalies --open",
            f"runwatch show {looping}" if looping else "runwatch runs",
            "runwatch runs --anomalous",
            "runwatch control --history",
            'runwatch sql "SELECT toStartOfMinute(started_at) AS minute, avg(tool_calls), quantile(0.95)(duration_ms) '
            f"FROM runs WHERE agent = '{agent}' GROUP BY minute ORDER BY minute\"",
            'runwatch sql "SELECT stop_reason, count(), sum(cost_usd) FROM runs GROUP BY ALL"',
            "runwatch sql \"SELECT tool, http_status, count() FROM events WHERE status = 'error' GROUP BY ALL\"",
        ):
            say(f"  {escape(line)}", highlight=False, soft_wrap=True)

    def _most_telling(self) -> Anomaly | None:
        """The episode that says most of what went wrong: an agent's before a run's, a critical before a warning."""
        told = [one for one in self._found if one.state != "resolved" and one.ts_ms >= self._onset_ms]
        return min(
            told,
            key=lambda one: (
                one.run_id is not None,
                one.severity != "critical",
                one.rule.startswith("loop."),
                one.ts_ms,
            ),
            default=None,
        )


def _named(agent: str, number: int) -> str:
    """An agent's name in the first demo, the second …"""
    return agent if number == 1 else f"{agent}-{number}"
