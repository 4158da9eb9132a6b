"""`runwatch control keygen`: the keys by which commands are signed, and how they are set."""

from __future__ import annotations

import os
from pathlib import Path

from .exits import MISUSED, Fail


def make_keys(name: str, out: Path | None) -> None:
    """Makes a pair of keys for the signer of that name, and says who gets which. Raises `Fail`."""
    from ..control.signers import NAME, no_name
    from ..control.signing import make_pair

    if not NAME.fullmatch(name):
        raise Fail(f"--name: {no_name(name)}.", MISUSED)
    public, private = make_pair()
    if out is not None:
        write_new(out, private)
    print("# A line of the file of signers, which all who obey get as RUNWATCH_CONTROL_SIGNERS:")
    print(f"{name} {public}")
    print()
    print(f"# For {name} alone, whose commands are signed with it:")
    print(f"RUNWATCH_CONTROL_KEY_FILE={out.absolute()}" if out is not None else f"RUNWATCH_CONTROL_KEY={private}")


def write_new(path: Path, secret: str) -> None:
    """Writes a secret to a new file. Raises `Fail` where there is one."""
    try:
        # For its owner alone, from its first moment on; a key that is there already may still be needed.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(secret + "\n")
    except FileExistsError as error:
        raise Fail(f"{path} is there already, and is not written over; name another file.", MISUSED) from error
