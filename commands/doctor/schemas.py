"""Whether what stands in the topics can be read, and whether what is written can be read by others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ...config import Settings
from ...schemas.avro import load
from ...schemas.registry import TOPIC_SCHEMAS, Registry, RegistryError, open_registry
from ...schemas.wire import WireError, split
from .finding import Finding, away, error, ok
from .kafka import Tail

CHECK = "schemas"


def look(settings: Settings, tails: Iterable[Tail]) -> Iterator[Finding]:
    """Findings on the registry, and on the schema that the last message of each partition was written with."""
    registry = open_registry(settings.registry)
    if settings.registry:
        yield from _registered(settings, registry)
    yield from _readable(settings, registry, tails)


def _registered(settings: Settings, registry: Registry) -> Iterator[Finding]:
    where = "the schema registry"
    lacking = []
    for topic, name in TOPIC_SCHEMAS.items():
        try:
            registry.id_of(load(name), settings.topic(topic))
        except RegistryError as failed:
            if failed.__cause__ is not None and getattr(failed.__cause__, "http_status_code", None) != 404:
                yield away(
                    CHECK, where, str(failed), "see whether it is up, and whether RUNWATCH_REGISTRY is its address"
                )
                return
            lacking.append(f"{settings.topic(topic)}-value")
    if lacking:
        yield error(
            CHECK,
            where,
            f"lacks this version's schema under {', '.join(lacking)}: nothing can be written to these topics",
            "register schemas/*.avsc of this version there; it fits what is registered already",
        )
    else:
        yield ok(CHECK, where, f"has this version's schemas under all {len(TOPIC_SCHEMAS)} subjects")


def _readable(settings: Settings, registry: Registry, tails: Iterable[Tail]) -> Iterator[Finding]:
    read = 0
    wrong: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for tail in tails:
        wanted = TOPIC_SCHEMAS.get(tail.topic)
        if wanted is None or tail.value is None:
            continue
        try:
            found = registry.schema_of(split(tail.value)[0])
            if found.raw.get("name") != load(wanted).raw["name"]:
                raise WireError("schema", f"a {found.raw.get('name')} stands where a {load(wanted).raw['name']} should")
            read += 1
        except WireError as failed:
            wrong[tail.topic, str(failed)].append(tail.partition)
        except RegistryError:
            return  # which is told
    for (topic, why), partitions in wrong.items():
        yield error(
            CHECK,
            f"{settings.topic(topic)}, partition {', '.join(map(str, partitions))}",
            f"the last message cannot be read: {why}",
            "upgrade what reads before what writes; the sink keeps such messages in the dead letters,"
            " and `runwatch deadletter retry` sends them again",
        )
    if not wrong:
        yield ok(CHECK, "topics", f"the last messages of {read} partitions can be read")
