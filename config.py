"""One frozen settings object, built once from the environment and passed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from . import endpoints

DEFAULTS = {"kafka": "127.0.0.1:9092", "clickhouse": "http://127.0.0.1:8123"}


class Settings(BaseSettings):
    """Settings of the long-running parts and of the command line; each is `RUNWATCH_` and its name."""

    model_config = SettingsConfigDict(env_prefix="RUNWATCH_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=endpoints.home, description="Folder of the local stack.")
    kafka: str = Field(default="127.0.0.1:9092", description="Kafka's bootstrap servers, host:port, comma-separated.")
    clickhouse: str = Field(default="http://127.0.0.1:8123", description="ClickHouse's HTTP address.")
    clickhouse_user: str = Field(default="default", description="ClickHouse's user.")
    clickhouse_password: SecretStr = Field(default=SecretStr(""), description="That user's password.")
    database: str = Field(default="runwatch", description="ClickHouse's database.")
    registry: str | None = Field(
        default=None, description="Schema registry's address; without one, ids are fingerprints."
    )
    prefix: str = Field(default="", description="Put before every topic's name, so that fleets can share a cluster.")
    rules: Path | None = Field(
        default=None, description="File of rules for the processors; `runwatch rules` prints what may be in it."
    )
    config: Path | None = Field(
        default=None, description="The config file; `runwatch config` prints what may be in it."
    )
    partitions: int = Field(default=4, ge=1, description="Partitions of a spread topic when runwatch makes it.")
    replication: int = Field(default=1, ge=1, description="Copies of a topic when runwatch makes it.")

    def topic(self, name: str) -> str:
        """A topic's full name, such as `agent.events`."""
        return f"{self.prefix}agent.{name}"


def load(**given: Any) -> Settings:
    """The settings in force: `given` first, then the environment, then the local stack that is up, then defaults."""
    given = {name: value for name, value in given.items() if value is not None}
    settings = Settings(**given)
    found = endpoints.read(settings.home)
    local = {name: found[name] for name in DEFAULTS if name in found and name not in settings.model_fields_set}
    return settings.model_copy(update=local) if local else settings
