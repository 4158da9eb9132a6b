"""The read-only registry: Confluent's paths, errors and clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest

from runwatch.schemas.registry import local_subjects
from runwatch.stack.registry import Catalog, RegistryProblem, make_server

SCHEMA = '{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}'
SUBJECTS = {"x-value": (7, SCHEMA), "y/1-value": (7, SCHEMA), "z-value": (9, '"string"')}
CATALOG = Catalog(SUBJECTS)
VERSION = {"subject": "x-value", "version": 1, "id": 7, "schema": SCHEMA}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/", {}),
        ("/subjects", ["x-value", "y/1-value", "z-value"]),
        ("/subjects?deleted=true", ["x-value", "y/1-value", "z-value"]),
        ("/subjects/x-value/versions", [1]),
        ("/subjects/y%2F1-value/versions", [1]),
        ("/subjects/x-value/versions/1", VERSION),
        ("/subjects/x-value/versions/latest", VERSION),
        ("/subjects/x-value/versions/1/schema", json.loads(SCHEMA)),
        ("/schemas/ids/7", {"schema": SCHEMA}),
        ("/schemas/ids/7/schema", json.loads(SCHEMA)),
        ("/schemas/ids/7/versions", [{"subject": "x-value", "version": 1}, {"subject": "y/1-value", "version": 1}]),
        ("/schemas/ids/9/subjects", ["z-value"]),
        ("/schemas/types", ["AVRO"]),
        ("/config", {"compatibilityLevel": "BACKWARD"}),
        ("/mode", {"mode": "READONLY"}),
    ],
)
def test_paths(path: str, value: Any) -> None:
    assert value == CATALOG.get(path)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/subjects/nope/versions", 404, 40401),
        ("/subjects/nope/versions/1", 404, 40401),
        ("/subjects/x-value/versions/2", 404, 40402),
        ("/subjects/x-value/versions/first", 422, 42202),
        ("/schemas/ids/8", 404, 40403),
        ("/schemas/ids/x", 404, 40403),
        ("/nowhere", 404, 404),
    ],
)
def test_what_is_not_there(path: str, status: int, code: int) -> None:
    with pytest.raises(RegistryProblem) as caught:
        CATALOG.get(path)
    assert (status, code) == (caught.value.status, caught.value.code)


def test_a_known_schema_is_found_and_no_other_registered() -> None:
    spaced = {"schema": json.dumps(json.loads(SCHEMA), indent=2)}
    assert VERSION == CATALOG.post("/subjects/x-value", spaced)
    assert {"id": 7} == CATALOG.post("/subjects/x-value/versions", spaced)
    for path, body, code in [
        ("/subjects/x-value", {"schema": '"int"'}, 40403),
        ("/subjects/nope", {"schema": '"int"'}, 40401),
        ("/subjects/x-value/versions", {"schema": '"int"'}, 42205),
        ("/subjects/x-value", None, 42201),
        ("/config", {"compatibility": "NONE"}, 42205),
    ]:
        with pytest.raises(RegistryProblem) as caught:
            CATALOG.post(path, body)
        assert code == caught.value.code


@pytest.fixture
def registry() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, {**SUBJECTS, **local_subjects("p.")})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_confluents_client_reads_our_schemas(registry: str) -> None:
    client = pytest.importorskip("confluent_kafka.schema_registry").SchemaRegistryClient({"url": registry})
    subject = "p.agent.events-value"
    schema_id, text = local_subjects("p.")[subject]
    latest = client.get_latest_version(subject)
    assert (schema_id, json.loads(text)) == (latest.schema_id, json.loads(latest.schema.schema_str))
    assert text == client.get_schema(schema_id).schema_str
    assert schema_id == client.lookup_schema(subject, latest.schema).schema_id
    assert sorted([*SUBJECTS, *local_subjects("p.")]) == sorted(client.get_subjects())


def test_clickhouses_avro_confluent_decodes_by_it(front: Any, registry: str) -> None:
    import io

    schema = fastavro.parse_schema(json.loads(SCHEMA))
    messages = b""
    for number in range(3):
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, {"a": number, "b": f"row {number}"})
        messages += b"\0" + (7).to_bytes(4, "big") + body.getvalue()
    assert 200 == front.ask("CREATE OR REPLACE TABLE confluent (a Int32, b String) ENGINE = Memory").status
    sql = "INSERT INTO confluent FORMAT AvroConfluent"
    reply = front.ask(messages, query=sql, format_avro_schema_registry_url=registry)
    assert 200 == reply.status, reply.text
    assert "0\trow 0\n1\trow 1\n2\trow 2\n" == front.ask("SELECT * FROM confluent ORDER BY a").text
    unknown = messages.replace((7).to_bytes(4, "big"), (8).to_bytes(4, "big"))
    assert 200 != front.ask(unknown, query=sql, format_avro_schema_registry_url=registry).status
