"""Every way in, by every client, at a real broker: and what is said where the broker does not let us in."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

import runwatch
from runwatch.broker import Access, AccessError, is_refusal
from runwatch.control.follow import read_once
from runwatch.processors.credentials import TokenProvider, credentials
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.topics import TopicsError, ensure_topics

from .conftest import Guarded
from .servers import KEY_PASSWORD, password

pytestmark = pytest.mark.stack

ENCRYPTED = ("SSL", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
WAYS = (*ENCRYPTED, "bare PLAIN", "bare SCRAM-SHA-512", "bare OAUTHBEARER")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNWATCH_HOME", str(tmp_path))


@pytest.mark.parametrize("way", WAYS)
def test_librdkafka(guarded: Guarded, way: str) -> None:
    found = AdminClient(guarded.settings(way, "sink").kafka_client(log_level=0)).list_topics(timeout=20)
    assert "eu-agent.events" in found.topics


@pytest.mark.parametrize("way", WAYS)
def test_faust(guarded: Guarded, way: str) -> None:
    access = guarded.settings(way, "processors").kafka_access
    assert asyncio.run(sent_by_aiokafka(access, "eu-agent.windows")) >= 0


async def sent_by_aiokafka(access: Access, topic: str) -> int:
    its = credentials_to_aiokafka_auth(credentials(access))
    producer = AIOKafkaProducer(bootstrap_servers=access.bootstrap, request_timeout_ms=10_000, **its)
    try:
        await producer.start()
        return int((await producer.send_and_wait(topic, b"x", partition=0)).offset)
    finally:
        await producer.stop()


@pytest.mark.parametrize("way", ENCRYPTED)
def test_the_sdk(guarded: Guarded, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in guarded.broker.environ(way, "agents").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RUNWATCH_PREFIX", guarded.prefix)
    before = ends(guarded)
    with runwatch.connect("checkout", "1") as watch, watch.run() as run:
        run.stop("success")
    assert 2 == ends(guarded) - before


def test_the_sdk_by_arguments(guarded: Guarded) -> None:
    access = guarded.settings("SCRAM-SHA-512", "agents").kafka_access
    before = ends(guarded)
    with (
        runwatch.connect("checkout", kafka=access.bootstrap, prefix="eu-", kafka_config=access.client()) as watch,
        watch.run() as run,
    ):
        run.stop("success")
    assert 2 == ends(guarded) - before


def ends(guarded: Guarded) -> int:
    """Messages in the event topic."""
    consumer = Consumer({**guarded.broker.admin, "group.id": "ends"})
    try:
        places = [TopicPartition("eu-agent.events", at) for at in range(2)]
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    finally:
        consumer.close()


# -- who is not let in ---------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, dict[str, str]]] = {
    "password": ("SCRAM-SHA-512", {"password": "hush-wrong"}),
    "user": ("PLAIN", {"user": "nobody"}),
    "token": ("OAUTHBEARER", {"oauth_secret": "hush-wrong"}),
    "no certificate": ("SSL", {"cert_file": "", "key_file": "", "key_password": ""}),
    "untrusted": ("SCRAM-SHA-512", {"ca_file": "OTHERS"}),
}


def wrong(guarded: Guarded, what: str, user: str) -> Access:
    way, fields = WRONG[what]
    given = {**guarded.broker.by(way, user), **fields}
    if given["ca_file"] == "OTHERS":
        given["ca_file"] = str(guarded.broker.papers.others_ca)
    return Access(**given)


@pytest.mark.parametrize("what", WRONG)
def test_librdkafka_is_refused(guarded: Guarded, what: str) -> None:
    heard: list[KafkaError] = []
    client = AdminClient(wrong(guarded, what, "sink").client(log_level=0, error_cb=heard.append))
    deadline = time.monotonic() + 10
    while not any(map(is_refusal, heard)) and time.monotonic() < deadline:
        client.poll(0.1)
    assert any(map(is_refusal, heard)), heard
    assert "hush" not in str(heard)


@pytest.mark.parametrize("what", WRONG)
def test_faust_is_refused_in_time(guarded: Guarded, what: str) -> None:
    began = time.monotonic()
    with pytest.raises((AioKafkaError, AccessError)) as caught:
        asyncio.run(sent_by_aiokafka(wrong(guarded, what, "processors"), "eu-agent.windows"))
    assert "hush" not in str(caught.value)
    assert time.monotonic() - began < 15


def test_an_agent_that_is_refused_goes_on_and_says_so_once(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    access = wrong(guarded, "password", "agents")
    with caplog.at_level(logging.WARNING):
        watch = runwatch.connect("checkout", kafka=access.bootstrap, prefix="eu-", kafka_config=access.client())
        with watch.run() as run:
            run.stop("success")
        deadline = time.monotonic() + 10
        while "refuses" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        watch.close(timeout=0.1)
    assert 1 <= caplog.text.count("refuses") <= 2  # the events' way out, and the reader of commands
    assert "hush" not in caplog.text


def test_topics_that_one_may_not_make_are_told_by_name(guarded: Guarded) -> None:
    its = guarded.settings("PLAIN", "sink")
    assert [] == ensure_topics(its.kafka, "eu-", extra=its.kafka_client())
    with pytest.raises(TopicsError, match=r"Topic other-agent\.\w+ could not be made .*may this client create topics"):
        ensure_topics(its.kafka, "other-", extra=its.kafka_client())


def test_a_part_that_is_refused_says_why(guarded: Guarded) -> None:
    access = wrong(guarded, "password", "sink")
    with pytest.raises(TopicsError, match=r"could not be made .*[Aa]uthentication failed") as caught:
        ensure_topics(access.bootstrap, "eu-", timeout_s=1.0, extra=access.client())
    assert "hush" not in str(caught.value)


def test_the_control_topic_is_read_by_who_may(guarded: Guarded) -> None:
    its = guarded.settings("SCRAM-SHA-256", "agents")
    assert read_once(its.kafka_client(), its.topic("control"), LocalRegistry, 10).loaded
    # A reader who is let in, but may not read this, is not told that nothing stands.
    other = guarded.settings("SCRAM-SHA-256", "agents")
    assert not read_once(other.kafka_client(), other.topic("anomalies"), LocalRegistry, 2).loaded


# -- tokens --------------------------------------------------------------------------------------------


def test_a_token_serves_until_it_is_nearly_over(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = guarded.broker.tokens
    monkeypatch.setattr(tokens, "lasting_s", 1)
    access = guarded.settings("OAUTHBEARER", "sink", kafka_oauth_scope="kafka read").kafka_access.resolved()

    async def ask() -> list[str]:
        provider = TokenProvider(access)
        first = [await provider.token() for _ in range(3)]
        await asyncio.sleep(1.1)
        return [*first, await provider.token()]

    asked = len(tokens.asked)
    first, again, third, later = asyncio.run(ask())
    assert first == again == third != later
    assert ["sink:kafka read"] * 2 == tokens.asked[asked:]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, b"no json"), "answers with no token"),
        ((200, b"[]"), "answers with no token"),
        ((200, b'{"access_token": "x", "expires_in": "soon"}'), "answers with no token"),
        ((503, b"hush-body"), r"gives no token to sink \(HTTP 503\)"),
        ((302, b""), r"gives no token to sink \(HTTP 302\)"),
    ],
)
def test_a_token_server_that_gives_none(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes], words: str
) -> None:
    monkeypatch.setattr(guarded.broker.tokens, "answer", answer)
    assert "hush" not in refused_token(guarded, words)


def test_a_token_server_that_is_away_or_not_trusted(guarded: Guarded) -> None:
    assert "hush" not in refused_token(guarded, "does not answer", kafka_oauth_url="https://127.0.0.1:1/token")
    others = str(guarded.broker.papers.others_ca)
    assert "hush" not in refused_token(guarded, "does not answer .*Certificate", kafka_oauth_ca_file=others)


def refused_token(guarded: Guarded, words: str, **given: Any) -> str:
    async def ask() -> str:
        access = guarded.settings("OAUTHBEARER", "sink", **given).kafka_access
        return await TokenProvider(access.resolved()).token()

    with pytest.raises(AccessError, match=words) as caught:
        asyncio.run(ask())
    return str(caught.value)


def test_extensions_are_pairs() -> None:
    access = Access("x", oauth_extensions="logicalCluster=lkc-1, identityPoolId=pool=2")

    async def ask() -> dict[str, str]:
        return TokenProvider(access).extensions()

    assert {"logicalCluster": "lkc-1", "identityPoolId": "pool=2"} == asyncio.run(ask())


def test_a_sealed_key_without_its_password_is_told_and_nobody_is_asked(guarded: Guarded) -> None:
    its = guarded.broker.by("SSL", "sink")
    with pytest.raises(AccessError, match=r"RUNWATCH_KAFKA_KEY_PASSWORD"):
        credentials(Access(**{**its, "key_password": ""}))
    with pytest.raises(AccessError, match=r"cannot be used .*RUNWATCH_KAFKA_CERT_FILE") as caught:
        credentials(Access(**{**its, "key_password": password("sink")}))
    assert password("sink") not in str(caught.value) and KEY_PASSWORD not in str(caught.value)
    with pytest.raises(AccessError, match=r"RUNWATCH_KAFKA_CA_FILE names .*holds no certificate"):
        credentials(Access(**{**its, "ca_file": __file__}))
