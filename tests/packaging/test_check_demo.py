"""What the continuous integration asks of the demo's summary."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GOOD = {
    "events": {"sent": 9000, "stored": 9000},
    "runs": 800,
    "anomalies": [{"rule": "loop.repeat"}, {"rule": "drift.tool_calls_per_run"}],
    "incident": {"onset_ms": 1_700_000_000_000, "seen": {"drift.tool_calls_per_run": 5200}},
    "stopped": {
        "runs": 16, "calls": 365, "calls_without": 1466, "cost_usd": 2.25, "cost_usd_without": 19.75, "delay_ms": 70,
    },
    "seconds": 61.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def check(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_demo", root / ".ci" / "check_demo.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_good_summary_passes(check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(GOOD) + "\n", encoding="utf-8")
    assert 0 == check.main(tmp_path / "summary.json")
    said = (
        "demo: 9000 events and 800 runs stored; 1 drift.tool_calls_per_run, 1 loop.repeat; "
        "16 runs stopped, 1101 calls and $17.50 saved, 70 ms late; 61.2 seconds\n"
    )
    assert said == capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s["events"].update(stored=8999), "9000 events were sent and 8999 stored"),
        (lambda s: s["events"].update(sent=0, stored=0), "0 events were sent and 0 stored"),
        (lambda s: s.update(runs=0), "there are no runs"),
        (lambda s: s["anomalies"].pop(0), "no loop.* rule fired; these did: drift.tool_calls_per_run"),
        (lambda s: s["anomalies"].pop(1), "no drift.* rule fired; these did: loop.repeat"),
        (lambda s: s["incident"].update(seen={}), "the incident was not seen"),
        (lambda s: s["incident"].update(onset_ms=0), "the incident has no beginning"),
        (lambda s: s["stopped"].update(runs=0), "the policy stopped no run"),
        (lambda s: s["stopped"].update(calls=1466), "stopping runs saved none of their calls: 1466 of 1466"),
        (lambda s: s["stopped"].update(cost_usd=20), "stopping runs saved none of their cost_usd: 20 of 19.75"),
        (lambda s: s.pop("events"), "the summary is not one line of the JSON it should be (KeyError: 'events')"),
    ],
    # A function's own name holds its address, which is another in each process.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Any], None], sentence: str
) -> None:
    summary = copy.deepcopy(GOOD)
    change(summary)
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    assert 1 == check.main(tmp_path / "summary.json")
    assert f"demo: {sentence}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "starting ...\n{}\n", "[]", "{", "null"])
def test_anything_but_one_line_of_json_fails(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "summary.json").write_text(text, encoding="utf-8")
    assert 1 == check.main(tmp_path / "summary.json")
    assert "the summary is not one line of the JSON it should be" in capsys.readouterr().err
