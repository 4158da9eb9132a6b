"""What all tests share: where the recorded runs are, the real local stack, and no quiet skips in CI."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from runwatch.config import Settings

ROOT = Path(__file__).resolve().parents[1]
IN_CI = os.environ.get("RUNWATCH_CI") == "1"

# The machine may be busy with the stack beside us: a slow example is no failure. In CI the same examples
# come every time, so that a red build means the change under test.
settings.register_profile(
    "runwatch", deadline=None, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("runwatch")


def pytest_configure() -> None:
    """A test run that is told to end stops what it started, as with Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded runs beside the repository; they are others' and not part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the recorded runs (../shared/data) are not on this machine")
    return folder


@dataclass(frozen=True)
class LocalStack:
    """The real servers, up: Kafka, ClickHouse and the registry, without runwatch's own parts."""

    home: Path
    kafka: str
    """Bootstrap server, host:port."""
    clickhouse: str
    """HTTP address."""
    registry: str
    """HTTP address."""

    @property
    def settings(self) -> Settings:
        """Settings that point at the servers, whatever this shell's own say."""
        return self._settings(prefix="", database="runwatch")

    def unique(self, **given: Any) -> Settings:
        """Settings with a topic prefix and a database of their own: what one test writes no other one reads.

        `given`: further settings, by their names. The topics and the database are not made yet.
        """
        word = uuid4().hex[:8]
        return self._settings(**{"prefix": f"t{word}-", "database": f"t{word}", **given})

    def environ(self, its: Settings) -> dict[str, str]:
        """This process's environment with `its` settings, for a command that is started with them."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
        values = its.model_dump(exclude_none=True)
        values["clickhouse_password"] = its.clickhouse_password.get_secret_value()
        return others | {f"RUNWATCH_{name.upper()}": str(value) for name, value in values.items()}

    def _settings(self, **given: Any) -> Settings:
        fixed = {"home": self.home, "kafka": self.kafka, "clickhouse": self.clickhouse, "registry": None}
        return Settings(**{**fixed, **given})


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The real local stack, started once a session in a folder and on ports of its own."""
    # Here, not above: a test run without it needs none of the servers' packages.
    from runwatch.stack import lifecycle
    from runwatch.stack.ports import any_free
    from runwatch.stack.services import Options

    home = tmp_path_factory.mktemp("stack")
    lines: list[str] = []
    options = Options(home, kafka_port=any_free(), clickhouse_port=any_free(), registry_port=any_free(), parts=())
    try:
        found = lifecycle.up(options, lines.append, detach=True)
    except Exception as error:
        logs = [f"{log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in sorted(home.glob("logs/*"))]
        pytest.fail("\n".join([f"the local stack did not start: {error}", *lines, *logs]), pytrace=False)
    try:
        yield LocalStack(home, found["kafka"], found["clickhouse"], found["registry"])
    finally:
        lifecycle.down(home)
        shutil.rmtree(home, ignore_errors=True)


def _refuse_skip(report: Any) -> None:
    """In CI a test that could not run has failed: a missing tool must not look like a pass."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped, which RUNWATCH_CI=1 does not allow: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report)
    return report
