"""The one file of settings for agents, workers and the sink: its sections, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import Field, model_validator

from ..control.guardrails import Guardrails
from ..control.outgoing import Outgoing
from . import load
from .alerts import Alerts
from .dead_letters import DeadLetterSettings
from .events import AuditSettings, LoggingSettings, MetricSettings, outgoing, unseen
from .guardrails import ControlSettings, GuardrailSettings, guardrails
from .policy import Policy
from .section import Section, WrongAt
from .snapshots import SnapshotSettings
from .spool import SpoolSettings
from .yaml_marks import Marked

CALLED: Final = "config file"
_SHORT: Final = ("budgets", "tools", "writes")
"""Sections of `guardrails` that may stand at the left edge as well."""


class RetentionSettings(Section):
    """How long what is stored is kept, from the day on which it was stored."""

    tool_snapshot_days: int = Field(
        default=14, ge=1, le=3_660, description="Days that snapshots of arguments and results are kept."
    )
    logs_days: int = Field(
        default=30,
        ge=1,
        le=3_660,
        description="Days that events, windows and anomalies are kept, and dead letters, though these for 14 at most. "
        "Hourly sums are kept for a year, and commands for good.",
    )


class Config(Section):
    """Everything that one file says."""

    logging: LoggingSettings = Field(default_factory=LoggingSettings, description="What leaves an agent.")
    metrics: MetricSettings = Field(default_factory=MetricSettings, description="What is watched.")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="How long it is kept; the sink sees to it when it starts."
    )
    guardrails: GuardrailSettings = Field(
        default_factory=GuardrailSettings, description="What stands between an agent and its tools."
    )
    controls: ControlSettings = Field(default_factory=ControlSettings, description="How people and the policy step in.")
    snapshots: SnapshotSettings = Field(
        default_factory=SnapshotSettings, description="Arguments and results, where `store_args` turns them on."
    )
    spool: SpoolSettings = Field(
        default_factory=SpoolSettings, description="Where an agent's events wait while the broker is away."
    )
    alerts: Alerts = Field(default_factory=Alerts, description="Who is told of anomalies.")
    policy: Policy = Field(default_factory=Policy, description="What is done about what is found in the stream.")
    audit: AuditSettings = Field(default_factory=AuditSettings, description="What is on record of that.")
    dead_letters: DeadLetterSettings = Field(
        default_factory=DeadLetterSettings,
        description="When the sink and the processors stop reading a topic, since nearly nothing in it can be read.",
    )

    @model_validator(mode="after")
    def _holds(self) -> Config:
        if self.logging.events.store_args and self.snapshots.seal_for is None:
            raise WrongAt(
                ("logging", "events", "store_args"),
                "logging.events.store_args is true, but nobody could read what is stored: make a pair of keys with "
                "`runwatch snapshots key`, and set snapshots.seal_for to the public one",
            )
        return self

    def for_agents(self) -> tuple[Guardrails, Outgoing]:
        """What an agent goes by: what it may do, and what it sends."""
        return guardrails(self.guardrails, self.controls), outgoing(self.logging, self.metrics, self.audit)

    def notes(self) -> Iterator[str]:
        """What nobody sees, or nothing obeys, because of these settings, in sentences."""
        yield from unseen(self.logging, self.metrics, self.audit)
        if not self.controls.kill_switch.enabled:
            yield "controls.kill_switch.enabled is false: agents obey neither `runwatch kill` nor the policy."


def load_config(path: str | Path | None) -> Config:
    """The settings of the file; the defaults where there is none. Raises `SettingsError`."""
    return load.load(Config, path, CALLED, _moved)


def parse_config(data: bytes, source: str) -> Config:
    """The settings of a file's bytes; `source` is its name, for what is told. Raises `SettingsError`."""
    return load.parse(Config, data, source, _moved)


def _moved(marked: Marked) -> None:
    """`tools:` and its like at the left edge are those of `guardrails`, unless both are there."""
    if not isinstance(marked.value, dict):
        return
    for name in _SHORT:
        inner = marked.value.setdefault("guardrails", {}) if name in marked.value else None
        if not isinstance(inner, dict) or name in inner:
            continue
        inner[name] = marked.value.pop(name)
        for places in (marked.keys, marked.values):
            for path in [path for path in places if path[:1] == (name,)]:
                places["guardrails", *path] = places.pop(path)
