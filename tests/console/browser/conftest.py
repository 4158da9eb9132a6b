"""The console as its users meet it: the real local stack, a real browser, the demo's fleet and its incident."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from runwatch.config import Settings
from runwatch.sinks.query import Reader

ROOT = Path(__file__).resolve().parents[3]
ARTEFACTS = Path(os.environ.get("RUNWATCH_ARTEFACTS") or ROOT / ".build" / "artefacts")
"""Where screenshots and figures are left for people to look at."""

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
SIZES = {"phone": (400, 860), "desk": (1440, 900), "4k": (3840, 2160)}
WAIT_MS = 20_000


@dataclass
class Site:
    """A console with the stack behind it."""

    home: Path
    url: str
    settings: Settings
    operator: str
    """The operator's token."""
    viewer: str
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured by the way; it is left among the artefacts."""

    def reader(self) -> Reader:
        return Reader(self.settings)

    def pid(self, service: str) -> int:
        """The process that is this service of the stack."""
        from runwatch.stack import lifecycle

        return next(one.pid for one in lifecycle.status(self.home).services if one.name == service and one.pid)


def _executable() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The whole local stack, console included, in a folder and on ports of its own."""
    from runwatch.console.access import tokens
    from runwatch.stack import lifecycle
    from runwatch.stack.ports import any_free
    from runwatch.stack.services import Options

    home = tmp_path_factory.mktemp("console")
    config = home / "runwatch.yaml"
    config.write_text(
        "policy:\n  rules:\n"
        "  - {rule: loop.*, action: stop_run, severity: critical, most_runs_an_hour: 10000}\n"
        '  - {rule: "*", action: notify, severity: warning}\n'
    )
    made_tokens = tokens.make(home)
    options = Options(
        home,
        kafka_port=any_free(),
        clickhouse_port=any_free(),
        registry_port=any_free(),
        console_port=any_free(),
        parts=("processors", "sink", "console"),
        config=str(config),
    )
    lines: list[str] = []
    try:
        found = lifecycle.up(options, lines.append, detach=True)
    except Exception as error:
        pytest.fail("\n".join([f"the local stack did not start: {error}", *lines]), pytrace=False)
    settings = Settings(home=home, kafka=found["kafka"], clickhouse=found["clickhouse"])
    made = Site(home, found["console"], settings, made_tokens.operator, made_tokens.viewer)
    try:
        yield made
    finally:
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        (ARTEFACTS / "figures.json").write_text(json.dumps(made.figures, indent=2))
        for log in ("console", "supervisor"):
            shutil.copy(home / "logs" / f"{log}.log", ARTEFACTS)
        lifecycle.down(home)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop in this thread, beside which `asyncio.run` cannot be."""
    here = Path(__file__).parent
    items.sort(key=lambda item: here in item.path.parents)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    found = playwright.chromium.launch(executable_path=_executable(), args=list(FLAGS))
    try:
        yield found
    finally:
        found.close()


Enter = Callable[..., Page]


@pytest.fixture
def enter(browser: Browser, site: Site) -> Iterator[Enter]:
    """Opens a browser of its own, signed in as an operator or as whom `token` says."""
    contexts: list[BrowserContext] = []

    def go(path: str = "/", *, token: str | None = None, size: str = "desk", theme: Any = "light") -> Page:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, timezone_id="Europe/Zurich"
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto(f"{site.url}/login#token={token or site.operator}")
        page.wait_for_url(f"{site.url}/")
        if path != "/":
            page.goto(site.url + path)
        return page

    yield go
    for context in contexts:
        context.close()


@dataclass
class Incident:
    """The demo's incident, as it came about while the console was looked at."""

    summary: dict[str, Any]
    seen: dict[str, float]
    """When each line of the list of incidents first stood in the page, by its id: milliseconds of wall clock."""


_NOTE_ROWS = """() => {
  window.seenRows = {};
  const look = () => document.querySelectorAll('[data-anomaly]').forEach(row => {
    window.seenRows[row.dataset.anomaly] ??= Date.now();
  });
  look();
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, attributes: true,
    attributeFilter: ['data-anomaly']});
}"""


@pytest.fixture(scope="session")
def incident(browser: Browser, site: Site) -> Incident:
    """Lives through the demo once, with the list of incidents open in a browser."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{site.url}/login#token={site.operator}")
    page.wait_for_url(f"{site.url}/")
    page.goto(f"{site.url}/incidents")
    page.evaluate(_NOTE_ROWS)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
    told = site.home / "demo.json"
    with told.open("w") as out:
        demo = subprocess.Popen(
            [sys.executable, "-m", "runwatch", "demo", "--json"],
            env=environ | {"RUNWATCH_HOME": str(site.home)}, stdout=out, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    deadline = time.monotonic() + 240
    while demo.poll() is None and time.monotonic() < deadline:
        page.wait_for_timeout(250)
    if demo.poll() is None:
        demo.kill()
    assert demo.wait() == 0, f"the demo ended with {demo.returncode}"
    page.wait_for_timeout(2000)
    seen = page.evaluate("window.seenRows")
    context.close()
    return Incident(json.loads(told.read_text()), {key: float(value) for key, value in seen.items()})
