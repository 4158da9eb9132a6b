"""A block into ClickHouse; where ClickHouse refuses it, message by message what it is that is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..clickhouse import StoreError, StoreRefused, told
from ..config import Settings
from ..schemas.container import pack
from ..schemas.scan import doubtful
from ..schemas.wire import WireError, decode_body, split
from .batch import Bad, Block
from .ddl import quoted
from .routes import Route

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

LEAST_FREE_BYTES = 512 << 20
"""Room on ClickHouse's disk below which nothing is inserted. A merge that runs out of room in its midst leaves a part
that cannot be read (seen with 26.9), and what was merged into it is gone minutes later; so the last of the room is left
to merges that are under way. In Kafka events are safe meanwhile."""

INSERT_SETTINGS = {
    # Messages of an older schema lack the newer columns: these take their defaults.
    "input_format_avro_allow_missing_fields": 1,
    # Answer when the rows are stored, not when they are in a buffer.
    "async_insert": 0,
    # Leaves duplicates within a block to the merges, which saves a third of the insert's time.
    "optimize_on_insert": 0,
    # On a cluster: the same as `async_insert`, for the shards.
    "distributed_foreground_insert": 1,
    "min_free_disk_bytes_to_perform_insert": LEAST_FREE_BYTES,
}

MOST_REFUSED = 100
"""Messages of one block that decode well and that ClickHouse refuses all the same. Beyond this it is not they
that are wrong but the table or the schema, and draining a topic into the dead letters would help nobody."""

REFUSED = "refused"


class Landing(Protocol):
    """Where containers go; ClickHouse, or a test's stand-in."""

    def insert(self, table: str, container: bytes) -> None:
        """All or nothing. Raises `StoreRefused` where the data is at fault, else another `StoreError`."""


class ClickHouseLanding:
    """The `Null` tables of the database in `settings`."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client

    def insert(self, table: str, container: bytes) -> None:
        with told(self._settings):
            self._client.raw_insert(
                f"{quoted(self._settings.database)}.{table}",
                insert_block=container,
                fmt="Avro",
                settings=INSERT_SETTINGS,
            )


@dataclass
class Outcome:
    """What became of a block."""

    stored: int = 0
    bad: list[Bad] = field(default_factory=list)


def insert_block(landing: Landing, route: Route, block: Block, *, sift_first: bool = False) -> Outcome:
    """Stores a block and tells which of its messages cannot be. Raises `StoreError` where none of it was judged.

    One bad message makes ClickHouse refuse the whole block, so of a refused one whatever is doubtful is decoded here
    message by message; what decodes is sent again. `sift_first` does without the first try: where the block before
    had bad messages, this one is likely to, and ClickHouse would read half of it for nothing.
    """

    def insert(bodies: list[bytes], *, whole: bool = True) -> None:
        landing.insert(route.landing, pack(bodies, block.schema, route.lead, whole=whole))

    if not sift_first or route.letters:
        try:
            # A dead letter's body was made here: it needs no judging, and may hold anything.
            insert(block.bodies, whole=route.letters)
            return Outcome(len(block.bodies))
        except (StoreRefused, WireError):
            pass
    good, bad = (block, []) if route.letters else sift(block)
    outcome = Outcome(bad=list(bad))
    if good.bodies:
        _insert_by_halves(insert, good, outcome)
    return outcome


def sift(block: Block) -> tuple[Block, list[Bad]]:
    """A block's messages that decode, and those that do not."""
    good = Block(block.schema)
    bad: list[Bad] = []
    bodies = [split(message.value())[1] for message in block.messages]
    unsure = doubtful(bodies, block.schema)
    doubts: list[bool] = [True] * len(bodies) if unsure is None else unsure.tolist()
    for lead_body, message, body, is_doubtful in zip(block.bodies, block.messages, bodies, doubts, strict=True):
        if is_doubtful:
            try:
                decode_body(body, block.schema)
            except WireError as error:
                bad.append(Bad(message, error.reason, str(error)))
                continue
        good.bodies.append(lead_body)
        good.messages.append(message)
    return good, bad


def _insert_by_halves(insert: Callable[[list[bytes]], None], block: Block, outcome: Outcome) -> None:
    """Inserts what decodes; where that too is refused, finds by halving which message it is."""
    waiting = [(0, len(block.bodies))]
    while waiting:
        first, end = waiting.pop()
        try:
            insert(block.bodies[first:end])
            outcome.stored += end - first
        except StoreRefused as error:
            if end - first > 1:
                middle = (first + end) // 2
                # The earlier half is taken off first: offsets go in in order.
                waiting += [(middle, end), (first, middle)]
                continue
            refused = sum(1 for bad in outcome.bad if bad.reason == REFUSED)
            if refused >= MOST_REFUSED:
                raise StoreError(
                    f"ClickHouse refuses one {block.schema.name} after another though they decode ({error}); "
                    "does the table fit the schema? Nothing is committed until it does",
                    getattr(error, "code", None),
                ) from error
            outcome.bad.append(Bad(block.messages[first], REFUSED, str(error)))
