"""`backtest`: files or stored events, by which rules, beside other rules; and any series."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runwatch.commands.exits import Fail
from runwatch.commands.history import moment

Cli = Callable[..., Any]
BEGIN_MS = 1_772_366_400_000


def calls(run: str, count: int, agent: str = "support", at_ms: int = 0) -> str:
    return "".join(
        json.dumps(
            {
                "run_id": run, "kind": "tool_result", "ts_ms": BEGIN_MS + at_ms + 5_000 * step, "agent": agent,
                "step_id": f"s{step}", "tool": "http.get", "args": {"url": "x"}, "result": "same", "status": "ok",
            }
        )
        + "\n"
        for step in range(count)
    )  # fmt: skip


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "runs.jsonl"
    path.write_text(calls("short", 3) + calls("long", 8, at_ms=1000) + calls("other", 8, agent="sales", at_ms=2000))
    return path


@pytest.fixture
def strict(home: Path) -> Path:
    """Rules by which three calls are critical."""
    path = home / "strict.yaml"
    path.write_text("loops:\n  repeat: {warning: 2, critical: 3}\n")
    return path


def found(said: Any) -> list[tuple[str, str]]:
    return [(one["run_id"], one["severity"]) for one in map(json.loads, said.out.splitlines())]


def test_by_the_rules_of_a_file(cli: Cli, file: Path, strict: Path) -> None:
    assert ("short", "critical") not in found(cli("backtest", "runs.jsonl"))
    own = cli("backtest", "runs.jsonl", "--rules", "strict.yaml")
    assert ("short", "critical") in found(own)
    assert own == cli("backtest", "runs.jsonl", RUNWATCH_RULES="strict.yaml")


def test_one_agent(cli: Cli, file: Path) -> None:
    assert {"other"} == {run for run, _ in found(cli("backtest", "runs.jsonl", "--agent", "sales"))}
    assert "0 events of 0 runs judged" in cli("backtest", "runs.jsonl", "--agent", "nobody", "-f", "table").err


def test_what_other_rules_would_change(cli: Cli, file: Path, strict: Path) -> None:
    said = cli("backtest", "runs.jsonl", "--compare", "strict.yaml")
    rows = {one["run_id"]: one for one in map(json.loads, said.out.splitlines())}
    assert (0, "") == (said.code, said.err)
    assert ("severity", "warning", "critical") == tuple(
        rows["short"][name] for name in ("change", "severity_a", "severity_b")
    )
    assert {"short": "severity", "long": "time", "other": "time"} == {run: one["change"] for run, one in rows.items()}
    back = cli("backtest", "runs.jsonl", "--rules", "strict.yaml", "--compare", "strict.yaml", "-f", "table")
    assert (0, "") == (back.code, back.out)
    assert back.err.splitlines() == [
        "With these rules nothing would change.",
        "19 events of 3 runs judged; 3 anomalies, and with strict.yaml 3 anomalies.",
        "  loop.repeat: 3, then 3, the same",
    ]
    told = cli("backtest", "runs.jsonl", "--compare", "strict.yaml", "-f", "table")
    assert "change time severity rule agent message run_id" == " ".join(told.out.splitlines()[0].split())
    assert "warning → critical" in told.out
    assert "  loop.repeat: 3, then 3: 1 of another severity, 2 at another time" == told.err.splitlines()[-1]


def test_the_order_of_the_file_makes_no_difference(cli: Cli, home: Path, file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    (home / "sorted.jsonl").write_text("".join(sorted(lines, key=lambda line: json.loads(line)["ts_ms"])))
    in_order = cli("backtest", "sorted.jsonl")
    assert sorted(found(cli("backtest", "runs.jsonl"))) == sorted(found(in_order))
    assert in_order.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Give files of recorded runs, or --from for stored events, or --series for a CSV."),
        (("runs.jsonl", "--from", "7d"), "Give files of recorded runs, or --from for stored events, or --series "),
        (("runs.jsonl", "--to", "7d"), "--to goes with --from."),
        (("--from", "7 days"), "--from is how long ago, such as 7d or 90m, or a time such as 2026-03-01T12:00; this "),
        (("--from", "1d", "--to", "2d"), " lies after --to ("),
        (("--series", "x.csv", "--agent", "a"), "--compare and --agent are for events; --series has none."),
        (("runs.jsonl", "--rules", "none.yaml"), "The rules file none.yaml cannot be read: No such file or directory."),
        (("runs.jsonl", "--compare", "bad.yaml"), "bad.yaml:1:1: lops is not a setting; did you mean loops?"),
        (("none.jsonl",), "none.jsonl cannot be read: No such file or directory."),
    ],
)  # fmt: skip
def test_wrong_use(words: tuple[str, ...], told: str, cli: Cli, home: Path, file: Path) -> None:
    (home / "bad.yaml").write_text("lops: {}\n")
    said = cli("backtest", *words)
    assert (2, "", 1) == (said.code, said.out, len(said.err.splitlines()))
    assert told in said.err


def test_clickhouse_is_away(cli: Cli, home: Path) -> None:
    said = cli("backtest", "--from", "7d", RUNWATCH_CLICKHOUSE="http://127.0.0.1:1")
    assert (3, "", 1) == (said.code, said.out, len(said.err.splitlines()))
    assert said.err.startswith("ClickHouse does not answer at http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("90m", datetime(2026, 3, 1, 10, 30, tzinfo=UTC)), ("7d", datetime(2026, 2, 22, 12, tzinfo=UTC)),
        ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T05:00+02:00", datetime(2026, 2, 1, 3, tzinfo=UTC)),
        ("2026-02-01 05:00:01", datetime(2026, 2, 1, 5, 0, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_time_as_people_give_it(text: str, when: datetime) -> None:
    assert int(when.timestamp() * 1000) == moment(text, BEGIN_MS, "--from")
    with pytest.raises(Fail, match="--from is how long ago"):
        moment(text + "?", BEGIN_MS, "--from")


# -- a series ----------------------------------------------------------------------------------------


def series(count: int, spike: int | None = None) -> str:
    rows = [f"2026-03-01 {at // 60:02}:{at % 60:02}:00,{20 + at % 7}" for at in range(count)]
    if spike is not None:
        rows[spike] = rows[spike].split(",")[0] + ",900"
    return "when,how much\n" + "\n".join(rows) + "\n"


def test_a_score_for_each_point(cli: Cli, home: Path) -> None:
    (home / "load.csv").write_text(series(300, spike=250))
    said = cli("backtest", "--series", "load.csv")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert (0, "", 300) == (said.code, said.err, len(rows))
    assert {("timestamp", "score", "anomaly")} == {tuple(row) for row in rows}
    assert all(0 <= row["score"] <= 1 and row["anomaly"] is (row["score"] >= 0.5) for row in rows)
    assert ["2026-03-01 04:10:00"] == [row["timestamp"] for row in rows if row["anomaly"]]
    table = cli("backtest", "--series", "load.csv", "-f", "csv").out.splitlines()
    assert ("timestamp,score,anomaly", 301) == (table[0], len(table))
    assert [f"2026-03-01 04:10:00,{rows[250]['score']},1"] == [line for line in table if line.endswith(",1")]
    assert "300 points, of them 1 unusual." in cli("backtest", "--series", "load.csv", "-f", "table").err


@pytest.mark.parametrize(
    "times",
    [
        ["1772366400", "1772366460"], ["1772366400.5", "1772366460.5"], ["1772366400000", "1772366460000"],
        ["2026-03-01T12:00:00Z", "2026-03-01T13:01:00+01:00"], ["2026-03-01 12:00:00", "2026-03-01 12:01:00"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("head", [True, False])
def test_times_and_layouts(times: list[str], delimiter: str, head: bool, cli: Cli, home: Path) -> None:
    rows = ([["a", "b"]] if head else []) + [[one, "1.5"] for one in times]
    (home / "s.csv").write_text("".join(delimiter.join(row) + "\r\n" for row in rows))
    said = cli("backtest", "--series", "s.csv")
    assert (0, "") == (said.code, said.err)
    assert times == [json.loads(line)["timestamp"] for line in said.out.splitlines()]


def test_what_is_no_point_is_told_and_the_rest_goes_on(cli: Cli, home: Path) -> None:
    (home / "s.csv").write_text("t,v\n1,2\n2,\n3,NaN\n4,inf\n5,abc\n6\nnoon,1\n9,1\n8,1\n")
    said = cli("backtest", "--series", "s.csv")
    assert (1, ["1", "9", "8"]) == (said.code, [json.loads(line)["timestamp"] for line in said.out.splitlines()])
    assert [
        "s.csv, line 6: 'abc' is no number",
        "s.csv, line 7: there is a time, but no value beside it",
        "s.csv, line 8: 'noon' is no time; it is ISO 8601, or seconds or milliseconds since 1970",
        "3 lines held no point.",
        "3 lines without a finite value left out.",
        "1 line lies before the one above: sort the file by time for scores that mean something.",
    ] == said.err.splitlines()


@pytest.mark.parametrize("data", [b"", b"t,v\n", b"\xff\xfet\0", b"\x00\x01\r\r\n\x02"])
def test_a_file_without_a_point(data: bytes, cli: Cli, home: Path) -> None:
    (home / "s.csv").write_bytes(data)
    said = cli("backtest", "--series", "s.csv")
    assert (2, "", 1) == (said.code, said.out, len(said.err.splitlines()))
    assert said.err.startswith("s.csv ")
