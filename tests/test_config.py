"""Settings: what is given, then the environment, then the local stack that is up, then the defaults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from runwatch import endpoints
from runwatch.config import Settings, load
from runwatch.control.signers import SignersError
from runwatch.control.signing import WrongKey, make_pair, read_public
from runwatch.secret import SecretError


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home without a stack, and none of this shell's own settings."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RUNWATCH_{name.upper()}", raising=False)
    monkeypatch.setenv("RUNWATCH_HOME", str(tmp_path))


def stack_is_up(home: Path) -> None:
    found = {"kafka": "127.0.0.1:19092", "clickhouse": "http://127.0.0.1:18123", "registry": "http://127.0.0.1:18081"}
    (home / endpoints.FILE_NAME).write_text(json.dumps(found), encoding="utf-8")


def test_the_defaults() -> None:
    settings = load()
    assert ("127.0.0.1:9092", "http://127.0.0.1:8123", None) == (settings.kafka, settings.clickhouse, settings.registry)


def test_the_local_stack_is_found(tmp_path: Path) -> None:
    stack_is_up(tmp_path)
    assert ("127.0.0.1:19092", "http://127.0.0.1:18123") == (load().kafka, load().clickhouse)
    # Ids are fingerprints on the local stack, which its registry only repeats.
    assert load().registry is None


def test_the_environment_goes_before_the_local_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_is_up(tmp_path)
    monkeypatch.setenv("RUNWATCH_KAFKA", "broker:9092")
    assert ("broker:9092", "http://127.0.0.1:18123") == (load().kafka, load().clickhouse)


def test_what_is_given_goes_before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_is_up(tmp_path)
    monkeypatch.setenv("RUNWATCH_KAFKA", "broker:9092")
    assert load(kafka="mine:1", clickhouse=None).kafka == "mine:1"
    assert load(kafka=None).kafka == "broker:9092"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # Compose files pass on what is not set as empty text.
    monkeypatch.setenv("RUNWATCH_REGISTRY", "")
    monkeypatch.setenv("RUNWATCH_PARTITIONS", "")
    assert (None, 4) == (load().registry, load().partitions)


def test_a_key_for_commands_is_had_from_a_file_and_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = make_pair()
    key, signers = tmp_path / "key", tmp_path / "signers"
    key.write_text(private + "\n")
    signers.write_text(f"mia {public}\n")
    assert load().signer() is None and load().signers() is None
    monkeypatch.setenv("RUNWATCH_CONTROL_SIGNERS", str(signers))
    with pytest.raises(SignersError, match="there is no key to sign with: set RUNWATCH_CONTROL_KEY_FILE"):
        load().signer()
    monkeypatch.setenv("RUNWATCH_CONTROL_KEY_FILE", str(key))
    signer = load().signer()
    assert signer is not None and read_public(public) == signer.public
    monkeypatch.setenv("RUNWATCH_CONTROL_KEY", private)
    with pytest.raises(SecretError, match="are both set") as caught:
        load().signer()
    assert private[8:] not in str(caught.value) + repr(load()) + load().model_dump_json()
    monkeypatch.delenv("RUNWATCH_CONTROL_KEY_FILE")
    monkeypatch.setenv("RUNWATCH_CONTROL_KEY", private[:-1])
    with pytest.raises(WrongKey, match=r"RUNWATCH_CONTROL_KEY does not do: .* not whole") as wrong:
        load().signer()
    assert private[8:-1] not in str(wrong.value)


def test_topics_take_the_prefix() -> None:
    assert load(prefix="eu-").topic("events") == "eu-agent.events"


def test_settings_do_not_change_and_keep_their_secret() -> None:
    settings = load(clickhouse_password="hunter2")
    with pytest.raises(ValidationError):
        settings.kafka = "other:1"
    assert "hunter2" not in repr(settings)
    assert settings.clickhouse_password.get_secret_value() == "hunter2"


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "null", '"text"'])
def test_a_broken_endpoints_file_is_no_stack(tmp_path: Path, text: str) -> None:
    (tmp_path / endpoints.FILE_NAME).write_text(text, encoding="utf-8")
    assert {} == endpoints.read()
    assert load().kafka == "127.0.0.1:9092"


def test_home_is_a_folder_beside_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert tmp_path == endpoints.home() == load().home
    monkeypatch.setenv("RUNWATCH_HOME", "")
    monkeypatch.chdir(tmp_path)
    assert tmp_path / ".runwatch" == endpoints.home() == load().home


def test_the_local_stack_brings_its_reading_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / endpoints.SQL_PASSWORD_FILE).write_text("secret\n", encoding="ascii")
    assert ("", "") == (load().sql_user, load().sql_password.get_secret_value())
    stack_is_up(tmp_path)
    assert ("runwatch_reader", "secret") == (load().sql_user, load().sql_password.get_secret_value())
    # Of another ClickHouse, it is not a user.
    monkeypatch.setenv("RUNWATCH_CLICKHOUSE", "http://elsewhere:8123")
    assert "" == load().sql_user
