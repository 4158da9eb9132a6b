"""Who is told of anomalies, and how often; what nobody is to be told of for a while."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, SecretStr, model_validator

from .section import Duration, Section

MINUTE, HOUR = 60_000, 3_600_000

Kind = Literal["webhook", "slack", "alertmanager", "email", "apprise"]

_URL_KINDS = ("webhook", "slack", "alertmanager", "apprise")
_EMAIL_ONLY = ("host", "user", "password", "password_file", "sender", "to")


class Receiver(Section):
    """One who is told. `${NAME}` in a secret stands for an environment variable."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="What it is called, in logs and in `runwatch alerts test NAME`. Another name is another receiver.",
    )
    kind: Kind = Field(
        description="webhook: the anomalies as JSON. slack: text and blocks, as Slack and Mattermost take them. "
        "alertmanager: API v2. email: by SMTP. apprise: any address that apprise knows (apprise is a further package).",
    )
    url: SecretStr | None = Field(
        default=None,
        description="Where to send; ${NAME} stands for an environment variable. Of an Alertmanager, its root.",
    )
    url_file: str | None = Field(default=None, description="A file that holds the url, in its place.")
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Further headers of each request, such as Authorization. webhook, slack and alertmanager.",
    )
    severity: Literal["info", "warning", "critical"] = Field(
        default="warning", description="The least severity that is told."
    )
    rules: tuple[str, ...] = Field(default=("*",), description="Patterns of rules that are told, such as loop.*.")
    agents: tuple[str, ...] = Field(default=("*",), description="Patterns of agents that are told of.")
    resolved: bool = Field(default=True, description="Whether the end of an episode is told as well.")
    host: str | None = Field(default=None, description="email: the SMTP server.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="email: its port; else 587 with starttls, 465 with tls, 25 with none."
    )
    tls: Literal["starttls", "tls", "none"] = Field(default="starttls", description="email: how it is encrypted.")
    user: str | None = Field(default=None, description="email: whom to log in as, if at all.")
    password: SecretStr | None = Field(
        default=None, description="email: that user's password, such as ${SMTP_PASSWORD}."
    )
    password_file: str | None = Field(default=None, description="email: a file that holds it, in its place.")
    sender: str | None = Field(default=None, description="email: the address it comes from.")
    to: tuple[str, ...] = Field(default=(), description="email: the addresses it goes to.")

    @model_validator(mode="after")
    def _is_whole(self) -> Receiver:
        if self.kind in _URL_KINDS:
            if (self.url is None) == (self.url_file is None):
                raise ValueError(f"the receiver {self.name} needs a url, or else a url_file")
            wrong = [name for name in _EMAIL_ONLY if name in self.model_fields_set]
            if wrong:
                raise ValueError(f"the receiver {self.name} is a {self.kind}, and {wrong[0]} is for email alone")
            if self.headers and self.kind == "apprise":
                raise ValueError(f"the receiver {self.name} has headers, which apprise takes in its url alone")
            return self
        missing = [name for name in ("host", "sender", "to") if not getattr(self, name)]
        if missing:
            raise ValueError(f"the receiver {self.name} needs {' and '.join(missing)}, since it sends email")
        if self.url is not None or self.url_file is not None or self.headers:
            raise ValueError(f"the receiver {self.name} sends email, which has neither url nor headers")
        if self.password is not None and self.password_file is not None:
            raise ValueError(f"the receiver {self.name} has a password and a password_file; leave one of them out")
        if (self.user is None) != (self.password is None and self.password_file is None):
            raise ValueError(f"the receiver {self.name} needs both a user and a password, or neither")
        return self


class Silence(Section):
    """What nobody is told of for a while; `runwatch silence` makes one without a change of this file."""

    rule: str = Field(default="*", description="Pattern of rules, such as drift.*.")
    agent: str = Field(default="*", description="Pattern of agents.")
    since: AwareDatetime | None = Field(
        default=None, description="From when, such as 2026-03-01T08:00:00Z; else at once."
    )
    until: AwareDatetime | None = Field(default=None, description="Until when; else for as long as this stands here.")
    why: str = Field(min_length=1, description="The reason, for whoever wonders.")


class Alerts(Section):
    """Alerts: who is told of anomalies."""

    receivers: tuple[Receiver, ...] = Field(
        default=(),
        description="Who is told; nobody by default. Each entry has name, kind (webhook, slack, alertmanager, email or "
        "apprise) and url or url_file; for email host, port, tls, user, password, sender and to instead; and may have "
        "severity (the least: warning), rules, agents, resolved and headers.",
    )
    silences: tuple[Silence, ...] = Field(
        default=(),
        description="What nobody is told of for a while. Each entry has why, and may have rule, agent, since and "
        "until; `runwatch silence` needs no entry.",
    )
    group_for: Annotated[Duration, Field(ge=1_000, le=HOUR)] = Field(
        default=MINUTE,
        description="After a message of a rule and an agent, the next one waits for so long and says how many there "
        "were. As long as they go on, each wait is twice the one before; what is more severe does not wait.",
    )
    group_at_most: Annotated[Duration, Field(ge=1_000, le=24 * HOUR)] = Field(
        default=15 * MINUTE, description="The longest of those waits."
    )
    per_hour: Annotated[int, Field(ge=2, le=3_600)] = Field(
        default=30,
        description="Messages that a receiver gets in an hour at the most. What would be more is told together.",
    )
    loops_last: Annotated[Duration, Field(ge=MINUTE, le=24 * HOUR)] = Field(
        default=15 * MINUTE,
        description="How long an Alertmanager holds that an agent's runs loop, after the last one that did: "
        "a loop is one run's, and nobody says that it is over.",
    )
    link: str | None = Field(
        default=None,
        description="Address that is put into messages; {rule}, {agent}, {run_id} and {anomaly_id} are filled in.",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Alerts:
        names = [one.name for one in self.receivers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"alerts.receivers has {name} twice; give each a name of its own")
        return self
