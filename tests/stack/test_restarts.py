"""How long a service that dies must wait."""

from __future__ import annotations

from runwatch.stack.restarts import Backoff


def test_waits_double_up_to_the_limit() -> None:
    backoff = Backoff(first_s=0.5, limit_s=3.0, healthy_s=10.0)
    assert [0.5, 1.0, 2.0, 3.0, 3.0] == [backoff.after(0.1) for _ in range(5)]


def test_a_healthy_life_starts_over() -> None:
    backoff = Backoff(first_s=0.5, limit_s=3.0, healthy_s=10.0)
    assert [0.5, 1.0, 0.5, 1.0] == [backoff.after(lived) for lived in (0.1, 9.9, 10.0, 0.1)]
