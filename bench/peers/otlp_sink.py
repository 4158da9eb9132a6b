"""Where OpenTelemetry's spans go: `python -m runwatch.bench.peers.otlp_sink`, a collector that counts and forgets.

It says its address on standard output, and how many spans it got to whoever asks: `GET /` answers `{"spans": …}`.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Handler(BaseHTTPRequestHandler):
    """Counts spans. The exporter sends one request at a time."""

    protocol_version = "HTTP/1.1"
    spans = 0

    def do_POST(self) -> None:  # named by the standard library
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.spans += sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:  # as above
        self._answer(json.dumps({"spans": Handler.spans}).encode(), "application/json")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as above
        """Says nothing of each request."""

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
