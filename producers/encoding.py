"""Events to Avro bytes, on the agent's side.

fastavro tries each branch of a union on each value, and two thirds of an event's fields are unions: 30 µs an
event, in which the agent's own threads do not get Python's lock. A flat record of simple types needs none
of that. The writers below are put together once from the schema, and take a tenth of the time;
the tests hold them to fastavro's bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from operator import attrgetter
from typing import Any

from ..schemas.avro import AvroSchema
from ..schemas.container import zigzag
from ..schemas.events import AgentEvent
from ..schemas.wire import header

_CACHED = 4_096
"""Texts remembered: names of agents, models, tools and runs return with every event."""
_SMALL = tuple(zigzag(number) for number in range(4_096))
_DOUBLE = struct.Struct("<d")
_BOUNDS = {"int": 2**31, "long": 2**63}

_Write = Callable[[Any], bytes]


class EventEncoder:
    """Framed messages from events: `encoder(event)` is the message's value."""

    def __init__(self, schema: AvroSchema, schema_id: int, left_out: Collection[str] = ()) -> None:
        """`schema` must be flat: texts, numbers, enums, and nullable ones. Fields of `left_out` are sent empty: null,
        or an enum's `none`. Raises `ValueError` for other schemas, and where a field cannot be empty."""
        self._header = header(schema_id)
        self._values: Callable[[AgentEvent], tuple[Any, ...]] = attrgetter(*schema.field_names)
        texts: dict[str, bytes] = {}
        self._fields = [
            _empty(field) if field["name"] in left_out else _field(field["type"], texts)
            for field in schema.raw["fields"]
        ]

    def __call__(self, event: AgentEvent) -> bytes:
        """The message. Raises `TypeError`, `ValueError` or `KeyError` where the event does not fit the schema."""
        out = [self._header]
        add = out.append
        for value, (write, null) in zip(self._values(event), self._fields, strict=True):
            # A required field's null is None, which the join below refuses.
            add(null if value is None else write(value))  # type: ignore[arg-type]
        return b"".join(out)


def _field(avro: Any, texts: dict[str, bytes]) -> tuple[_Write, bytes | None]:
    """The writer of one field, and the bytes of its null where it has one."""
    if isinstance(avro, list):
        if len(avro) != 2 or avro[0] != "null":
            raise ValueError(f"only unions of null and one type are flat, and this is {avro}")
        write, _ = _field(avro[1], texts)
        return _after(zigzag(1), write), zigzag(0)
    kind = avro["type"] if isinstance(avro, dict) else avro
    if kind == "enum":
        places = {symbol: zigzag(place) for place, symbol in enumerate(avro["symbols"])}
        return places.__getitem__, None
    if kind == "string":
        return _text_writer(texts), None
    if kind in _BOUNDS:
        return _whole_writer(_BOUNDS[kind]), None
    if kind == "double":
        return _DOUBLE.pack, None
    raise ValueError(f"no flat type: {avro}")


def _empty(field: Any) -> tuple[_Write, bytes]:
    """The same for a field that is sent empty whatever it is."""
    avro = field["type"]
    if isinstance(avro, list):
        empty = zigzag(0)
    elif isinstance(avro, dict) and "none" in avro.get("symbols", ()):
        empty = zigzag(avro["symbols"].index("none"))
    else:
        raise ValueError(f"the field {field['name']} cannot be empty")
    return lambda _: empty, empty


def _after(branch: bytes, write: _Write) -> _Write:
    return lambda value: branch + write(value)


def _text_writer(texts: dict[str, bytes]) -> _Write:
    def write(value: str) -> bytes:
        known = texts.get(value)
        if known is None:
            body = value.encode()
            known = zigzag(len(body)) + body
            if len(value) <= 64:
                if len(texts) >= _CACHED:
                    # Cheaper than keeping count of use; what returns is soon known again.
                    texts.clear()
                texts[value] = known
        return known

    return write


def _whole_writer(bound: int) -> _Write:
    def write(value: int) -> bytes:
        if 0 <= value < len(_SMALL):
            return _SMALL[value]
        if not -bound <= value < bound:
            raise ValueError(f"{value} is out of bounds")
        return zigzag(value)

    return write
