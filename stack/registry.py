"""A read-only schema registry at Confluent's paths: kcat, Kafka UIs and ClickHouse's AvroConfluent decode by it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Subjects = Mapping[str, tuple[int, str]]
"""Subject to its one version: (schema id, schema JSON)."""

_TYPE = "application/vnd.schemaregistry.v1+json"


MOST_BYTES = 1 << 20
"""The largest body that is read."""


class RegistryProblem(Exception):
    """A registry's refusal: HTTP status, Confluent's error code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Catalog:
    """What the registry knows, and its answer to each path. No I/O."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = dict(subjects)

    def get(self, path: str) -> Any:
        """The JSON value at `path`; :class:`RegistryProblem` where there is none."""
        match _parts(path):
            case []:
                return {}
            case ["subjects"]:
                return sorted(self._subjects)
            case ["subjects", subject, "versions"]:
                self._version(subject, "latest")
                return [1]
            case ["subjects", subject, "versions", version]:
                return self._version(subject, version)
            case ["subjects", subject, "versions", version, "schema"]:
                return json.loads(self._version(subject, version)["schema"])
            case ["schemas", "types"]:
                return ["AVRO"]
            case ["schemas", "ids", number]:
                return {"schema": self._by_id(number)[0]}
            case ["schemas", "ids", number, "schema"]:
                return json.loads(self._by_id(number)[0])
            case ["schemas", "ids", number, "versions"]:
                return [{"subject": subject, "version": 1} for subject in self._by_id(number)[1]]
            case ["schemas", "ids", number, "subjects"]:
                return self._by_id(number)[1]
            case ["config"] | ["config", _]:
                return {"compatibilityLevel": "BACKWARD"}
            case ["mode"] | ["mode", _]:
                return {"mode": "READONLY"}
        raise RegistryProblem(404, 404, "HTTP 404 Not Found")

    def post(self, path: str, body: Any) -> Any:
        """Look a schema up under a subject, as clients do before they write; nothing can be registered."""
        parts = _parts(path)
        match parts:
            case ["subjects", subject] | ["subjects", subject, "versions"]:
                try:
                    asked = json.loads(body["schema"])
                except (KeyError, TypeError, ValueError, RecursionError):
                    raise RegistryProblem(422, 42201, 'The body must be {"schema": "…"} with an Avro schema') from None
                known = self._subjects.get(subject)
                if known is not None and json.loads(known[1]) == asked:
                    return self._version(subject, "latest") if len(parts) == 2 else {"id": known[0]}
                if len(parts) == 2:
                    self._version(subject, "latest")
                    raise RegistryProblem(404, 40403, "Schema not found")
        raise RegistryProblem(422, 42205, "The local registry is read-only: it serves runwatch's own schemas")

    def _version(self, subject: str, version: str) -> dict[str, Any]:
        if subject not in self._subjects:
            raise RegistryProblem(404, 40401, f"Subject '{subject}' not found.")
        if version not in ("latest", "-1") and not version.isdecimal():
            raise RegistryProblem(422, 42202, f"The specified version '{version}' is not a valid version id.")
        if version not in ("latest", "-1", "1"):
            raise RegistryProblem(404, 40402, f"Version {version} not found.")
        schema_id, schema = self._subjects[subject]
        return {"subject": subject, "version": 1, "id": schema_id, "schema": schema}

    def _by_id(self, number: str) -> tuple[str, list[str]]:
        """The schema with that id, and the subjects that use it."""
        users = [name for name, (schema_id, _) in sorted(self._subjects.items()) if str(schema_id) == number]
        if not users:
            raise RegistryProblem(404, 40403, f"Schema {number} not found")
        return self._subjects[users[0]][1], users


def _too_long() -> Any:
    raise RegistryProblem(413, 413, f"A body has a Content-Length, of {MOST_BYTES} bytes at most")


def _parts(path: str) -> list[str]:
    # Not `urlsplit`, to which two slashes at the beginning are a host's.
    return [unquote(part) for part in path.partition("?")[0].split("/") if part]


def make_server(host: str, port: int, subjects: Subjects) -> ThreadingHTTPServer:
    """The registry's server, bound but not yet serving."""
    catalog = Catalog(subjects)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            self._answer(lambda: catalog.get(self.path))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length") or "0"
            if not (length.isascii() and length.isdecimal()) or len(length) > 9 or int(length) > MOST_BYTES:
                # What follows in the connection is not known to be another request.
                self.close_connection = True
                self._answer(_too_long)
                return
            try:
                body = json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError):
                body = None
            self._answer(lambda: catalog.post(self.path, body))

        def do_PUT(self) -> None:
            self.do_POST()

        def do_DELETE(self) -> None:
            self._answer(lambda: catalog.post("/", None))

        def _answer(self, find: Callable[[], Any]) -> None:
            try:
                status, value = 200, find()
            except RegistryProblem as problem:
                status, value = problem.status, {"error_code": problem.code, "message": str(problem)}
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", _TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Requests are not logged: a consumer asks once per schema, a readiness check all the time."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server


def main() -> int:
    """Serve runwatch's schemas until SIGTERM or SIGINT."""
    from ..schemas.registry import local_subjects

    parser = argparse.ArgumentParser(
        prog="python -m runwatch.stack.registry", description="runwatch's schemas at a Confluent registry's paths."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--prefix", default="", help="the prefix of the topics' names")
    options = parser.parse_args()
    try:
        server = make_server(options.host, options.port, local_subjects(options.prefix))
    except OSError as error:
        print(f"The registry cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 3
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for serve_forever() to return, which the handler interrupts: hence the thread.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"registry serves http://{options.host}:{options.port}", flush=True)
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
