"""Receivers and silences in the config file: what does, what does not, and that no secret is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from runwatch.settings.file import parse_config
from runwatch.settings.load import SettingsError
from runwatch.settings.text import text

SECRET = "hunter2s3cret"


def alerts(yaml: str) -> Any:
    return parse_config(f"alerts: {yaml}".encode(), "own.yaml").alerts


def test_nobody_is_told_unless_somebody_is_named() -> None:
    assert () == parse_config(b"", "own.yaml").alerts.receivers


def test_each_kind_with_what_it_needs() -> None:
    found = alerts(
        """{receivers: [
        {name: a, kind: webhook, url: https://x.example, headers: {Authorization: 'Bearer ${T}'}},
        {name: b, kind: slack, url: '${S}', rules: [loop.*], agents: [x-*], severity: critical, resolved: false},
        {name: c, kind: alertmanager, url_file: /run/am},
        {name: d, kind: email, host: smtp, sender: a@x.example, to: [b@x.example], user: u, password_file: /run/pw},
        {name: e, kind: apprise, url: 'ntfy://x'}],
        silences: [{rule: drift.*, until: '2026-03-01T00:00:00Z', why: moving}], group_for: 30s}"""
    )
    assert ["a", "b", "c", "d", "e"] == [one.name for one in found.receivers]
    assert (30_000, 900_000, 30) == (found.group_for, found.group_at_most, found.per_hour)
    assert datetime(2026, 3, 1, tzinfo=UTC) == found.silences[0].until


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ("{name: a, kind: slack}", "the receiver a needs a url, or else a url_file"),
        ("{name: a, kind: slack, url: x, url_file: y}", "the receiver a needs a url, or else a url_file"),
        ("{name: a, kind: slack, url: x, host: h}", "the receiver a is a slack, and host is for email alone"),
        ("{name: a, kind: email, host: h}", "the receiver a needs sender and to, since it sends email"),
        (
            "{name: a, kind: email, host: h, sender: s, to: [t], user: u}",
            "the receiver a needs both a user and a password, or neither",
        ),
        ("{name: a, kind: pager, url: x}", "must be one of webhook, slack, alertmanager, email, apprise"),
        ("{name: 'a b', kind: slack, url: x}", "alerts.receivers[0].name is 'a b'"),
        ("{name: a, kind: slack, url: x, severity: bad}", "must be one of info, warning, critical"),
        ("{name: a, kind: slack, ulr: x}", "did you mean alerts.receivers[0].url?"),
        ("{name: a, kind: slack, url: x}, {name: a, kind: slack, url: y}", "alerts.receivers has a twice"),
    ],
)
def test_what_does_not_do_is_told_with_its_place(receiver: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        alerts(f"{{receivers: [{receiver}]}}")
    assert said in str(error.value)
    assert str(error.value).startswith("own.yaml:1:")


@pytest.mark.parametrize(
    "yaml",
    [
        f"{{receivers: [{{name: a, kind: slack, url: 'https://x.example/{SECRET}', severity: bad}}]}}",
        f"{{receivers: [{{name: a, kind: email, host: h, password: {SECRET}}}]}}",
        f"{{receivers: [{{name: a, kind: slack, url: [{SECRET}]}}]}}",
        f"{{receivers: [{{name: a, kind: webhook, url: x, headers: {{A: [{SECRET}]}}}}]}}",
        f"{{receivers: [{{name: a, kind: webhook, url: x, headers: {SECRET}}}]}}",
        f"{{receivers: [{{name: a, kind: slack, passwrod: {SECRET}}}]}}",
    ],
)
def test_a_mistake_beside_a_secret_does_not_show_it(yaml: str) -> None:
    with pytest.raises(SettingsError) as error:
        alerts(yaml)
    assert SECRET not in str(error.value)


def test_the_printed_settings_have_masks_for_secrets() -> None:
    found = parse_config(
        f"""alerts: {{receivers: [
        {{name: a, kind: webhook, url: 'https://x.example/{SECRET}', headers: {{A: {SECRET}}}}},
        {{name: d, kind: email, host: h, sender: s, to: [t], user: u, password: {SECRET}}}]}}""".encode(),
        "own.yaml",
    )
    shown = text(found) + repr(found) + found.model_dump_json()
    assert SECRET not in shown
    assert "name: a" in shown
