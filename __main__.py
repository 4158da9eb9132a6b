"""`python -m runwatch` and the command `runwatch`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; says which extra is missing where it is."""
    try:
        from .cli import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"typer", "rich", "pydantic", "pydantic_settings"}:
            raise
        print(
            f"The command line needs {error.name}, which is not installed: pip install 'runwatch[cli]', "
            "or 'runwatch[all]' for the local stack as well.",
            file=sys.stderr,
        )
        sys.exit(3)
    run()


if __name__ == "__main__":
    main()
