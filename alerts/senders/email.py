"""E-mail, by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Literal

from ..letter import Letter
from ..secrets import Masking, ReceiverError
from ..words import clean, subject, text
from .unsent import Unsent

TIMEOUT_S = 15.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}
MOST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server, and how to speak with it."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class Email:
    """One receiver's mail."""

    def __init__(
        self, server: Server, sender: str, to: Sequence[str], link: str | None, mask: Masking, whose: str
    ) -> None:
        """Raises `ReceiverError` for an address that is none."""
        for address in (sender, *to):
            try:
                Address(addr_spec=address)
            except Exception:  # the parser fails in many ways
                raise ReceiverError(
                    f"The receiver {whose} has the address {clean(address)!r}, which is none."
                ) from None
        self._server = server
        self._sender = sender
        self._to = list(to)
        self._link = link
        self._mask = mask

    def send(self, letter: Letter) -> None:
        """Raises `Unsent`, also where the server refuses all addresses. If it refuses some, the others have it."""
        message = mail(letter, self._sender, self._to, self._link)
        place = f"The mail server {self._server.host}:{self._server.port}"
        began = False
        try:
            with self._connected() as smtp:
                began = True
                smtp.send_message(message, self._sender, self._to)
        except smtplib.SMTPAuthenticationError as error:
            raise self._unsent(f"{place} refuses the user or the password ({error.smtp_code})") from None
        except smtplib.SMTPRecipientsRefused as error:
            code, why = next(iter(error.recipients.values()))
            raise self._unsent(f"{place} refuses the addresses ({_said(code, why)})", hopeless=code >= 500) from None
        except smtplib.SMTPNotSupportedError as error:
            raise self._unsent(f"{place} cannot do what is asked ({clean(str(error))}); see its setting tls") from None
        except smtplib.SMTPResponseException as error:
            said = _said(error.smtp_code, error.smtp_error)
            # The end of the data is where it is accepted: a server that fails then may have it.
            raise self._unsent(f"{place} refuses the mail ({said})", hopeless=500 <= error.smtp_code < 600) from None
        except ssl.SSLError as error:
            raise self._unsent(f"{place} cannot be spoken to in TLS ({error.reason or 'no reason given'})") from None
        except TimeoutError:
            raise self._unsent(f"{place} does not answer within {TIMEOUT_S:.0f} s", arrived=began) from None
        except smtplib.SMTPServerDisconnected:
            raise self._unsent(f"{place} ended the connection", arrived=began) from None
        except (OSError, smtplib.SMTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise self._unsent(f"{place} cannot be reached ({str(reason).lower()})") from None

    def _connected(self) -> smtplib.SMTP:
        it = self._server
        context = ssl.create_default_context()
        if it.tls == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(it.host, it.port, timeout=TIMEOUT_S, context=context)
        else:
            smtp = smtplib.SMTP(it.host, it.port, timeout=TIMEOUT_S)
        try:
            if it.tls == "starttls":
                smtp.starttls(context=context)
            if it.user is not None and it.password is not None:
                smtp.login(it.user, it.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _unsent(self, why: str, *, arrived: bool = False, hopeless: bool = False) -> Unsent:
        return Unsent(self._mask(why) + ".", arrived=arrived, hopeless=hopeless)


def mail(letter: Letter, sender: str, to: Sequence[str], link: str | None) -> EmailMessage:
    """The mail. A second try has the same Message-ID, by which servers and readers know what they have; the end of an
    episode answers its beginning."""
    message = EmailMessage()
    title = subject(letter)
    message["Subject"] = title if len(title) <= MOST_SUBJECT else title[: MOST_SUBJECT - 1] + "…"
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<{letter.key}@runwatch.invalid>"
    message["References"] = f"<{letter.thread}@runwatch.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text(letter, link) + "\n")
    return message


def _said(code: int, said: bytes | str) -> str:
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {clean(words)[:160]}".rstrip()
