"""What the guard raises. Each says what was refused, why, by whom, and what to do about it."""

from __future__ import annotations

from typing import Any

from ...schemas import reasons


class Refused(Exception):
    """A call that the guard did not let happen. Its text is a sentence for people (and models) to read."""

    def __init__(
        self,
        sentence: str,
        *,
        stop_reason: str,
        run_id: str | None = None,
        tool: str | None = None,
        scope: str | None = None,
    ) -> None:
        """`scope` is that of the command in the control topic, where one is the cause."""
        super().__init__(sentence)
        self.stop_reason = stop_reason
        self.run_id = run_id
        self.tool = tool
        self.scope = scope

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled with their positional arguments alone, and cross processes in pools of workers.
        return _again, (type(self), str(self), self.__dict__.copy())


class RunStopped(Refused):
    """The run is over: a budget is used up, or someone stopped it. Every further call of it is refused too."""


class ToolDenied(Refused):
    """This call may not be made. The run may go on with others."""


class ApprovalRequired(Refused):
    """This write needs a person's approval first; `approval_id` is what `runwatch approve` wants to know."""

    approval_id: str = ""


def denied(run_id: str, tool: str, why: str, scope: str | None = None) -> ToolDenied:
    """A denial, for a reason that ends a sentence."""
    return ToolDenied(
        f"Tool {tool!r} was not called: {why}.",
        stop_reason=reasons.DENIED,
        run_id=run_id or None,
        tool=tool,
        scope=scope,
    )


def _again(kind: type[Refused], sentence: str, known: dict[str, Any]) -> Refused:
    made = kind(sentence, stop_reason=known["stop_reason"])
    made.__dict__.update(known)
    return made
