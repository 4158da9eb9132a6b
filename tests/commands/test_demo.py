"""`demo`: one line for scripts, its own stack whatever the environment says, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwatch.config import Settings
from runwatch.settings.file import load_config
from runwatch.settings.policy import Policy
from runwatch.stack.lifecycle import StackStatus

Cli = Callable[..., Any]
SUMMARY = {
    "events": {"sent": 10, "stored": 10}, "runs": 2, "anomalies": [],
    "incident": {"onset_ms": 5, "seen": {"loop.repeat": 6}}, "stopped": {"runs": 1, "calls": 9, "calls_without": 90},
}  # fmt: skip


class Stage:
    """The stack's and the story's boundary: notes what is done to them."""

    def __init__(self, home: Path) -> None:
        self.home = home / ".runwatch"
        self.up_now = False
        self.options: Any = None
        self.done: list[str] = []
        self.told: list[tuple[Settings, Any]] = []
        self.page: str | None = None
        self.summary: dict[str, Any] = json.loads(json.dumps(SUMMARY))
        self.during: Callable[[], None] = lambda: None

    def status(self, _: Path) -> StackStatus:
        return StackStatus(str(self.home), self.up_now, self.up_now, ())

    def up(self, options: Any, report: Callable[[str], None], *, detach: bool) -> dict[str, str]:
        assert detach
        self.done.append("up")
        self.options = options
        self.up_now = True
        report("kafka is ready")
        found = {"kafka": "127.0.0.1:1234", "clickhouse": "http://127.0.0.1:2345", "console": "http://127.0.0.1:3456"}
        self.home.mkdir(exist_ok=True)
        (self.home / "endpoints.json").write_text(json.dumps(found))
        return found

    def down(self, _: Path) -> bool:
        self.done.append("down")
        self.up_now = False
        return True

    def story(self, settings: Settings, plan: Any, out: Any, page: str | None = None) -> Any:
        self.told.append((settings, plan))
        self.page = page
        stage = self

        class Story:
            def tell(self) -> dict[str, Any]:
                out.print("It loops.")
                stage.during()
                return stage.summary

        return Story()


@pytest.fixture
def stage(home: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    fake = Stage(home)
    for name in ("status", "up", "down"):
        monkeypatch.setattr(f"runwatch.stack.lifecycle.{name}", getattr(fake, name))
    monkeypatch.setattr("runwatch.commands.story.Story", fake.story)
    return fake


def test_scripts_get_one_line(cli: Cli, stage: Stage) -> None:
    done = cli("demo", "--once", "--json")
    assert (0, 1) == (done.code, len(done.out.splitlines()))
    said = json.loads(done.out)
    assert ["events", "runs", "anomalies", "incident", "stopped", "seconds"] == list(said)
    assert 0 <= said.pop("seconds") < 30
    assert said == SUMMARY
    assert "It loops." in done.err
    assert ["up", "down"] == stage.done


def test_people_get_the_story(cli: Cli, stage: Stage) -> None:
    done = cli("demo", "--once", "--history", "25", "--minutes", "15", "--speed", "90")
    assert 0 == done.code
    assert "It loops." in done.out
    assert "http://127.0.0.1:2345" in done.out
    ((_, plan),) = stage.told
    assert (25, 15, 90.0) == (plan.history, plan.incident, plan.speed)


def test_it_says_how_to_come_in_and_knows_where_to_look(cli: Cli, stage: Stage) -> None:
    assert 2 == cli("demo", "--once").out.count("http://127.0.0.1:3456/login#token=")
    assert "http://127.0.0.1:3456" == stage.page
    assert "token=" not in cli("demo", "--once").out, "they are shown once"


@pytest.mark.parametrize(
    "summary",
    [
        SUMMARY | {"events": {"sent": 10, "stored": 9}},
        SUMMARY | {"incident": {"onset_ms": 5, "seen": {}}},
    ],
    ids=["an event is missing", "nothing was seen"],
)
def test_what_did_not_work_is_1(summary: dict[str, Any], cli: Cli, stage: Stage) -> None:
    stage.summary = summary
    assert 1 == cli("demo", "--once", "--json").code
    assert ["up", "down"] == stage.done


def test_it_keeps_to_the_local_stack(cli: Cli, stage: Stage) -> None:
    cli(
        "demo", "--once", RUNWATCH_KAFKA="production:9092", RUNWATCH_CLICKHOUSE="http://production:8123",
        RUNWATCH_REGISTRY="http://production:8081", RUNWATCH_PREFIX="p-",
    )  # fmt: skip
    ((settings, _),) = stage.told
    assert ("127.0.0.1:1234", "http://127.0.0.1:2345", None, "p-") == (
        settings.kafka, settings.clickhouse, settings.registry, settings.prefix,
    )  # fmt: skip


def test_the_policy_is_the_default_one_at_the_fleets_pace(cli: Cli, stage: Stage) -> None:
    assert 0 == cli("demo", "--once", "--speed", "90").code
    policy = load_config(Path(stage.options.config)).policy
    assert 9_000 == policy.rules[0].most_runs_an_hour
    as_usual = [rule.model_copy(update={"most_runs_an_hour": 100}) for rule in policy.rules]
    assert list(Policy().rules) == as_usual


def test_ones_own_config_file_is_kept(cli: Cli, stage: Stage, home: Path) -> None:
    (home / "mine.yaml").write_text("policy: {dry_run: true}\n")
    assert 0 == cli("demo", "--once", RUNWATCH_CONFIG=str(home / "mine.yaml")).code
    assert str(home / "mine.yaml") == stage.options.config


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_whatever_ends_it_ends_the_stack(number: signal.Signals, code: int, cli: Cli, stage: Stage) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stage.during = lambda: os.kill(os.getpid(), number)
    assert code == cli("demo", "--once").code
    assert ["up", "down"] == stage.done
    assert before == signal.getsignal(signal.SIGTERM)


def test_a_stack_that_was_up_stays_up(cli: Cli, stage: Stage) -> None:
    stage.up(None, lambda _: None, detach=True)
    assert 0 == cli("demo", "--json").code
    assert ["up"] == stage.done


def test_a_stack_that_is_only_just_starting(cli: Cli, stage: Stage) -> None:
    stage.up_now = True
    done = cli("demo", "--once")
    assert (3, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    assert "`runwatch status`" in done.err


def test_without_once_it_stays_until_interrupted(cli: Cli, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        assert ["up"] == stage.done
        raise KeyboardInterrupt

    monkeypatch.setattr("runwatch.commands.demo.time.sleep", interrupted)
    done = cli("demo")
    assert 0 == done.code
    assert "stays up until Ctrl-C" in done.err
    assert ["up", "down"] == stage.done
