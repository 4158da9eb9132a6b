"""The fleet: agents at their tasks in virtual time, at a multiple of real time or as fast as events go out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ...schemas.canonical import sha
from ...schemas.ids import derived_id
from ..clock import Clock
from ..watch import Watch
from .behaviour import Worker
from .schedule import Schedule, nap
from .settings import FleetSettings, Profile

ROOM = 0.5
"""The part of the SDK's queue that is left free: a fleet that has time waits instead of losing events."""
TELL_EVERY = 500
"""Wake-ups between two looks at progress and room."""

Connect = Callable[[Clock], Watch]


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """How far a fleet has come."""

    now_ms: int
    """Its time."""
    runs: int
    """Runs begun."""
    sent: int
    """Events sent."""


class Fleet:
    """Simulated agents. The same settings and start give the same runs, but for event ids.

    A context manager: leaving it closes it.
    """

    def __init__(self, settings: FleetSettings, start_ms: int, connect: Connect) -> None:
        """Virtual time begins at `start_ms`. `connect` makes the SDK's connection, with the clock that it is given:
        `lambda clock: runwatch.connect("fleet", kafka=..., clock=clock)`; the agents' own names stand in their events.
        """
        self._settings = settings
        self._start_ms = start_ms
        self._schedule = Schedule(start_ms)
        self._watch = connect(self._schedule)
        self._onset_ms: int | None = None
        self._runs = 0
        self._open_runs = 0
        self._is_closing = False
        shares = [profile.share for profile in settings.profiles]
        for index in range(settings.agents):
            self._schedule.start(self._agent(index, _nth(settings.profiles, shares, index, settings.agents)))

    @property
    def progress(self) -> FleetProgress:
        """How far it has come."""
        return FleetProgress(self._schedule.now_ms(), self._runs, self._watch.stats()["sent"])

    @property
    def stats(self) -> dict[str, int]:
        """See `Watch.stats`."""
        return self._watch.stats()

    def run(
        self,
        until_ms: int,
        *,
        speed: float | None = None,
        onset_ms: int | None = None,
        on_progress: Callable[[FleetProgress], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> FleetProgress:
        """Lives on until `until_ms` of virtual time; may be called again, to live on from there.

        `speed` is a multiple of real time; None is as fast as events go out. Runs that begin at `onset_ms`
        or later meet the incident. `stop` is asked now and then, and ends this early when it says so.
        """
        if onset_ms is not None:
            self._onset_ms = onset_ms
        pace = _Pace(self._schedule.now_ms(), speed)
        count = 0
        while (next_ms := self._schedule.next_ms) is not None and next_ms < until_ms:
            pace.wait_for(next_ms)
            self._schedule.step()
            count += 1
            if count % TELL_EVERY == 0:
                self._make_room()
                if on_progress:
                    on_progress(self.progress)
                if stop and stop():
                    break
        if on_progress:
            on_progress(self.progress)
        return self.progress

    def close(self, timeout: float = 30.0) -> bool:
        """Lets the runs under way come to their end, begins no more, and delivers all; False where it could not."""
        self._is_closing = True
        while self._open_runs and self._schedule.next_ms is not None:
            self._schedule.step()
            self._make_room()
        self._schedule.close()
        return self._watch.close(timeout)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _agent(self, index: int, profile: Profile) -> None:
        settings = self._settings
        rng = Random(f"{settings.seed}/{index}")
        watch = self._watch.agent(profile.agent, profile.version, profile.model)
        prompt_sha, tools_sha = sha(f"{profile.agent} {profile.version}"), sha([name for name, _, _ in profile.tools])
        await nap(rng.uniform(0.0, settings.pause_s))
        while not self._is_closing:
            self._runs += 1
            self._open_runs += 1
            has_begun = self._onset_ms is not None and self._schedule.now_ms() >= self._onset_ms
            run_id = derived_id("simulated", settings.seed, self._start_ms, index, self._runs)
            async with watch.run(run_id, prompt_sha=prompt_sha, tools_sha=tools_sha) as run:
                await Worker(run, profile, rng, settings.incident if has_begun else None).work()
            self._open_runs -= 1
            await nap(rng.expovariate(1.0 / settings.pause_s))

    def _make_room(self) -> None:
        while self._watch.room() < ROOM:
            time.sleep(0.005)


class _Pace:
    """Holds virtual time to a multiple of real time."""

    def __init__(self, start_ms: int, speed: float | None) -> None:
        self._start_ms = start_ms
        self._speed = speed
        self._began = time.monotonic()

    def wait_for(self, at_ms: float) -> None:
        if self._speed is None:
            return
        left = (at_ms - self._start_ms) / 1000 / self._speed - (time.monotonic() - self._began)
        if left > 0:
            time.sleep(left)


def _nth(profiles: tuple[Profile, ...], shares: list[float], index: int, count: int) -> Profile:
    """The profile of the `index`-th of `count` agents: each profile gets its share of them, in a row."""
    place = (index + 0.5) / count * sum(shares)
    for profile, share in zip(profiles, shares, strict=True):
        place -= share
        if place < 0:
            return profile
    return profiles[-1]
