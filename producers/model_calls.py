"""A run's calls of models: asked of the guard, timed and logged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from . import fields
from .calls import Calls, class_name, status_of_error
from .guard.refusals import Refused
from .usage import model_of, tokens_of

T = TypeVar("T")


class ModelCalls(Calls):
    """The part of a run that calls models."""

    def model_call(
        self,
        fn: Callable[[], T] | None = None,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: float | Callable[[Any], float | None] | None = None,
        model: str | None = None,
        duration_ms: float | None = None,
        error: BaseException | str | None = None,
        step_id: str | None = None,
    ) -> T | None:
        """Logs a call of a model: of `fn`, which is called here, or one that happened elsewhere.

        With `fn` this returns what `fn` returns (an awaitable where that is one) and raises what it raises;
        tokens and model are read from the response where they are not given, and `cost_usd` may be a
        function of the response. Without `fn`, what is given is logged and None returned.
        Raises `RunStopped` where `fn` may no longer be called.
        """
        given = (input_tokens, output_tokens, cost_usd, model, step_id)
        if fn is None:
            self._guard.model_happened()
            self._model_done(None, given, duration_ms, error)
            return None
        try:
            self._guard.model_begins()
        except Refused as refused:
            self._model_refused(refused, model, step_id)
            raise
        began = self._clock.monotonic()
        try:
            response = fn()
        except BaseException as raised:
            self._model_done(None, given, self._log.elapsed_ms(began), raised)
            raise
        if hasattr(type(response), "__await__"):
            # As in `ToolCalls.call_tool`.
            return self._model_awaited(given, began, response)  # type: ignore[arg-type, return-value]
        self._model_done(response, given, self._log.elapsed_ms(began), None)
        return response

    async def _model_awaited(self, given: tuple[Any, ...], began: float, waiting: Awaitable[Any]) -> Any:
        try:
            response = await waiting
        except BaseException as error:
            self._model_done(None, given, self._log.elapsed_ms(began), error)
            raise
        self._model_done(response, given, self._log.elapsed_ms(began), None)
        return response

    def _model_done(
        self,
        response: Any,
        given: tuple[Any, ...],
        duration_ms: float | None,
        error: BaseException | str | None,
    ) -> None:
        try:
            input_tokens, output_tokens, cost_usd, model, step_id = given
            read, written = tokens_of(response)
            if callable(cost_usd):
                cost_usd = None if response is None else cost_usd(response)
            self._log.model(
                fields.text(step_id) or self._log.next_step(),
                fields.text(model if model is not None else model_of(response)),
                fields.whole(duration_ms),
                fields.whole(input_tokens) if input_tokens is not None else read,
                fields.whole(output_tokens) if output_tokens is not None else written,
                fields.real(cost_usd),
                "ok" if error is None else "error",
                class_name(error),
                status_of_error(error),
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)

    def _model_refused(self, refused: Refused, model: Any, step_id: Any) -> None:
        try:
            self._log.model_refused(
                fields.text(step_id) or self._log.next_step(),
                fields.text(model),
                type(refused).__name__,
                refused.stop_reason,
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)
        self._was_refused(refused)
