"""Stored history for measuring: a month of a fleet's events, made inside ClickHouse, and what the pipeline makes of it.

The events are like those of `fleet.py`: a run starts, asks its model and calls a tool in turns, and stops; some calls
fail and are tried again, some runs loop, a few never end. Days are busy and nights are not. Everything follows from
hashes of numbers, so the same shape is the same history.

Window parts are tallied from these events by SQL as `processors/windows.py` tallies them, and hours and five minutes
from the parts by `sinks/rollup.py` itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import Settings
from ..processors.sketch import LOG_GAMMA
from ..schemas.reasons import SUCCESS
from ..sinks.ddl import quoted
from ..sinks.rollup import roll_up

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SLICE_MS = 6 * 3_600_000
SLICES_A_DAY = 4
_SHORTEST, _LONGEST = 3, 60
_MEAN_EVENTS = (_SHORTEST + _LONGEST) / 2
_WINDOW_MS = 60_000
_STRETCH_MS = 300_000
_LOOPING = 7
"""Which of so many runs loops."""
_BUSY = 0.5
"""How much of the mean the fleet's day swings by."""


@dataclass(frozen=True, slots=True)
class History:
    """What is stored."""

    end_ms: int
    """Its last event is from just before then; a multiple of a minute."""
    events: int
    days: int = 30
    agents: int = 200
    tools: int = 50
    looping: int = 100
    """One run in so many loops."""

    @property
    def begin_ms(self) -> int:
        return self.end_ms - self.days * SLICES_A_DAY * SLICE_MS


@dataclass(frozen=True, slots=True)
class Slice:
    """Some hours of it."""

    begin_ms: int
    first_run: int
    runs: int


def slices(history: History) -> Iterator[Slice]:
    """The whole, hours by hours; together about as many runs as have so many events."""
    count = history.days * SLICES_A_DAY
    begins = [history.begin_ms + number * SLICE_MS for number in range(count)]
    weights = [
        1 - _BUSY * math.cos(2 * math.pi * (begin + SLICE_MS / 2) / (SLICES_A_DAY * SLICE_MS)) for begin in begins
    ]
    runs = max(count, round(history.events / _MEAN_EVENTS))
    whole, done, before = sum(weights), 0.0, 0
    for begin, weight in zip(begins, weights, strict=True):
        done += weight
        after = round(runs * done / whole)
        yield Slice(begin, before, after - before)
        before = after


def make(client: Client, settings: Settings, history: History, progress: Callable[[int, int], None]) -> None:
    """Makes it in the tables of the database in `settings`. Raises `StoreError`."""
    database = quoted(settings.database)
    pieces = list(slices(history))
    for number, piece in enumerate(pieces):
        progress(number, len(pieces))
        if not piece.runs:
            continue
        for statement in (events_statement(database, history, piece), anomalies_statement(database, history, piece)):
            client.command(statement)
    client.command(open_statement(database, history))
    for number, piece in enumerate(pieces):
        progress(number, len(pieces))
        client.command(run_hours_statement(database, piece.begin_ms))
        for of_tools in (False, True):
            client.command(parts_statement(database, piece.begin_ms, of_tools=of_tools))
    roll_up(client, settings)


def _runs(history: History, piece: Slice) -> str:
    """A row a run: its number, when it began, how many events it has, and what it is."""
    return f"""
    SELECT
        {piece.first_run} + number AS run,
        cityHash64(run, 'run') AS luck,
        {piece.begin_ms} + intDiv(number * {SLICE_MS}, {piece.runs}) AS began,
        toInt64({_SHORTEST} + luck % {_LONGEST - _SHORTEST + 1}) AS length,
        run % {history.looping} = {_LOOPING} AND length >= 20 AS loops,
        run % 97 = 5 AS lost,
        -- Some agents have most of the runs.
        toInt64({history.agents} * pow(intDiv(luck, 4096) % 10007 / 10007, 2)) AS agent_no,
        1000 + intDiv(luck, 64) % 2000 AS pace,
        concat('agent-', leftPad(toString(agent_no), 3, '0')) AS agent,
        -- A new version every nine days, each agent on a day of its own.
        concat('1.', toString(intDiv(intDiv(began, 86400000) + agent_no, 9) % 100)) AS agent_version,
        ['gpt-4o', 'gpt-4o-mini', 'claude-sonnet-4', 'gemini-2.5-pro'][1 + agent_no % 4] AS model,
        lower(leftPad(hex(toUInt64(began)), 12, '0')) AS head,
        lower(hex(sipHash128(run, 'run'))) AS tail,
        concat(substring(head, 1, 8), '-', substring(head, 9, 4), '-7', substring(tail, 1, 3), '-a',
               substring(tail, 4, 3), '-', substring(tail, 7, 12)) AS run_id,
        multiIf(loops, 'loop_detected', luck % 1000 < 910, '{SUCCESS}', luck % 1000 < 950, 'max_steps',
                luck % 1000 < 980, 'tool_timeout', luck % 1000 < 995, 'model_error', 'killed') AS reason
    FROM numbers({piece.runs})
    """


def events_statement(database: str, history: History, piece: Slice) -> str:
    """Stores the events of the runs that begin in these hours, up to the end of the history."""
    return f"""
INSERT INTO {database}.events_stored
    (event_id, run_id, seq, kind, ts, agent, agent_version, model, prompt_sha, tools_sha, step_id, tool, args_sha,
     result_sha, duration_ms, status, error, attempt, http_status, stop_reason, outcome, input_tokens, output_tokens,
     cost_usd, tool_calls, kafka_source, kafka_partition, kafka_offset, ingested_at)
SELECT
    concat(substring(head, 1, 8), '-', substring(id, 1, 4), '-7', substring(id, 5, 3), '-a', substring(id, 8, 3), '-',
           substring(id, 11, 12)),
    run_id, seq, kind, fromUnixTimestamp64Milli(ts_ms, 'UTC'), agent, agent_version, model,
    lower(substring(hex(sipHash128(agent, agent_version)), 1, 24)),
    if(agent_no % 2 = 1, lower(substring(hex(sipHash128(agent)), 1, 24)), NULL),
    if(is_step, concat('s', toString(seq)), NULL),
    if(is_tool, concat(['http', 'orders', 'tickets', 'users', 'files', 'calendar', 'docs', 'code', 'mail', 'web']
        [1 + tool_no % 10], '.', ['get', 'search', 'create', 'update', 'list'][1 + intDiv(tool_no, 10) % 5],
        if(tool_no < 50, '', toString(intDiv(tool_no, 50)))), NULL),
    if(is_tool, lower(substring(hex(sipHash128(run, call, 'args')), 1, 24)), NULL),
    if(is_tool AND NOT fails, lower(substring(hex(sipHash128(run, call, 'result')), 1, 24)), NULL),
    multiIf(is_tool, took, is_model, took * 4, is_stop, length * pace, NULL),
    multiIf(fails, 'error', is_step, 'ok', 'none'),
    if(fails, 'HTTPStatusError', NULL),
    if(is_tool, 1 + retries, NULL),
    if(is_tool, if(fails, 503, 200), NULL),
    if(is_stop, reason, NULL),
    if(is_stop, reason = '{SUCCESS}', NULL),
    multiIf(is_model, tokens, is_stop, 2000 * intDiv(length, 2), NULL),
    multiIf(is_model, intDiv(tokens, 7), is_stop, 280 * intDiv(length, 2), NULL),
    multiIf(is_model, round(tokens * 4e-6, 6), is_stop, round(length * 4e-3, 6), NULL),
    if(is_stop, intDiv(length - 2, 2), NULL),
    1, run % 4, toUInt64(run) * 64 + seq, fromUnixTimestamp64Milli(ts_ms + 350 + dice % 300, 'UTC')
FROM
(
    SELECT
        *, seq,
        cityHash64(run, seq) AS dice,
        lower(hex(sipHash128(run, seq, 'event'))) AS id,
        toInt64(began + seq * pace + dice % 500) AS ts_ms,
        seq = length - 1 AND NOT lost AS is_stop,
        seq % 2 = 0 AND seq > 0 AND NOT is_stop AS is_tool,
        seq % 2 = 1 AND NOT is_stop AS is_model,
        is_tool OR is_model AS is_step,
        multiIf(seq = 0, 'run_start', is_stop, 'stop', is_tool, 'tool_result', 'model_result') AS kind,
        if(loops AND seq > 8, 8, seq) AS call,
        (agent_no * 7 + cityHash64(run, call) % 8) % {history.tools} AS tool_no,
        is_tool AND dice % 1000 < 20 AS fails,
        is_tool AND dice % 1000 >= 970 AS retries,
        -- Long tails: the product of three chances.
        toInt64(20 + 4000 * pow((intDiv(dice, 1000) % 1000) * (intDiv(dice, 1000000) % 1000) / 1e6, 2)) AS took,
        toInt64(300 + intDiv(dice, 1000000000) % 3400) AS tokens
    FROM ({_runs(history, piece)})
    ARRAY JOIN range(length) AS seq
)
WHERE ts_ms < {history.end_ms}
"""


def anomalies_statement(database: str, history: History, piece: Slice) -> str:
    """Stores what is found of the runs that loop in these hours: each an episode that is over."""
    return f"""
INSERT INTO {database}.anomalies_stored
    (anomaly_id, rule, state, severity, ts, onset, agent, agent_version, model, run_id, step_id, tool, value, baseline,
     period, seqs, message, source_partition, source_offset, detected_at, kafka_source, kafka_partition, kafka_offset,
     ingested_at, rank)
SELECT
    lower(substring(hex(sipHash128(run_id, 'loop')), 1, 24)), 'loop.repeat', state, 'critical', max(ts), min(ts), agent,
    any(agent_version), any(model), run_id, NULL, any(tool), count(), NULL, 1, arraySort(groupArray(seq)),
    concat(toString(count()), ' times the same call of ', any(tool)), 0, 0, max(ingested_at), 1, 0,
    toUInt64(max(kafka_offset)), max(ingested_at), 1
FROM {database}.events_stored
ARRAY JOIN ['open', 'resolved'] AS state
WHERE kind = 'tool_result' AND intDiv(kafka_offset, 64) % {history.looping} = {_LOOPING}
  AND ts >= fromUnixTimestamp64Milli({piece.begin_ms}) AND ts < fromUnixTimestamp64Milli({piece.begin_ms + SLICE_MS})
GROUP BY run_id, agent, args_sha, state
HAVING count() >= 4
"""


def open_statement(database: str, history: History) -> str:
    """Stores a dozen episodes of agents that are still open."""
    return f"""
INSERT INTO {database}.anomalies_stored
    (anomaly_id, rule, state, severity, ts, onset, agent, agent_version, model, run_id, step_id, tool, value, baseline,
     period, seqs, message, source_partition, source_offset, detected_at, kafka_source, kafka_partition, kafka_offset,
     ingested_at, rank)
SELECT
    lower(substring(hex(sipHash128(number, 'open')), 1, 24)), 'drift.spend_per_run', 'open',
    if(number % 4 = 0, 'critical', 'warning'), at, at, concat('agent-', leftPad(toString(number * 5), 3, '0')), NULL,
    NULL, NULL, NULL, NULL, 0.2, 0.1, NULL, [], 'Spend a run is twice what is usual', NULL, NULL, at, 1, 1, number,
    at, 1
FROM (SELECT number, fromUnixTimestamp64Milli({history.end_ms} - 60000 * (1 + number), 'UTC') AS at FROM numbers(12))
"""


def run_hours_statement(database: str, begin_ms: int) -> str:
    """Stores by which hours runs are found, as the sink's view does."""
    return f"""
INSERT INTO {database}.run_hours_stored
    (hour, agent, run_id, agent_version, model, first_ts, last_ts, stopped, stop_reason, ingested_at)
SELECT
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(ts), 3600000) * 3600000, 'UTC'),
    agent, run_id, agent_version, model, ts, ts, kind = 'stop', if(kind = 'stop', stop_reason, NULL), ingested_at
FROM {database}.events_stored
WHERE {_within(begin_ms)}
"""


def parts_statement(database: str, begin_ms: int, *, of_tools: bool) -> str:
    """Stores the window parts of these hours: the agents' own, or those of their tools."""
    tool = "tool" if of_tools else "NULL"

    sketches = {
        "call_ms": ("toFloat64(duration_ms)", "kind = 'tool_result'"),
        "run_tool_calls": ("toFloat64(tool_calls)", "kind = 'stop'"),
        "run_ms": ("toFloat64(duration_ms)", "kind = 'stop'"),
        "run_cost_usd": ("cost_usd", "kind = 'stop'"),
        "request_tokens": ("toFloat64(input_tokens + output_tokens)", "kind = 'model_result'"),
    }
    columns: list[str] = []
    values: list[str] = []
    for name, (value, condition) in sketches.items():
        key = f"if({value} > 0, toInt32(ceil(log({value}) / {LOG_GAMMA!r})), toInt32(-2147483648))"
        columns += [f"{name}_keys", f"{name}_counts"]
        values += [
            f"(sumMapIf([assumeNotNull({key})], [toInt64(1)], {condition} AND {value} IS NOT NULL) AS {name}_map).1",
            f"{name}_map.2",
        ]
    return f"""
INSERT INTO {database}.window_parts_stored
    (window_start, window_ms, agent, agent_version, model, tool, source_partition, slot, version, watermark, closed,
     events, runs_started, runs_stopped, successes, model_calls, tool_calls, tool_errors, retries, rate_limited,
     input_tokens, output_tokens, cost_usd, outcome_sum, outcome_count, run_tool_calls_sum, run_ms_sum,
     run_cost_usd_sum, stop_reasons, stop_reason_counts, {", ".join(columns)},
     kafka_source, kafka_partition, kafka_offset, ingested_at, rank)
SELECT
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(e.ts), {_WINDOW_MS}) * {_WINDOW_MS}, 'UTC') AS start,
    {_WINDOW_MS}, e.agent, e.agent_version, e.model, {tool} AS of_tool, e.kafka_partition,
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(e.ingested_at), {_STRETCH_MS}) * {_STRETCH_MS}, 'UTC')
        AS stretch,
    max(e.kafka_offset) + 1 AS reaches, max(e.ts), true,
    count(), countIf(kind = 'run_start'), countIf(kind = 'stop'), countIf(kind = 'stop' AND stop_reason = '{SUCCESS}'),
    countIf(kind = 'model_result'), countIf(kind = 'tool_result'), countIf(kind = 'tool_result' AND status = 'error'),
    countIf(kind = 'tool_result' AND attempt > 1), countIf(kind = 'tool_result' AND http_status >= 500),
    sumIf(ifNull(input_tokens, 0), kind = 'model_result'), sumIf(ifNull(output_tokens, 0), kind = 'model_result'),
    sumIf(ifNull(cost_usd, 0), kind = 'model_result'), sum(ifNull(outcome, 0)), count(outcome),
    sumIf(ifNull(e.tool_calls, 0), kind = 'stop'), sumIf(ifNull(duration_ms, 0), kind = 'stop'),
    sumIf(ifNull(cost_usd, 0), kind = 'stop'),
    (sumMapIf([ifNull(stop_reason, 'unknown')], [toInt64(1)], kind = 'stop') AS reasons_map).1, reasons_map.2,
    {", ".join(values)},
    1, 0, max(e.kafka_offset), max(e.ingested_at), max(e.kafka_offset) * 2 + 3
FROM {database}.events_stored AS e
WHERE {_within(begin_ms)}{" AND tool IS NOT NULL" if of_tools else ""}
GROUP BY start, e.agent, e.agent_version, e.model, of_tool, e.kafka_partition, stretch
"""


def _within(begin_ms: int) -> str:
    return f"ts >= fromUnixTimestamp64Milli({begin_ms}) AND ts < fromUnixTimestamp64Milli({begin_ms + SLICE_MS})"
