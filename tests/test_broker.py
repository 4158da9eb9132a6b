"""How brokers are reached: which settings of librdkafka follow, what is refused, and that no secret is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from runwatch import broker, endpoints
from runwatch.broker import Access, AccessError
from runwatch.config import OPEN_KAFKA, Settings, load
from runwatch.secret import SecretError, first_line, revealed

ROOT = Path(__file__).resolve().parents[1]
OAUTH: dict[str, str] = {
    "oauth_url": "https://tokens:1/token",
    "oauth_client": "sink",
    "oauth_secret": "hunter2",
}


def test_a_broker_that_asks_for_nothing() -> None:
    assert {"bootstrap.servers": "here:1", "security.protocol": "PLAINTEXT"} == Access("here:1").client()


def test_certificates(tmp_path: Path) -> None:
    ca, cert, key = (made(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    assert {"bootstrap.servers": "here:1", "security.protocol": "SSL", "ssl.ca.location": ca} == Access(
        "here:1", ca_file=ca
    ).client()
    assert {
        "bootstrap.servers": "here:1",
        "security.protocol": "SSL",
        "ssl.certificate.location": cert,
        "ssl.key.location": key,
        "ssl.key.password": "hunter2",
    } == Access("here:1", cert_file=cert, key_file=key, key_password="hunter2").client()
    # One file may hold both.
    assert cert == Access("here:1", cert_file=cert).client()["ssl.key.location"]


@pytest.mark.parametrize("mechanism", ["plain", "SCRAM-SHA-256", "scram-sha-512", ""])
def test_a_user_is_told_over_an_encrypted_connection(mechanism: str) -> None:
    assert {
        "bootstrap.servers": "here:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism.upper() or "SCRAM-SHA-512",
        "sasl.username": "sink",
        "sasl.password": "hunter2",
    } == Access("here:1", user="sink", password="hunter2", mechanism=mechanism).client()


def test_unencrypted_where_that_is_said() -> None:
    found = Access("here:1", security="sasl_plaintext", user="sink", password="hunter2").client()
    assert "SASL_PLAINTEXT" == found["security.protocol"]


def test_tokens(tmp_path: Path) -> None:
    ca = made(tmp_path / "ca.pem")
    assert {
        "bootstrap.servers": "here:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://tokens:1/token",
        "sasl.oauthbearer.client.id": "sink",
        "sasl.oauthbearer.client.secret": "hunter2",
        "sasl.oauthbearer.scope": "kafka",
        "sasl.oauthbearer.extensions": "logicalCluster=lkc-1",
        "https.ca.location": ca,
    } == Access(
        "here:1", **OAUTH, oauth_scope="kafka", oauth_extensions="logicalCluster=lkc-1", oauth_ca_file=ca
    ).client()


@pytest.mark.parametrize(
    "given",
    [{}, {"user": "a", "password": "b"}, {"user": "a", "password": "b", "mechanism": "PLAIN"}, OAUTH],
    ids=["open", "scram", "plain", "oauth"],
)
def test_librdkafka_knows_them_all(given: dict[str, str]) -> None:
    # Else it raises when it is made.
    assert Producer(Access("127.0.0.1:1", **given).client(log_level=0)).purge() is None


def test_more_wins() -> None:
    found = Access("here:1").client(**{"bootstrap.servers": "there:1", "linger.ms": 0})
    assert ("there:1", 0) == (found["bootstrap.servers"], found["linger.ms"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"security": "TLS"}, "RUNWATCH_KAFKA_SECURITY is 'TLS', and is to be one of PLAINTEXT, SSL, SASL_PLAINTEXT"),
        ({"mechanism": "GSSAPI"}, "RUNWATCH_KAFKA_MECHANISM is 'GSSAPI', and is to be one of PLAIN, SCRAM-SHA-256"),
        ({"user": "a"}, r"SCRAM-SHA-512 to Kafka needs RUNWATCH_KAFKA_PASSWORD \(or its _FILE\), which is not set"),
        ({"password": "hunter2"}, "SCRAM-SHA-512 to Kafka needs RUNWATCH_KAFKA_USER, which is not set"),
        ({"mechanism": "OAUTHBEARER"}, "OAUTHBEARER to Kafka needs RUNWATCH_KAFKA_OAUTH_URL, which is not set"),
        ({**OAUTH, "oauth_secret": ""}, "needs RUNWATCH_KAFKA_OAUTH_SECRET"),
        ({"security": "SSL", "user": "a", "password": "hunter2"}, "with which RUNWATCH_KAFKA_USER has no effect"),
        ({"security": "PLAINTEXT", "ca_file": "x"}, "with which RUNWATCH_KAFKA_CA_FILE has no effect"),
        ({"security": "SASL_PLAINTEXT", "ca_file": "x"}, "with which RUNWATCH_KAFKA_CA_FILE has no effect"),
        ({"ca_file": "/no/such"}, "RUNWATCH_KAFKA_CA_FILE names /no/such, which cannot be read: No such file"),
        ({"key_file": __file__}, "RUNWATCH_KAFKA_KEY_FILE is set without RUNWATCH_KAFKA_CERT_FILE"),
    ],
)
def test_what_does_not_go_together_is_told_by_the_settings_names(given: dict[str, str], words: str) -> None:
    with pytest.raises(AccessError, match=words) as caught:
        Access("here:1", **given).client()
    assert "hunter2" not in str(caught.value)


# -- secrets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["hunter2", "hunter2\n", "hunter2\r\n", "hunter2\nmore\n"])
def test_a_secret_is_a_files_first_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(text.encode())
    found = Access("here:1", user="a", password_file=str(path)).client()
    assert "hunter2" == found["sasl.password"]


def test_spaces_belong_to_a_password(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(" two words \n")
    assert " two words " == first_line("X", path)


@pytest.mark.parametrize(
    ("data", "words"),
    [(None, "cannot be read: No such file"), (b"\n", "whose first line is empty"), (b"\xff", "it is no UTF-8 text")],
)
def test_a_file_without_one_is_told(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "secret"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SecretError, match=f"RUNWATCH_KAFKA_PASSWORD_FILE names {path}, .*{words}"):
        Access("here:1", user="a", password_file=str(path)).client()


def test_a_secret_stands_in_one_place() -> None:
    with pytest.raises(SecretError, match=r"^NAME and NAME_FILE are both set; unset one of them.$"):
        revealed("NAME", "hunter2", Path("x"))


def test_no_secret_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2")
    given = {"key_password": "hunter2", "password_file": str(path), "oauth_secret": "hunter2", "user": "a"}
    access = Access("here:1", **given)
    assert "hunter2" not in f"{access!r} {access} {access.resolved()!r}"
    settings = Settings(**{f"kafka_{name}": value for name, value in given.items()})
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in f"{settings.kafka_access!r}"


# -- where they are set --------------------------------------------------------------------------------


def test_the_settings_and_the_environment_say_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("RUNWATCH_KAFKA", "here:1")
    for name in broker.NAMES:
        monkeypatch.setenv(broker.variable(name), f"the {name}")
    expected = Access("here:1", **{name: f"the {name}" for name in broker.NAMES})
    assert expected == broker.from_environ("here:1") == load().kafka_access


def test_every_field_has_a_setting_and_every_setting_a_field() -> None:
    assert {f"kafka_{name}" for name in broker.NAMES} == {
        name for name in Settings.model_fields if name.startswith("kafka_")
    }
    assert set(OPEN_KAFKA) == {f"kafka_{name}" for name in broker.NAMES}
    assert Access("127.0.0.1:9092") == Settings(**{**OPEN_KAFKA, "kafka": "127.0.0.1:9092"}).kafka_access


def test_the_local_stack_asks_for_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNWATCH_HOME", str(tmp_path))
    monkeypatch.delenv("RUNWATCH_KAFKA", raising=False)
    monkeypatch.setenv("RUNWATCH_KAFKA_USER", "sink")
    monkeypatch.setenv("RUNWATCH_KAFKA_PASSWORD", "hunter2")
    (tmp_path / endpoints.FILE_NAME).write_text('{"kafka": "127.0.0.1:19092"}')
    assert Access("127.0.0.1:19092") == load().kafka_access
    # It is meant for brokers that are elsewhere.
    assert Access("there:1", user="sink", password="hunter2") == load(kafka="there:1").kafka_access


def test_a_process_that_is_started_sees_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWATCH_KAFKA_USER", "sink")
    for name, value in broker.unset().items():
        monkeypatch.setenv(name, value)
    assert Access("here:1") == broker.from_environ("here:1") == Settings(kafka="here:1").kafka_access


def test_no_client_goes_by_the_address_alone() -> None:
    """A client that is made of the address is a client without its certificates, and hangs where they are asked for.

    The bench has servers of its own.
    """
    pattern = re.compile(r'"bootstrap\.servers": [\w.]*settings\.kafka\b')
    found = [
        str(path.relative_to(ROOT))
        for folder in ROOT.iterdir()
        if folder.is_dir() and (folder / "__init__.py").exists() and folder.name not in ("tests", "bench")
        for path in folder.rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert [] == found


def made(path: Path) -> Any:
    path.write_text("")
    return str(path)
