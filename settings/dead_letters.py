"""When the sink and the processors stop reading a topic, since nearly nothing in it can be read."""

from __future__ import annotations

from pydantic import Field

from .section import Section


class DeadLetterSettings(Section):
    """How much may go to the dead letters before it is not the messages that are at fault."""

    stop: bool = Field(
        default=True,
        description="Whether a topic is no longer read once too much of it cannot be; "
        "`runwatch deadletter resume` has it read on.",
    )
    ratio: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="The share of a topic's latest messages that cannot be read at which that is so.",
    )
    window: int = Field(default=20_000, ge=100, le=10_000_000, description="How many latest messages that share is of.")
    in_a_row: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Messages of a topic that cannot be read, none between them that can, at which it is so too.",
    )
