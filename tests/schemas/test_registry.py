"""Ids from fingerprints and from a registry, over HTTP as a registry speaks it."""

from __future__ import annotations

import builtins
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runwatch.schemas import avro, registry, topics
from runwatch.schemas.avro import AvroSchema, make_schema
from runwatch.schemas.registry import (
    ConfluentRegistry,
    LocalRegistry,
    RegistryError,
    local_subjects,
    open_registry,
)
from runwatch.schemas.wire import WireError

EVENT = avro.load("agent_event")


class FakeRegistry:
    """A registry's HTTP side: schemas by id, ids by subject, and every request it was sent."""

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, dict[str, int]] = {}
        self.status: int | None = None
        self.requests: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        path = path.split("?")[0]
        self.requests.append(f"{method} {path}")
        if self.status is not None:
            return self.status, {"error_code": self.status, "message": "no"}
        parts = path.strip("/").split("/")
        if method == "GET" and parts[:2] == ["schemas", "ids"]:
            text = self.schemas.get(int(parts[2]))
            return (200, {"schema": text}) if text is not None else (404, {"error_code": 40403, "message": "no"})
        known = self.subjects.setdefault(parts[1], {})
        text = body["schema"]
        if parts[2:] == ["versions"]:
            known.setdefault(text, 100 + len(self.schemas))
            self.schemas[known[text]] = text
            return 200, {"id": known[text]}
        if text not in known:
            return 404, {"error_code": 40401, "message": "no"}
        return 200, {"subject": parts[1], "version": 1, "id": known[text], "schema": text}


def serve(answer: Callable[[str, str, Any], tuple[int, Any]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            status, value = answer(self.command, self.path, body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def fake() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def url(fake: FakeRegistry) -> Iterator[str]:
    server = serve(fake.answer)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own retries, without their waits."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def test_the_local_registry_knows_our_schemas_by_fingerprint(schema: AvroSchema) -> None:
    local = LocalRegistry()
    assert schema.schema_id == local.id_of(schema, "agent.events")
    assert local.schema_of(schema.schema_id) is schema


def test_the_local_registry_reads_older_versions_it_was_given() -> None:
    older = make_schema("agent_event", {**EVENT.raw, "fields": EVENT.raw["fields"][:-1]})
    assert LocalRegistry((older,)).schema_of(older.schema_id) is older


def test_an_id_that_is_not_ours_is_a_wire_error() -> None:
    with pytest.raises(WireError, match="schema id 7 is not one of runwatch's") as caught:
        LocalRegistry().schema_of(7)
    assert caught.value.reason == "schema"


def test_without_a_url_nobody_is_asked() -> None:
    assert isinstance(open_registry(None), LocalRegistry)
    assert isinstance(open_registry(""), LocalRegistry)


def test_every_topic_with_a_schema_is_a_topic_and_has_a_subject() -> None:
    names = {topic.name for topic in topics.ALL}
    assert set(registry.TOPIC_SCHEMAS) <= names
    assert local_subjects("eu-") == {
        f"eu-agent.{topic}-value": (avro.load(name).schema_id, avro.load(name).text)
        for topic, name in registry.TOPIC_SCHEMAS.items()
    }


def test_an_id_is_looked_up_once_for_each_topic(fake: FakeRegistry, url: str) -> None:
    fake.subjects = {"agent.events-value": {EVENT.text: 41}, "eu-agent.events-value": {EVENT.text: 42}}
    client = open_registry(url)
    assert [41, 42, 41, 42] == [client.id_of(EVENT, topic) for topic in ("agent.events", "eu-agent.events") * 2]
    assert ["POST /subjects/agent.events-value", "POST /subjects/eu-agent.events-value"] == fake.requests


def test_a_schema_is_fetched_once(fake: FakeRegistry, url: str) -> None:
    fake.schemas = {41: EVENT.text}
    client = open_registry(url)
    assert EVENT.field_names == client.schema_of(41).field_names
    assert client.schema_of(41) is client.schema_of(41)
    assert ["GET /schemas/ids/41"] == fake.requests


def test_what_was_registered_is_found(fake: FakeRegistry, url: str, schema: AvroSchema) -> None:
    client = ConfluentRegistry(url)
    number = client.register("agent.events", schema)
    assert number == ConfluentRegistry(url).id_of(schema, "agent.events")
    assert schema.text == ConfluentRegistry(url).schema_of(number).text


def test_an_id_unknown_to_the_registry_is_the_messages_fault(url: str) -> None:
    with pytest.raises(WireError, match="schema id 9 is not in the registry") as caught:
        open_registry(url).schema_of(9)
    assert caught.value.reason == "schema"


@pytest.mark.parametrize("text", ["", "not json", '"long"', "[]", '{"type":"enum","name":"E","symbols":["A"]}', "{}"])
def test_an_id_that_stands_for_no_record_is_the_messages_fault(fake: FakeRegistry, url: str, text: str) -> None:
    fake.schemas = {9: text}
    with pytest.raises(WireError, match="schema id 9 stands for no Avro record") as caught:
        open_registry(url).schema_of(9)
    assert caught.value.reason == "schema"


def test_a_schema_that_was_not_registered_is_told(url: str) -> None:
    with pytest.raises(RegistryError, match=r"agent_event is not registered under agent.events-value at http://127"):
        open_registry(url).id_of(EVENT, "agent.events")


@pytest.mark.usefixtures("impatient")
def test_a_registry_in_trouble_is_not_the_messages_fault(fake: FakeRegistry, url: str) -> None:
    fake.status = 500
    client = ConfluentRegistry(url)
    for ask in (
        lambda: client.schema_of(9),
        lambda: client.id_of(EVENT, "agent.events"),
        lambda: client.register("agent.events", EVENT),
    ):
        with pytest.raises(RegistryError, match="did not answer as it should"):
            ask()
    fake.status, fake.schemas = None, {9: EVENT.text}
    assert EVENT.text == client.schema_of(9).text


@pytest.mark.usefixtures("impatient")
def test_a_registry_that_is_away_is_told_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = open_registry(f"http://user:hunter2@127.0.0.1:{port}")
    with pytest.raises(RegistryError, match="is it up, and is RUNWATCH_REGISTRY its address") as caught:
        client.id_of(EVENT, "agent.events")
    assert f"http://127.0.0.1:{port} " in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_registry_that_never_answers_is_not_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = ConfluentRegistry(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(RegistryError, match="did not answer as it should"):
            client.schema_of(9)


def test_what_is_no_address_is_told() -> None:
    with pytest.raises(RegistryError, match="localhost:8081 is no schema registry's address"):
        open_registry("localhost:8081")


def test_an_id_that_is_nobodys_is_asked_for_once_in_a_while(
    fake: FakeRegistry, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(registry, "monotonic", lambda: clock[0])
    client = ConfluentRegistry(url)
    for _ in range(3):
        with pytest.raises(WireError, match="77 is not in the registry"):
            client.schema_of(77)
    assert ["GET /schemas/ids/77"] == fake.requests
    fake.schemas[77] = EVENT.text
    clock[0] += registry.UNKNOWN_S + 1
    assert EVENT.text == client.schema_of(77).text


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "confluent_kafka.schema_registry":
            raise ModuleNotFoundError("No module named 'httpx'", name="httpx")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RegistryError, match=r"needs the package httpx.*pip install 'runwatch\[registry\]'"):
        open_registry("http://127.0.0.1:8081")


def test_the_local_stacks_registry_is_one() -> None:
    from runwatch.stack.registry import make_server

    server = make_server("127.0.0.1", 0, local_subjects())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        client = open_registry(f"http://127.0.0.1:{server.server_port}")
        for topic, name in registry.TOPIC_SCHEMAS.items():
            ours = avro.load(name)
            assert ours.schema_id == client.id_of(ours, f"agent.{topic}")
            assert ours.text == client.schema_of(ours.schema_id).text
    finally:
        server.shutdown()
        server.server_close()
