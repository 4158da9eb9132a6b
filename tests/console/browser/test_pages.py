"""Every page, in both themes, from a phone to a wall: as people will see it, left among the artefacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import ARTEFACTS, SIZES, Enter, Incident, Site

PAGES = ("fleet", "incidents", "incident", "runs", "run", "control", "sql")


def paths(site: Site, incident: Incident) -> dict[str, str]:
    """Where each page is, of the demo's incident."""
    reader = site.reader()
    episode = reader.rows("SELECT anomaly_id FROM anomalies WHERE rule = 'drift.tool_calls_per_run' LIMIT 1")
    stopped = reader.rows(
        "SELECT run_id FROM events WHERE kind = 'stop' AND stop_reason = 'loop_detected' ORDER BY ts LIMIT 1"
    )
    return {
        "fleet": "/?span=1h",
        "incidents": "/incidents",
        "incident": f"/incidents/{episode[0]['anomaly_id']}",
        "runs": "/runs",
        "run": f"/runs/{stopped[0]['run_id']}",
        "control": "/control",
        "sql": "/sql",
    }


@pytest.mark.stack
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_every_page_fits(enter: Enter, site: Site, incident: Incident, size: str, theme: Any) -> None:
    page = enter(size=size, theme=theme)
    folder = ARTEFACTS / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths(site, incident).items():
        page.goto(site.url + path)
        page.wait_for_timeout(2_000)
        file: Path = folder / f"{name}-{size}-{theme}.png"
        page.screenshot(path=file)
        assert SIZES[size][0] >= page.evaluate("document.documentElement.scrollWidth"), f"{name} is wider than the page"
