"""What everybody looks at is asked for once; while the store is away the last answer stays."""

from __future__ import annotations

import asyncio
from typing import Any

from runwatch.clickhouse import StoreAway
from runwatch.console.live import KEPT, Answer, Live, Trouble


class FakeStore:
    """Answers with what `now` is, or raises it, once `gate` is open."""

    def __init__(self) -> None:
        self.now: Any = 1
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, question: Any) -> Any:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


class At:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s

    def ms(self) -> int:
        return int(self.s * 1000)


def made() -> tuple[FakeStore, At, Live]:
    store, at = FakeStore(), At()
    return store, at, Live(store, at, at.ms)  # type: ignore[arg-type]


def question(_: Any) -> int:
    raise AssertionError("the fake answers")


def test_many_viewers_one_question() -> None:
    async def run() -> None:
        store, _, live = made()
        store.gate.clear()
        asked = [asyncio.create_task(live.ask("runs", 2.0, question)) for _ in range(50)]
        await asyncio.sleep(0)
        store.gate.set()
        assert {Answer(1, 100_000)} == set(await asyncio.gather(*asked))
        assert 1 == store.asked

    asyncio.run(run())


def test_an_answer_holds_for_its_time_and_is_then_asked_for_again() -> None:
    async def run() -> None:
        store, at, live = made()
        await live.ask("runs", 2.0, question)
        store.now, at.s = 2, 101.9
        assert Answer(1, 100_000) == await live.ask("runs", 2.0, question)
        at.s = 102.0
        assert Answer(2, 102_000) == await live.ask("runs", 2.0, question)

    asyncio.run(run())


def test_while_the_store_is_away_the_last_answer_stays_and_says_so() -> None:
    async def run() -> None:
        store, at, live = made()
        await live.ask("runs", 1.0, question)
        assert live.trouble() is None
        store.now, at.s = StoreAway("It is away."), 110.0
        assert Answer(1, 100_000, "It is away.") == await live.ask("runs", 1.0, question)
        assert Trouble("It is away.", 110_000) == live.trouble()
        at.s = 120.0
        await live.ask("runs", 1.0, question)
        # Since it went, not since it was last noticed.
        assert Trouble("It is away.", 110_000) == live.trouble()
        store.now, at.s = 3, 130.0
        assert Answer(3, 130_000) == await live.ask("runs", 1.0, question)
        assert live.trouble() is None

    asyncio.run(run())


def test_one_question_that_is_not_answered_is_told_although_others_are() -> None:
    async def run() -> None:
        store, at, live = made()
        store.now = StoreAway("Too much memory.")
        await live.ask("costly", 1.0, question)
        store.now, at.s = 1, 101.0
        await live.ask("cheap", 1.0, question)
        assert Trouble("Too much memory.", 100_000) == live.trouble()
        # Nobody asks it any more.
        at.s = 110.0
        assert live.trouble() is None

    asyncio.run(run())


def test_a_viewer_who_leaves_takes_nothing_from_the_others() -> None:
    async def run() -> None:
        store, _, live = made()
        store.gate.clear()
        first = asyncio.create_task(live.ask("runs", 1.0, question))
        second = asyncio.create_task(live.ask("runs", 1.0, question))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        store.gate.set()
        assert Answer(1, 100_000) == await second
        assert 1 == store.asked

    asyncio.run(run())


def test_what_nobody_asks_for_is_forgotten() -> None:
    async def run() -> None:
        store, _, live = made()
        for number in range(KEPT + 1):
            await live.ask(number, 1000.0, question)
        assert KEPT + 1 == store.asked
        await live.ask(KEPT, 1000.0, question)
        assert KEPT + 1 == store.asked
        await live.ask(0, 1000.0, question)
        assert KEPT + 2 == store.asked

    asyncio.run(run())
