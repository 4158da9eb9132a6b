"""POST with JSON, in bounded time, and what went wrong in one sentence that shows no secret."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from ..secrets import Masking, ReceiverError, shown_url
from ..words import clean
from .unsent import Unsent

CONNECT_S = 5.0
ANSWER_S = 10.0
MOST_ANSWER = 2_048
"""Bytes that are read of an answer: it is for people to read in a log."""
SHOWN = 160
_NOT_YET = {408, 425, 429}
_PERHAPS = {500, 502, 504}
"""Whoever answers so may have taken the message before."""
_NOT_FOR_THIS_MESSAGE = {400, 406, 409, 411, 412, 413, 414, 415, 422}


class Poster:
    """One receiver's address. Used by one thread."""

    def __init__(self, url: str, headers: Mapping[str, str], mask: Masking, whose: str) -> None:
        """Raises `ReceiverError` where that is no address of a web server."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ReceiverError(f"The receiver {whose} needs a url like https://host/path, and its own is none.")
        self._url = url
        self._place = shown_url(url)
        self._headers = {"Content-Type": "application/json", "User-Agent": "runwatch", **headers}
        self._mask = mask
        self._session = requests.Session()

    def post(self, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Raises `Unsent`."""
        data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        began = time.monotonic()
        try:
            with self._session.post(
                self._url,
                data=data,
                headers={**self._headers, **(headers or {})},
                timeout=(CONNECT_S, ANSWER_S),
                # A POST that is redirected becomes a GET on the way, and its body is lost.
                allow_redirects=False,
                stream=True,
            ) as answer:
                self._check(answer, _beginning(answer, began + ANSWER_S))
        except requests.exceptions.SSLError as error:
            raise self._unsent(f"{self._place} has a certificate that does not do ({_root(error)})") from None
        except requests.exceptions.ConnectTimeout:
            raise self._unsent(f"{self._place} cannot be reached within {CONNECT_S:.0f} s") from None
        except requests.exceptions.Timeout:
            raise self._unsent(f"{self._place} does not answer within {ANSWER_S:.0f} s", arrived=True) from None
        except requests.exceptions.ConnectionError as error:
            # One that was not even connected to has nothing.
            reason = getattr(error.args[0] if error.args else None, "reason", None)
            arrived = not isinstance(reason, NewConnectionError)
            raise self._unsent(f"{self._place} cannot be reached ({_root(error)})", arrived=arrived) from None
        except (requests.exceptions.RequestException, UnicodeError, ValueError) as error:
            raise self._unsent(f"{self._place} cannot be posted to ({type(error).__name__})") from None

    def _check(self, answer: requests.Response, said: str) -> None:
        status = answer.status_code
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise self._unsent(f"{self._place} redirects elsewhere ({status}); give the address itself")
        shown = f", saying {said!r}" if said else ""
        raise self._unsent(
            f"{self._place} answers {status} {answer.reason or ''}".rstrip() + shown + _hint(status),
            arrived=status in _PERHAPS,
            hopeless=status in _NOT_FOR_THIS_MESSAGE,
            retry_after_s=_retry_after(answer.headers.get("Retry-After"))
            if status in _NOT_YET or status >= 500
            else None,
        )

    def _unsent(self, why: str, **how: Any) -> Unsent:
        return Unsent(self._mask(why) + ("" if why.endswith("?") else "."), **how)


def _beginning(answer: requests.Response, deadline: float) -> str:
    """The beginning of the answer, as a person may read it; a server that drips is not waited for."""
    found = b""
    try:
        for chunk in answer.iter_content(256):
            found += chunk
            if len(found) >= MOST_ANSWER or time.monotonic() > deadline:
                break
    except requests.exceptions.RequestException:
        pass  # the status has come, and says enough
    return clean(found.decode("utf-8", "replace"))[:SHOWN]


def _retry_after(text: str | None) -> float | None:
    """Seconds; a number of them or a date stands in the header."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _hint(status: int) -> str:
    if status in (401, 403):
        return "; is its token right?"
    return "; is its address right?" if status in (404, 405, 410) else ""


def _root(error: BaseException) -> str:
    """What lies beneath, without the address that libraries put into every message."""
    reason: Any = error
    for _ in range(5):
        inner = getattr(reason, "reason", None) or next(
            (one for one in getattr(reason, "args", ()) if isinstance(one, BaseException)), None
        )
        inner = inner if isinstance(inner, BaseException) else reason.__cause__ or reason.__context__
        if inner is None:
            break
        reason = inner
    if isinstance(reason, OSError) and reason.strerror:
        return str(reason.strerror).lower()
    return type(reason).__name__
