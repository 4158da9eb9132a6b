"""What an agent reads of the config file. What reads YAML is loaded once there is a file to be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..control.guardrails import Guardrails
from ..control.outgoing import Outgoing
from ..control.snapshots import Snapshots
from ..control.spool import Spool
from ..schemas.errors import RunwatchError


class ConfigNeeds(RunwatchError):
    """A package is missing that reading a config file needs."""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent goes by."""

    guardrails: Guardrails
    outgoing: Outgoing
    snapshots: Snapshots | None
    """What is kept of arguments and results; None for nothing."""
    spool: Spool
    """Where events wait that cannot be sent yet; its folder may be empty, for the environment to name."""
    notes: tuple[str, ...]
    """What nobody sees, or nothing obeys, because of these settings: for whoever runs the agent."""


def load_for_agent(path: str | Path) -> AgentConfig:
    """What the file says to agents.

    Raises `RunwatchError`: `SettingsError` for a file that does not do, `ConfigNeeds` where pydantic or PyYAML are
    not installed.
    """
    try:
        from .file import load_config
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("pydantic", "pydantic_core", "annotated_types", "yaml"):
            raise
        raise ConfigNeeds(
            f"The config file {path} cannot be read without {error.name}: pip install 'runwatch[config]', or leave "
            "out config= and RUNWATCH_CONFIG to go by the defaults."
        ) from error
    config = load_config(path)
    guardrails, outgoing = config.for_agents()
    kept = config.logging.events.store_args
    snapshots = config.snapshots.for_agents() if kept else None
    return AgentConfig(guardrails, outgoing, snapshots, config.spool.for_agents(), tuple(config.notes()))


def load_guardrails(path: str | Path) -> Guardrails:
    """The guardrails of the file alone; raises as `load_for_agent`."""
    return load_for_agent(path).guardrails
