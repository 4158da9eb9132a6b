"""The targets' names, a line each: `python -m tests.fuzz.names`."""

from .targets import TARGETS

if __name__ == "__main__":
    print("\n".join(TARGETS))
