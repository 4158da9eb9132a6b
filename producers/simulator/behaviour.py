"""How a simulated agent works: one run, as a coroutine in virtual time, through the real SDK."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from ...schemas import reasons
from ..run import Run
from .schedule import nap
from .settings import Incident, Profile

HEALTHY_RETRIES = 2
HEALTHY_FAILING = 0.02
"""The chance that a try of any tool fails on a good day."""
SUCCESS = 0.92
STUCK_SUCCESS = 0.7
MOST_STEPS = 40
"""Logical calls after which an agent gives up."""
MODEL_S = 0.143
"""Median duration of a model call, in seconds."""
RESULT_TOKENS = (40, 160)
"""The fewest and the most that a tool's answer adds to what the model reads from then on."""
EMPTY_TOKENS = (2, 8)
"""The same of an answer without content."""


class HTTPStatusError(Exception):
    """What a web client raises for an answer of 400 or above."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


class ToolTimeout(TimeoutError):
    """What a tool's client raises when no answer comes."""


class Worker:
    """One agent at one task."""

    def __init__(self, run: Run, profile: Profile, rng: Random, incident: Incident | None) -> None:
        """`incident` if there is one now that the agent meets: it is about one of its tools."""
        self._run = run
        self._profile = profile
        self._rng = rng
        self._incident = incident
        self._names = [name for name, _, _ in profile.tools]
        self._weights = [weight for _, weight, _ in profile.tools]
        self._medians = {name: median for name, _, median in profile.tools}
        self._context_tokens = rng.randint(900, 1_500)
        self._calls = 0
        self._logged_at = [time.monotonic()]

    @property
    def logged_at(self) -> tuple[float, ...]:
        """When each event of the run was logged, by `seq`: the machine's own clock, in seconds, of no date."""
        return tuple(self._logged_at)

    async def work(self) -> None:
        """The whole run, its stop included. Raises `RunStopped` where the guard ends it."""
        rng, incident = self._rng, self._incident
        left = 1 + sum(rng.random() < 0.4 for _ in range(8))
        stuck_at = rng.randint(1, left) if incident and rng.random() < incident.stuck else 0
        done = 0
        while done < left and done < MOST_STEPS:
            done += 1
            await self._think()
            tool = rng.choices(self._names, self._weights)[0]
            tries = await self._use(tool, self._new_args(tool))
            if incident and tries > 1 and rng.random() < incident.looks_elsewhere:
                left += 1
            if incident and done == stuck_at:
                await self._repeat_oneself(incident)
        await self._think()
        good = SUCCESS if not stuck_at else STUCK_SUCCESS
        if rng.random() < good:
            self._run.stop(reasons.SUCCESS, outcome=1.0)
        else:
            others = (reasons.TOOL_ERROR, reasons.MODEL_ERROR, reasons.TOOL_TIMEOUT, "gave_up")
            self._run.stop(reasons.MAX_STEPS if stuck_at else rng.choice(others), outcome=0.0)

    async def _use(self, tool: str, args: dict[str, Any]) -> int:
        """One logical call with its retries; returns how many tries it took."""
        incident = self._incident if self._incident and self._incident.tool == tool else None
        retries = incident.retries if incident else HEALTHY_RETRIES
        attempt = 1
        while not await self._try(tool, args, attempt, incident) and attempt <= retries:
            attempt += 1
            # Without jitter all clients come back at once, which keeps the server down.
            await nap(incident.wait_s if incident else self._rng.uniform(0.05, 0.15))
            if incident and self._rng.random() < incident.asks_again:
                await self._think()
        return attempt

    async def _try(self, tool: str, args: dict[str, Any], attempt: int, incident: Incident | None) -> bool:
        rng = self._rng
        fails = rng.random() < (incident.failing if incident else HEALTHY_FAILING)

        async def call(**_: Any) -> dict[str, Any]:
            await nap(self._medians[tool] * rng.lognormvariate(0.0, 0.5))
            if not fails:
                return {"status_code": 200, "body": f"{rng.getrandbits(64):x}"}
            if incident:
                raise HTTPStatusError(rng.choice((429, 429, 503)))
            raise rng.choice((ToolTimeout(), HTTPStatusError(500), ValueError("no such thing")))

        try:
            await self._run.call_tool(tool, args, call, attempt=attempt)
        except (HTTPStatusError, ToolTimeout, ValueError):
            self._note()
            return False
        self._note()
        return True

    async def _repeat_oneself(self, incident: Incident) -> None:
        """What a confused model does: the same few calls with the same results, over and over."""
        rng = self._rng
        is_lost = rng.random() < incident.endless
        times = rng.randint(*incident.endless_calls) if is_lost else rng.randint(12, 24)
        slower = incident.dithers if is_lost else 1.0
        period = rng.choice((1, 1, 1, 2, 2, 3))
        calls = [(tool, self._new_args(tool)) for tool in rng.choices(self._names, self._weights, k=period)]

        async def call(**_: Any) -> list[str]:
            await nap(0.08)
            return []

        for _ in range(times // period + 1):
            for tool, args in calls:
                await self._think(EMPTY_TOKENS, slower)
                await self._run.call_tool(tool, args, call, attempt=1)
                self._note()

    async def _think(self, result_tokens: tuple[int, int] = RESULT_TOKENS, slower: float = 1.0) -> None:
        """One model call, over all that was said so far."""
        rng, profile = self._rng, self._profile
        seconds = slower * MODEL_S * rng.lognormvariate(0.0, 0.5)
        read, written = self._context_tokens, rng.randint(20, 90)
        self._context_tokens += written + rng.randint(*result_tokens)

        async def answer() -> None:
            await nap(seconds)

        # `model_call` gives what the function gives: something to wait for.
        await self._run.model_call(  # type: ignore[misc]
            answer,
            input_tokens=read,
            output_tokens=written,
            cost_usd=round(read * profile.usd_per_input_token + written * profile.usd_per_output_token, 6),
        )
        self._note()

    def _note(self) -> None:
        self._logged_at.append(time.monotonic())

    def _new_args(self, tool: str) -> dict[str, Any]:
        """Arguments that no other call of this run has."""
        self._calls += 1
        return {"q": f"{tool}/{self._calls}", "id": self._rng.getrandbits(32)}
