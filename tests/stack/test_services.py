"""What the parts of the local stack are started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwatch.commands.stack import stack_options
from runwatch.config import Settings
from runwatch.stack import services
from runwatch.stack.services import Options

PORTS = {"kafka": 1, "clickhouse": 2, "registry": 3}


def environ_of(name: str, options: Options) -> dict[str, str]:
    (found,) = [dict(part.env) for part in services.parts(options, PORTS) if part.name == name]
    return found


def test_the_rules_go_to_the_processors_by_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text("windows: {length: 2m}")
    options = stack_options(Settings(home=tmp_path, rules=Path("rules.yaml")))
    assert options == Options.from_json(options.to_json())
    assert str(tmp_path / "rules.yaml") == environ_of("processors", options)["RUNWATCH_RULES"]


def test_so_does_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runwatch.yaml").write_text("retention: {logs_days: 7}")
    options = stack_options(Settings(home=tmp_path, config=Path("runwatch.yaml")))
    assert options == Options.from_json(options.to_json())
    for part in services.USUAL:
        assert str(tmp_path / "runwatch.yaml") == environ_of(part, options)["RUNWATCH_CONFIG"]


def test_the_alerts_run_where_there_are_receivers(tmp_path: Path) -> None:
    file = tmp_path / "runwatch.yaml"
    file.write_text("alerts: {receivers: [{name: team, kind: webhook, url: 'http://127.0.0.1:1'}]}")
    assert ("processors", "sink") == stack_options(Settings(home=tmp_path)).parts
    options = stack_options(Settings(home=tmp_path, config=file))
    assert tuple(services.PARTS) == options.parts
    assert str(file) == environ_of("alerts", options)["RUNWATCH_CONFIG"]


def test_without_a_file_there_is_no_such_setting(tmp_path: Path) -> None:
    assert "RUNWATCH_RULES" not in environ_of("processors", stack_options(Settings(home=tmp_path, rules=None)))
