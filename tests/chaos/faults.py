"""The harm that is done: each fault begins, holds for a while, and ends; what recovers, recovers by itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

from runwatch.sinks.insert import LEAST_FREE_BYTES

from .plant import Plant
from .ward import Ward

Act = Callable[[Plant, Random], AbstractContextManager[str]]
"""Does it on entry and undoes it on exit; gives what was hit."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    what: str
    """For people."""
    hold_s: tuple[float, float]
    """How long it lasts, at least and at most."""
    act: Act
    times: int = 2
    """How often it comes in a full suite."""
    can: Callable[[Plant], bool] = lambda _: True
    """Whether it can be done on this machine."""


def _kill(some: Callable[[Plant], Sequence[Ward]]) -> Act:
    @contextmanager
    def act(plant: Plant, random: Random) -> Iterator[str]:
        ward = random.choice(some(plant))
        ward.kill()
        yield ward.name

    return act


def _freeze(some: Callable[[Plant], Sequence[Ward]]) -> Act:
    @contextmanager
    def act(plant: Plant, random: Random) -> Iterator[str]:
        ward = random.choice(some(plant))
        ward.freeze()
        try:
            yield ward.name
        finally:
            ward.thaw()

    return act


def _away(some: Callable[[Plant], Sequence[Ward]], how_many: int = 1) -> Act:
    @contextmanager
    def act(plant: Plant, random: Random) -> Iterator[str]:
        wards = random.sample(list(some(plant)), how_many)
        for ward in wards:
            ward.hold()
            ward.kill()
        try:
            yield ", ".join(ward.name for ward in wards)
        finally:
            for ward in wards:
                ward.start()

    return act


@contextmanager
def _all_at_once(plant: Plant, _: Random) -> Iterator[str]:
    for ward in (*plant.workers, *plant.sinks, plant.clickhouse, *plant.agents):
        ward.kill()
    yield "workers, sinks, ClickHouse and agents"


@contextmanager
def _storm(plant: Plant, random: Random) -> Iterator[str]:
    """Newcomers join both groups and leave again, in order and not."""
    guests = [plant.part(command, number) for number in (8, 9) for command in ("process", "sink")]
    try:
        for _ in range(2):
            for guest in guests:
                guest.start()
                time.sleep(random.uniform(0.5, 2.5))
            for guest in random.sample(guests, len(guests)):
                guest.hold()
                if random.random() < 0.5:
                    guest.kill()
                else:
                    guest.stop()
        yield "two more workers and sinks, twice"
    finally:
        for guest in guests:
            guest.close()


def _wire(state: str) -> Act:
    @contextmanager
    def act(plant: Plant, _: Random) -> Iterator[str]:
        plant.bad_wire(state)
        try:
            yield "the way to ClickHouse"
        finally:
            plant.bad_wire("pass")

    return act


def _full(name: str, leave_mb: int = 0) -> Act:
    @contextmanager
    def act(plant: Plant, _: Random) -> Iterator[str]:
        volume = plant.volumes[name]
        volume.fill(leave_mb)
        try:
            yield f"the disk of {name}"
        finally:
            volume.clear()

    return act


@contextmanager
def _full_spool(plant: Plant, random: Random) -> Iterator[str]:
    """The agents' disk is full while the brokers are away: the spool is needed, and there is no room for it."""
    plant.volumes["spool"].fill()
    try:
        with _away(lambda plant: plant.brokers, 2)(plant, random):
            yield "the agents' disk, and two brokers"
    finally:
        plant.volumes["spool"].clear()


@contextmanager
def _busy_disk(plant: Plant, _: Random) -> Iterator[str]:
    """Two others write to the disk as fast as it takes it, and have each piece written through."""
    files = [plant.folder / f"busy-{n}" for n in (1, 2)]
    command = ["dd", "if=/dev/zero", "bs=1M", "count=100000", "oflag=dsync", "status=none"]
    writers = [subprocess.Popen([*command, f"of={file}"], stderr=subprocess.DEVNULL) for file in files]
    try:
        yield "the disk of two brokers"
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
        for file in files:
            file.unlink(missing_ok=True)


@contextmanager
def _jump(plant: Plant, random: Random) -> Iterator[str]:
    """The agents' clocks jump, and jump back."""
    offset = random.choice((-7_200, -90, 90, 3_600))
    plant.clock(offset)
    try:
        yield f"the agents' clocks, by {offset} s"
    finally:
        plant.clock(0)


def _own(name: str) -> Callable[[Plant], bool]:
    return lambda plant: plant.volumes[name].is_own


LEFT_MB = (LEAST_FREE_BYTES >> 20) - 64
"""Less than the sinks ask for. To the last byte, merges that are under way would break: see `LEAST_FREE_BYTES`."""


def _clickhouse(plant: Plant) -> list[Ward]:
    return [plant.clickhouse]


ALL = (
    Fault("worker killed", "kill -9 of a worker", (1, 2), _kill(lambda plant: plant.workers), 3),
    Fault("worker frozen", "SIGSTOP of a worker, beyond its session", (14, 20), _freeze(lambda plant: plant.workers)),
    Fault("sink killed", "kill -9 of a sink", (1, 2), _kill(lambda plant: plant.sinks), 3),
    Fault("sink frozen", "SIGSTOP of a sink, beyond its session", (14, 20), _freeze(lambda plant: plant.sinks)),
    Fault("broker killed", "kill -9 of one of three brokers", (1, 2), _kill(lambda plant: plant.brokers)),
    Fault("broker frozen", "SIGSTOP of a broker", (5, 15), _freeze(lambda plant: plant.brokers)),
    Fault("broker away", "a broker killed and away for a minute", (60, 60), _away(lambda plant: plant.brokers), 1),
    Fault("two brokers away", "no quorum, no writes", (20, 20), _away(lambda plant: plant.brokers, 2), 1),
    Fault("ClickHouse killed", "kill -9 of ClickHouse", (1, 2), _kill(_clickhouse)),
    Fault("ClickHouse frozen", "SIGSTOP of ClickHouse", (5, 15), _freeze(_clickhouse)),
    Fault("ClickHouse away", "ClickHouse killed and away for two minutes", (120, 120), _away(_clickhouse), 1),
    Fault("agent killed", "kill -9 of an agent", (1, 3), _kill(lambda plant: plant.agents), 4),
    Fault("agent frozen", "SIGSTOP of an agent", (3, 8), _freeze(lambda plant: plant.agents)),
    Fault("rebalance storm", "newcomers join and leave both groups", (1, 1), _storm),
    Fault("all killed", "kill -9 of workers, sinks, ClickHouse, agents at once", (1, 2), _all_at_once),
    Fault("slow network", "50 ms a 64 KiB to ClickHouse", (15, 20), _wire("slow")),
    Fault("cut network", "connections to ClickHouse broken off", (5, 10), _wire("cut")),
    Fault("ClickHouse's disk full", "too little room", (10, 15), _full("clickhouse", LEFT_MB), 2, _own("clickhouse")),
    Fault("broker's disk full", "no byte free", (10, 15), _full("kafka-3"), 1, _own("kafka-3")),
    Fault("agents' disk full", "no room to spool, and no broker", (10, 15), _full_spool, 2, _own("spool")),
    Fault("disk busy", "two writers that sync each MiB", (15, 20), _busy_disk, 1),
    Fault("clock jump", "agents' clocks by minutes to hours", (5, 10), _jump),
)  # fmt: skip

SHORT = {
    "worker killed": (1.0, 1.0),
    "worker frozen": (12.0, 12.0),
    "sink killed": (1.0, 1.0),
    "sink frozen": (12.0, 12.0),
    "broker killed": (1.0, 1.0),
    "ClickHouse killed": (1.0, 1.0),
    "ClickHouse away": (12.0, 12.0),
    "agent killed": (1.0, 1.0),
    "all killed": (1.0, 1.0),
    "cut network": (3.0, 3.0),
    "clock jump": (3.0, 3.0),
}
"""What the short form does, once each, and for how long."""


def schedule(
    random: Random, *, short: bool, only: Sequence[str] = (), most: int | None = None
) -> list[tuple[Fault, float]]:
    """Which faults, in which order, for how many seconds; each `most` times at the most."""
    chosen = [
        (fault, random.uniform(*(SHORT[fault.name] if short else fault.hold_s)))
        for fault in ALL
        if (not only or fault.name in only) and (not short or fault.name in SHORT)
        for _ in range(1 if short else min(fault.times, most or fault.times))
    ]
    random.shuffle(chosen)
    return chosen
