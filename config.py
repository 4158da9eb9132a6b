"""One frozen settings object, built once from the environment and passed in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from . import broker, endpoints
from .secret import revealed

if TYPE_CHECKING:
    from .control.signers import Signers
    from .control.signing import Signer

DEFAULTS = {"kafka": "127.0.0.1:9092", "clickhouse": "http://127.0.0.1:8123"}


class Settings(BaseSettings):
    """Settings of the long-running parts and of the command line; each is `RUNWATCH_` and its name."""

    model_config = SettingsConfigDict(env_prefix="RUNWATCH_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=endpoints.home, description="Folder of the local stack.")
    kafka: str = Field(default="127.0.0.1:9092", description="Kafka's bootstrap servers, host:port, comma-separated.")
    kafka_security: str = Field(
        default="",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; without it, what the other settings ask for.",
    )
    kafka_ca_file: str = Field(default="", description="Certificates (PEM) that vouch for the brokers'.")
    kafka_cert_file: str = Field(default="", description="Our certificate (PEM), where brokers ask for one.")
    kafka_key_file: str = Field(default="", description="That certificate's private key (PEM).")
    kafka_key_password: SecretStr = Field(default=SecretStr(""), description="That key's password, if it has one.")
    kafka_key_password_file: str = Field(default="", description="A file whose first line is that password.")
    kafka_mechanism: str = Field(
        default="",
        description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; a user's is SCRAM-SHA-512 else.",
    )
    kafka_user: str = Field(default="", description="Kafka's user.")
    kafka_password: SecretStr = Field(default=SecretStr(""), description="That user's password.")
    kafka_password_file: str = Field(default="", description="A file whose first line is that password.")
    kafka_oauth_url: str = Field(default="", description="Where tokens are given for client credentials.")
    kafka_oauth_client: str = Field(default="", description="The client's id there.")
    kafka_oauth_secret: SecretStr = Field(default=SecretStr(""), description="The client's secret there.")
    kafka_oauth_secret_file: str = Field(default="", description="A file whose first line is that secret.")
    kafka_oauth_scope: str = Field(default="", description="The scope that is asked for.")
    kafka_oauth_extensions: str = Field(
        default="", description="NAME=VALUE, comma-separated, that go to the brokers with each token."
    )
    kafka_oauth_ca_file: str = Field(default="", description="Certificates (PEM) that vouch for the token server's.")
    clickhouse: str = Field(default="http://127.0.0.1:8123", description="ClickHouse's HTTP address.")
    clickhouse_user: str = Field(default="default", description="ClickHouse's user.")
    clickhouse_password: SecretStr = Field(default=SecretStr(""), description="That user's password.")
    clickhouse_password_file: Path | None = Field(default=None, description="A file whose first line is that password.")
    clickhouse_ca_file: Path | None = Field(
        default=None, description="Certificates (PEM) that vouch for ClickHouse's, where its address is https."
    )
    clickhouse_cert_file: Path | None = Field(
        default=None, description="Our certificate (PEM), where ClickHouse asks for one."
    )
    clickhouse_key_file: Path | None = Field(default=None, description="That certificate's private key (PEM).")
    database: str = Field(default="runwatch", description="ClickHouse's database.")
    sql_user: str = Field(
        default="", description="ClickHouse's user for the console's SQL page; it must not be able to write."
    )
    sql_password: SecretStr = Field(default=SecretStr(""), description="That user's password.")
    sql_password_file: Path | None = Field(default=None, description="A file whose first line is that password.")
    registry: str | None = Field(
        default=None,
        # It may hold a user and a password.
        repr=False,
        description="Schema registry's address; without one, ids are fingerprints.",
    )
    prefix: str = Field(default="", description="Put before every topic's name, so that fleets can share a cluster.")
    rules: Path | None = Field(
        default=None, description="File of rules for the processors; `runwatch rules` prints what may be in it."
    )
    config: Path | None = Field(
        default=None, description="The config file; `runwatch config` prints what may be in it."
    )
    console_operator_token: SecretStr | None = Field(default=None, description="Token of the console's operators.")
    console_operator_token_file: Path | None = Field(default=None, description="A file whose first line is that token.")
    console_viewer_token: SecretStr | None = Field(default=None, description="Token of those who may only look.")
    console_viewer_token_file: Path | None = Field(default=None, description="A file whose first line is that token.")
    console_session_hours: float = Field(
        default=12, gt=0, le=720, description="Hours after which people sign in to the console again."
    )
    console_url: str | None = Field(
        default=None, description="Where people reach the console behind a proxy, such as https://runwatch.example.org."
    )
    console_hosts: str = Field(
        default="", description="Further host names by which the console may be called, comma-separated."
    )
    console_proxies: str = Field(
        default="", description="Addresses of proxies whose X-Forwarded-For and -Proto are believed, comma-separated."
    )
    control_signers: Path | None = Field(
        default=None, description="File of those whose commands are obeyed; without one, whoever may write them is."
    )
    control_key: SecretStr = Field(default=SecretStr(""), description="Private key by which commands are signed.")
    control_key_file: Path | None = Field(default=None, description="A file whose first line is that key.")
    partitions: int = Field(default=4, ge=1, description="Partitions of a spread topic when runwatch makes it.")
    replication: int = Field(default=1, ge=1, description="Copies of a topic when runwatch makes it.")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the part's /metrics; without one, the part's usual port. 0: no metrics.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address on which /metrics is served.")

    def topic(self, name: str) -> str:
        """A topic's full name, such as `agent.events`."""
        return f"{self.prefix}agent.{name}"

    @property
    def kafka_access(self) -> broker.Access:
        """How Kafka is reached."""
        given = {name: getattr(self, f"kafka_{name}") for name in broker.NAMES}
        return broker.Access(self.kafka, **{name: _plain(value) for name, value in given.items()})

    def kafka_client(self, **more: Any) -> dict[str, Any]:
        """librdkafka's settings of any client, with address and security; `more` wins.

        Raises `AccessError` or `SecretError` where the settings do not go together.
        """
        return self.kafka_access.client(**more)

    def signers(self) -> Signers | None:
        """Whose commands are obeyed; None where whoever may write them is. Raises `SignersError`."""
        from .control.signers import Signers

        return None if self.control_signers is None else Signers(self.control_signers)

    def signer(self) -> Signer | None:
        """What signs our commands; None where none are signed.

        Raises `SignersError` where nobody would obey what we say, `WrongKey`, and `SecretError`.
        """
        from .control.signers import open_signer

        key = revealed("RUNWATCH_CONTROL_KEY", self.control_key.get_secret_value(), self.control_key_file)
        return open_signer(key, self.signers(), lambda: int(time.time() * 1000))

    def clickhouse_secret(self) -> str:
        """The password of ClickHouse's user. Raises `SecretError`."""
        return revealed(
            "RUNWATCH_CLICKHOUSE_PASSWORD", self.clickhouse_password.get_secret_value(), self.clickhouse_password_file
        )

    def sql_secret(self) -> str:
        """The password of the SQL page's user. Raises `SecretError`."""
        return revealed("RUNWATCH_SQL_PASSWORD", self.sql_password.get_secret_value(), self.sql_password_file)


OPEN_KAFKA: dict[str, Any] = {
    name: Settings.model_fields[name].default for name in (f"kafka_{one}" for one in broker.NAMES)
}
"""Settings of brokers that ask for nothing, as the local stack's."""
_OF_READER = ("clickhouse", "sql_user", "sql_password", "sql_password_file")


def _plain(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def load(**given: Any) -> Settings:
    """The settings in force: `given` first, then the environment, then the local stack that is up, then defaults."""
    given = {name: value for name, value in given.items() if value is not None}
    settings = Settings(**given)
    found = endpoints.read(settings.home)
    local: dict[str, Any] = {
        name: found[name] for name in DEFAULTS if name in found and name not in settings.model_fields_set
    }
    if "kafka" in local:
        # It asks for nothing; what is set is meant for brokers that are elsewhere.
        local |= OPEN_KAFKA
    if settings.model_fields_set.isdisjoint(_OF_READER) and "clickhouse" in local:
        password = endpoints.sql_password(settings.home)
        if password:
            local |= {"sql_user": endpoints.SQL_USER, "sql_password": SecretStr(password)}
    return settings.model_copy(update=local) if local else settings
