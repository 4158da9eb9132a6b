"""Alertmanager, API v2: https://prometheus.io/docs/alerting/latest/alerts_api."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..standing import Post, Posted
from ..words import agent_of, clean, link_of
from .http import Poster

PATH = "/api/v2/alerts"


class Alertmanager:
    """Posts what stands."""

    def __init__(self, poster: Poster, link: str | None) -> None:
        """`poster` posts to `PATH` of an Alertmanager."""
        self._poster = poster
        self._link = link

    def send(self, post: Post) -> None:
        """Raises `Unsent`."""
        self._poster.post([alert(one, self._link) for one in post.alerts])


def alert(one: Posted, link: str | None) -> dict[str, Any]:
    """One alert as the API takes it."""
    annotations = {
        "summary": f"{clean(one.anomaly.rule)} at {agent_of(one.anomaly)}",
        "description": clean(one.anomaly.message),
        "anomaly_id": one.anomaly.anomaly_id,
    }
    if one.count > 1:
        annotations["count"] = str(one.count)
    if one.runs:
        annotations["runs"] = " ".join(clean(run) for run in one.runs)
    found = {
        "labels": {name: clean(value) for name, value in one.labels},
        "annotations": annotations,
        "startsAt": _time(one.starts_ms),
        "endsAt": _time(one.ends_ms),
    }
    if link is not None:
        found["generatorURL"] = link_of(one.anomaly, link)
    return found


def _time(ms: int) -> str:
    # Event times may be anything; what RFC 3339 cannot say is as good as the beginning of time.
    at = datetime.fromtimestamp(min(max(ms, 0), 253_402_300_799_000) / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
