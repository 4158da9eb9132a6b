"""The same calls as spans of OpenTelemetry's SDK, with its batch processor and its exporter over HTTP.

Names of attributes are those of the GenAI conventions where there are any; what they have no name for stands under
`runwatch.`, since the same is to be recorded. Hashes are computed by the same function.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, StatusCode

from ...schemas.canonical import sha
from ...schemas.ids import uuid7
from ..calls import AGENT, MODEL, VERSION, Args, Call


class OpenTelemetry:
    """A tracer with the SDK's own defaults."""

    def __init__(self, address: str) -> None:
        """`address` of an `otlp_sink`."""
        self._address = address
        self._before = self._received()
        self._provider = TracerProvider(resource=Resource.create({"service.name": AGENT, "service.version": VERSION}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{address}/v1/traces")))
        self._tracer = self._provider.get_tracer("runwatch.bench")
        self._sent = 0

    def begin(self) -> Call:
        self._span: Span = self._tracer.start_span(f"invoke_agent {AGENT}")
        tracer, context = self._tracer, trace.set_span_in_context(self._span)
        run_id, step = uuid7(0), 0

        def call(tool: str, args: Args, fn: Callable[..., Any], writes: bool) -> Any:
            nonlocal step
            step += 1
            with tracer.start_as_current_span(f"execute_tool {tool}", context) as span:
                span.set_attributes(
                    {
                        "gen_ai.operation.name": "execute_tool",
                        "gen_ai.tool.name": tool,
                        "gen_ai.agent.name": AGENT,
                        "gen_ai.agent.version": VERSION,
                        "gen_ai.request.model": MODEL,
                        "gen_ai.conversation.id": run_id,
                        "gen_ai.tool.call.id": f"s{step}",
                        "runwatch.seq": step,
                        "runwatch.args_sha": sha(args),
                    }
                )
                result = fn(**args)
                span.set_attribute("runwatch.result_sha", sha(result))
                span.set_status(StatusCode.OK)
                return result

        self._steps: Callable[[], int] = lambda: step
        return call

    def end(self) -> None:
        self._span.end()
        self._sent += 1 + self._steps()

    def check(self) -> None:
        """It knows of nothing that would stop a run."""

    def close(self) -> tuple[int, int]:
        self._provider.shutdown()
        return self._sent, self._received() - self._before

    def _received(self) -> int:
        with urllib.request.urlopen(self._address, timeout=10) as answer:  # nosec B310  # our own http address
            return int(json.load(answer)["spans"])
