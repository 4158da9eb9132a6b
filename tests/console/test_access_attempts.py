"""How often an address may be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.console.access.attempts import BURST, BURST_OF_ALL, EVERY_S, KEPT, Attempts


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(attempts: Attempts, address: str, times: int) -> None:
    for _ in range(times):
        assert 0 == attempts.wait_s(address)
        attempts.failed(address)


def test_who_was_wrong_five_times_waits(clock: Clock) -> None:
    attempts = Attempts(clock)
    fail(attempts, "10.0.0.1", BURST)
    assert EVERY_S == pytest.approx(attempts.wait_s("10.0.0.1"))
    assert 0 == attempts.wait_s("10.0.0.2"), "another address does not"
    clock.now += EVERY_S
    fail(attempts, "10.0.0.1", 1)
    assert EVERY_S == pytest.approx(attempts.wait_s("10.0.0.1")), "once more, and it waits again"
    clock.now += BURST * EVERY_S
    fail(attempts, "10.0.0.1", BURST)


def test_all_addresses_together_are_limited_too(clock: Clock) -> None:
    attempts = Attempts(clock)
    for number in range(BURST_OF_ALL):
        fail(attempts, f"10.0.{number // 200}.{number % 200}", 1)
    assert 0 < attempts.wait_s("10.1.1.1") < 1
    clock.now += 60
    assert 0 == attempts.wait_s("10.1.1.1")


def test_what_is_remembered_is_bounded(clock: Clock) -> None:
    attempts = Attempts(clock)
    for number in range(KEPT * 2):
        attempts.failed(str(number))
        clock.now += 1
    assert KEPT == len(attempts._clear_at)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("no address", "no address", True),
        ("", "127.0.0.1", False),
    ],
)
def test_a_network_of_ipv6_counts_as_one(one: str, other: str, same: bool, clock: Clock) -> None:
    attempts = Attempts(clock)
    for _ in range(BURST):
        attempts.failed(one)
    assert same == (attempts.wait_s(other) > 0)


@given(st.lists(st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.floats(0, 30)), max_size=60))
def test_nobody_fails_more_often_than_that(story: list[tuple[str, float]]) -> None:
    clock = Clock()
    attempts = Attempts(clock)
    failed: dict[str, list[float]] = {"10.0.0.1": [], "10.0.0.2": []}
    for address, wait_s in story:
        clock.now += wait_s
        if attempts.wait_s(address) == 0:
            attempts.failed(address)
            failed[address].append(clock.now)
    for times in failed.values():
        for first in range(len(times) - BURST):
            assert EVERY_S <= times[first + BURST] - times[first] + 1e-6
