"""What of the control topic is obeyed: each message judged, and the last good word of each scope kept as the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..schemas.avro import AvroSchema
from ..schemas.controls import Control
from .read import BadControl, read_control
from .replays import Replays
from .signers import Signed, Signers
from .state import ControlState

MOST_OVERWRITTEN = 1_000


class Obedience:
    """Takes the topic's messages in their order. Without signers whoever may write to the topic is obeyed."""

    def __init__(self, topic: str, signers: Signers | None = None) -> None:
        """`topic`: its full name, which is signed too."""
        self.state = ControlState()
        self._topic = topic
        self._signers = signers
        self._replays = Replays()
        # Scope → who signed what stands there.
        self._signed: dict[str, Signed] = {}
        # Scopes behind whose command something came that is not obeyed.
        self._overwritten: set[str] = set()

    def begin(self) -> None:
        """The topic is read from its first message on: what comes is older than what is known, and no replay."""
        self._replays = Replays()

    def take(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] | None,
        log_ms: int | None,
        schema_of: Callable[[int], AvroSchema],
    ) -> None:
        """Obeys a message. Arguments as `read_control` has them; raises `BadControl` for one that is none's to obey."""
        try:
            signed = self._signers and self._signers.verify(self._topic, key, value, headers, log_ms)
            scope, control = read_control(key, value, schema_of, log_ms)
            if signed and self._replays.is_late(scope, signed.at_ms, log_ms or signed.at_ms):
                raise BadControl("stale", f"a command of {scope} that was signed later came before it")
        except BadControl:
            self._note_overwritten(key)
            raise
        if control is None:
            self.state.forget(scope)
            self._signed.pop(scope, None)
        elif self.state.apply(control):
            if signed:
                self._signed[scope] = signed
        else:
            self._note_overwritten(key)
            return
        self._overwritten.discard(scope)

    def signed_by(self, scope: str) -> str | None:
        """The name of who signed what stands in a scope; None where nobody asked for signatures."""
        signed = self._signed.get(scope)
        return None if signed is None else signed.name

    def overwritten(self, now_ms: int, key_id: bytes) -> list[Control]:
        """Commands that stand, and that the topic will have forgotten once it is compacted: a message that nobody
        obeys came behind them. Of these, such as the key of that id may give; none where nothing is signed."""
        if self._signers is None:
            return []
        scopes = (scope for scope in sorted(self._overwritten) if self._signers.may(key_id, scope))
        return [one for scope in scopes if (one := self.state.standing(scope, now_ms)) is not None]

    def signers_changed(self) -> bool:
        """Looks whether the file of signers has changed, and forgets what those said who are none any more.

        True where the topic is to be read anew, since others are now. Raises `SignersError`; those of before hold then.
        """
        if self._signers is None or not self._signers.reread():
            return False
        for scope, signed in list(self._signed.items()):
            if not self._signers.may(signed.key_id, scope):
                del self._signed[scope]
                self.state.forget(scope)
        return True

    def _note_overwritten(self, key: bytes | None) -> None:
        if self._signers is not None and len(self._overwritten) < MOST_OVERWRITTEN:
            scope = (key or b"").decode(errors="replace")
            if scope in self.state:
                self._overwritten.add(scope)
