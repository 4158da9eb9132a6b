"""What the name beside a value says of it: `password`, `apiKey`, `X-Auth-Token`, `phone`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

SECRET = "secret"
LONGEST_NAME = 100
"""Of a longer name only so many characters are looked at."""
LEAST_LENGTH = 16
"""Shorter values under a suspicious name are no keys."""
LEAST_BITS, LEAST_BITS_HEX = 3.5, 3.0
"""Bits a character, by Shannon: English words lie below 3.2, a random token of 20 characters near 4."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_HEX = re.compile(r"[0-9a-fA-F]+")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Found anywhere in the name, once its words are joined.
_WHOLE = (
    *("password", "passwd", "passphrase", "passcode", "passwort", "motdepasse", "contrasena"),
    *("secret", "credential", "authorization", "authentication", "bearer", "cookie", "apikey", "accesskey"),
    *("privatekey", "signingkey", "encryptionkey", "masterkey", "accountkey", "sharedkey", "sshkey", "deploykey"),
    *("sessionid", "sessionkey", "mnemonic", "seedphrase", "recoverycode", "backupcode", "connectionstring"),
    *("securitycode", "verificationcode", "accesscode"),
)
# Only as a word of its own: `pin` is not in `spinner`.
_WORDS = _set("token pwd pass pw auth jwt pin otp totp mfa cvv cvc cvv2 csc creds cred psk sid dsn")
_DIGITS = {
    "phone": _set("phone telephone tel mobile cell cellphone fax msisdn whatsapp handy"),
    "card": _set("pan card cardnumber ccnumber creditcard cc"),
    "iban": frozenset({"iban"}),
}
_SUSPICIOUS = _set(
    "key keys tokens signature sig sign nonce seed salt cert certificate session access refresh code hmac "
    "license licence login hash digest challenge verifier state ticket private"
)
# What is counted of a secret is none: `token_count`, `password_length`.
_MEASURES = _set(
    "count counts limit limits type types kind usage used length len size budget expiry expires expiration ttl "
    "policy required enabled present valid at"
)


class Names:
    """Knows the names whose values are secret, its own and those of the user."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        """`own`: further names, compared as a whole, without regard to case, `_`, `-` and blanks."""
        self._own = frozenset(_joined(_words(name)) for name in own)
        self.kind_of = lru_cache(maxsize=4_096)(self._kind_of)
        """Name → the kind of what stands under it: `secret`, `phone`, `card`, `iban`; `?` for a name under which
        a random value is a secret; None for others."""

    def _kind_of(self, name: str) -> str | None:
        words = _words(name[:LONGEST_NAME])
        joined = _joined(words)
        if joined in self._own:
            return SECRET
        if not words or words[-1] in _MEASURES:
            return None
        if not _WORDS.isdisjoint(words) or any(part in joined for part in _WHOLE):
            return SECRET
        for kind, known in _DIGITS.items():
            if not known.isdisjoint(words):
                return kind
        return None if _SUSPICIOUS.isdisjoint(words) else "?"


def is_random(text: str) -> bool:
    """Whether a text looks like a key rather than like words: long, without blanks, letters among digits."""
    sample = text[:256]
    if len(sample) < LEAST_LENGTH or any(letter.isspace() for letter in sample):
        return False
    if sample.isalpha() or not any(letter.isalnum() for letter in sample):
        return False
    bits = -sum(n / len(sample) * math.log2(n / len(sample)) for n in Counter(sample).values())
    return bits >= (LEAST_BITS_HEX if _HEX.fullmatch(sample) else LEAST_BITS)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _joined(words: list[str]) -> str:
    return "".join(words)
