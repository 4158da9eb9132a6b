"""What the parts of the local stack are started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwatch.commands.stack import stack_options
from runwatch.config import Settings
from runwatch.stack import services
from runwatch.stack.services import Options

PORTS = {"kafka": 1, "clickhouse": 2, "registry": 3, "console": 4} | {
    f"metrics-{part}": 5 + number for number, part in enumerate(services.PARTS)
}


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
    assert services.USUAL == stack_options(Settings(home=tmp_path)).parts
    options = stack_options(Settings(home=tmp_path, config=file))
    assert (*services.USUAL, "alerts") == options.parts
    assert str(file) == environ_of("alerts", options)["RUNWATCH_CONFIG"]


def test_without_a_file_there_is_no_such_setting(tmp_path: Path) -> None:
    assert "RUNWATCH_RULES" not in environ_of("processors", stack_options(Settings(home=tmp_path, rules=None)))


def test_the_reading_users_password_reaches_clickhouse_and_the_console_alone(tmp_path: Path) -> None:
    options = Options(tmp_path, parts=("processors", "sink", "console"))
    clickhouse = next(each for each in services.servers(options, PORTS, []) if each.name == "clickhouse")
    password = clickhouse.env["RUNWATCH_SQL_PASSWORD"]
    assert len(password) >= 40
    assert "runwatch_reader" in clickhouse.command
    assert password == environ_of("console", options)["RUNWATCH_SQL_PASSWORD"]
    assert "RUNWATCH_SQL_PASSWORD" not in environ_of("sink", options)
    assert password not in " ".join(word for each in services.parts(options, PORTS) for word in each.command)
    assert password not in " ".join(clickhouse.command)


def test_each_part_has_a_port_for_its_metrics_which_is_told(tmp_path: Path) -> None:
    options = Options(tmp_path, parts=("processors", "sink"))
    assert ["5", "6"] == [environ_of(part, options)["RUNWATCH_METRICS_PORT"] for part in options.parts]
    found = services.endpoints(PORTS, options.parts)
    assert {"metrics-processors": "http://127.0.0.1:5/metrics", "metrics-sink": "http://127.0.0.1:6/metrics"} == {
        name: place for name, place in found.items() if name.startswith("metrics-")
    }
    assert found["metrics-sink"] in {part.endpoint for part in services.parts(options, PORTS)}


def test_who_wants_no_metrics_has_none(tmp_path: Path) -> None:
    options = stack_options(Settings(home=tmp_path, metrics_port=0))
    assert {"0"} == {environ_of(part, options)["RUNWATCH_METRICS_PORT"] for part in options.parts}
    assert not [name for name in services.endpoints(PORTS, options.parts, metrics=False) if "metrics" in name]
