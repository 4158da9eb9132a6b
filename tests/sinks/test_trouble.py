"""Trouble is told once, then now and then, then when it is over."""

from __future__ import annotations

import logging

import pytest

from runwatch.sinks.trouble import REMIND_S, Trouble


def test_one_line_at_the_start_a_reminder_and_one_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    times = iter((100.0, 100.5, 130.0, 100.0 + REMIND_S, 101.0 + REMIND_S, 190.0))
    trouble = Trouble(logging.getLogger("test"), "ClickHouse", lambda: next(times))
    trouble.end()
    for _ in range(5):
        trouble.begin("it is away")
    assert trouble.on
    trouble.end()
    trouble.end()
    assert not trouble.on
    assert [
        "it is away",
        "for 60 s now: it is away",
        "ClickHouse is back after 90.0 s",
    ] == [record.getMessage() for record in caplog.records]
