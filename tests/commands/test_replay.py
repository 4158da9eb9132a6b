"""`runwatch replay` and `runwatch snapshots`."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwatch.commands.replay import known
from runwatch.schemas.sealing import Opener, Sealer

Cli = Callable[..., Any]

LINES = [
    {"run_id": "r1", "kind": "run_start", "ts_ms": 1_000, "agent": "a", "model": "m1"},
    {"run_id": "r1", "kind": "model_result", "ts_ms": 1_500, "agent": "a", "model": "m1", "status": "ok"},
    {"run_id": "r1", "kind": "tool_result", "ts_ms": 2_500, "agent": "a", "tool": "get", "args": {"q": "\u001b[31m"},
     "result_sha": "a" * 24, "status": "ok", "duration_ms": 12},
    {"run_id": "r1", "kind": "tool_result", "ts_ms": 3_000, "agent": "a", "tool": "get", "args": {"q": "\u001b[31m"},
     "status": "error", "error": "TimeoutError"},
    {"run_id": "r1", "kind": "tool_result", "ts_ms": 3_500, "agent": "a", "tool": "pay", "args_sha": "d" * 24,
     "status": "error", "error": "ToolDenied", "stop_reason": "denied"},
    {"run_id": "r1", "kind": "stop", "ts_ms": 4_000, "agent": "a", "stop_reason": "denied", "duration_ms": 3_000},
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in LINES))
    return path


def test_a_timeline_for_people(cli: Cli, file: Path) -> None:
    said = cli("replay", "r1", "--file", file)
    assert (0, "") == (said.code, said.err)
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert ["Run r1", "a, 6 steps"] == lines[:2]
    assert '1.5 2 get {"q": "\\u001b[31m"} #aaaaaaaa ok 12' in lines
    assert '2 3 get {"q": "\\u001b[31m"} error TimeoutError again, as 2' in lines
    assert "2.5 4 pay #dddddddd error ToolDenied refused: denied" in lines
    assert "It stopped after 3.0 s: denied." in lines
    assert "Of 3 arguments, 2 are whole, 0 are known in part, and 1 by hash alone." in lines
    assert "Of the results only the hashes are known." in lines
    assert "\x1b[31m" not in said.out


def test_a_timeline_for_scripts(cli: Cli, file: Path) -> None:
    (told,) = json.loads(cli("replay", "r1", "--file", file, "--format", "json").out)
    assert ("r1", "a", 6) == (told["run_id"], told["agent"], len(told["steps"]))
    assert [None, None, None, 2, None, None] == [step["again"] for step in told["steps"]]
    assert {"q": "\u001b[31m"} == told["steps"][2]["args"]
    assert 1 == told["parts"]["args_unknown"]
    (line,) = cli("replay", "--file", file, "--format", "jsonl").out.splitlines()
    assert told == json.loads(line)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "Say which run"),
        (("r9", "--file", "FILE"), 1, "holds no event of run r9"),
        (("r1", "--file", "no such"), 1, "no such cannot be read"),
        (("r1", "--token-file", "no such"), 1, "The token cannot be read from no such"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    cli: Cli, file: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    said = cli("replay", *(file if word == "FILE" else word for word in arguments))
    assert (code, "", 1) == (said.code, said.out, len(said.err.splitlines()))
    assert told in said.err


def test_which_part_is_known_is_told() -> None:
    counts = ("results", "results_redacted", "results_unknown", "args", "args_redacted", "args_unknown")
    parts = dict.fromkeys((*counts, "sealed", "missing_events"), 0)
    assert [] == known(parts)
    sealed, missing = known(parts | {"sealed": 2, "missing_events": 1})
    assert "2 snapshots stayed sealed: the token is missing, or is another's." == sealed
    assert "1 event of it never arrived." == missing


def test_a_pair_of_keys(cli: Cli) -> None:
    said = cli("snapshots", "key")
    assert (0, "") == (said.code, said.err)
    public = said.out.split("seal_for: ")[1].split("}")[0]
    private = said.out.strip().rpartition("=")[2]
    assert "x" == Opener(private).open("s", Sealer(public).seal("s", "x"))


def test_a_key_in_a_file_is_its_owners_alone_and_not_shown(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "key"
    said = cli("snapshots", "key", "--out", path)
    private = path.read_text().strip()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert private not in said.out
    assert said.out.endswith(f"RUNWATCH_SNAPSHOT_TOKEN=@{path}\n")
    again = cli("snapshots", "key", "--out", path)
    assert (2, "") == (again.code, again.out)
    assert "is there already" in again.err
    assert private == path.read_text().strip()
