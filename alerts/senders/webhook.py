"""A webhook of one's own: the anomalies whole, as JSON."""

from __future__ import annotations

from typing import Any

from ...schemas.anomalies import Anomaly
from ..letter import Letter, News
from ..words import lines, link_of, subject
from .http import Poster

MOST_ANOMALIES = 100
"""In one request; of the others it has the number."""


class Webhook:
    """Posts what `body` says."""

    def __init__(self, poster: Poster, name: str, link: str | None) -> None:
        self._poster = poster
        self._name = name
        self._link = link

    def send(self, letter: Letter) -> None:
        """Raises `Unsent`."""
        # The same key comes with a second try: who keeps it knows what he has.
        self._poster.post(body(letter, self._name, self._link), {"Idempotency-Key": letter.key})


def body(letter: Letter, receiver: str, link: str | None) -> dict[str, Any]:
    """`kind` is open, resolved, passed (opened and resolved meanwhile), several or test."""
    shown = [letter.worst, *(one for one in letter.news if one is not letter.worst)][:MOST_ANOMALIES]
    return {
        "key": letter.key,
        "kind": letter.kind,
        "receiver": receiver,
        "severity": letter.severity,
        "title": subject(letter),
        "text": "\n".join(lines(letter, link)),
        "count": len(letter.news),
        "omitted": len(letter.news) - len(shown),
        "anomalies": [_news(one, link) for one in shown],
    }


def _news(one: News, link: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": one.kind, **one.anomaly.to_record()}
    if one.ended is not None:
        found["ended"] = one.ended.to_record()
    found["links"] = _links(one.anomaly, link)
    return found


def _links(anomaly: Anomaly, link: str | None) -> dict[str, str]:
    found = {} if link is None else {"anomaly": link_of(anomaly, link)}
    if anomaly.run_id is not None:
        found["command"] = f"runwatch show {anomaly.run_id}"
    return found
