"""Part `store`: the console's questions, asked of a month of events.

`stored_fleet.py` makes the history; then every question that the Fleet page asks, a run by its id, and the lists of
runs are asked in turns, one after the other, as the console asks them. What it would cost without the sums and without
the index is measured in the same run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from ..clickhouse import StoreError, connect
from ..config import Settings
from ..console.ask import fleet
from ..console.ask.cells import Asked, Frontier, frontier, totals
from ..console.ask.fleet import Filter, Span
from ..sinks.query import Reader
from ..sinks.retention import Keep, keep_tables
from .context import Context
from .databases import database
from .figures import Figures, quantile, rounded
from .result import Result, Sheet
from .stored_fleet import History, make

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TRIES = 25
"""Of each question, after one that does not count."""
FEW = 3
"""Of what is measured only beside it, and is slow."""
SPANS = ("24h", "30d")
LISTED = 50
_MERGING_S = 120.0
_PATIENCE_S = 120.0
"""How long an answer is waited for; what takes longer has none."""
_AGENT, _TOOL, _MODEL, _VERSION = "agent-000", "http.get", "gpt-4o", "1.1"

Question = Callable[[Reader], Any]


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` and `StoreError`."""
    settings = context.servers.settings("store.", "store")
    with database(settings) as client:
        # Longer than its days, so that none of it is taken away while it is measured.
        keep_tables(client, settings, Keep(logs_days=90))
        history = History(int(time.time()) // 60 * 60_000, context.options.stored)
        began = time.monotonic()
        make(client, settings, history, context.progress(f"store: making {history.events:,} events"))
        figures: Figures = {"made_s": rounded(time.monotonic() - began)}
        context.tell("store: waiting until ClickHouse has merged")
        _merged(client)
        sizes = _sizes(client, settings)
        figures |= _on_disk(sizes)
        # As the console connects.
        reader = Reader(settings, connect(settings, timeout_s=_PATIENCE_S, max_execution_time=_PATIENCE_S))
        try:
            server = psutil.Process(context.servers.pids["clickhouse"])
            asked = _asked(reader, history, server, context)
            figures |= {f"{name.replace(' ', '_')}_p95_ms": row["p95_ms"] for name, row in asked.items()}
            beside = _beside(reader, history, context)
            problems = _wrong(reader, history)
        finally:
            reader.close()
    sheets = (
        Sheet("questions", list(asked.values()), ("question", "p50_ms", "p95_ms", "cpu_ms", "tries")),
        Sheet("with and without", beside, ("question", "with_ms", "without_ms", "without")),
    )
    return Result("store", figures, problems=tuple(problems), sheets=sheets)


# -- what is asked -----------------------------------------------------------------------------------


def questions(history: History, run_ids: Callable[[], str]) -> Mapping[str, Question]:
    """What is measured, by name."""
    found: dict[str, Question] = {}
    for name in SPANS:
        span = Span.last(name, history.end_ms)
        found |= {
            f"fleet {name}": partial(fleet.fleet_series, span=span, only=Filter()),
            f"fleet {name} agent": partial(fleet.fleet_series, span=span, only=Filter(agent=_AGENT)),
            f"fleet {name} agent tool": partial(fleet.fleet_series, span=span, only=Filter(agent=_AGENT, tool=_TOOL)),
            f"fleet {name} version model": partial(
                fleet.fleet_series, span=span, only=Filter(version=_VERSION, model=_MODEL)
            ),
            f"by agent {name}": partial(
                fleet.fleet_by, span=span, only=Filter(), dimension="agent", metric="latency_p95_ms"
            ),
            f"by tool {name}": partial(
                fleet.fleet_by, span=span, only=Filter(), dimension="tool", metric="call_latency_p95_ms"
            ),
            f"agents {name}": partial(fleet.agents, span=span, only=Filter()),
            f"choices {name}": partial(fleet.choices, span=span),
        }
    return found | {
        "run by id": lambda reader: reader.run(run_ids()),
        "run story": lambda reader: reader.show(run_ids()),
        "runs latest": lambda reader: reader.runs(LISTED),
        "runs of agent": lambda reader: reader.runs(LISTED, agent="agent-150"),
        "runs stopped": lambda reader: reader.runs(LISTED, stop_reason="killed"),
        "runs unfinished": lambda reader: reader.runs(LISTED, unfinished=True),
        "runs anomalous": lambda reader: reader.runs(LISTED, anomalous=True),
    }


def _asked(reader: Reader, history: History, server: psutil.Process, context: Context) -> dict[str, dict[str, Any]]:
    """Half and 95 % of the times of each, asked in turns, and ClickHouse's own CPU time of one."""
    some = reader.rows(
        "SELECT run_id FROM run_hours_stored WHERE cityHash64(run_id) % greatest(1, intDiv((SELECT count() FROM"
        " run_hours_stored), 500)) = 0 LIMIT 500"
    )
    chance = random.Random(1)  # nosec B311  # the same rows each time
    all_questions = questions(history, lambda: str(chance.choice(some)["run_id"]))
    times: dict[str, list[float]] = {name: [] for name in all_questions}
    cpu_s = dict.fromkeys(all_questions, 0.0)
    for turn in range(TRIES + 1):
        context.tell("store: asking", turn / (TRIES + 1))
        for name, question in all_questions.items():
            before_s = _cpu_s(server)
            took = _ms(question, reader)
            if turn:
                times[name].append(took)
                cpu_s[name] += _cpu_s(server) - before_s
    return {
        name: {
            "question": name,
            "p50_ms": rounded(quantile(ms, 0.5)),
            "p95_ms": rounded(quantile(ms, 0.95)),
            "cpu_ms": rounded(1000 * cpu_s[name] / TRIES),
            "tries": len(ms),
        }
        for name, ms in times.items()
    }


_FROM_EVENTS = """
SELECT
    intDiv(toUnixTimestamp64Milli(ts), {step:Int64}) AS bin, countIf(kind = 'run_start'), countIf(kind = 'tool_result'),
    countIf(kind = 'tool_result' AND status = 'error'), countIf(kind = 'tool_result' AND attempt > 1),
    sumIf(input_tokens + output_tokens, kind = 'model_result'), sumIf(cost_usd, kind = 'model_result'),
    quantileIf(0.95)(duration_ms, kind = 'stop'), quantileIf(0.95)(duration_ms, kind = 'tool_result'),
    quantileIf(0.95)(tool_calls, kind = 'stop')
FROM events_stored
WHERE ts >= fromUnixTimestamp64Milli({from:Int64}) AND ts < fromUnixTimestamp64Milli({to:Int64})
GROUP BY bin
"""
_LATEST_BY_VIEW = f"SELECT * FROM runs ORDER BY last_event_at DESC LIMIT {LISTED}"


def _beside(reader: Reader, history: History, context: Context) -> list[dict[str, Any]]:
    """The same questions with and without what is kept for them."""
    rows: list[dict[str, Any]] = []

    def add(name: str, without: str, with_it: Question, without_it: Question) -> None:
        context.tell(f"store: {name} without {without}")
        with_ms = quantile([_ms(with_it, reader) for _ in range(FEW)], 0.5)
        without_ms = _patient_ms(without_it, reader)
        rows.append({"question": name, "with_ms": rounded(with_ms), "without_ms": without_ms, "without": without})

    for name in SPANS:
        span = Span.last(name, history.end_ms)
        step = fleet.step_ms(span)
        asked = Asked(span.from_ms // step * step, span.to_ms, step, {}, reasons=True)
        known = frontier(reader, span.to_ms)
        sums: Question = partial(totals, asked=asked, known=known)
        parts: Question = partial(totals, asked=asked, known=Frontier(0, known.since_ms))
        parameters = {"step": step, "from": span.from_ms, "to": span.to_ms}
        events: Question = partial(Reader.sql, query=_FROM_EVENTS, parameters=parameters)
        add(f"lines {name}", "sums: from window parts", sums, parts)
        add(f"lines {name}", "sums: from events", sums, events)
    latest: Question = partial(Reader.runs, limit=LISTED)
    add("runs latest", "index: the view runs", latest, partial(Reader.sql, query=_LATEST_BY_VIEW))
    return rows


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _ms(question: Question, reader: Reader) -> float:
    began = time.perf_counter()
    question(reader)
    return 1000 * (time.perf_counter() - began)


def _patient_ms(question: Question, reader: Reader) -> float | None:
    """None where no answer came in time, or in the memory that there is."""
    try:
        return rounded(_ms(question, reader))
    except StoreError:
        return None


# -- what is stored ----------------------------------------------------------------------------------


def _merged(client: Client) -> None:
    """Waits until ClickHouse is through with its background work, for some time."""
    deadline = time.monotonic() + _MERGING_S
    while time.monotonic() < deadline:
        if not client.query("SELECT count() FROM system.merges").result_rows[0][0]:
            return
        time.sleep(1)


def _sizes(client: Client, settings: Settings) -> dict[str, tuple[int, int]]:
    """Rows and bytes on disk by table."""
    rows = client.query(
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = {name:String}"
        " GROUP BY table",
        parameters={"name": settings.database},
    ).result_rows
    return {str(table): (int(count), int(size)) for table, count, size in rows}


def _on_disk(sizes: Mapping[str, tuple[int, int]]) -> Figures:
    events = max(sizes["events_stored"][0], 1)

    def an_event(*tables: str) -> float | int:
        return rounded(sum(sizes.get(table, (0, 0))[1] for table in tables) / events)

    return {
        "events": events,
        "window_parts": sizes["window_parts_stored"][0],
        "events_bytes_per_event": an_event("events_stored"),
        "window_parts_bytes_per_event": an_event("window_parts_stored"),
        "sums_bytes_per_event": an_event("five_minutes_stored", "hours_stored", "fleet_hours_stored"),
        "run_index_bytes_per_event": an_event("run_hours_stored"),
    }


def _wrong(reader: Reader, history: History) -> list[str]:
    """What the answers are not: those that the events themselves give."""
    counted = reader.rows("SELECT count() AS events, uniqExact(run_id) AS runs FROM events_stored")[0]
    asked = Asked(history.begin_ms, history.end_ms, 0, {}, sums=("events", "runs_started"), sketches=())
    (summed,) = totals(reader, asked, frontier(reader, history.end_ms))
    found = [
        (summed["events"], counted["events"], "events are in the sums"),
        (summed["runs_started"], counted["runs"], "runs are in the sums"),
        (
            reader.rows("SELECT uniqExact(run_id) AS n FROM run_hours_stored")[0]["n"],
            counted["runs"],
            "runs in the index",
        ),
    ]
    return [
        f"store: {is_there:,} {what}, and {stored:,} are stored"
        for is_there, stored, what in found
        if is_there != stored
    ]
