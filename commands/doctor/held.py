"""Topics that a part does not read on, since nearly nothing in them can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...config import Settings
from ...deadletters.words import Words, WordsError
from ...schemas.holds import Hold
from ...schemas.registry import RegistryError, open_registry
from .finding import Finding, error, note, ok

CHECK = "held"
ANSWER_S = 5.0


def look(settings: Settings) -> Iterator[Finding]:
    """Findings on what is held; Kafka answers."""
    try:
        words = Words(settings, open_registry(settings.registry)).read(ANSWER_S)
    except (WordsError, RegistryError) as failed:
        yield note(CHECK, settings.kafka, str(failed))
        return
    yield from of_holds(word.hold for word in words.values())


def of_holds(holds: Iterable[Hold]) -> Iterator[Finding]:
    """Findings on the last words of all parts."""
    held = [one for one in holds if one.state == "held"]
    for one in held:
        mend = "runwatch deadletter list, mend who writes there, then runwatch deadletter resume"
        yield error(CHECK, one.topic, f"{one.part} does not read it on: {one.why}", mend)
    if not held:
        yield ok(CHECK, "topics", "every part reads on")
