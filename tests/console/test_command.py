"""The dialog for commands, on a simulated page: two steps, a reason, how many it touches, and who may."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from nicegui import ui
from nicegui.testing import User, user_simulation

from runwatch.console.access.roles import Role, Session
from runwatch.console.live import Answer
from runwatch.console.widgets.command import HOUR_MS, LASTING, VIEWERS, command_button
from runwatch.console.widgets.frame import Page
from runwatch.control.send import ControlError
from runwatch.schemas.controls import Control


class World:
    """What the dialog acts upon, and what it did there."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []
        self.runs = 3
        self.store_error: str | None = None
        self.away = False
        self.session: Session | None = Session(Role.operator, "ann (console)")

    # -- as the commander has it
    async def give(self, scope: str, mode: Any, why: str, by: str, expires_ms: int | None) -> Control:
        if self.away:
            raise ControlError("The command did not reach the topic, and binds nobody.")
        self.given.append((scope, mode, why, by, expires_ms))
        return Control("c", scope, mode, 1_000, why, by, expires_ms)

    def trouble(self) -> str | None:
        return "Kafka does not answer." if self.away else None

    # -- as what everybody looks at has it
    async def ask(self, key: Any, every_s: float, question: Any) -> Answer[int]:
        return Answer(None if self.store_error else self.runs, 0, self.store_error)

    def may(self, request: Any, needed: Role) -> bool:
        return self.session is not None and self.session.role.covers(needed)

    @property
    def context(self) -> Any:
        access = SimpleNamespace(session=lambda request: self.session, may=self.may)
        return SimpleNamespace(commander=self, live=self, access=access)


def played(
    world: World, play: Callable[[User], Awaitable[None]], scope: str = "agent:shop", mode: Any = "stop"
) -> None:
    """Plays at a page with one button, `Act`."""

    def root() -> None:
        assert world.session is not None
        page = Page(SimpleNamespace(cookies={}), ZoneInfo("UTC"), world.session)  # type: ignore[arg-type]
        command_button(world.context, page, scope, "Act", mode)

    async def simulate() -> None:
        async with user_simulation(root) as user:
            await user.open("/")
            await play(user)

    asyncio.run(simulate())


async def settled(user: User, text: str) -> None:
    await user.should_see(text, retries=20)


def typed(user: User, text: str) -> None:
    user.find(kind=ui.input).type(text)


def test_it_says_what_it_does_and_how_many_it_touches_and_acts_after_two_steps() -> None:
    world = World()

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "Every run of shop is refused its next call, and ends.")
        await settled(user, "It touches 3 runs now.")
        typed(user, "  it loops ")
        user.find("Continue").click()
        await settled(user, "Why: it loops")
        assert [] == world.given
        await settled(user, "Stop 3 runs")
        user.find("Stop 3 runs").click()
        await settled(user, "Sent at")

    before_ms = int(time.time() * 1000)
    played(world, play)
    ((scope, mode, why, by, expires_ms),) = world.given
    assert ("agent:shop", "stop", "it loops", "ann (console)") == (scope, mode, why, by)
    assert before_ms + HOUR_MS <= expires_ms <= int(time.time() * 1000) + HOUR_MS


def test_without_a_reason_nothing_happens() -> None:
    world = World()

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "It touches")
        typed(user, "   ")
        user.find("Continue").click()
        await settled(user, "Say why")

    played(world, play)
    assert [] == world.given


def test_enter_in_the_reason_goes_on_to_the_question_and_no_further() -> None:
    world = World()

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "It touches")
        typed(user, "it loops")
        user.find(kind=ui.input).trigger("keydown.enter")
        await settled(user, "Why: it loops")

    played(world, play)
    assert [] == world.given


def test_an_allowance_takes_one_step_and_holds_until_something_else_is_said() -> None:
    world = World()

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "Every run of shop is allowed to go on")
        typed(user, "mended")
        user.find("Allow").click()
        await settled(user, "It holds until something else is said.")

    played(world, play, mode="allow")
    assert [("agent:shop", "allow", "mended", "ann (console)", None)] == world.given


def test_a_role_that_was_taken_back_meanwhile_acts_no_more() -> None:
    world = World()

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "It touches")
        typed(user, "it loops")
        user.find("Continue").click()
        await settled(user, "Why: it loops")
        world.session = Session(Role.viewer, "ann (console)")
        user.find("Stop 3 runs").click()
        await settled(user, "You may not do this.")

    played(world, play)
    assert [] == world.given


def test_a_session_that_ended_meanwhile_acts_no_more() -> None:
    world = World()

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        typed(user, "it loops")
        world.session = None
        user.find("Approve").click()
        await settled(user, "You may not do this.")

    played(world, play, "approval:5d", "allow")
    assert [] == world.given


def test_a_broker_that_is_away_binds_nobody() -> None:
    world = World()
    world.away = True

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "Kafka does not answer.")
        await settled(user, "It touches")
        typed(user, "it loops")
        user.find("Continue").click()
        await settled(user, "Stop 3 runs")
        user.find("Stop 3 runs").click()
        await settled(user, "Nobody is bound by it.")

    played(world, play)
    assert [] == world.given


def test_a_store_that_is_away_does_not_keep_anybody_from_stopping() -> None:
    world = World()
    world.store_error = "ClickHouse does not answer."

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "how many runs it touches is not known")
        typed(user, "it loops")
        user.find("Continue").click()
        await settled(user, "Why: it loops")
        user.find(marker=None, content="Stop", kind=ui.button).click()
        await settled(user, "Sent at")

    played(world, play)
    assert ["it loops"] == [given[2] for given in world.given]


def test_viewers_see_why_they_cannot() -> None:
    world = World()
    world.session = Session(Role.viewer, "vic (console)")

    async def play(user: User) -> None:
        (button,) = user.find("Act").elements
        assert button.props.get("disable")
        await user.should_see(VIEWERS)
        user.find("Act").trigger("click.stop")
        await user.should_not_see("It touches")

    played(world, play)


def test_names_are_text() -> None:
    world = World()
    name = "<b>x</b>\u202e" + "A" * 900

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, "Agent <b>x</b>⟨U+202E⟩AAA")

    played(world, play, f"agent:{name}")


def test_how_long_a_command_may_hold() -> None:
    assert ["15 minutes", "1 hour", "24 hours", "until allowed"] == list(LASTING.values())


@pytest.mark.parametrize(("runs", "expected"), [(0, "It touches no run now"), (1, "It touches 1 run now.")])
def test_the_count_is_said_in_words(runs: int, expected: str) -> None:
    world = World()
    world.runs = runs

    async def play(user: User) -> None:
        user.find("Act").trigger("click.stop")
        await settled(user, expected)

    played(world, play)
