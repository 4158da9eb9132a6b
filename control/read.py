"""A message of the control topic as a command, or why it is none.

Agents stop at what stands in this topic, so that nothing in it is believed that does not fit together: whoever
breaks one of these rules is not one of the programs that may write here, or is broken.
"""

from __future__ import annotations

from collections.abc import Callable

from ..schemas.avro import AvroSchema, load
from ..schemas.controls import Control
from ..schemas.events import epoch_ms
from ..schemas.wire import WireError, decode_body, split
from .scopes import ScopeError, parse

MOST_AHEAD_MS = 3_600_000
"""How far a command's time may be ahead of the broker's: one from the far future would overrule all later ones."""
MOST_TEXT = 4_096
"""Characters of `why` and `by`."""


class BadControl(WireError):
    """A message that is no command; of its reasons, `key` and `forged` are this topic's own."""


def read_control(
    key: bytes | None,
    value: bytes | None,
    schema_of: Callable[[int], AvroSchema],
    log_ms: int | None = None,
) -> tuple[str, Control | None]:
    """The scope and the command, which is None where the message takes away what stands in the scope.

    `schema_of` as `Registry.schema_of`; `log_ms` is the broker's time of the message, if known. Raises `BadControl`.
    """
    try:
        scope = (key or b"").decode()
        parse(scope)
    except UnicodeDecodeError:
        raise BadControl("key", "the key is no UTF-8 text") from None
    except ScopeError as error:
        raise BadControl("key", f"the key: {error}") from None
    if value is None:
        return scope, None
    try:
        schema_id, body = split(value)
        writer = schema_of(schema_id)
        if writer.raw.get("name") != _SCHEMA.raw["name"]:
            raise WireError("schema", f"schema id {schema_id} is no {_SCHEMA.raw['name']}")
        record = decode_body(body, writer, _SCHEMA)
    except WireError as error:
        raise BadControl(error.reason, str(error)) from None
    for name in ("ts_ms", "expires_ms"):
        if record[name] is not None:
            record[name] = epoch_ms(record[name])
    control = Control(**record)
    _check(scope, control, log_ms)
    return scope, control


def _check(scope: str, control: Control, log_ms: int | None) -> None:
    if control.scope != scope:
        raise BadControl("forged", f"the key is {scope[:200]!r}, and the command's own scope {control.scope[:200]!r}")
    if not control.control_id:
        raise BadControl("forged", "the command has no control_id")
    if not control.by.strip() or not control.why.strip():
        raise BadControl("forged", "the command does not say who gave it, and why")
    if len(control.by) > MOST_TEXT or len(control.why) > MOST_TEXT:
        raise BadControl("forged", f"`why` and `by` have {MOST_TEXT:,} characters at most")
    if control.expires_ms is not None and control.expires_ms < control.ts_ms:
        raise BadControl("forged", "the command ends before it was given")
    if log_ms is not None and control.ts_ms > log_ms + MOST_AHEAD_MS:
        raise BadControl("forged", "the command's time is more than an hour ahead of the broker's")


_SCHEMA = load("control")
