"""Someone who has never seen it finds out within three clicks what is wrong, since when, and why."""

from __future__ import annotations

import re
import statistics

import pytest
from playwright.sync_api import expect

from .conftest import ARTEFACTS, Enter, Incident, Site

pytestmark = pytest.mark.stack


def test_an_episode_stands_in_the_list_within_three_seconds(site: Site, incident: Incident) -> None:
    found = {
        row["anomaly_id"]: row["detected_at"].timestamp() * 1000
        for row in site.reader().rows("SELECT anomaly_id, detected_at FROM anomalies WHERE run_id IS NULL")
    }
    late = sorted(incident.seen[one] - at_ms for one, at_ms in found.items() if one in incident.seen)
    # Each of the fleet's and the agents' has a line of its own; loops of runs share theirs.
    assert len(found) == len(late) and len(late) >= 3
    site.figures["anomaly_to_page_ms"] = {"median": round(statistics.median(late)), "worst": round(late[-1])}
    assert 3_000 >= late[-1]


def test_the_cause_is_three_clicks_away(enter: Enter, site: Site, incident: Incident) -> None:
    page = enter("/")
    first = page.get_by_test_id("incident-row").first
    expect(first).to_contain_text("http.get")
    expect(first).to_contain_text("critical")
    expect(first).to_contain_text("since")
    first.get_by_test_id("look").click()  # one
    cause = page.get_by_test_id("causes")
    expect(cause).to_contain_text("Version 2.1.1 of research was first seen as the trouble began")
    expect(cause).to_contain_text("Calls of http.get are tried up to 9 times now (before: up to")
    expect(cause).to_contain_text(re.compile(r"of the [\d,]+ calls of http\.get fail .*429"))
    page.wait_for_timeout(2_000)
    page.screenshot(path=ARTEFACTS / "incident.png")
    page.get_by_test_id("runs").get_by_role("link").first.click()  # two
    expect(page.get_by_test_id("timeline")).to_contain_text("http.get")
    expect(page.get_by_test_id("stop-reason")).not_to_be_empty()


def test_a_stopped_run_tells_who_stopped_it_and_why(enter: Enter, site: Site, incident: Incident) -> None:
    assert incident.summary["stopped"]["runs"] > 0
    page = enter("/runs?stop_reason=loop_detected")
    page.get_by_test_id("run-row").first.get_by_role("link").first.click()
    expect(page.get_by_test_id("stop-reason")).to_contain_text("loop_detected")
    expect(page.get_by_test_id("why")).to_contain_text("It was stopped by policy:loop.")
