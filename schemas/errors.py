"""The common kind of what runwatch raises for people to read."""

from __future__ import annotations


class RunwatchError(RuntimeError):
    """Something outside of the program stands in its way: a server that is away, a file that cannot be read.

    The message is a sentence or two for people: what is wrong, where, and what to do.
    """
