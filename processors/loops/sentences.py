"""What a person on call is told of a loop."""

from __future__ import annotations

from collections.abc import Sequence

from . import verdicts
from .verdicts import Verdict


def sentence(verdict: Verdict, tool: str | None, seqs: Sequence[int], error: str | None) -> str:
    """One sentence. `seqs`: places of the evidence within the run, oldest first; `error`: of the latest call."""
    name, count = tool or "a tool", verdict.count
    where = f"steps {seqs[0]} to {seqs[-1]}"
    how = f" with {_short(error)}" if error else ""
    match verdict.rule:
        case verdicts.FAILING:
            return f"{name} failed {count} times in a row{how}, always with the same arguments ({where})."
        case verdicts.REPEAT if verdict.between:
            return (
                f"{name} was called {count} times with the same arguments and the same result, "
                f"with other calls between (up to step {seqs[-1]})."
            )
        case verdicts.REPEAT:
            return f"{name} was called {count} times in a row with the same arguments and the same result ({where})."
        case verdicts.CYCLE:
            return (
                f"The same {verdict.period} calls, {name} the last of them, came round {count} times "
                f"with the same arguments and results ({where})."
            )
        case verdicts.STALE:
            return (
                f"The run goes in circles: its last {count} calls, {name} the last of them, were all made before, "
                f"with results that it had seen before ({where})."
            )
        case verdicts.ERROR:
            return f"{name} failed {count} times in a row{how}, whatever the arguments ({where})."
        case verdicts.STAGNATION:
            return (
                f"The run gets nowhere: its last {count} calls, {name} the last of them, failed or repeated "
                f"earlier ones ({where})."
            )
        case verdicts.WAITING:
            return f"{name} was asked {count} times for the same thing and always said the same ({where})."
        case verdicts.RETRIES:
            return (
                f"{count} of the run's last calls were retries, or answered with 429 or 5xx; "
                f"the latest was {name}{how}."
            )
    raise AssertionError(f"no sentence for {verdict.rule}")


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
