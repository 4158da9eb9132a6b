"""A suite: the plant comes up, faults come and go, everything is given time, and the account is drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from . import ledger, verify
from .faults import Fault, schedule
from .plant import LoadProcess, Plant
from .report import Hit, Report
from .settle import unread
from .verify import Check, Store
from .watch import GROUPS, Watch, late_s, recovered_s

WARM_UP_S = 8.0
CALM_S = 25.0
"""How long recovery from a fault is waited for until the next one comes all the same."""
SETTLE_S = 300.0

Say = Callable[[str], None]
_Went = tuple[Hit, float, float]
"""A fault, and when it began and ended."""


@dataclass(frozen=True)
class Options:
    """What kind of suite."""

    seed: int
    rate: int
    seconds: float
    """The load runs for at least so long; longer where the faults take longer."""
    short: bool = False
    only: Sequence[str] = ()
    most: int | None = None
    """No fault comes more often."""


def run(options: Options, folder: Path, say: Say) -> Report:
    """Runs one; whatever happens, nothing is left running."""
    report = Report(options.seed, options.rate)
    plant = Plant(folder, options.seed, options.rate, say)
    watch = None
    try:
        plant.up()
        watch = Watch(plant.settings, lambda: {ward.name: ward.rss_mb() for ward in plant.wards})
        plant.begin(3_600.0)
        load = plant.load
        assert load is not None
        hits = _disturb(options, plant, load, watch, report, say)
        _account(plant, load, watch, hits, report, say)
        _recoveries(options, hits, load, watch, report)
    finally:
        plant.down()
        if watch is not None:
            watch.close()
    return report


@dataclass(frozen=True)
class _Scene:
    """What faults come to."""

    options: Options
    plant: Plant
    watch: Watch
    random: Random
    say: Say
    began: float
    proven: dict[int, int] = field(default_factory=dict)
    """Up to which offset of each partition everything is known to be stored."""


def _disturb(options: Options, plant: Plant, load: LoadProcess, watch: Watch, report: Report, say: Say) -> list[_Went]:
    random, began = Random(options.seed), time.time()
    scene = _Scene(options, plant, watch, random, say, began)
    _calm(watch, options.rate, SETTLE_S)
    time.sleep(2 if options.short else WARM_UP_S)
    hits = []
    for fault, hold_s in schedule(random, short=options.short, only=options.only, most=options.most):
        if not fault.can(plant):
            if fault.name not in report.left_out:
                report.left_out.append(fault.name)
                say(f"{fault.name}: cannot be done on this machine")
            continue
        hits.append(_hit(scene, fault, hold_s))
    while time.time() - began < options.seconds:
        time.sleep(1)
    report.seconds = time.time() - began
    say("the load ends")
    report.figures |= load.end()
    return hits


def _recoveries(options: Options, hits: list[_Went], load: LoadProcess, watch: Watch, report: Report) -> None:
    """Works out how long each took to recover: only now everything is known that came after it."""
    seen, near = watch.seen, _near(options.rate)
    for number, (hit, at, ended) in enumerate(hits):
        until = hits[number + 1][1] if number + 1 < len(hits) else time.time()
        report.hits.append(
            replace(
                hit,
                sink_s=recovered_s(seen.lags, "sink", at, ended, near),
                worker_s=recovered_s(seen.lags, "processors", at, ended, near),
                loops_s=late_s(load.loops, seen.told, at, until),
            )
        )


def _hit(scene: _Scene, fault: Fault, hold_s: float) -> _Went:
    options, plant, random = scene.options, scene.plant, scene.random
    time.sleep(random.uniform(0.5, 1.5) if options.short else random.uniform(1, 5))
    at = time.time()
    with fault.act(plant, random) as target:
        scene.say(f"{at - scene.began:6.1f} s  {fault.name}: {target}, {hold_s:.0f} s")
        time.sleep(hold_s)
    ended = time.time()
    # What only agents feel needs no waiting for.
    if not fault.name.startswith("agent "):
        _calm(scene.watch, options.rate, CALM_S)
    asked = "ClickHouse" not in fault.name or options.short
    ahead = verify.committed_ahead(plant.checking, scene.proven) if asked else 0
    return Hit(fault.name, target, at - scene.began, hold_s, ahead), at, ended


def _near(rate: int) -> int:
    """So many messages behind is keeping up: what comes in while offsets are committed once a second or two."""
    return 4 * rate


def _calm(watch: Watch, rate: int, patience_s: float) -> None:
    """Waits until both groups keep up."""
    deadline = time.monotonic() + patience_s
    calm_since = None
    while time.monotonic() < deadline:
        behind = [watch.behind(group) for group in ("processors", "sink")]
        if all(one is not None and one <= _near(rate) for one in behind):
            calm_since = calm_since or time.monotonic()
            if time.monotonic() - calm_since > 1.5:
                return
        else:
            calm_since = None
        time.sleep(0.25)


def _account(plant: Plant, load: LoadProcess, watch: Watch, hits: list[_Went], report: Report, say: Say) -> None:
    result = load.result or {}
    say("agents end; the rest is read and stored")
    codes = [agent.stop(90) for agent in plant.agents]
    settings = plant.checking
    # What is read last is written on: the second look is for that.
    left = unread(settings, GROUPS, SETTLE_S) or unread(settings, GROUPS, SETTLE_S)
    # Windows are sent once they are over, and what is open is sent again every few seconds.
    time.sleep(15)
    store = Store(settings)
    sent = ledger.of_load(load.job.traffic, result["sent"])
    noted = ledger.of_agents(plant.ledgers)
    say("checking")
    checks, figures = verify.events(store, sent, noted)
    report.figures |= figures
    report.figures["recovered_wards"] = {ward.name: ward.starts for ward in plant.wards}
    report.figures["memory_mb"] = {
        name: {"median": sorted(size for _, size in sizes)[len(sizes) // 2], "most": max(size for _, size in sizes)}
        for name, sizes in watch.seen.memory.items()
    }
    dead = store.one("SELECT count() FROM {db}.dead_letters")
    stored = store.one("SELECT count() FROM {db}.events")
    twice = verify.twice_in_topic(settings, stored, dead)
    report.figures["twice_in_topic"] = twice
    ahead = max((hit.ahead for hit, _, _ in hits), default=0)
    report.checks += [
        Check("everything sent was taken by the brokers", not result["failed"], f"{result['failed']} failed"),
        Check("the agents ended well", all(code == 0 for code in codes), f"codes {codes}"),
        Check("everything was read in the end", not left, f"after {SETTLE_S:.0f} s unread: {left}" if left else "all"),
        *checks,
        verify.dead_letters(store, result["corrupt"]),
        Check(
            "nothing is committed that is not stored", verify.committed_ahead(settings) <= twice and ahead <= twice,
            f"{verify.committed_ahead(settings)} in the end, {ahead} after a fault; {twice} second copies in the topic",
        ),
        verify.windows(store),
        verify.control(store),
        *verify.anomalies(store, settings, sent),
    ]  # fmt: skip
