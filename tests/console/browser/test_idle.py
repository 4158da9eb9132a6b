"""What the start page costs: what is sent to open it, and how busy it keeps both sides while nobody touches it."""

from __future__ import annotations

import psutil
import pytest

from .conftest import Enter, Incident, Site

pytestmark = pytest.mark.stack

WATCHED_S = 40
"""Long enough that what opening the page still costs in its first seconds does not count as idling."""


def test_the_start_page_is_light_and_idles(enter: Enter, site: Site, incident: Incident) -> None:
    page = enter("/control")
    tools = page.context.new_cdp_session(page)
    tools.send("Network.enable")
    tools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sent = 0

    def count(event: dict[str, float]) -> None:
        nonlocal sent
        sent += int(event["encodedDataLength"])

    tools.on("Network.loadingFinished", count)
    page.goto(site.url + "/?span=1h")
    page.get_by_test_id("agents").get_by_text("research", exact=True).first.wait_for()
    page.wait_for_timeout(3_000)
    opened = sent
    tools.send("Performance.enable")

    def busy() -> tuple[float, float]:
        figures = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
        times = psutil.Process(site.pid("console")).cpu_times()
        return figures["TaskDuration"], times.user + times.system

    before = busy()
    page.wait_for_timeout(WATCHED_S * 1000)
    browser, console = ((now - then) / WATCHED_S for now, then in zip(busy(), before, strict=True))
    site.figures["start_page"] = {
        "bytes_to_open": opened, "browser_cores": round(browser, 4), "console_cores": round(console, 4),
    }  # fmt: skip
    assert 5_000_000 > opened
    # Of processor time, not of time: a busy machine takes longer for it, and not more.
    assert 0.05 > browser
    assert 0.05 > console
