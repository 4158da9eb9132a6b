"""How often someone may be wrong: by address, and all addresses together."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

BURST: Final = 5
EVERY_S: Final = 12.0
"""An address may fail five times, and then once in twelve seconds."""
BURST_OF_ALL: Final = 100
EVERY_S_OF_ALL: Final = 0.6
KEPT: Final = 4_096
"""Addresses that are remembered; those that failed the longest ago are forgotten first."""


class Attempts:
    """Counts failures, not successes: who has a token is never slowed down by using it.

    A success takes nothing off the count, or else who has a viewer's token could guess at an operator's without end.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # For each, when it will be as if it had never failed. More than that needs no memory.
        self._clear_at: OrderedDict[str, float] = OrderedDict()
        self._all_clear_at = float("-inf")

    def wait_s(self, address: str) -> float:
        """For how long this address may not try; 0 where it may."""
        now = self._clock()
        own = self._clear_at.get(_neighbourhood(address), float("-inf")) - now - (BURST - 1) * EVERY_S
        every = self._all_clear_at - now - (BURST_OF_ALL - 1) * EVERY_S_OF_ALL
        return max(0.0, own, every)

    def failed(self, address: str) -> None:
        """It was wrong. Not to be called for what was refused because of `wait_s`."""
        now = self._clock()
        key = _neighbourhood(address)
        self._clear_at[key] = max(self._clear_at.get(key, now), now) + EVERY_S
        self._clear_at.move_to_end(key)
        while len(self._clear_at) > KEPT:
            self._clear_at.popitem(last=False)
        self._all_clear_at = max(self._all_clear_at, now) + EVERY_S_OF_ALL


def _neighbourhood(address: str) -> str:
    """The address; of IPv6 the network, since whoever has one has 2^64 addresses in it."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)
