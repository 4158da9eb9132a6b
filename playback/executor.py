"""Stand-ins for a recorded run's tools: they answer from the record, and do nothing."""

from __future__ import annotations

import inspect
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from ..schemas.canonical import canonical_json, sha
from ..schemas.events import AgentEvent
from ..schemas.opaque import Opaque
from .divergence import Comparison, Divergence, Made, Report, named
from .errors import NotRecorded, recorded_error
from .record import Record, is_refusal

HTTP_ERROR = "HTTPError"
"""The error class of a call that returned a response of 400 or above instead of raising."""
MOST_LOOKED_INTO = 10_000

Answer = Callable[[str, Any], Any]


class Replay:
    """Answers a new run's tool calls from a record. Threads may share it.

    A call is answered by the recorded one of the same tool and arguments; of several such, the first by the first,
    and so on. What had failed raises an exception of the same name. Nothing is ever called.
    """

    def __init__(
        self,
        record: Record,
        *,
        not_recorded: Answer | None = None,
        errors: Mapping[str, type[BaseException]] | None = None,
    ) -> None:
        """`not_recorded(tool, args)` answers calls that are not in the record; without it they raise
        `NotRecorded`. `errors`: classes of the agent's own, by name, for what failed.
        """
        self.record = record
        self._calls = record.calls
        self._not_recorded = not_recorded
        self._errors = dict(errors or {})
        optional = frozenset(at for at, call in enumerate(self._calls) if is_refusal(call))
        self._comparison = Comparison(self._calls, optional)
        self._open: dict[tuple[str, str | None], deque[int]] = defaultdict(deque)
        self._of_tool: dict[str, dict[int, None]] = defaultdict(dict)
        for at, call in enumerate(self._calls):
            self._open[call.tool or "", call.args_sha].append(at)
            self._of_tool[call.tool or ""][at] = None
        self._marks = {f"[{kind}]" for content in record.contents.values() for kind in content.redacted}
        self._answered: list[int] = []
        self._lock = threading.Lock()

    def call_tool(self, tool: str, args: Any = None, fn: Any = None, **_: Any) -> Any:
        """What the recorded call of this tool with these arguments returned; raises what it raised.

        In the place of `Run.call_tool`; `fn` is not called.
        """
        return self._answer(tool, [args])

    def tool(self, name: str, like: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """A function that stands in for the tool: `run.call_tool(name, args, replay.tool(name))`.

        `like` is the function that it stands in for, where that is async, or where its arguments are known by its
        signature's names, as those of a decorated function are.
        """
        parameters = _names(like)

        def answer(*args: Any, **kwargs: Any) -> Any:
            return self._answer(name, _handed_over(parameters, args, kwargs))

        if not inspect.iscoroutinefunction(like):
            return answer

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return answer(*args, **kwargs)

        return awaited

    @property
    def tools(self) -> dict[str, Callable[..., Any]]:
        """A stand-in for every tool of the record, by its name."""
        return {name: self.tool(name) for name in self._of_tool}

    @property
    def divergence(self) -> Divergence | None:
        """Where the new run first made another call than the recorded one; None as long as it has not."""
        return self._comparison.first

    def report(self) -> Report:
        """How the calls so far compare to the whole record: to be asked when the new run is over."""
        with self._lock:
            found = self._comparison.report()
            answered = [self._calls[at] for at in self._answered]
        contents = [(call, self.record.content(call.result_sha)) for call in answered if call.result_sha]
        unknown = tuple(call for call, content in contents if content is None)
        redacted = tuple(call for call, content in contents if content is not None and not content.is_whole)
        return _with(found, unknown, redacted)

    def _answer(self, tool: str, shapes: list[Any]) -> Any:
        with self._lock:
            args, made = self._match(tool, shapes)
            self._comparison.add(made)
            if made.index is not None:
                self._answered.append(made.index)
        if made.index is not None:
            return self._recorded(self._calls[made.index])
        if self._not_recorded is not None:
            return self._not_recorded(tool, args)
        raise NotRecorded(
            f"The record of run {self.record.run_id} has no answer to {named(tool, made.args_sha)}, or has given it "
            f"already. First, {self._comparison.first}. To go on, give replay(..., not_recorded=...) an answer."
        )

    def _match(self, tool: str, shapes: list[Any]) -> tuple[Any, Made]:
        """The recorded call that answers, of those that are left; `shapes` are what the arguments may have been."""
        hashes = [_hash(shape) for shape in shapes]
        found = [
            (places[0], shape, digest)
            for shape, digest in zip(shapes, hashes, strict=True)
            if (places := self._open.get((tool, digest)))
        ]
        if found:
            # f() may have been handed None or {}: whichever the record has first.
            at, shape, digest = min(found, key=lambda one: one[0])
            self._open[tool, digest].popleft()
            return shape, Made(tool, digest, self._taken(tool, at))
        # One whose arguments were not recorded, or which were made of something that is not known now.
        places = self._open.get((tool, None))
        if places:
            return shapes[0], Made(tool, hashes[0], self._taken(tool, places.popleft()), assumed=True)
        if self._of_tool.get(tool) and self._is_unsure(shapes[0]):
            at = next(iter(self._of_tool[tool]))
            self._open[tool, self._calls[at].args_sha].remove(at)
            return shapes[0], Made(tool, hashes[0], self._taken(tool, at), assumed=True)
        return shapes[0], Made(tool, hashes[0], None)

    def _taken(self, tool: str, at: int) -> int:
        self._of_tool[tool].pop(at, None)
        return at

    def _is_unsure(self, args: Any) -> bool:
        """Whether the arguments hold an answer that was not the recorded one."""
        if _holds_opaque(args):
            return True
        text = canonical_json(args) if self._marks else ""
        return any(mark in text for mark in self._marks)

    def _recorded(self, call: AgentEvent) -> Any:
        """What a recorded call gave: returns it, or raises it."""
        if call.status == "error" and (call.result_sha is None or call.error != HTTP_ERROR):
            raise recorded_error(
                call.error or "Error", self._errors, status_code=call.http_status, stop_reason=call.stop_reason
            )
        content = self.record.content(call.result_sha)
        if content is None or (call.http_status is not None and not isinstance(content.value, dict)):
            # A response was an object of a web client, which no record brings back.
            return Opaque(call.result_sha or "", call.http_status)
        # A copy, since the agent may change what it is given.
        return _copied(content.value)


def _with(found: Report, unknown: tuple[AgentEvent, ...], redacted: tuple[AgentEvent, ...]) -> Report:
    return Report(
        found.made,
        found.recorded,
        found.first,
        found.extra,
        found.missing,
        found.moved,
        found.assumed,
        unknown,
        redacted,
    )


def _hash(args: Any) -> str | None:
    try:
        return sha(args)
    except Exception:  # the agent's own objects may raise anything
        return None


def _names(like: Callable[..., Any] | None) -> tuple[str, ...] | None:
    """The names of what can be given by position."""
    if like is None:
        return None
    parameters = inspect.signature(like).parameters.values()
    return tuple(one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD))


def _handed_over(named: tuple[str, ...] | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """What may have been handed to `call_tool` as its arguments, the likeliest first."""
    if named is not None:
        given: dict[str, Any] = dict(zip(named, args, strict=False))
        if args and named[:1] in (("self",), ("cls",)):
            del given[named[0]]
        given.update(kwargs)
        if len(args) > len(named):
            given["*"] = list(args[len(named) :])
        return [given, *_handed_over(None, args, kwargs)]
    if kwargs:
        return [{**kwargs, "*": list(args)} if args else kwargs]
    if not args:
        return [None, {}, []]
    return [args[0], list(args)] if len(args) == 1 else [list(args)]


def _holds_opaque(value: Any) -> bool:
    waiting, looked = [value], 0
    while waiting and looked < MOST_LOOKED_INTO:
        one = waiting.pop()
        looked += 1
        if type(one) is Opaque:
            return True
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
    return False


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value
