"""Slack's incoming webhooks, and those of others that take the same: Mattermost, Rocket.Chat, Discord's /slack."""

from __future__ import annotations

from typing import Any

from ..letter import Letter
from ..words import lines, subject
from .http import Poster

MOST_HEADER = 150
MOST_SECTION = 3_000
"""Characters that Slack takes of a header and of a section: https://docs.slack.dev/reference/block-kit/blocks."""


class Slack:
    """Posts what `body` says."""

    def __init__(self, poster: Poster, link: str | None) -> None:
        self._poster = poster
        self._link = link

    def send(self, letter: Letter) -> None:
        """Raises `Unsent`."""
        self._poster.post(body(letter, self._link))


def body(letter: Letter, link: str | None) -> dict[str, Any]:
    """`text` for those who show nothing else, and for notifications; `blocks` for those who do."""
    title, rest = subject(letter), "\n".join(lines(letter, link))
    return {
        "text": escaped(title),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": _cut(title, MOST_HEADER), "emoji": False}},
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": _cut(escaped(rest), MOST_SECTION), "verbatim": True},
            },
        ],
    }


def escaped(text: str) -> str:
    """The three signs that Slack obeys: with them a name could call everybody in the channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
