"""Names made of markup, of SQL, of what cannot be seen, and of ten thousand letters are text on every page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

import runwatch

from .conftest import SIZES, Enter, Site

pytestmark = pytest.mark.stack

NAMES = {
    "html": "<img src=x onerror='window.pwned=1'><b>bold</b>",
    "vue": "{{ constructor.constructor('window.pwned=1')() }}",
    "sql": "'; DROP TABLE events_stored; --",
    "hidden": "a\u202etxt.exe\u0000\u001b[31m\u200b",
    "endless": "x" * 10_000,
}


@pytest.mark.parametrize("kind", list(NAMES))
def test_a_name_is_text(enter: Enter, site: Site, kind: str) -> None:
    name = NAMES[kind]
    with runwatch.connect(agent=name, version=name, model=name, kafka=site.settings.kafka, guardrails=None) as watch:
        with watch.run() as run:
            for _ in range(8):
                run.call_tool(name, {"query": name}, lambda query: query)
            run.stop(name)
        assert watch.flush(20)
    page = enter(f"/runs/{run.run_id}", size="phone")
    beginning = {"hidden": "a⟨U+202E⟩txt", "endless": "xxxxxxxx"}.get(kind, name[:12])
    expect(page.get_by_text(beginning).first).to_be_visible()
    for path in (f"/runs/{run.run_id}", "/runs", "/", "/incidents", "/control"):
        page.goto(site.url + path)
        page.wait_for_timeout(1_500)
        assert page.evaluate("window.pwned") is None, f"a name ran as code on {path}"
        assert 0 == page.locator("img[src=x]").count(), f"a name became markup on {path}"
        assert SIZES["phone"][0] >= page.evaluate("document.documentElement.scrollWidth"), f"{path} is too wide"
