"""Snapshots of arguments and results: for whom they are sealed, and what is taken out of them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from ..control.snapshots import LARGEST_BYTES, MOST_BYTES, MOST_WAITING, OWN_NAME, Redact, Snapshots, pattern_trouble
from ..schemas import sealing
from .section import Section

Kind = Literal["email", "phone", "card", "iban", "key", "jwt", "private_key", "auth", "password", "secret"]
_DEFAULTS: Final = Redact()


class OwnPattern(Section):
    """Something of the user's own that must not leave."""

    find: str = Field(description="A regular expression, as Python has them.")

    @field_validator("find")
    @classmethod
    def _compiles(cls, value: str) -> str:
        if trouble := pattern_trouble("it", value):
            raise ValueError(trouble)
        return value


class RedactSettings(Section):
    """What is taken out of arguments and results before they leave the agent."""

    off: tuple[Kind, ...] = Field(
        default=(),
        description="Kinds that are not looked for. A mark such as [email] stands where there was one.",
    )
    keys: tuple[str, ...] = Field(
        default=_DEFAULTS.keys,
        description="Names, beside password, token and their like, whose values are taken out whole.",
    )
    patterns: dict[str, OwnPattern] = Field(
        default={}, description="Your own: a name, and under it `find`, a regular expression. The mark is [name]."
    )

    @field_validator("patterns")
    @classmethod
    def _named(cls, value: dict[str, OwnPattern]) -> dict[str, OwnPattern]:
        for name in value:
            if not OWN_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a mark: small letters, digits and _, such as employee_id")
        return value


class SnapshotSettings(Section):
    """Snapshots of arguments and results. `logging.events.store_args` turns them on."""

    seal_for: str | None = Field(
        default=None,
        description="The readers' public key; `runwatch snapshots key` makes a pair. Without one there are no "
        "snapshots.",
    )
    most_bytes: int = Field(
        default=MOST_BYTES, ge=256, le=LARGEST_BYTES, description="Characters of text kept of one payload."
    )
    most_waiting_bytes: int = Field(
        default=MOST_WAITING,
        ge=65_536,
        le=1 << 30,
        description="Characters that may wait in an agent's memory; what comes when it is full is not kept.",
    )
    redact: RedactSettings = Field(default_factory=RedactSettings, description="What is taken out of them.")

    # Of the section as a whole, since what is told of a field shows its value: it may be the private key.
    @model_validator(mode="after")
    def _is_public(self) -> SnapshotSettings:
        if self.seal_for is not None:
            try:
                sealing.read_public(self.seal_for)
            except sealing.WrongKey as error:
                raise ValueError(f"snapshots.seal_for does not do: {error}") from None
        return self

    def for_agents(self) -> Snapshots:
        """The same, as an agent goes by it."""
        return Snapshots(
            seal_for=self.seal_for or "",
            most_bytes=self.most_bytes,
            most_waiting_bytes=self.most_waiting_bytes,
            redact=Redact(
                off=frozenset(self.redact.off),
                keys=self.redact.keys,
                patterns={name: one.find for name, one in self.redact.patterns.items()},
            ),
        )
