"""What ClickHouse's errors mean to us, and what a person is told."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from runwatch.clickhouse import (
    StoreAway,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreRefused,
    connect,
    understood,
)
from runwatch.config import Settings


def answer(code: int, words: str) -> DatabaseError:
    return DatabaseError(
        f"HTTPDriver for http://h:1 received ClickHouse error code {code}\n"
        f" Code: {code}. DB::Exception: {words} (version 26.9.2.1 (official build)) (for url http://h:1)"
    )


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (469, "Constraint `aligned` is violated at row 3. (VIOLATED_CONSTRAINT)", StoreRefused),
        (1001, "std::exception: avro. (STD_EXCEPTION)", StoreRefused),
        (60, "Table runwatch.events_in does not exist. (UNKNOWN_TABLE)", StoreMissing),
        (81, "Database runwatch does not exist. (UNKNOWN_DATABASE)", StoreMissing),
        (516, "Authentication failed. (AUTHENTICATION_FAILED)", StoreDenied),
        (497, "Not enough privileges. (ACCESS_DENIED)", StoreDenied),
        (243, "Cannot reserve 1.00 MiB. (NOT_ENOUGH_SPACE)", StoreAway),
        (75, "Cannot write: No space left on device. (CANNOT_WRITE_TO_FILE_DESCRIPTOR)", StoreAway),
        (252, "Too many parts. (TOO_MANY_PARTS)", StoreAway),
        (49, "Something impossible. (LOGICAL_ERROR)", StoreError),
    ],
)
def test_each_answer_has_its_kind(code: int, words: str, kind: type[StoreError]) -> None:
    found = understood(answer(code, words), "http://h:1", "runwatch")
    assert kind is type(found)
    assert code == found.code
    assert words.split(".")[0] in str(found)
    assert "version" not in str(found)


def test_no_answer_says_where_and_why() -> None:
    error = OperationalError("Error HTTPConnectionPool(...): Failed: [Errno 111] Connection refused')) executing")
    assert "ClickHouse does not answer at http://h:1 (Connection refused); is it up?" == str(
        understood(error, "http://h:1", "runwatch")
    )


def test_nobody_there_is_told_at_once_and_without_the_password() -> None:
    settings = Settings(clickhouse="http://127.0.0.1:1", clickhouse_password="hunter2")
    with pytest.raises(StoreAway, match=r"does not answer at http://127.0.0.1:1 \(Connection refused\)") as caught:
        connect(settings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:8123", "tcp://127.0.0.1:9000", "http://"])
def test_an_address_of_another_form_is_told(address: str) -> None:
    with pytest.raises(StoreError, match="RUNWATCH_CLICKHOUSE"):
        connect(Settings(clickhouse=address))
