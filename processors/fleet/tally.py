"""One partition's part of what happens to the fleet: tools' calls, calls that fail, runs that have a parent.

Built as `windows.Tally` is: frames are kept as columns and grouped when there are enough of them or a window is
over; a part is told by its window and by the stretch of log time whose events it holds, so that a replay, or an
event that comes late, replaces it by one with a higher version. Of calls that work only their number is kept, so that
what a frame costs is what goes wrong in it. A part is sent once its window is over, and all of a stretch's at its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ..refused import set_apart
from ..replay import stretch_start
from .edges import EdgeTally
from .parts import EMPTY, SUMS
from .rules import FleetRules
from .sample import EXAMPLES, HASH_BITS
from .tables import RunSets, Table, first_of

NEEDED = (
    "run_id", "parent_run_id", "kind", "ts_ms", "agent", "tool", "args_sha", "status", "error", "attempt",
    "http_status", "stop_reason",
)  # fmt: skip
"""The columns of an event that are read here."""

MOST_ROWS = 65_536
"""Rows that a table may have, of tools or of failing calls; beyond it, half of them are forgotten: the quietest."""
MOST_WINDOWS = 10_000
"""Windows of a stretch; clocks that jump may tell of any number."""
MOST_PIECES = 64
SLIM_EVERY = 16_384
"""Events after which what is buffered is rid of the columns that are not needed."""

_NEVER = 2**61
_STORM, _TIMEOUT, _FAILING = 1, 2, 3
"""What a run was hit by; with a tool or a call, and a window, this makes a set of runs."""

_STORMY = (pl.col("attempt") > 1) | (pl.col("http_status") == 429) | (pl.col("http_status") // 100 == 5)
_TIMED_OUT = pl.col("error").str.contains("(?i)time.?out|timed.?out|deadline") | pl.col("http_status").is_in([408, 504])


class FleetTally:
    """The tallies of one partition. Pure: times come in with the events or as arguments."""

    def __init__(self, partition: int, rules: FleetRules, stretch_ms: int) -> None:
        """`stretch_ms`: length of a stretch of log time by which events are replayed."""
        self.partition = partition
        self.rules = rules
        self._stretch_ms = stretch_ms
        self._slot_ms = -1
        self._log_ms = 0
        self._mark_ms = 0
        # Start of the latest window that was over and told.
        self._told_ms: int | None = None
        self._version = 0
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0
        # The earlier ones, rid of the columns that are not needed: it may take a while until a window is over.
        self._slim: list[pl.DataFrame] = []
        # Event time of the first event in the buffer.
        self._earliest_ms = _NEVER
        self._edges = EdgeTally(rules.most_edges)
        # Calls that failed in the stretch before, and in this one.
        self._known_before = self._known = _NO_CALLS
        self._forget()

    def _forget(self) -> None:
        self._tools = Table({"tool": pl.String}, pl.col("storm") + pl.col("timeouts"), MOST_ROWS)
        self._calls = Table(_CALL, pl.col("errors"), MOST_ROWS)
        self._runs = RunSets(4 * MOST_ROWS)
        # Windows that events of this stretch lie in → whether their part is to be sent (again).
        self._windows: dict[int, bool] = {}
        self._edges.clear()

    @property
    def rows(self) -> int:
        """How many rows are held, of all tables."""
        return len(self._tools) + len(self._calls) + len(self._runs)

    def add(self, columns: pl.DataFrame, log_ms: int, next_offset: int) -> None:
        """Adds events (repeats left out) of the stretch of `log_ms`, to which it was read up to now.

        `columns`: at least `NEEDED`, `ts_ms` as whole milliseconds. `next_offset`: after the last of them.
        """
        if not columns.height:
            return
        self._slot_ms = stretch_start(log_ms, self._stretch_ms)
        self._log_ms, self._version = log_ms, next_offset
        times = columns["ts_ms"].to_numpy()
        # Nothing happens after it was logged: a clock that is ahead must not make everybody else's events late.
        self._mark_ms = max(self._mark_ms, min(int(times.max()), log_ms + self.rules.skew))
        self._earliest_ms = min(self._earliest_ms, int(times.min()))
        if self._told_ms is None:
            # There is nothing to tell of the time before.
            self._told_ms = stretch_start(self._mark_ms, self.rules.window) - self.rules.window
        self._buffer.append(columns)
        self._buffered += columns.height
        if self._buffered >= self.rules.buffer_events:
            self._group()
        elif self._buffered - sum(one.height for one in self._slim) >= SLIM_EVERY:
            self._slim_down()

    def parts(self, log_ms: int, over_ms: int = 0) -> list[dict[str, Any]]:
        """The parts to send now, as records of `fleet_part.avsc`: those of windows that are over, where they changed.

        `log_ms`: the time now, by the broker's clock. `over_ms`: as for `windows.Tally.changed`; all parts of an
        earlier stretch are sent, and forgotten.
        """
        if self._slot_ms < 0:
            return []
        over = self._slot_ms < over_ms
        # Where nothing comes, time goes on as the log's does: a partition with little to do is through when all are.
        # At a stretch's end something did come, and is not told yet.
        mark_ms = self._mark_ms + (0 if over else min(max(0, log_ms - self._log_ms), self.rules.quiet))
        through = 2 * _NEVER if over else mark_ms - self.rules.grace
        latest = self._over_by(mark_ms)
        tells = not over and self._told_ms is not None and latest > self._told_ms
        if through < self._next_end() and not tells:
            return []
        self._group()
        windows = {start for start, changed in self._windows.items() if changed and self._ends(start) <= through}
        if tells:
            # Told even if nothing happened in it, so that nobody waits for it.
            windows.add(latest)
            self._told_ms = latest
        out = self._sent(sorted(windows), mark_ms)
        if over:
            self._forget()
            self._known_before, self._known = self._known, _NO_CALLS
            self._slot_ms = -1
        return out

    def _over_by(self, mark_ms: int) -> int:
        """Start of the latest window that is over at that time."""
        return stretch_start(mark_ms - self.rules.grace, self.rules.window) - self.rules.window

    def _ends(self, start_ms: int) -> int:
        return start_ms + self.rules.window

    def _next_end(self) -> int:
        """End of the first window with something to send; what is still buffered may lie in any."""
        first = stretch_start(self._earliest_ms, self.rules.window) if self._buffered else _NEVER
        return self._ends(min([first, *(start for start, changed in self._windows.items() if changed)]))

    # -- grouping ----------------------------------------------------------------------------------

    def _group(self) -> None:
        """Groups what is buffered and adds it to the tables."""
        if not self._buffered:
            return
        window = pl.col("ts_ms").floordiv(self.rules.window) * self.rules.window
        # As one piece only where there are hundreds, each of which would be a step of every operation below.
        self._slim_down()
        events = pl.concat(self._slim, rechunk=False).with_columns(window=window)
        if events.n_chunks() > MOST_PIECES:
            events = events.rechunk()
        self._slim.clear()
        self._buffered, self._earliest_ms = 0, _NEVER
        for start in events["window"].unique().to_list():
            if len(self._windows) < MOST_WINDOWS or start in self._windows:
                self._windows[start] = True
        self._edges.add(events)
        failed = pl.col("status") == "error"
        events = (
            set_apart(events)
            .with_row_index("at")
            .with_columns(
                is_call=(pl.col("kind") == "tool_result") & pl.col("tool").is_not_null(),
                is_bad=(failed | _STORMY).fill_null(False),
            )
        )
        calls = events.select("at", "tool", "args_sha", "window", "is_bad").filter(events["is_call"])
        if not calls.height:
            return
        # One integer instead of two columns: grouping by it is several times faster.
        key = pl.col("tool").hash(1) ^ pl.col("window").hash()
        totals = calls.with_columns(key=key).group_by("key")
        self._tools.add(totals.agg(pl.col("window", "tool").first(), calls=pl.len().cast(pl.Int64)))
        bad = events.filter(pl.col("is_call") & pl.col("is_bad")).with_columns(
            key=key,
            errors=failed,
            storm=_STORMY.fill_null(False),
            timeouts=(failed & _TIMED_OUT).fill_null(False),
            run=(pl.col("run_id").hash() // 2 ** (64 - HASH_BITS)).cast(pl.Int64),
        )
        if bad.height:
            sums = (pl.col(name).sum().cast(pl.Int64) for name in SUMS[1:])
            self._tools.add(bad.group_by("key").agg(pl.col("window", "tool").first(), *sums))
            self._runs.add(bad.filter("storm").select(*_RUN, set=_set(_STORM)))
            self._runs.add(bad.filter("timeouts").select(*_RUN, set=_set(_TIMEOUT)))
        hashed = pl.col("args_sha").is_not_null()
        self._group_failing(calls.filter(hashed), bad.filter(hashed))

    def _slim_down(self) -> None:
        if self._buffer:
            self._slim.append(pl.concat(self._buffer, rechunk=False).select(NEEDED))
            self._buffer.clear()

    def _group_failing(self, calls: pl.DataFrame, bad: pl.DataFrame) -> None:
        """Adds up calls that failed at some time, and the runs that they failed for.

        How often such a call worked counts from its first failure on, in this stretch or the one before: what comes
        out is the same however the events were cut in frames, and a call that always works costs nothing.
        """
        failed = bad.filter("errors")
        if not failed.height and not len(self._known) and not len(self._known_before):
            return
        call = pl.col("tool").hash(1) ^ pl.col("args_sha").hash(2)
        failed = failed.with_columns(call=call)
        firsts = failed.group_by("call").agg(since=pl.col("at").min())
        worked = (
            pl.concat([calls.filter(~pl.col("is_bad")), bad.filter(~pl.col("errors")).select(calls.columns)])
            .with_columns(call=call)
            .join(firsts, on="call", how="left")
            .filter(_among(self._known) | _among(self._known_before) | (pl.col("at") > pl.col("since")))
        )
        news = firsts.filter(~_among(self._known)).sort("since")
        # Of too many, the earliest are forgotten, and known anew when they fail again.
        self._known = pl.concat([self._known, news["call"]]).tail(MOST_ROWS)
        key = pl.col("call") ^ pl.col("window").hash()
        same = pl.col("window", "tool", "args_sha", "call").first()
        number = pl.len().cast(pl.Int64)
        if failed.height:
            failed = failed.with_columns(key=key)
            # Any of its errors, but the same in any order.
            error = pl.col("error").min()
            self._calls.add(failed.group_by("key").agg(same, calls=number, errors=number, error=error))
            self._runs.add(failed.select(*_RUN, set=_set(_FAILING)))
        if worked.height:
            self._calls.add(worked.with_columns(key=key).group_by("key").agg(same, calls=number))

    # -- sending -----------------------------------------------------------------------------------

    def _sent(self, windows: list[int], mark_ms: int) -> list[dict[str, Any]]:
        """The parts of these windows, which are marked as sent."""
        out = [self._part(start, **one) for start in windows for one in self._edges.pieces(start)]
        self._windows.update(dict.fromkeys(self._windows.keys() & set(windows), False))
        among = pl.col("window").is_in(windows)
        loudest = (pl.col("storm") + pl.col("timeouts"), "calls")
        rows = first_of(self._tools.frame().filter(among), loudest, self.rules.most_tools)
        storm, timeouts = self._hit(rows, _STORM), self._hit(rows, _TIMEOUT)
        out += (self._tool_part(row, storm, timeouts) for row in rows.iter_rows(named=True))
        rows = first_of(self._ranked().filter(among), ("hit", "errors"), self.rules.most_calls)
        failing = self._hit(rows, _FAILING)
        out += (self._call_part(row, failing) for row in rows.iter_rows(named=True))
        self._tools.sent(windows)
        self._calls.sent(windows)
        return [{**part, "watermark_ms": mark_ms} for part in out]

    def _ranked(self) -> pl.DataFrame:
        """The failing calls and how many runs each has `hit`, whatever the window: what many runs meet comes first."""
        hit = self._runs.frame().group_by("set").agg(hit=pl.len())
        calls = self._calls.frame().with_columns(set=_set(_FAILING)).join(hit, on="set", how="left")
        return calls.with_columns(pl.col("hit").sum().over("call"))

    def _hit(self, rows: pl.DataFrame, what: int) -> dict[int, tuple[list[int], list[str], list[str]]]:
        """By key of a row: hashes, agents and ids of the runs that were hit, smallest hash first."""
        found = self._runs.frame().join(rows.select("key", set=_set(what)), on="set").sort("key", "run")
        lists = found.group_by("key", maintain_order=True).agg("run", "agent", "run_id")
        return {key: (runs, agents, ids) for key, runs, agents, ids in lists.iter_rows()}

    def _tool_part(
        self, row: Mapping[str, Any], storm: Mapping[int, Any], timeouts: Mapping[int, Any]
    ) -> dict[str, Any]:
        runs, agents, _ = storm.get(row["key"], _NO_RUNS)
        timeout_runs, timeout_agents, _ = timeouts.get(row["key"], _NO_RUNS)
        return self._part(
            row["window"],
            tool=row["tool"],
            **{name: row[name] for name in SUMS},
            runs=runs,
            run_agents=agents,
            timeout_runs=timeout_runs,
            timeout_agents=timeout_agents,
        )

    def _call_part(self, row: Mapping[str, Any], failing: Mapping[int, Any]) -> dict[str, Any]:
        runs, agents, ids = failing.get(row["key"], _NO_RUNS)
        same = {name: row[name] for name in ("tool", "args_sha", "calls", "errors", "error")}
        return self._part(row["window"], **same, runs=runs, run_agents=agents, run_ids=ids[:EXAMPLES])

    def _part(self, start_ms: int, **given: Any) -> dict[str, Any]:
        return {
            **EMPTY,
            "window_start_ms": start_ms,
            "source_partition": self.partition,
            "slot_ms": self._slot_ms,
            "window_ms": self.rules.window,
            "version": self._version,
            **given,
        }


_RUN = ("run", "agent", "run_id")
_NO_RUNS: tuple[list[int], list[str], list[str]] = ([], [], [])
_CALL = {"tool": pl.String, "args_sha": pl.String, "call": pl.UInt64}
_NO_CALLS = pl.Series("call", [], pl.UInt64)
_APART = 0x9E3779B97F4A7C15


def _among(calls: pl.Series) -> pl.Expr:
    """Whether a call is one of these."""
    return pl.col("call").is_in(calls.implode()) if len(calls) else pl.lit(False)


def _set(what: int) -> pl.Expr:
    """Key of a set of runs: a tool's or a call's key, and what hit them."""
    return pl.col("key") ^ pl.lit(what * _APART % 2**64, pl.UInt64)
