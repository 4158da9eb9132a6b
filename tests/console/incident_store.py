"""An incident in a real ClickHouse, row by row: a release of `support` whose calls fail, and are tried again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.sinks.migrate import migrate
from runwatch.sinks.query import Reader

MINUTE_MS = 60_000


@dataclass
class Stored:
    """A database of its own, and the time at which its story is told."""

    settings: Settings
    client: Any
    reader: Reader
    now_ms: int = field(default_factory=lambda: int(time.time() * 1000) // MINUTE_MS * MINUTE_MS)
    _offset: int = 0

    @property
    def onset_ms(self) -> int:
        """An hour ago."""
        return self.now_ms - 60 * MINUTE_MS

    def anomaly(self, anomaly_id: str, rule: str, *, stored_ago_s: float = 3600, **fields: Any) -> None:
        """One state of an episode; by default a warning that opened at the onset, and was stored an hour ago."""
        self._insert(
            "anomalies_stored",
            {
                "anomaly_id": anomaly_id, "rule": rule, "state": "open", "severity": "warning",
                "ts": self.onset_ms, "onset": self.onset_ms, "agent": "support", "value": 1.0, "seqs": [],
                "message": f"{rule} says so.", "ingested_at": self._ago(stored_ago_s),
            }
            | fields,
        )  # fmt: skip

    def event(self, run_id: str, seq: int, kind: str, at_ms: int, *, stored_ago_s: float = 3600, **fields: Any) -> None:
        """One event of `support`."""
        self._insert(
            "events_stored",
            {
                "event_id": f"{run_id}-{seq}", "run_id": run_id, "seq": seq, "kind": kind, "ts": at_ms,
                "agent": "support", "status": "ok", "ingested_at": self._ago(stored_ago_s),
            }
            | fields,
        )  # fmt: skip

    def window(self, at_ms: int, **fields: Any) -> None:
        """A minute of `support`."""
        self._insert(
            "window_parts_stored",
            {
                "window_start": at_ms, "window_ms": MINUTE_MS, "agent": "support", "slot": at_ms, "watermark": at_ms,
                "ingested_at": self.now_ms,
            }
            | fields,
        )  # fmt: skip

    def command(self, scope: str, mode: str, **fields: Any) -> None:
        """A command, given just now."""
        self._offset += 1
        self._insert(
            "control_stored",
            {
                "control_id": f"c{self._offset}", "scope": scope, "mode": mode, "ts": self.now_ms, "why": "because",
                "by": "someone", "ingested_at": self.now_ms,
            }
            | fields,
        )  # fmt: skip

    def _ago(self, seconds: float) -> int:
        return int((time.time() - seconds) * 1000)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        self._offset += 1
        whole = {"kafka_source": 1, "kafka_partition": 0, "kafka_offset": self._offset} | row
        times = ("ts", "onset", "ingested_at", "window_start", "slot", "watermark", "expires_at")
        values = [_time(value) if name in times else value for name, value in whole.items()]
        self.client.insert(table, [values], column_names=list(whole))


@contextmanager
def stored(stack: Any) -> Iterator[Stored]:
    """Fresh tables in the real ClickHouse."""
    settings = stack.unique()
    client = connect(settings)
    migrate(client, settings)
    client.database = settings.database
    reader = Reader(settings)
    try:
        yield Stored(settings, client, reader)
    finally:
        client.command(f"DROP DATABASE {settings.database}")
        reader.close()
        client.close()


def tell(its: Stored) -> None:
    """The whole story: `drift-1` is the open incident, r-new-0 … the runs since it began."""
    for minute in range(-40, 20):
        at_ms = its.onset_ms + minute * MINUTE_MS
        is_new = minute >= 0
        whole = {"agent_version": "1.4.3" if is_new else "1.4.2"}
        its.window(
            at_ms, runs_started=10, runs_stopped=10, successes=6 if is_new else 9, tool_calls=100,
            tool_errors=40 if is_new else 2, retries=30 if is_new else 1, run_tool_calls_sum=100 if is_new else 40,
            stop_reasons=["success", "loop_detected"] if is_new else ["success", "gave_up"],
            stop_reason_counts=[6, 4] if is_new else [9, 1], **whole,
        )  # fmt: skip
        its.window(at_ms, tool="http.get", tool_calls=100, tool_errors=40 if is_new else 2, **whole)
    for number in range(30):
        _run(its, f"r-old-{number}", its.onset_ms - (35 - number) * MINUTE_MS, "1.4.2", 1, 0)
    for number in range(15):
        _run(its, f"r-new-{number}", its.onset_ms + number * MINUTE_MS, "1.4.3", 5, 2 + number % 3)
    its.anomaly(
        "drift-1", "drift.tool_calls_per_run", ts=its.onset_ms + 10 * MINUTE_MS, value=10.0, baseline=4.0,
        severity="critical", message="Tool calls a run of support: 10 for 10 minutes, 2.5 times the usual 4.",
    )  # fmt: skip
    for number in range(3):
        its.anomaly(
            f"loop-{number}", "loop.failing", run_id=f"r-new-{number}", tool="http.get", agent_version="1.4.3",
            ts=its.onset_ms + (1 + number) * MINUTE_MS, onset=its.onset_ms + number * MINUTE_MS, severity="critical",
            seqs=[1, 2, 3], message="http.get failed.",
        )  # fmt: skip
        its.command(f"run:r-new-{number}", "stop", by="policy:loop.failing", anomaly_id=f"loop-{number}")


def _run(its: Stored, run_id: str, at_ms: int, version: str, tries: int, failing: int) -> None:
    """A run with three different calls; the first of them is tried so often, and fails as often as is told."""
    told = {"agent_version": version, "prompt_sha": f"p-{version}"}
    its.event(run_id, 0, "run_start", at_ms, **told)
    calls: Sequence[tuple[str, int, bool]] = [
        *(("same", attempt, attempt <= failing) for attempt in range(1, tries + 1)),
        ("b", 1, False),
        ("c", 1, False),
    ]
    for seq, (args, attempt, has_failed) in enumerate(calls, 1):
        its.event(
            run_id, seq, "tool_result", at_ms + seq * 1000, tool="http.get", args_sha=args, attempt=attempt,
            result_sha=None if has_failed else "ok", status="error" if has_failed else "ok",
            error="HTTPStatusError" if has_failed else None, http_status=429 if has_failed else 200, **told,
        )  # fmt: skip
    its.event(run_id, 99, "stop", at_ms + 20_000, stop_reason="success", **told)


def _time(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1000, UTC)
