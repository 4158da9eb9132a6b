"""`sql`, `runs` and `anomalies`: what is asked for is passed on, and what comes back is printed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from runwatch.clickhouse import StoreAway, StoreDenied, StoreError, StoreMissing, StoreRefused
from runwatch.sinks.query import Table

Cli = Callable[..., Any]


def read(text: str, form: str) -> list[dict[str, Any]]:
    if form == "csv":
        return list(csv.DictReader(io.StringIO(text)))
    return json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("command", ["runs", "anomalies"])
def test_scripts_get_every_column(command: str, form: str, cli: Cli, reader: Any) -> None:
    done = cli(command, "--format", form)
    assert (0, "") == (done.code, done.err)
    (row,) = read(done.out, form)
    assert set((reader.runs_ if command == "runs" else reader.anomalies_)[0]) == set(row)
    assert "run-1" == row["run_id"]


@pytest.mark.parametrize(("form", "empty"), [("json", "[]\n"), ("jsonl", ""), ("csv", None), ("table", "")])
@pytest.mark.parametrize("command", ["runs", "anomalies"])
def test_none_is_no_failure(command: str, form: str, empty: str | None, cli: Cli, reader: Any) -> None:
    reader.runs_ = reader.anomalies_ = []
    done = cli(command, "-f", form)
    assert 0 == done.code
    if empty is None:
        assert 1 == len(done.out.splitlines())
        assert "run_id" in done.out
    else:
        assert empty == done.out
    assert (f"No such {command} are stored.\n" if form == "table" else "") == done.err


def test_a_pipe_reads_runs_and_anomalies_a_line_each(cli: Cli, reader: Any) -> None:
    head, row = cli("runs").out.splitlines()
    assert "started_at agent agent_version steps tool_calls duration_ms cost_usd stop_reason anomalies run_id" == (
        " ".join(head.split())
    )
    assert "2026-03-01 12:00:01 support 1.4 3 3 2750 0.0125 loop_detected 1 run-1" == " ".join(row.split())
    head, row = cli("anomalies").out.splitlines()
    assert "opened severity rule state agent message run_id" == " ".join(head.split())
    assert "2026-03-01 12:00:03 critical loop.repeat open support http.get was called 4 times. run-1" == (
        " ".join(row.split())
    )


def test_names_are_text(cli: Cli, reader: Any, nasty: str) -> None:
    reader.runs_ = [{**reader.runs_[0], "agent": nasty, "run_id": nasty, "stop_reason": nasty}]
    reader.anomalies_ = [{**reader.anomalies_[0], "agent": nasty, "message": nasty}]
    for command in ("runs", "anomalies"):
        done = cli(command)
        assert r"[red]\x1b[31m<b>\r\x07[/red]" in done.out
        assert "\x1b" not in done.out
        assert nasty == json.loads(cli(command, "-f", "jsonl").out)["agent"]


def test_what_is_asked_for(cli: Cli, reader: Any) -> None:
    assert 0 == cli("runs", "--agent", "a", "--stop-reason", "max_steps", "--anomalous", "-n", "7").code
    assert 0 == cli("anomalies", "--agent", "a", "--rule", "loop.cycle", "--run", "r", "--open").code
    assert [
        {"limit": 7, "agent": "a", "stop_reason": "max_steps", "unfinished": False, "anomalous": True},
        {"limit": 20, "agent": "a", "rule": "loop.cycle", "run_id": "r", "unresolved": True},
    ] == reader.asked


def test_sql_prints_what_comes_back(cli: Cli, reader: Any) -> None:
    reader.table = Table(("n", "[red]name"), [(1, "a"), (22, "[b]")])
    assert " n  [red]name\n 1  a\n22  [b]\n" == cli("sql", "SELECT 1;").out
    assert [{"n": 1, "[red]name": "a"}, {"n": 22, "[red]name": "[b]"}] == json.loads(cli("sql", "x", "-f", "json").out)
    assert "n,[red]name\n1,a\n22,[b]\n" == cli("sql", "x", "-f", "csv").out
    assert {"query": "SELECT 1;"} == reader.asked[0]


def test_sql_that_gives_no_rows(cli: Cli, reader: Any) -> None:
    reader.table = Table(("n",), [])
    assert (0, "", "The query has no rows.\n") == tuple(vars(cli("sql", "SELECT 1 WHERE 0")).values())
    reader.table = Table((), [("",)])
    assert (0, "", "Done.\n") == tuple(vars(cli("sql", "DROP TABLE x")).values())


@pytest.mark.parametrize("query", ["", " ;\n"])
def test_an_empty_query(query: str, cli: Cli, reader: Any) -> None:
    assert (2, "", "The query is empty.\n") == tuple(vars(cli("sql", query)).values())


@pytest.mark.parametrize("query", ["SELECT 1 FORMAT CSV", "select 1 format JSONEachRow ;"])
def test_format_is_an_option(query: str, cli: Cli, reader: Any) -> None:
    done = cli("sql", query)
    assert (2, []) == (done.code, reader.asked)
    assert "--format" in done.err


def cause(kind: type[StoreError], message: str, code: int, said: str) -> StoreError:
    error = kind(message, code)
    error.__cause__ = RuntimeError(said)
    return error


def test_sql_that_clickhouse_does_not_take(cli: Cli, reader: Any) -> None:
    reader.trouble = cause(
        StoreMissing,
        "ClickHouse lacks a column; `runwatch sink` makes what is missing when it starts",
        47,
        "HTTPDriver returned 404 (Code: 47. DB::Exception: Unknown identifier `x`. (UNKNOWN_IDENTIFIER) "
        "(version 26.9.2.1) (for url http://127.0.0.1:8123)",
    )
    expected = "ClickHouse does not take this query: Unknown identifier `x`. (UNKNOWN_IDENTIFIER)\n"
    assert (2, "", expected) == tuple(vars(cli("sql", "SELECT x")).values())

    syntax = "Syntax error: failed at position 7 (1) (line 1, col 7): 1 FORMAT Native. Expected one of: token, Dot, OR"
    reader.trouble = cause(StoreRefused, syntax, 62, f"DB::Exception: {syntax}")
    expected = "ClickHouse does not take this query: Syntax error: failed at position 7 (1) (line 1, col 7): 1\n"
    assert (2, "", expected) == tuple(vars(cli("sql", "selec 1")).values())


@pytest.mark.parametrize("kind", [StoreAway, StoreDenied])
def test_sql_when_clickhouse_is_away_or_does_not_let_us(kind: type[StoreError], cli: Cli, reader: Any) -> None:
    reader.trouble = kind("ClickHouse does not answer at x; is it up?")
    assert (3, "", "ClickHouse does not answer at x; is it up?\n") == tuple(vars(cli("sql", "SELECT 1")).values())


@pytest.mark.parametrize("arguments", [("sql", "SELECT 1"), ("runs",), ("anomalies",), ("show", "r")], ids=str)
def test_clickhouse_away_is_one_sentence(arguments: tuple[str, ...], cli: Cli) -> None:
    done = cli(*arguments, RUNWATCH_CLICKHOUSE="http://127.0.0.1:1")
    expected = "ClickHouse does not answer at http://127.0.0.1:1 (Connection refused); is it up?\n"
    assert (3, "", expected) == tuple(vars(done).values())


@pytest.mark.parametrize("arguments", [("--follow", "--open"), ("--follow", "-f", "csv"), ("-F", "-f", "json")])
def test_what_cannot_be_followed(arguments: tuple[str, ...], cli: Cli) -> None:
    done = cli("anomalies", *arguments)
    assert (2, "") == (done.code, done.out)
    assert 1 == len(done.err.splitlines())
