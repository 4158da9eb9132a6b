"""docs/alerts.md: its example does, and its numbers are the settings'."""

from __future__ import annotations

import re
from pathlib import Path

from runwatch.alerts import deliver, patience
from runwatch.settings.alerts import Alerts
from runwatch.settings.file import parse_config
from runwatch.settings.section import shown_duration


def page(root: Path) -> str:
    return (root / "docs" / "alerts.md").read_text(encoding="utf-8")


def test_the_example_is_one_of_each_kind(root: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", page(root), re.DOTALL)
    receivers = parse_config(example.encode(), "docs/alerts.md").alerts.receivers
    assert ["slack", "email", "alertmanager", "webhook", "apprise"] == [one.kind for one in receivers]


def test_the_numbers_are_the_defaults(root: Path) -> None:
    said, usual = " ".join(page(root).split()), Alerts()
    assert ("1m", "15m", "15m") == tuple(map(shown_duration, (usual.group_for, usual.group_at_most, usual.loops_last)))
    for words in (
        "`group_for` (1 minute)",
        "`group_at_most` (15 minutes)",
        "`loops_last` (15 minutes)",
        f"`per_hour` ({usual.per_hour})",
    ):
        assert words in said
    assert 600_000 == deliver.LOOK_BACK_MS
    assert "the last ten minutes" in said
    assert (1.0, 60.0, 4) == (patience.FIRST_S, patience.LIMIT_S, patience.HOPELESS)
    assert "tried again after 1 second and then less and less often, at least once a minute" in said
