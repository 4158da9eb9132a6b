"""A worker, a sink and the alerts at work, and a real Prometheus that scrapes them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer

from runwatch.config import Settings
from runwatch.schemas.topics import ensure_topics
from runwatch.sinks.query import Reader
from runwatch.stack.ports import any_free

from ..alerts.servers import Hook
from ..processors.support import event, message

PATIENCE_S = 60.0
PARTS = {
    "processors": ("process",),
    "sink": ("sink",),
    "alerts": ("alert",),
    "console": ("console", "--port", str(any_free())),
}
ODD = 'o"dd\\ {agent}\n<b>'
AGENTS = ("support", "research", ODD)
REASONS = ("success", "success", "loop_detected", "tool_timeout", "of my own", None)
RUNS = 12
"""Runs of each agent in a batch."""
LOOPING = "support"


def batch(number: int, now_ms: int, ago_ms: int = 100) -> list[dict[str, Any]]:
    """Runs that end, and a call that was refused, some time ago, each agent's; a run that loops, now."""
    found: list[dict[str, Any]] = []
    for agent in AGENTS:
        for at in range(RUNS):
            run, calls = f"{number}-{AGENTS.index(agent)}-{at}", at * 2
            base = {"agent": agent, "agent_version": f"v{at % 2}", "ts_ms": now_ms - ago_ms}
            usage = {"model": "m", "input_tokens": 100 + at, "output_tokens": 7, "cost_usd": 0.25, "status": "ok"}
            found += [
                event(run, 0, "run_start", **base),
                event(run, 1, "model_result", **usage, **base),
                *(event(run, 2 + call, **_call(call), **base) for call in range(calls)),
                event(run, 2 + calls, "stop", stop_reason=REASONS[at % len(REASONS)], tool_calls=calls,
                      duration_ms=1_500 * at if at else None, **base),
            ]  # fmt: skip
        refused = {"status": "error", "error": "ToolDenied", "stop_reason": "denied", "result_sha": None}
        found.append(event(f"{number}-refused-{agent}", 0, agent=agent, ts_ms=now_ms - ago_ms, **refused))
    looping = {"agent": LOOPING, "ts_ms": now_ms - 50, "args_sha": "same", "result_sha": "same"}
    return [*found, *(event(f"{number}-looping", seq, **looping) for seq in range(16))]


def _call(at: int) -> dict[str, Any]:
    if at % 5 == 3:
        return {"status": "error", "error": "HTTPError", "http_status": 503, "tool": "web"}
    return {"attempt": 2, "tool": "web"} if at % 5 == 4 else {"tool": "search"}


@dataclass
class Watched:
    """What runs, and what was sent."""

    settings: Settings
    targets: dict[str, str]
    """Part → host and port of its metrics."""
    hook: Hook
    folder: Path
    prometheus: str = ""
    sent: list[dict[str, Any]] = field(default_factory=list)
    repeats: int = 0
    bad: int = 0

    def send(self) -> None:
        """Sends one more batch, some of it twice, and what nobody can read."""
        its = self.settings
        # The windows of the first batch are over when the second one comes.
        events = batch(len(self.sent), int(time.time() * 1000), 100 if self.sent else 180_000)
        producer = Producer({"bootstrap.servers": its.kafka, "partitioner": "murmur2_random"})
        for one in [*events, *events[:20]]:
            producer.produce(its.topic("events"), message(one), one["run_id"])
        for _ in range(3):
            producer.produce(its.topic("events"), b"no event", "bad")
        assert 0 == producer.flush(30)
        self.sent += events
        self.repeats += 20
        self.bad += 3

    def api(self, path: str, **given: str) -> Any:
        """What Prometheus' HTTP API answers; an error of its is a failure."""
        try:
            with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(given)}") as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{given}: {error.read().decode()}") from None

    def samples(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The samples of an instant query now, by their labels, without those that say which process it was."""
        return {
            tuple(sorted((k, v) for k, v in one["metric"].items() if k not in ("instance", "job"))): float(
                one["value"][1]
            )
            for one in self.api("query", query=expression)["result"]
        }

    def value(self, expression: str) -> float:
        """The one sample's value; 0 where there is none."""
        return sum(self.samples(expression).values())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What ClickHouse answers."""
        return [tuple(row) for row in Reader(self.settings).sql(query).rows]

    def until(self, condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Waits; tells the logs where it takes too long."""
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                logs = [f"{log.name}: {log.read_text()[-1500:]}" for log in self.folder.glob("*.log")]
                pytest.fail("\n".join([what, *logs]), pytrace=False)
            time.sleep(0.3)


@contextmanager
def watched(stack: Any, root: Path, folder: Path) -> Iterator[Watched]:
    """Starts all of it, and sends two batches, of which Prometheus has seen the first before the second."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not on this machine; Debian's package prometheus has it")
    its = stack.unique(partitions=2)
    ensure_topics(its.kafka, its.prefix, partitions=2)
    with ExitStack() as stop:
        hook = Hook()
        stop.callback(hook.close)
        config = folder / "runwatch.yaml"
        config.write_text(f"alerts: {{receivers: [{{name: team, kind: webhook, url: '{hook.url}/'}}]}}\n")
        targets = {part: f"127.0.0.1:{any_free()}" for part in PARTS}
        for part, command in PARTS.items():
            env = stack.environ(its) | {
                "RUNWATCH_METRICS_PORT": targets[part].rpartition(":")[2],
                "RUNWATCH_CONFIG": str(config),
            }
            stop.enter_context(_process([sys.executable, "-m", "runwatch", *command], folder / f"{part}.log", env))
        found = Watched(its, targets, hook, folder)
        found.prometheus = stop.enter_context(_prometheus(root, folder, list(targets.values())))
        found.until(lambda: len(PARTS) == found.value('sum(up{job="runwatch"})'), "not every part is scraped")
        for _ in range(2):
            found.send()
            found.until(
                lambda: len(found.sent) == found.value("sum(agent_events_total)"), "not all events were counted"
            )
        found.until(lambda: 2 == len(found.rows("SELECT 1 FROM anomalies WHERE run_id LIKE '%-looping'")), "no loop")
        found.until(lambda: len(found.rows("SELECT 1 FROM audit WHERE entry = 'command'")) > 0, "nothing commanded")
        found.until(lambda: found.value("sum(runwatch_alerts_sent_total)") > 0, "nobody was told")
        found.until(lambda: 3 * RUNS * 2 == _stored_runs(found), "windows are not stored")
        found.until(lambda: len(found.rows("SELECT 1 FROM window_metrics WHERE tool = 'web'")) > 0, "no tools' windows")
        found.until(lambda: 0 == found.value("sum(runwatch_lag_messages)"), "there is still something to read")
        yield found


def _stored_runs(found: Watched) -> int:
    return int(found.rows("SELECT sum(runs_stopped) FROM window_metrics WHERE tool IS NULL")[0][0] or 0)


@contextmanager
def _process(command: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextmanager
def _prometheus(root: Path, folder: Path, targets: list[str]) -> Iterator[str]:
    """A Prometheus with our rules, each of them evaluated every second; gives its address."""
    rules = (root / "deploy" / "prometheus" / "runwatch.rules.yml").read_text(encoding="utf-8")
    groups = yaml.safe_load(rules)
    for group in groups["groups"]:
        group["interval"] = "1s"
    (folder / "rules.yml").write_text(yaml.safe_dump(groups))
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [{"job_name": "runwatch", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    place = f"127.0.0.1:{any_free()}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
               f"--web.listen-address={place}", "--log.level=warn"]  # fmt: skip
    with _process(command, folder / "prometheus.log"):
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://{place}/-/ready", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "prometheus.log").read_text()
                time.sleep(0.2)
        yield f"http://{place}"
