"""The button stops an agent that runs: its next call raises."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
from playwright.sync_api import expect

import runwatch
from runwatch import RunStopped

from .conftest import Enter, Site

pytestmark = pytest.mark.stack


class Astray:
    """An agent that calls a tool again and again, each time with other arguments, until it is stopped."""

    def __init__(self, site: Site, agent: str) -> None:
        self._watch = runwatch.connect(agent=agent, version="0.1", kafka=site.settings.kafka, guardrails=None)
        self._end = threading.Event()
        self.run_id = ""
        self.began = threading.Event()
        self.stopped: RunStopped | None = None
        self.report: Any = None
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Astray:
        self._thread.start()
        assert self.began.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)
        self._watch.close()

    def wait_stopped(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return self.stopped is not None

    def _live(self) -> None:
        try:
            with self._watch.run() as run:
                self.run_id = run.run_id
                for number in itertools.count():
                    run.call_tool("kb.search", {"query": f"question {number}"}, lambda query: [query])
                    self.began.set()
                    if self._end.wait(0.5):
                        run.stop("success")
                        return
        except RunStopped as stop:
            self.stopped = stop
            self.report = run.stop()


def test_the_button_on_a_run_stops_it(enter: Enter, site: Site) -> None:
    with Astray(site, "astray") as agent:
        page = enter(f"/runs/{agent.run_id}")
        page.get_by_test_id("kill-button").first.click()
        expect(page.get_by_test_id("kill-touched")).to_have_text("It touches 1 run now.")
        page.get_by_test_id("kill-why").fill("asks the same question in other words")
        page.get_by_test_id("kill-next").click()
        assert agent.stopped is None, "it was stopped before anybody confirmed it"
        at = time.monotonic()
        page.get_by_test_id("kill-confirm").click()
        assert agent.wait_stopped(10)
        site.figures["click_to_refusal_s"] = round(time.monotonic() - at, 2)
        expect(page.get_by_test_id("kill-answer")).to_contain_text("Sent at")
        assert "killed" == agent.report["stop_reason"]
        expect(page.get_by_test_id("stop-reason")).to_contain_text("killed")
        page.goto(site.url + "/control")
        expect(page.get_by_text("asks the same question in other words").first).to_be_visible()


def test_nobody_is_stopped_without_a_reason(enter: Enter, site: Site) -> None:
    with Astray(site, "astray-too") as agent:
        page = enter(f"/runs/{agent.run_id}")
        page.get_by_test_id("kill-button").first.click()
        page.get_by_test_id("kill-next").click()
        expect(page.get_by_test_id("kill-wrong")).to_contain_text("Say why")
        assert not agent.wait_stopped(1.5)


def test_a_viewer_sees_the_button_and_cannot_press_it(enter: Enter, site: Site) -> None:
    with Astray(site, "astray-three") as agent:
        page = enter(f"/runs/{agent.run_id}", token=site.viewer)
        expect(page.get_by_test_id("kill-button").first).to_be_disabled()
