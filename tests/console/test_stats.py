"""What the console asks is counted, answered or not."""

from __future__ import annotations

import asyncio

import pytest

from runwatch.config import Settings
from runwatch.console.stats import Asked
from runwatch.console.store import Store


def test_questions_are_counted_by_whether_they_were_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()
    store = Store(Settings(), asked)
    monkeypatch.setattr(store, "_reader", lambda: None)

    def wrong(_: object) -> None:
        raise ValueError("of no kind that is known")

    async def ask() -> None:
        assert 7 == await store.ask(lambda _: 7)
        assert 8 == await store.ask(lambda _: 8)
        with pytest.raises(ValueError, match="of no kind"):
            await store.ask(wrong)

    asyncio.run(ask())
    store.close()
    told = {
        (sample.name, sample.labels.get("le")): sample.value for family in asked.collect() for sample in family.samples
    }
    assert 2 == told["runwatch_question_seconds_count", None]
    assert 2 == told["runwatch_question_seconds_bucket", "+Inf"]
    assert 1 == told["runwatch_questions_failed_total", None]
