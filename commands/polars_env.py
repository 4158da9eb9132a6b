"""What Polars and its Rust look up in the environment, set before they are loaded."""

from __future__ import annotations

import os


def prepare() -> None:
    """One thread, and no backtraces."""
    # A frame, or a chunk of history, is small: more threads cost it more than they bring.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    # Polars' Avro reader panics on what is no Avro. That is caught; but where a shell has this variable at 1, Rust
    # first looks up a hundred names for its trace, for seconds in which no frame is worked on.
    os.environ["RUST_BACKTRACE"] = "0"
