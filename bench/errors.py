"""What can stand in a benchmark's way."""


class BenchError(RuntimeError):
    """A benchmark cannot be run or did not come to an end; the message says what is wrong and where."""
