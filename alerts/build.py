"""A receiver's settings as something that sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..settings.alerts import Receiver
from .letter import trial_letter
from .outbox import HOUR_MS
from .secrets import Masking, ReceiverError, expand, from_file, shown_url
from .standing import Post, Posted, labels_of


class Sender(Protocol):
    """How a receiver is told."""

    def send(self, message: Any) -> None:
        """Sends a `Letter`, or to an Alertmanager a `Post`. Raises `Unsent`."""


def build(receiver: Receiver, environ: Mapping[str, str], link: str | None) -> Sender:
    """Raises `ReceiverError` where something is missing or cannot be right, and `ModuleNotFoundError` for a package."""
    url, password = url_of(receiver, environ), _password(receiver, environ)
    headers = {
        name: expand(value.get_secret_value(), environ, receiver.name) for name, value in receiver.headers.items()
    }
    if any("\n" in one or "\r" in one for one in headers.values()):
        raise ReceiverError(f"The receiver {receiver.name} has a header of more than one line.")
    # Of a header such as `Bearer …` the second word is the secret.
    words = [word for value in headers.values() for word in (value, value.rpartition(" ")[2])]
    mask = Masking([one for one in (url, password, *words) if one])
    if receiver.kind == "email":
        from .senders.email import PORTS, Email, Server

        server = Server(
            receiver.host or "", receiver.port or PORTS[receiver.tls], receiver.tls, receiver.user, password
        )
        return Email(server, receiver.sender or "", receiver.to, link, mask, receiver.name)
    if receiver.kind == "apprise":
        from .senders.apprise import Apprise

        return Apprise(url, link, mask, receiver.name)
    from .senders.http import Poster

    if receiver.kind == "alertmanager":
        from .senders.alertmanager import PATH, Alertmanager

        # Its root is what people have at hand; the whole path does too.
        return Alertmanager(Poster(url.rstrip("/").removesuffix(PATH) + PATH, headers, mask, receiver.name), link)
    poster = Poster(url, headers, mask, receiver.name)
    if receiver.kind == "slack":
        from .senders.slack import Slack

        return Slack(poster, link)
    from .senders.webhook import Webhook

    return Webhook(poster, receiver.name, link)


def trial_message(receiver: Receiver, now_ms: int) -> Any:
    """What `runwatch alerts test` sends."""
    letter = trial_letter(now_ms)
    if receiver.kind != "alertmanager":
        return letter
    anomaly = letter.worst.anomaly
    return Post((Posted(labels_of(anomaly), now_ms, now_ms + HOUR_MS // 12, anomaly, 1, (), 1),))


def url_of(receiver: Receiver, environ: Mapping[str, str]) -> str:
    """The receiver's address with its secrets; empty for email. Raises `ReceiverError`."""
    if receiver.url is not None:
        return expand(receiver.url.get_secret_value(), environ, receiver.name).strip()
    return from_file(receiver.url_file, receiver.name) if receiver.url_file is not None else ""


def _password(receiver: Receiver, environ: Mapping[str, str]) -> str | None:
    if receiver.password is not None:
        return expand(receiver.password.get_secret_value(), environ, receiver.name)
    return None if receiver.password_file is None else from_file(receiver.password_file, receiver.name)


def place_of(receiver: Receiver, environ: Mapping[str, str]) -> str:
    """Where a receiver is, as it may be seen."""
    if receiver.kind == "email":
        return f"{', '.join(receiver.to)} by {receiver.host}"
    try:
        return shown_url(url_of(receiver, environ))
    except ReceiverError as error:
        return str(error)
