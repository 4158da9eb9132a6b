"""Tallies: one partition's partial aggregates of windows of event time, per agent, version, model and tool.

Events are kept as columns until there are many or a part is asked for, then grouped at once: the cost of a
group-by is paid per tens of thousands of events, however small the frames. Nothing is ever too late: a part
is told by its window and by the stretch of log time whose events it holds, so an event that comes after its
window was sent makes a further part, or replaces the part of its own stretch by one with a higher version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from ..settings.section import Duration, Section
from .refused import set_apart
from .replay import stretch_starts
from .sketch import keys_of

GROUP = ("agent", "agent_version", "model", "tool")
METRICS = ("call_ms", "run_tool_calls", "run_ms", "run_cost_usd", "request_tokens")
"""What is sketched; each is two columns of a window part, `NAME_keys` and `NAME_counts`."""

SUMS: Mapping[str, pl.Expr] = {
    "events": pl.len(),
    "runs_started": (pl.col("kind") == "run_start").sum(),
    "runs_stopped": (pl.col("kind") == "stop").sum(),
    "successes": ((pl.col("kind") == "stop") & (pl.col("stop_reason") == "success")).sum(),
    "model_calls": (pl.col("kind") == "model_result").sum(),
    "tool_calls": (pl.col("kind") == "tool_result").sum(),
    "tool_errors": ((pl.col("kind") == "tool_result") & (pl.col("status") == "error")).sum(),
    "retries": ((pl.col("kind") == "tool_result") & (pl.col("attempt") > 1)).sum(),
    "rate_limited": (
        (pl.col("kind") == "tool_result") & ((pl.col("http_status") == 429) | (pl.col("http_status") // 100 == 5))
    ).sum(),
    "input_tokens": pl.col("input_tokens").filter(pl.col("kind") == "model_result").sum(),
    "output_tokens": pl.col("output_tokens").filter(pl.col("kind") == "model_result").sum(),
    "cost_usd": pl.col("cost_usd").filter(pl.col("kind") == "model_result").sum(),
    "outcome_sum": pl.col("outcome").sum(),
    "outcome_count": pl.col("outcome").count(),
    "run_tool_calls_sum": pl.col("tool_calls").filter(pl.col("kind") == "stop").sum(),
    "run_ms_sum": pl.col("duration_ms").filter(pl.col("kind") == "stop").sum(),
    "run_cost_usd_sum": pl.col("cost_usd").filter(pl.col("kind") == "stop").sum(),
}
_REALS = {"cost_usd", "outcome_sum", "run_cost_usd_sum"}

ROWS_AT_ONCE = 32
"""Rows that are made Python values at a time."""

OTHER_TOOLS = "(other)"
"""The tool that stands for all of an agent's that are one too many."""
CLOCK_SET_MS = 946_684_800_000
"""The year 2000: what is older is told by a clock that was never set."""

_IDENTITY = ("slot_ms", "window_start_ms", *GROUP)
# Kind of event → its sketched metrics and the column each is taken from.
_SKETCHED: Mapping[str, Mapping[str, pl.Expr]] = {
    "tool_result": {"call_ms": pl.col("duration_ms")},
    "stop": {
        "run_tool_calls": pl.col("tool_calls"),
        "run_ms": pl.col("duration_ms"),
        "run_cost_usd": pl.col("cost_usd"),
    },
    "model_result": {
        # Null, not zero, where neither count is known.
        "request_tokens": pl.when(pl.any_horizontal(pl.col("input_tokens", "output_tokens").is_not_null())).then(
            pl.sum_horizontal("input_tokens", "output_tokens")
        )
    },
}


class WindowRules(Section):
    """How windows of event time are cut and when they are sent."""

    length: Duration = Field(60_000, ge=1_000, le=3_600_000, description="Length of a window of event time.")
    grace: Duration = Field(
        10_000, ge=0, description="How long after a window's end, by event time, its last events may still come."
    )
    idle: Duration = Field(
        30_000,
        ge=1_000,
        description="After how long without an agent's events, by log time, its windows are closed as they are.",
    )
    ahead: Duration = Field(
        86_400_000,
        ge=0,
        description="An event that lies so far ahead of the log has a wrong clock: it counts when it came.",
    )
    send_every: Duration = Field(
        2_000, ge=100, le=60_000, description="How often a partition's changed window parts are sent."
    )
    tools_every: Duration = Field(
        10_000,
        ge=0,
        description="How often, by log time, the parts of single tools are sent at the most: there are many of them.",
    )
    stretch: Duration = Field(
        120_000,
        ge=1_000,
        le=86_400_000,
        description="Stretch of log time by which windows are tallied: when a worker starts, the last is read again.",
    )
    most_tools: int = Field(
        1_000,
        ge=1,
        description=f"Tools of one agent that a window tells apart; beyond it they count as one, {OTHER_TOOLS!r}.",
    )
    buffer_events: int = Field(
        65_536, ge=1, le=4_194_304, description="Events that are kept as columns before they are grouped."
    )


class Tally:
    """The tallies of one partition. Pure: times come in with the events or as arguments."""

    def __init__(self, partition: int, rules: WindowRules) -> None:
        self.partition = partition
        self.rules = rules
        self._buffer: list[tuple[pl.DataFrame, int, int]] = []
        self._buffered = 0
        self._totals: pl.DataFrame | None = None
        # Sketch buckets and stop reasons: first what was added up, then what is to be added to it.
        self._counts: list[pl.DataFrame] = []
        # Per agent: latest event time, latest log time.
        self._watermarks: dict[str, tuple[int, int]] = {}
        # Groups whose parts changed since they were last sent, by level.
        self._dirty: dict[bool, set[int]] = {False: set(), True: set()}
        self._tools_sent_ms = 0
        self.overflowing = 0
        """Events of tools that were one too many, counted under `OTHER_TOOLS`."""

    def add(self, columns: pl.DataFrame, log_ms: int, next_offset: int) -> None:
        """Adds events (repeats left out) that the broker appended in the stretch of `log_ms`.

        `columns`: those of an event, `ts_ms` as whole milliseconds. `next_offset`: after the last of them.
        """
        if not columns.height:
            return
        self._buffer.append((columns, log_ms, next_offset))
        self._buffered += columns.height
        if self._buffered >= self.rules.buffer_events:
            self.group()

    def parts(self, log_ms: int, over_ms: int = 0) -> list[dict[str, Any]]:
        """As `changed`, all at once."""
        return list(self.changed(log_ms, over_ms))

    def changed(self, log_ms: int, over_ms: int = 0) -> Iterator[dict[str, Any]]:
        """The window parts to send now, as records of `window_part.avsc`.

        They are as of now, however late they are taken: making thousands of records takes time that events which
        come in meanwhile need not wait for.

        An agent's own part whenever it changed; a tool's once the window is closed: there are many of them.
        `log_ms`: the time now, by the broker's clock. `over_ms`: a start of a stretch, once the log was read up
        to it; earlier stretches are sent whole and forgotten. The time now would not do: who lags, or replays,
        still has events of an earlier stretch before them, whose part would then replace the whole one's.
        """
        return chain(*self._to_send(log_ms, over_ms))

    def by_window(self, log_ms: int) -> Iterator[dict[str, Any]]:
        """All parts of all stretches before then, which are forgotten; by the start of their windows.

        For who tallied a whole history as one stretch: there may be more of them than memory holds as records.
        """
        return merge(*self._to_send(log_ms, log_ms), key=lambda part: part["window_start_ms"])

    def _to_send(self, log_ms: int, over_ms: int) -> tuple[Iterator[dict[str, Any]], ...]:
        """The parts of agents, and those of tools, each by stretch, window and group."""
        self.group()
        if self._totals is None or not self._totals.height:
            return ()
        totals = self._totals.with_columns(closed=self._closed(log_ms), over=pl.col("slot_ms") < over_ms)
        agents = totals.filter(pl.col("agent_key").is_in(list(self._dirty[False])))
        due = log_ms >= self._tools_sent_ms + self.rules.tools_every
        if due:
            self._tools_sent_ms = log_ms
        tools = totals.filter(
            pl.col("tool").is_not_null()
            & pl.col("key").is_in(list(self._dirty[True]))
            & (pl.col("closed") & due | pl.col("over"))
        )
        # Only of what is sent: a stretch has many windows, of which few still change.
        counts = self._counts_of(pl.concat([agents["agent_key"], tools["agent_key"]]).unique())
        # An agent's own part counts every step, whatever its tool.
        agents = _added(agents.with_columns(key=pl.col("agent_key"), tool=pl.lit(None, pl.String)))
        changed = counts.filter(pl.col("agent_key").is_in(agents["key"].implode()))
        agent_counts = _counted(changed.with_columns(key=pl.col("agent_key")))
        marks = {agent: mark for agent, (mark, _) in self._watermarks.items()}
        sent = self._records(agents, agent_counts, marks), self._records(tools, counts, marks)
        self._dirty[False].clear()
        self._dirty[True] -= set(tools["key"].to_list())
        if (totals["over"]).any():
            kept = totals.filter(~pl.col("over"))
            self._totals = kept.drop("closed", "over")
            self._counts = [one.filter(pl.col("key").is_in(kept["key"].implode())) for one in self._counts]
            self._forget(log_ms)
        return sent

    @property
    def groups(self) -> int:
        """How many groups are held."""
        return 0 if self._totals is None else self._totals.height

    # -- grouping ----------------------------------------------------------------------------------

    def group(self) -> None:
        """Groups what is buffered and adds it to the tallies; may be called at any time, and changes no part."""
        if not self._buffer:
            return
        # One sum or mean that is not a number would never be one again.
        finite = (pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("cost_usd", "outcome"))
        # As one piece: hundreds of small ones would each be a step of every operation below.
        events = set_apart(pl.concat([columns for columns, _, _ in self._buffer], rechunk=True))
        heights = [columns.height for columns, _, _ in self._buffer]
        log = np.repeat(np.array([log_ms for _, log_ms, _ in self._buffer], np.int64), heights)
        version = np.repeat(np.array([next_offset for _, _, next_offset in self._buffer], np.int64), heights)
        self._buffer.clear()
        self._buffered = 0
        events = events.with_columns(
            *finite,
            log_ms=pl.Series(log),
            slot_ms=pl.Series(stretch_starts(log, self.rules.stretch)),
            version=pl.Series(version),
        )
        # A time that cannot be would make windows without end where a clock jumps: such an event counts when it came.
        can_be = pl.col("ts_ms").is_between(CLOCK_SET_MS, pl.col("log_ms") + self.rules.ahead)
        events = events.with_columns(
            ts_ms=pl.when(can_be | (pl.col("log_ms") < CLOCK_SET_MS)).then("ts_ms").otherwise("log_ms"), can_be=can_be
        )
        start = pl.col("ts_ms").floordiv(self.rules.length) * self.rules.length
        agent_key = pl.struct("slot_ms", "window_start_ms", *GROUP[:3]).hash()
        events = events.with_columns(window_start_ms=start).with_columns(agent_key=agent_key)
        # One integer per group: grouping by it is several times faster than by its six columns.
        events = events.with_columns(key=pl.col("agent_key") ^ pl.col("tool").hash())
        totals = _totalled(events)
        beyond = self._beyond(totals)
        if len(beyond):
            is_beyond = pl.col("key").is_in(beyond.implode())
            self.overflowing += int(events.select(is_beyond.sum()).item())
            events = events.with_columns(
                tool=pl.when(is_beyond).then(pl.lit(OTHER_TOOLS)).otherwise("tool"),
                key=pl.when(is_beyond).then(pl.col("agent_key") ^ pl.lit(OTHER_TOOLS).hash()).otherwise("key"),
            )
            totals = _totalled(events)
        counts = [
            events.filter(pl.col("kind") == kind)
            .select("key", "agent_key", bucket=keys_of(values), metric=pl.lit(metric))
            .drop_nulls("bucket")
            .group_by("key", "metric", "bucket")
            .agg(pl.col("agent_key").first(), count=pl.len().cast(pl.Int64))
            for kind, metrics in _SKETCHED.items()
            for metric, values in metrics.items()
        ]
        # Stop reasons are counted beside the sketches: a metric named for the reason, with one bucket.
        reasons = (
            events.filter(pl.col("kind") == "stop")
            .select("key", "agent_key", metric=_REASON + pl.col("stop_reason").fill_null("unknown"))
            .group_by("key", "metric")
            .agg(pl.col("agent_key").first(), count=pl.len().cast(pl.Int64))
            .with_columns(bucket=pl.lit(0, pl.Int32))
        )
        self._counts.append(pl.concat([*counts, reasons], how="diagonal"))
        # Adding up costs what there is of it: once the new is as much as the old, each row takes part a few times.
        if sum(one.height for one in self._counts[1:]) > self._counts[0].height:
            self._counts = [_counted(pl.concat(self._counts, how="diagonal"))]
        self._totals = totals if self._totals is None else _added(pl.concat([self._totals, totals], how="diagonal"))
        self._dirty[False].update(totals["agent_key"].to_list())
        self._dirty[True].update(totals.filter(pl.col("tool").is_not_null())["key"].to_list())
        seen = events.group_by("agent").agg(pl.col("ts_ms").filter("can_be").max(), pl.col("log_ms").max())
        for agent, ts_ms, log_ms in seen.iter_rows():
            before = self._watermarks.get(agent, (0, 0))
            self._watermarks[agent] = (max(before[0], ts_ms or 0), max(before[1], log_ms))

    def _beyond(self, totals: pl.DataFrame) -> pl.Series:
        """Keys of these groups that are too many for their agents' windows: the last of them in the log."""
        held = pl.DataFrame(schema={"key": pl.UInt64, "agent_key": pl.UInt64}) if self._totals is None else self._totals
        most = self.rules.most_tools
        if held.height + totals.height <= most:
            return pl.Series(dtype=pl.UInt64)
        new = totals.select("key", "agent_key", "version").join(held, on="key", how="anti")
        known = held.group_by("agent_key").agg(known=pl.len())
        ranked = new.sort("version", "key").join(known, on="agent_key", how="left", maintain_order="left")
        place = pl.int_range(pl.len()).over("agent_key") + pl.col("known").fill_null(0)
        return ranked.filter(place >= most)["key"]

    def _counts_of(self, agent_keys: pl.Series) -> pl.DataFrame:
        """The sketch buckets and stop reasons of these agents' windows, added up."""
        return _counted(
            pl.concat(
                [one.filter(pl.col("agent_key").is_in(agent_keys.implode())) for one in self._counts], how="diagonal"
            )
        )

    def _closed(self, log_ms: int) -> pl.Expr:
        """Whether a window is over: by its agent's watermark, or because the agent fell silent."""
        marks = {
            agent: 2**62 if seen_ms < log_ms - self.rules.idle else ts_ms
            for agent, (ts_ms, seen_ms) in self._watermarks.items()
        }
        watermark = pl.col("agent").replace_strict(list(marks), list(marks.values()), return_dtype=pl.Int64)
        return watermark >= pl.col("window_start_ms") + self.rules.length + self.rules.grace

    def _forget(self, log_ms: int) -> None:
        """Lets go of agents that were silent for two stretches."""
        since = log_ms - 2 * self.rules.stretch
        held = set() if self._totals is None else set(self._totals["agent"].unique().to_list())
        self._watermarks = {
            agent: mark for agent, mark in self._watermarks.items() if mark[1] >= since or agent in held
        }

    # -- sending -----------------------------------------------------------------------------------

    def _records(
        self, groups: pl.DataFrame, counts: pl.DataFrame, marks: Mapping[str, int]
    ) -> Iterator[dict[str, Any]]:
        """The groups as records; `marks`: each agent's watermark."""
        wanted = counts.filter(pl.col("key").is_in(groups["key"].implode())).sort("key", "metric", "bucket")
        lists = wanted.group_by("key", "metric", maintain_order=True).agg("bucket", "count")
        own = lists.group_by("key", maintain_order=True).agg("metric", "bucket", "count")
        rows = groups.join(own, on="key", how="left").sort(_IDENTITY)
        return (self._record(row, marks) for row in rows.iter_rows(named=True, buffer_size=ROWS_AT_ONCE))

    def _record(self, row: Mapping[str, Any], marks: Mapping[str, int]) -> dict[str, Any]:
        own = {
            metric: (buckets, counts)
            for metric, buckets, counts in zip(
                row["metric"] or (), row["bucket"] or (), row["count"] or (), strict=True
            )
        }
        record = {name: row[name] for name in (*_IDENTITY, "version", "closed", *SUMS)}
        record["window_ms"] = self.rules.length
        record["source_partition"] = self.partition
        record["watermark_ms"] = marks[row["agent"]]
        record["stop_reasons"] = [name.removeprefix(_REASON) for name in own if name.startswith(_REASON)]
        record["stop_reason_counts"] = [own[_REASON + name][1][0] for name in record["stop_reasons"]]
        for metric in METRICS:
            record[metric + "_keys"], record[metric + "_counts"] = own.get(metric, ([], []))
        return record


_REASON = "stop:"


def _type(name: str) -> Any:
    return pl.Float64 if name in _REALS else pl.Int64


def _totalled(events: pl.DataFrame) -> pl.DataFrame:
    """What there is of each group."""
    return events.group_by("key").agg(
        pl.col("agent_key", *_IDENTITY).first(),
        pl.col("version").max(),
        *(expression.cast(_type(name)).alias(name) for name, expression in SUMS.items()),
    )


def _added(totals: pl.DataFrame) -> pl.DataFrame:
    """Rows of the same key as one."""
    flags = [pl.col("closed").first()] if "closed" in totals.columns else []
    return totals.group_by("key").agg(
        pl.col("agent_key", *_IDENTITY).first(), pl.col("version").max(), pl.col(*SUMS).sum(), *flags
    )


def _counted(counts: pl.DataFrame) -> pl.DataFrame:
    """Buckets of the same key and metric as one."""
    return counts.group_by("key", "metric", "bucket").agg(pl.col("agent_key").first(), pl.col("count").sum())
