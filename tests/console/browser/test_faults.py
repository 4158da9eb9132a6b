"""What is away is told, what is known stays, and all is well again by itself; nonsense gets a sentence."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from .conftest import Enter, Incident, Site

pytestmark = pytest.mark.stack


@contextmanager
def hung(site: Site, service: str) -> Iterator[None]:
    """The service is there and does not answer."""
    pid = site.pid(service)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("service", "told"), [("clickhouse", "ClickHouse does not answer"), ("kafka", "does not answer")]
)
def test_while_a_server_is_away_the_page_says_so_and_keeps_what_it_has(
    enter: Enter, site: Site, incident: Incident, service: str, told: str
) -> None:
    page = enter("/?span=1h")
    row = page.get_by_test_id("agents").get_by_text("research", exact=True).first
    expect(row).to_be_visible()
    banner = page.get_by_test_id("banner")
    expect(banner).to_be_hidden()
    with hung(site, service):
        expect(banner).to_contain_text(told, timeout=60_000)
        expect(row).to_be_visible()
    expect(banner).to_be_hidden(timeout=60_000)
    expect(row).to_be_visible()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/runs/nobody-knows-this-run", "No event of this run is stored"),
        ("/runs/%3Cscript%3E", "No event of this run is stored"),
        ("/incidents/0", "No incident 0 is stored"),
        ("/nowhere", "There is no"),
    ],
)
def test_what_is_not_there_is_told(enter: Enter, site: Site, path: str, told: str) -> None:
    page = enter()
    page.goto(site.url + path)
    expect(page.locator("body")).to_contain_text(told)
    expect(page.get_by_test_id("nav-fleet")).to_be_visible()
