"""What secrets and personal data look like in a text.

Every pattern takes time in proportion to the text, whatever is in it: agents read pages that others wrote. The
forms of keys are those that their makers document; the names beside them say whose. `hints` are there for speed:
a text that holds none of them is not searched.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """One form of one kind."""

    kind: str
    find: re.Pattern[str]
    hints: tuple[str, ...] = ()
    """One of these is in every text that the pattern matches; none: any text may."""
    group: int = 0
    """The part of the match that is replaced."""
    holds: Callable[[str], bool] | None = None
    """What else must be true of that part."""


def _is_basic(value: str) -> bool:
    """Whether a text is what HTTP's basic scheme sends: base64 of `user:password` (RFC 7617)."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (ValueError, binascii.Error):
        return False


def _has_digit(value: str) -> bool:
    return any(letter.isdigit() for letter in value)


def _is_bearer(value: str) -> bool:
    # "bearer certificates" is no token.
    return len(value) >= 20 or _has_digit(value) or not value.isalpha()


def _digits(least: int, most: int) -> Callable[[str], bool]:
    return lambda value: least <= sum(letter.isdigit() for letter in value) <= most


def _key(expression: str, *hints: str, holds: Callable[[str], bool] | None = None) -> Pattern:
    return Pattern("key", re.compile(expression), hints, holds=holds)


_KEYS = (
    _key(r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}", "AKIA", "ASIA", "ABIA", "ACCA"),  # AWS
    _key(r"gh[pousr]_[A-Za-z0-9]{30,255}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),  # GitHub
    _key(r"github_pat_\w{22,255}", "github_pat_"),
    _key(r"gl[a-z]{2,6}-[\w-]{20,300}", "glpat-", "gldt-", "glrt-", "glft-", "glptt-", "glimt-", "glcbt-", "glsoat-"),
    _key(r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,300}", "xox"),  # Slack
    _key(r"xapp-[\w-]{10,300}", "xapp-"),
    _key(r"hooks\.slack\.com/(?:services|workflows)/[\w/+-]{20,200}", "hooks.slack.com"),
    _key(r"discord(?:app)?\.com/api/webhooks/[\w/-]{20,200}", "/api/webhooks/"),
    _key(r"(?<![A-Za-z0-9])[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,45}", ".", holds=_has_digit),  # Discord
    _key(r"(?:sk|rk|pk)_(?:live|test)_\w{10,300}", "_live_", "_test_"),  # Stripe
    _key(r"whsec_[\w+/=-]{20,200}", "whsec_"),
    # OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse and others.
    _key(r"(?<![A-Za-z0-9])sk-[\w-]{16,300}", "sk-", holds=_has_digit),
    _key(r"gsk_[A-Za-z0-9]{30,100}", "gsk_"),  # Groq
    _key(r"xai-[A-Za-z0-9]{40,120}", "xai-"),
    _key(r"pplx-[A-Za-z0-9]{30,100}", "pplx-"),
    _key(r"r8_[A-Za-z0-9]{30,60}", "r8_"),  # Replicate
    _key(r"hf_[A-Za-z0-9]{30,60}", "hf_"),  # Hugging Face
    _key(r"tvly-[\w-]{20,80}", "tvly-"),  # Tavily
    _key(r"AIza[\w-]{35}", "AIza"),  # Google
    _key(r"ya29\.[\w-]{20,500}", "ya29."),
    _key(r"GOCSPX-[\w-]{20,60}", "GOCSPX-"),
    _key(r"npm_[A-Za-z0-9]{36}", "npm_"),
    _key(r"pypi-[\w-]{50,300}", "pypi-"),
    _key(r"SG\.[\w-]{16,40}\.[\w-]{16,60}", "SG."),  # SendGrid
    _key(r"(?<![A-Za-z0-9])(?:SK|AC)[0-9a-f]{32}", "SK", "AC"),  # Twilio
    _key(r"(?<![A-Za-z0-9])key-[0-9a-f]{32}", "key-"),  # Mailgun
    _key(r"(?<![A-Za-z0-9])[0-9a-f]{32}-us\d{1,2}", "-us"),  # Mailchimp
    _key(r"\d{8,10}:AA[\w-]{33}", ":AA"),  # Telegram
    _key(r"do[opr]_v1_[0-9a-f]{64}", "_v1_"),  # DigitalOcean
    _key(r"shp[a-z]{2}_[0-9a-fA-F]{32}", "shpat_", "shpca_", "shppa_", "shpss_"),  # Shopify
    _key(r"sq0[a-z]{3}-[\w-]{22,60}", "sq0"),  # Square
    _key(r"dapi[0-9a-f]{32}", "dapi"),  # Databricks
    _key(r"lin_(?:api|oauth)_[A-Za-z0-9]{32,80}", "lin_"),  # Linear
    _key(r"(?:secret|ntn)_[A-Za-z0-9]{40,60}", "secret_", "ntn_"),  # Notion
    _key(r"hv[sbr]\.[\w-]{24,300}", "hvs.", "hvb.", "hvr."),  # Vault
    _key(r"dp\.[a-z]{2,5}\.[\w.]{40,80}", "dp."),  # Doppler
    _key(r"gl(?:sa|c)_[A-Za-z0-9+/=_]{32,300}", "glsa_", "glc_"),  # Grafana
    _key(r"sntry[su]_[\w+/=]{40,400}", "sntrys_", "sntryu_"),  # Sentry
    _key(r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", "PMAK-"),  # Postman
    _key(r"NRAK-[A-Z0-9]{27}", "NRAK-"),  # New Relic
    _key(r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", "pat"),  # Airtable
    _key(r"ATATT3[\w=-]{50,300}", "ATATT3"),  # Atlassian
    _key(r"sbp_[0-9a-f]{40}", "sbp_"),  # Supabase
    _key(r"pscale_(?:tkn|pw|oauth)_[\w.=-]{30,100}", "pscale_"),  # PlanetScale
    _key(r"fig[a-z]_[\w-]{40,80}", "figd_", "figo_", "figu_"),  # Figma
    _key(r"AGE-SECRET-KEY-1[A-Z0-9]{50,70}", "AGE-SECRET-KEY-1"),
    _key(r"snap-key-[\w-]{20,80}", "snap-key-"),  # runwatch's own readers' tokens
)

_LOCAL = r"[^\s@<>()\[\]{},;:\"'\\=&?/|%`]"

PATTERNS = (
    Pattern(
        "private_key",
        # One that does not end goes on to the text's end.
        re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----[\s\S]*?(?:-----END[^-]{0,60}-----|\Z)"),
        ("PRIVATE KEY",),
    ),
    # RFC 7515: the header is base64url of a JSON object, and `{"` begins with `eyJ`.
    Pattern("jwt", re.compile(r"eyJ[\w-]{16,}+(?:\.[\w-]++)*+={0,2}"), ("eyJ",)),
    *_KEYS,
    Pattern("password", re.compile(r"(?:\s-u|--user)[ =]['\"]?[^\s:'\"]{1,100}:([^\s'\"]{1,300})"), ("-u",), group=1),
    Pattern("password", re.compile(r"(?i)\bidentified\s{1,3}by\s{1,3}['\"]([^'\"]{1,300})"), group=1),
    Pattern("auth", re.compile(r"(?i)\bbearer\s{1,3}([\w.~+/=:-]{8,})"), group=1, holds=_is_bearer),
    Pattern("auth", re.compile(r"(?i)\bbasic\s{1,3}([A-Za-z0-9+/]{4,}={0,2})"), group=1, holds=_is_basic),
    Pattern(
        "auth",
        re.compile(r"(?i)\b(?:proxy-)?authorization\b\\*[\"']?\s{0,3}[:=]\s{0,3}\\*[\"']?([^\r\n\"'\\]{4,})"),
        group=1,
    ),
    Pattern(
        "auth", re.compile(r"(?i)\b(?:set-)?cookie\b\\*[\"']?\s{0,3}[:=]\s{0,3}\\*[\"']?([^\r\n\"'\\]{4,})"), group=1
    ),
    Pattern(
        "email",
        re.compile(
            rf"(?<!{_LOCAL}){_LOCAL}++@(?:(?:[\w-]{{1,63}}\.){{1,8}}[^\W\d_]{{2,24}}|\[[0-9a-fA-F.:]{{7,45}}\])"
        ),
        ("@",),
    ),
    # International; with brackets; in groups, as North America and others write them; with a leading zero.
    Pattern("phone", re.compile(r"(?<![\w+])\+\d(?:[ .\-/()\u00a0]{0,2}\d){6,14}(?!\d)"), ("+",), holds=_digits(7, 15)),
    Pattern(
        "phone", re.compile(r"(?<![\w.])00[1-9](?:[ .\-/()]{1,2}\d{1,5}){2,6}(?!\d)"), ("00",), holds=_digits(9, 17)
    ),
    Pattern("phone", re.compile(r"(?<![\w(])(?:1[ .-])?\(\d{2,5}\)[ .-]?\d{3,4}[ .-]?\d{3,5}(?!\d)"), ("(",)),
    Pattern("phone", re.compile(r"(?<![\w.-])(?:1[ .-])?[2-9]\d{2}([ .-])[2-9]\d{2}\1\d{4}(?![\w-])")),
    Pattern(
        "phone",
        re.compile(
            r"(?<![\w.-])0\d{1,4}(?:[ /-]\d{2,8}|[ .]\d{2}(?=[ .])){1,4}"
            r"(?:[ .-]\d{2,4})?(?![\w-])"
        ),
        ("0",),
        holds=_digits(9, 12),
    ),
    Pattern("phone", re.compile(r"(?i)\btel:([+\d][\d .()-]{5,20}\d)"), ("tel:", "TEL:", "Tel:"), group=1),
)
"""Those that stand alone. Cards, IBANs, passwords in URLs and values beside a name are found by `find.py`."""
