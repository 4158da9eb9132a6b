"""Whatever apprise knows: https://github.com/caronc/apprise/wiki."""

from __future__ import annotations

import logging
from typing import Any

from ..letter import Letter
from ..secrets import Masking, ReceiverError
from ..words import clean, subject, text
from .unsent import Unsent

TIMEOUT_S = 20.0
_KINDS = {"critical": "failure", "warning": "warning", "info": "info"}


class Apprise:
    """One address of apprise's."""

    def __init__(self, url: str, link: str | None, mask: Masking, whose: str) -> None:
        """Raises `ReceiverError` where apprise does not know such an address."""
        try:
            import apprise
        except ImportError:
            raise ReceiverError(f"The receiver {whose} needs apprise: pip install 'runwatch[alerts]'.") from None
        # Its log tells of addresses, and we tell what it says by ourselves.
        logging.getLogger("apprise").propagate = False
        asset = apprise.AppriseAsset(app_id="runwatch", app_desc="runwatch", async_mode=False, secure_logging=True)
        self._apprise = apprise.Apprise(asset=asset)
        self._mask = mask
        self._link = link
        if not self._apprise.add(url):
            raise ReceiverError(f"The receiver {whose} has a url that apprise does not know; its wiki has them all.")

    def send(self, letter: Letter) -> None:
        """Raises `Unsent`. Apprise does not say whether a failure lasts, or whether something arrived all the same."""
        kind = "success" if letter.kind in ("resolved", "passed") else _KINDS[letter.severity]
        try:
            result = self._apprise.notify(
                body=text(letter, self._link),
                title=subject(letter),
                notify_type=kind,
                body_format="text",
                timeout=TIMEOUT_S,
            )
        except Exception as error:  # its more than a hundred plugins raise what they like
            raise Unsent(self._mask(f"Apprise fails with {type(error).__name__}."), arrived=True) from None
        if not result:
            raise Unsent(self._mask(f"Apprise could not send it{_reason(result)}."), arrived=True)


def _reason(result: Any) -> str:
    said = [str(one).rpartition(" - ")[2] for one in result.logs()] if hasattr(result, "logs") else []
    return f" ({clean(said[-1]).rstrip('.')})" if said else ""
