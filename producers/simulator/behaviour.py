"""How a simulated agent works: one run, as a coroutine in virtual time, through the real SDK."""

from __future__ import annotations

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
        """`incident` if there is one now."""
        self._run = run
        self._profile = profile
        self._rng = rng
        uses = incident is not None and any(name == incident.tool for name, _, _ in profile.tools)
        self._incident = incident if uses else None
        self._names = [name for name, _, _ in profile.tools]
        self._weights = [weight for _, weight, _ in profile.tools]
        self._medians = {name: median for name, _, median in profile.tools}
        self._context_tokens = rng.randint(900, 1_500)
        self._calls = 0

    async def work(self) -> None:
        """The whole run, its stop included."""
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
            if done == stuck_at:
                await self._repeat_oneself()
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
            return False
        return True

    async def _repeat_oneself(self) -> None:
        """What a confused model does: the same few calls with the same results, over and over."""
        rng = self._rng
        period = rng.choice((1, 1, 1, 2, 2, 3))
        calls = [(tool, self._new_args(tool)) for tool in rng.choices(self._names, self._weights, k=period)]

        async def call(**_: Any) -> list[str]:
            await nap(0.08)
            return []

        for _ in range(rng.randint(12, 24) // period + 1):
            for tool, args in calls:
                await self._think()
                await self._run.call_tool(tool, args, call, attempt=1)

    async def _think(self) -> None:
        """One model call, over all that was said so far."""
        rng, profile = self._rng, self._profile
        seconds = MODEL_S * rng.lognormvariate(0.0, 0.5)
        await nap(seconds)
        read, written = self._context_tokens, rng.randint(20, 90)
        self._context_tokens += written + rng.randint(40, 160)
        self._run.model_call(
            input_tokens=read,
            output_tokens=written,
            cost_usd=round(read * profile.usd_per_input_token + written * profile.usd_per_output_token, 6),
            duration_ms=seconds * 1000,
        )

    def _new_args(self, tool: str) -> dict[str, Any]:
        """Arguments that no other call of this run has."""
        self._calls += 1
        return {"q": f"{tool}/{self._calls}", "id": self._rng.getrandbits(32)}
