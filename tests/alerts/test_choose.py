"""Who wants to hear of what, and what is silenced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.alerts.choose import Choice, Silences
from runwatch.alerts.patience import HOPELESS, LIMIT_S, Patience
from runwatch.alerts.secrets import MASK, Masking, shown_url
from runwatch.alerts.senders.unsent import Unsent
from runwatch.control.scopes import alerts_scope
from runwatch.control.state import ControlState
from runwatch.schemas.controls import Control
from runwatch.settings.alerts import Receiver, Silence
from runwatch.settings.policy import Policy, PolicyRule

from .support import T0, drift, everything, loop


@pytest.mark.parametrize(
    ("given", "wants_drift", "wants_loop"),
    [
        ({}, True, True),
        ({"severity": "critical"}, False, True),
        ({"rules": ("loop.*",)}, False, True),
        ({"rules": ("drift.*", "fleet.*")}, True, False),
        ({"agents": ("sup*",)}, True, True),
        ({"agents": ("SUP*",)}, False, False),
    ],
)
def test_a_receivers_filter(given: Any, wants_drift: bool, wants_loop: bool) -> None:
    choice = Choice(Receiver(name="a", kind="slack", url="x", **given), everything)  # type: ignore[arg-type]
    assert (wants_drift, wants_loop) == (choice.wants(drift()), choice.wants(loop()))


def test_what_the_policy_ignores_is_told_to_nobody() -> None:
    policy = Policy(rules=(PolicyRule(rule="drift.*", action="ignore"), PolicyRule(rule="*", action="notify")))
    receiver = Receiver(name="a", kind="slack", url="x", severity="info")  # type: ignore[arg-type]
    choice = Choice(receiver, lambda anomaly: policy.action(anomaly) != "ignore")
    assert (False, True) == (choice.wants(drift()), choice.wants(loop()))


def test_silences_of_the_file_and_of_commands() -> None:
    state = ControlState()
    until = datetime.fromtimestamp(T0 / 1000, UTC)
    silences = Silences([Silence(rule="fleet.*", until=until, why="moving")], state)
    assert silences.silenced("fleet.failing", "*", T0 - 1)
    assert not silences.silenced("fleet.failing", "*", T0)
    state.apply(Control("c1", alerts_scope("drift.*", "sup*"), "stop", T0, "moving", "me", T0 + 1_000))
    assert silences.silenced("drift.latency_p95", "support", T0)
    assert not silences.silenced("drift.latency_p95", "other", T0)
    assert not silences.silenced("drift.latency_p95", "support", T0 + 1_000)
    assert [("drift.*", "me")] == [(one.rule, one.by) for one in silences.standing(T0)]
    state.apply(Control("c2", alerts_scope("drift.*", "sup*"), "allow", T0 + 1, "moved", "me"))
    assert not silences.silenced("drift.latency_p95", "support", T0 + 2)


@given(st.text("abcdefXYZ0123456789", min_size=6, max_size=40), st.sampled_from(["https", "json", "tgram"]))
def test_a_secret_in_any_place_of_an_address_is_masked(secret: str, scheme: str) -> None:
    for url in (
        f"{scheme}://user:{secret}@host.example/x", f"{scheme}://host.example/{secret}/x",
        f"{scheme}://host.example/x?token={secret}&y=1", f"{scheme}://{secret}x/1/",
    ):  # fmt: skip
        mask = Masking([url])
        assert url not in mask(f"cannot post to {url}")
        assert secret not in shown_url(url) or f"//{secret}x" in url
        if f"//{secret}x" not in url:
            assert secret not in mask(f"Failed: /{secret}/ of {url}").replace(MASK, "")


def test_patience_grows_up_to_a_minute_and_gives_up_only_what_is_refused() -> None:
    patience = Patience("team")
    waits = []
    for _ in range(20):
        assert not patience.failed(Unsent("away"), 1, 0.0)
        waits.append(patience.next_s)
    assert 0.8 <= waits[0] <= 1.2
    assert waits[-1] <= LIMIT_S * 1.2
    assert patience.is_away
    patience.failed(Unsent("busy", retry_after_s=300.0), 1, 0.0)
    assert 300.0 == patience.next_s
    patience.worked(0, 1.0)
    assert (False, 0.0) == (patience.is_away, patience.next_s)
    refusals = [patience.failed(Unsent("no", hopeless=True), 1, 0.0) for _ in range(HOPELESS)]
    assert [*[False] * (HOPELESS - 1), True] == refusals
