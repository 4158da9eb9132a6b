"""`backtest` and `import`: what files hold, what they should not, and where they cannot be read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwatch.producers.importer import ImportReport
from runwatch.producers.rejects import Reject
from runwatch.schemas.anomalies import REPORT_FIELDS

Cli = Callable[..., Any]

LOOP = "".join(
    json.dumps(
        {
            "run_id": "run-1", "kind": "tool_result", "ts_ms": 1_772_366_400_000 + 1000 * step, "agent": "support",
            "step_id": f"s{step}", "tool": "http.get", "args": {"url": "x"}, "result": "same", "status": "ok",
        }
    )
    + "\n"
    for step in range(8)
)  # fmt: skip
COMMANDS = pytest.mark.parametrize("command", ["backtest", "import"])


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwatch.producers.importer.CHECK_S", 0.3)


def test_a_loop_is_one_json_object(cli: Cli, home: Path) -> None:
    (home / "runs.jsonl").write_text(LOOP)
    (home / "runs.jsonl.gz").write_bytes(gzip.compress(LOOP.encode()))
    outs = [cli("backtest", "runs.jsonl"), cli("backtest", "runs.jsonl.gz"), cli("backtest", "-", stdin=LOOP.encode())]
    assert [(0, "")] * 3 == [(one.code, one.err) for one in outs]
    assert 1 == len({one.out for one in outs})
    first, found = [json.loads(line) for line in outs[0].out.splitlines()]
    assert list(REPORT_FIELDS) == list(first) == list(found)
    assert {"anomaly_id", "rule", "state", "severity", "ts_ms", "agent", "run_id", "step_id", "tool", "value",
            "baseline", "message"} == set(found)  # fmt: skip
    assert ("open", "warning", "escalated", "critical") == (*_how(first), *_how(found))
    assert ("loop.repeat", "run-1", "http.get") == tuple(found[name] for name in ("rule", "run_id", "tool"))


def _how(anomaly: dict[str, Any]) -> tuple[str, str]:
    return anomaly["state"], anomaly["severity"]


def test_a_backtest_as_table_json_and_csv(cli: Cli, home: Path) -> None:
    (home / "runs.jsonl").write_text(LOOP)
    found, _ = json.loads(cli("backtest", "runs.jsonl", "--format", "json").out)
    assert list(REPORT_FIELDS) == list(found)
    head, row, _ = cli("backtest", "runs.jsonl", "-f", "csv").out.splitlines()
    assert ",".join(REPORT_FIELDS) == head
    assert row.startswith(found["anomaly_id"] + ",loop.repeat,open,")
    said = cli("backtest", "runs.jsonl", "-f", "table")
    head, row, _ = said.out.splitlines()
    assert "time severity rule agent message run_id" == " ".join(head.split())
    assert row.startswith("2026-03-01 12:00:0")
    assert ["8 events of 1 run judged; 1 anomaly.", "  loop.repeat: 1 critical"] == said.err.splitlines()


def test_nothing_found_is_said(cli: Cli, home: Path) -> None:
    (home / "runs.jsonl").write_text(LOOP.splitlines()[0])
    assert (0, "", "") == tuple(vars(cli("backtest", "runs.jsonl")).values())
    said = cli("backtest", "runs.jsonl", "-f", "table")
    assert (0, "") == (said.code, said.out)
    assert ["Nothing loops and nothing drifts.", "1 event of 1 run judged; 0 anomalies."] == said.err.splitlines()


def test_lines_that_hold_no_event_are_told_with_their_place(cli: Cli, home: Path) -> None:
    (home / "runs.jsonl").write_text("bad\n" + LOOP + '{"run_id": "x"}\n' + "worse\n" * 30)
    done = cli("backtest", "runs.jsonl")
    assert 1 == done.code
    assert 2 == len(done.out.splitlines())
    told = done.err.splitlines()
    assert told[0].startswith("runs.jsonl, line 1: not JSON")
    assert told[1].startswith("runs.jsonl, line 10: ")
    assert ["… and 12 more.", "32 lines held no event."] == told[20:]


@COMMANDS
@pytest.mark.parametrize("what", ["missing", "a folder", "not ours"])
def test_a_file_that_cannot_be_read(command: str, what: str, cli: Cli, home: Path, monkeypatch: Any) -> None:
    path = home / "it.jsonl.gz"
    if what == "a folder":
        path.mkdir()
    elif what == "not ours":
        path.write_text(LOOP)
        real = Path.open
        monkeypatch.setattr(Path, "open", lambda self, *a, **k: _denied() if self.name == path.name else real(self))
    done = cli(command, "it.jsonl.gz")
    assert (2, 1) == (done.code, len(done.err.splitlines()))
    assert "it.jsonl.gz" in done.err


def _denied() -> Any:
    raise PermissionError(13, "Permission denied")


def test_an_import_with_the_broker_away(cli: Cli, home: Path, no_waiting: None) -> None:
    (home / "runs.jsonl").write_text(LOOP)
    done = cli("import", "runs.jsonl", RUNWATCH_KAFKA="127.0.0.1:1")
    assert (3, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert done.err.startswith("The Kafka broker at 127.0.0.1:1 does not answer")
    assert done.err.endswith("is it up?\n")


def report(**given: Any) -> ImportReport:
    told: dict[str, Any] = {
        "events": 8, "runs": 1, "delivered": 8, "failed": 0, "rejected": 0, "rejects": [], "rejected_files": [],
        "seconds": 0.25,
    }  # fmt: skip
    return ImportReport(**{**told, **given})


@pytest.fixture
def importing(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Cli:
    """`importing(report)`: the command, and what it was called with."""

    def run(found: ImportReport, *arguments: str, **environ: str) -> Any:
        asked: dict[str, Any] = {}
        monkeypatch.setattr(
            "runwatch.producers.importer.import_files",
            lambda files, **given: asked.update(files=files, **given) or found,
        )
        return cli("import", *arguments, **environ), asked

    return run


def test_an_import_tells_what_it_sent(importing: Cli) -> None:
    done, asked = importing(report(), "a", "b", RUNWATCH_KAFKA="k:1", RUNWATCH_PREFIX="p-")
    assert (0, "8 events of 1 run sent to p-agent.events in 0.2 s.\n", "") == tuple(vars(done).values())
    assert (["a", "b"], "k:1", "p-", None, "events", None) == tuple(
        asked[name] for name in ("files", "kafka", "prefix", "registry", "form", "agent")
    )
    _, asked = importing(report(), "c", "--format", "openai-messages", "--agent", "x", RUNWATCH_REGISTRY="http://r")
    assert ("openai-messages", "x", "http://r") == (asked["form"], asked["agent"], asked["registry"])


def test_an_import_that_is_not_whole(importing: Cli, nasty: str) -> None:
    rejects = [Reject("f", 3, "not JSON"), Reject(nasty, 9, "`ts_ms` is missing")]
    done, _ = importing(report(rejected=2, rejects=rejects, rejected_files=[Path("f.rejected.jsonl")]), "f")
    assert 1 == done.code
    assert [
        "f, line 3: not JSON",
        r"[red]\x1b[31m<b>\r\x07[/red], line 9: `ts_ms` is missing",
        "2 lines held no event. Kept in f.rejected.jsonl: mend and import that.",
    ] == done.err.splitlines()
    done, _ = importing(report(delivered=5, failed=3), "f")
    assert (1, "The broker refused 3 events.\n") == (done.code, done.err)
