"""Frame → columns: the batch's Avro bodies as one container, read by Polars at once.

Of a batch that does not read whole, what `schemas.scan` doubts is read message by message, so that the bad ones can be
told from the good.
Polars is laxer than `decode_body` in two things: to it any index of a nullable field's union but 0 means a value, and
a number beyond its column's 32 bits is cut to them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ..schemas.avro import AvroSchema, load
from ..schemas.container import SENTINEL, WIRE_FIELDS, pack, pack_framed
from ..schemas.events import epoch_ms
from ..schemas.registry import Registry
from ..schemas.scan import judged
from ..schemas.wire import HEADER_BYTES, MAGIC, WireError, decode_body, split
from .frames import Frame

_TYPES: Mapping[str, Any] = {
    "string": pl.String,
    "long": pl.Int64,
    "int": pl.Int32,
    "double": pl.Float64,
    "boolean": pl.Boolean,
}


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A message that could not be read."""

    at: int
    """Its place in the frame."""
    reason: str
    """A word to count by: `magic`, `schema`, `avro`, `short`, `empty`."""
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame's columns, in the frame's order, and what was left out."""

    columns: pl.DataFrame
    """The schema's columns and `_at`, each row's place in the frame."""
    bad: list[BadMessage] = field(default_factory=list)


class FrameDecoder:
    """Decodes frames of one record type. Keeps no state but what the registry told it."""

    def __init__(self, name: str, registry: Registry, columns: Sequence[str] | None = None) -> None:
        """`name`: the schema's file name; `columns`: those wanted, all by default."""
        self._reader = load(name)
        self._registry = registry
        self._columns = tuple(columns or self._reader.field_names)
        fields = [column for column in self._reader.raw["fields"] if column["name"] in self._columns]
        self.schema = {column["name"]: _polars_type(column["type"]) for column in fields}
        # What stands for a field that an older schema lacks; a field without one cannot be read from it.
        self._defaults = {column["name"]: column["default"] for column in fields if "default" in column}
        self._times = [column["name"] for column in fields if _is_time(column["type"])]
        # Whether the last frame held something broken: the next one may too, and reading it as if it were whole would
        # be done for nothing, twice.
        self._was_broken = False

    def decode(self, frame: Frame) -> Decoded:
        """The frame's columns. Raises nothing for a bad message; raises what the registry raises when it is away."""
        values = frame.values
        whole = None if self._was_broken else self._whole(values)
        if whole is not None:
            return Decoded(_with_places(whole, np.arange(len(values), dtype=np.uint32)))
        groups, bad = _by_header(values)
        parts: list[pl.DataFrame] = []
        for head, places in groups.items():
            try:
                schema = self._schema_of(split(head)[0])
            except WireError as error:
                bad.extend(BadMessage(at, error.reason, str(error)) for at in places)
                continue
            columns, broken = self._read([values[at][HEADER_BYTES:] for at in places], schema)  # type: ignore[index]
            if broken:
                bad.extend(BadMessage(places[at], error.reason, str(error)) for at, error in broken.items())
                places = [place for at, place in enumerate(places) if at not in broken]
            parts.append(_with_places(columns, np.asarray(places, np.uint32)))
        if not parts:
            found = pl.DataFrame(schema={**self.schema, "_at": pl.UInt32})
        elif len(parts) == 1:
            found = parts[0]
        else:
            found = pl.concat(parts).sort("_at")
        self._was_broken = bool(bad)
        return Decoded(found, sorted(bad, key=lambda one: one.at))

    def _schema_of(self, schema_id: int) -> AvroSchema:
        """The schema of that id, if it is a version of ours. Raises `WireError`."""
        schema = self._registry.schema_of(schema_id)
        if schema.raw.get("name") != self._reader.raw["name"]:
            raise WireError("schema", f"a {schema.raw.get('name')} is not for this topic")
        return schema

    def _whole(self, values: Sequence[bytes | None]) -> list[pl.Series] | None:
        """The columns of messages of one schema, all of them good, as nearly every frame's are; otherwise None."""
        if not values:
            return None
        try:
            schema_id, _ = split(values[0])
            schema = self._schema_of(schema_id)
            packed = pack_framed(values, schema)  # type: ignore[arg-type]  # raises TypeError for None
        except (WireError, TypeError):
            return None
        return self._at_once(packed, schema, len(values), schema_id)

    def _at_once(
        self, packed: bytes, schema: AvroSchema, count: int, schema_id: int | None = None
    ) -> list[pl.Series] | None:
        """Our columns of a container of `count` records, or None where they do not come out.

        `schema_id`: what the records' wire headers must say, where they are in the container.
        """
        wanted = [name for name in self._columns if name in schema.field_names]
        if schema_id is not None:
            wanted += [name for name, _ in WIRE_FIELDS]
        try:
            columns = pl.read_avro(io.BytesIO(packed), columns=[*wanted, "_end"])
            if columns.height != count or not (columns["_end"] == SENTINEL).all():
                return None
            if schema_id is not None and not _headers_say(columns, schema_id):
                return None
            aligned = self._aligned(columns)
        except BaseException as error:
            # A panic in Polars' reader is no Exception; a wish to stop is not a bad message.
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
                raise
            return None
        return aligned if self._times_hold(aligned) else None

    def _read(self, bodies: list[bytes], schema: AvroSchema) -> tuple[list[pl.Series], dict[int, WireError]]:
        """The columns of these bodies, and the broken ones by their place."""
        found = judged(bodies, schema) if self._was_broken else None
        columns = self._packed(bodies, schema) if found is None else None
        if columns is not None:
            return columns, {}
        sure: npt.NDArray[np.intp] = np.empty(0, np.intp)
        rest: npt.NDArray[np.intp] = np.arange(len(bodies))
        broken: dict[int, WireError] = {}
        if (found := found or judged(bodies, schema)) is not None:
            wrong, unsure = found
            columns = self._packed([bodies[at] for at in np.flatnonzero(~(wrong | unsure))], schema)
            if columns is not None:
                sure, rest = np.flatnonzero(~(wrong | unsure)), np.flatnonzero(unsure & ~wrong)
                # What exactly is wrong with each stands in the sink's dead letters.
                error = WireError("avro", f"the body does not parse as {schema.name}")
                broken = dict.fromkeys(np.flatnonzero(wrong).tolist(), error)
        good: dict[int, dict[str, Any]] = {}
        for at in rest.tolist():
            try:
                good[at] = decode_body(bodies[at], schema, self._reader)
            except WireError as error:
                broken[at] = error
        single = self.from_records(good.values()).get_columns()
        if columns is None:
            return single, broken
        both = [_with_places(columns, sure.astype(np.uint32)), _with_places(single, np.array([*good], np.uint32))]
        return pl.concat(both).sort("_at").drop("_at").get_columns(), broken

    def _packed(self, bodies: Sequence[bytes], schema: AvroSchema) -> list[pl.Series] | None:
        """The columns of these bodies, or None where they do not come out at once."""
        try:
            return self._at_once(pack(bodies, schema), schema, len(bodies))
        except WireError:
            return None

    def from_records(self, records: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
        """The same columns from records that were decoded one by one."""
        rows = [
            {
                name: epoch_ms(value) if name.endswith("_ms") and (value := record[name]) is not None else record[name]
                for name in self.schema
            }
            for record in records
        ]
        return pl.DataFrame(rows, schema=self.schema)

    def _aligned(self, columns: pl.DataFrame) -> list[pl.Series]:
        """Ours in our order and types; the default where an older schema lacks one.

        Raises `KeyError` where it has none: fastavro then says so of each message. Column by column, since one of
        Polars' selections of as many columns costs 0.2 ms, of which a small frame as a whole takes three.
        """
        known = set(columns.columns)
        aligned = []
        for name, kind in self.schema.items():
            if name in known:
                column = columns.get_column(name)
            else:
                column = pl.Series(name, [self._defaults[name]], kind).new_from_index(0, columns.height)
            aligned.append(column if column.dtype == kind else column.cast(kind))
        return aligned

    def _times_hold(self, columns: Sequence[pl.Series]) -> bool:
        """Whether every time lies in the years 1 to 9999: fastavro reads no others, and good is good either way."""
        return all(
            column.is_empty() or column.is_between(_FIRST_MS, _LAST_MS).all()
            for column in columns
            if column.name in self._times
        )


def _headers_say(columns: pl.DataFrame, schema_id: int) -> bool:
    """Whether every record's wire header is that of the schema."""
    if (columns["_magic"] != MAGIC).any():
        return False
    # As bits: an id may be one of the floats that are no numbers, which equal nothing.
    ids = columns["_schema"].to_numpy().view(np.uint32)
    return bool((ids == int.from_bytes(schema_id.to_bytes(4, "big"), "little")).all())


def _with_places(columns: Sequence[pl.Series], places: npt.NDArray[np.uint32]) -> pl.DataFrame:
    return pl.DataFrame([*columns, pl.Series("_at", places)])


def _by_header(values: Sequence[bytes | None]) -> tuple[dict[bytes, Sequence[int]], list[BadMessage]]:
    """Places by wire header, and the messages that have no right one."""
    groups: dict[bytes, list[int]] = {}
    for at, value in enumerate(values):
        groups.setdefault(value[:HEADER_BYTES] if value else b"", []).append(at)
    good: dict[bytes, Sequence[int]] = {}
    bad: list[BadMessage] = []
    for head, places in groups.items():
        try:
            # What is shorter than a header stands here whole, so that what is said of it is said of the message.
            split(head)
        except WireError as error:
            bad.extend(BadMessage(at, error.reason, str(error)) for at in places)
        else:
            good[head] = places
    return good, bad


_FIRST_MS, _LAST_MS = epoch_ms(datetime.min.replace(tzinfo=UTC)), epoch_ms(datetime.max.replace(tzinfo=UTC))


def _is_time(avro: Any) -> bool:
    """Whether an Avro type of ours is a time."""
    if isinstance(avro, list):
        return any(_is_time(one) for one in avro)
    return isinstance(avro, dict) and avro.get("logicalType") == "timestamp-millis"


def _polars_type(avro: Any) -> Any:
    """Polars' type for an Avro type of ours."""
    if isinstance(avro, list):
        return _polars_type(next(one for one in avro if one != "null"))
    if isinstance(avro, dict):
        if avro["type"] == "array":
            return pl.List(_polars_type(avro["items"]))
        if avro["type"] == "enum":
            # Strings once decoded: categories of two frames would not compare.
            return pl.String
        return _polars_type(avro["type"])
    return _TYPES[avro]
