"""What `runwatch status` tells of what is stored: how much was lost on the way, and topics that are not read on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Settings

if TYPE_CHECKING:
    from ..sinks.loss import Loss

PATIENCE_S = 5.0
ASK_S = 20.0
"""Some ten million runs."""


def read_loss(settings: Settings) -> Loss | str | None:
    """How much of the last day's events is missing; a sentence where it cannot be asked, None where nothing is stored
    yet."""
    try:
        from ..clickhouse import StoreError, StoreMissing, connect
        from ..sinks.loss import ask_loss, total
    except ModuleNotFoundError:
        return None  # installed without what asks ClickHouse
    try:
        client = connect(settings, timeout_s=ASK_S)
        try:
            return total(ask_loss(client, settings).values())
        finally:
            client.close()
    except StoreMissing:
        return None
    except StoreError as error:
        return f"What was lost on the way cannot be told: {error}."


def read_held(settings: Settings) -> list[str]:
    """A sentence for each topic that is not read on; none where Kafka or the registry does not answer."""
    from ..deadletters.words import Words, WordsError
    from ..schemas.registry import RegistryError, open_registry

    try:
        words = Words(settings, open_registry(settings.registry)).read(PATIENCE_S)
    except (WordsError, RegistryError):
        return []
    return [
        f"The {word.hold.part}: {word.hold.topic} is not read on, {word.hold.why}. It is once that can be read; "
        "`runwatch deadletter resume` lets it go to the dead letters."
        for word in words.values()
        if word.hold.state == "held"
    ]
