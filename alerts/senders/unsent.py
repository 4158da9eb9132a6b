"""That a message did not arrive, and what that means for the next try."""

from __future__ import annotations


class Unsent(Exception):
    """Says why in one sentence, without a secret."""

    def __init__(
        self, why: str, *, arrived: bool = False, hopeless: bool = False, retry_after_s: float | None = None
    ) -> None:
        """`arrived`: it may have arrived all the same. `hopeless`: the receiver understood, and will not take this
        message; the next one it may. `retry_after_s`: when the receiver wants to be asked again."""
        super().__init__(why)
        self.arrived = arrived
        self.hopeless = hopeless
        self.retry_after_s = retry_after_s
