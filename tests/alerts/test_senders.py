"""Each kind of receiver, told for real; and what is said where that fails, without a secret."""

from __future__ import annotations

import email
import email.policy
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from runwatch.alerts.build import build, place_of, trial_message
from runwatch.alerts.letter import Letter, News
from runwatch.alerts.secrets import ReceiverError
from runwatch.alerts.senders import http
from runwatch.alerts.senders.unsent import Unsent
from runwatch.alerts.standing import Stand
from runwatch.alerts.told import Told
from runwatch.settings.alerts import Receiver
from runwatch.stack.ports import any_free

from .servers import Hook, alertmanager
from .support import MINUTE, drift, everything, loop, nothing_silenced, over

TOKEN = "T0P5ECRETt0ken"
LETTER = Letter((News(drift()),))


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as it:
        yield it


def receiver(kind: str, **given: Any) -> Receiver:
    return Receiver(name="team", kind=kind, **given)  # type: ignore[arg-type]


def sent(which: Receiver, letter: Any = LETTER, environ: Any = None, link: str | None = None) -> None:
    build(which, environ or {}, link).send(letter)


def test_a_webhook_gets_the_whole_anomaly_and_links(hook: Hook) -> None:
    letter = Letter((News(loop()), News(drift(), over(drift()))))
    sent(receiver("webhook", url=f"{hook.url}/in"), letter, link="https://watch.example/{agent}/{run_id}")
    ((post,), (headers,)) = hook.posts, hook.headers
    body = post["body"]
    assert "/in" == post["path"]
    assert ("several", 2, 0, "team", "critical") == (
        body["kind"], body["count"], body["omitted"], body["receiver"], body["severity"],
    )  # fmt: skip
    first, second = body["anomalies"]
    assert json.loads(json.dumps(loop().to_record())) == {name: first[name] for name in loop().to_record()}
    assert {"anomaly": "https://watch.example/support/run-l1", "command": "runwatch show run-l1"} == first["links"]
    assert ("passed", "resolved") == (second["kind"], second["ended"]["state"])
    assert letter.key == headers["Idempotency-Key"] == body["key"]


def test_slack_gets_text_and_blocks_that_nobody_else_can_give_orders_in(hook: Hook) -> None:
    letter = Letter((News(drift(message="<!channel> & all", agent="<@U1>")),))
    sent(receiver("slack", url=hook.url), letter)
    body = hook.posts[0]["body"]
    assert "Warning: drift.latency_p95 at &lt;@U1&gt;" == body["text"]
    header, section = body["blocks"]
    assert ("header", "plain_text") == (header["type"], header["text"]["type"])
    assert "&lt;!channel&gt; &amp; all" in section["text"]["text"]
    assert "<" not in section["text"]["text"]


def test_secrets_come_from_the_environment_and_from_files(hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{hook.url}/file\n")
    environ = {"HOOK": f"{hook.url}/env", "TOKEN": TOKEN}
    sent(receiver("webhook", url="${HOOK}", headers={"Authorization": "Bearer ${TOKEN}"}), environ=environ)
    sent(receiver("webhook", url_file=str(tmp_path / "url")))
    assert ["/env", "/file"] == [post["path"] for post in hook.posts]
    assert f"Bearer {TOKEN}" == hook.headers[0]["Authorization"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "webhook", "url": "${NO_SUCH}"}, "needs the environment variable NO_SUCH, which is not set"),
        ({"kind": "webhook", "url_file": "/no/such"}, "needs the file /no/such, which cannot be read"),
        ({"kind": "webhook", "url": f"ftp://{TOKEN}"}, "needs a url like https://host/path"),
        ({"kind": "slack", "url": f"http://[{TOKEN}"}, "needs a url like https://host/path"),
        ({"kind": "apprise", "url": f"nosuch://{TOKEN}"}, "a url that apprise does not know"),
        (
            {"kind": "email", "host": "h", "sender": "no address", "to": ("a@b.example",)},
            "has the address 'no address', which is none",
        ),
    ],
)
def test_what_cannot_be_used_says_why_without_a_secret(given: Any, said: str) -> None:
    with pytest.raises(ReceiverError) as error:
        build(Receiver(name="team", **given), {}, None)
    assert said in str(error.value)
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    ("status", "said", "hopeless"),
    [
        (500, "answers 500 Internal Server Error, saying 'no_service", False),
        (403, "is its token right?", False),
        (404, "is its address right?", False),
        (429, "answers 429", False),
        (400, "answers 400", True),
        (302, "redirects elsewhere (302)", False),
    ],
)
def test_what_a_server_answers_is_told_without_the_address(hook: Hook, status: int, said: str, hopeless: bool) -> None:
    hook.status, hook.answer = status, f"no_service for {TOKEN}".encode()
    hook.answer_headers = {"Retry-After": "17", "Location": "http://127.0.0.1:1/"}
    with pytest.raises(Unsent) as error:
        sent(receiver("slack", url=f"{hook.url}/services/{TOKEN}?key={TOKEN}"))
    assert said in str(error.value)
    assert TOKEN not in str(error.value)
    assert (hopeless, status == 500) == (error.value.hopeless, error.value.arrived)
    assert (17.0 if status in (429, 500) else None) == error.value.retry_after_s


def test_nobody_there_a_name_that_is_none_and_a_server_that_hangs(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_S", 0.3)
    hook.wait_s = 1.0
    for url, said, arrived in (
        (f"http://127.0.0.1:{any_free()}/{TOKEN}", "cannot be reached (connection refused)", False),
        (f"http://no-such-host.invalid/{TOKEN}", "cannot be reached", False),
        (f"{hook.url}/{TOKEN}", "does not answer within", True),
    ):
        with pytest.raises(Unsent) as error:
            sent(receiver("webhook", url=url))
        assert said in str(error.value)
        assert TOKEN not in str(error.value)
        assert arrived == error.value.arrived


def test_an_apprise_address_is_told_and_its_failure_too(hook: Hook) -> None:
    address = hook.url.replace("http://", "json://")
    sent(receiver("apprise", url=f"{address}/{TOKEN}"))
    body = hook.posts[0]["body"]
    assert "Warning: drift.latency_p95 at support" == body["title"]
    assert "d1 is slow." in body["message"]
    hook.status = 500
    with pytest.raises(Unsent) as error:
        sent(receiver("apprise", url=f"{address}/{TOKEN}"))
    assert "Apprise could not send it" in str(error.value)
    assert TOKEN not in str(error.value)


# -- e-mail --------------------------------------------------------------------------------------------


class Mailbox:
    """What an SMTP server does with mail."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    def log_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        return AuthResult(success=data.login == b"bot" and data.password == TOKEN.encode(), handled=False)

    box = Mailbox()
    controller = Controller(
        box, hostname="127.0.0.1", port=any_free(), authenticator=log_in, auth_require_tls=False, auth_required=False
    )
    controller.start()
    yield box, controller.port
    controller.stop()


def mail_to(smtp_port: int, **given: Any) -> Receiver:
    its = {
        "host": "127.0.0.1",
        "port": smtp_port,
        "tls": "none",
        "sender": "runwatch@x.example",
        "to": ("a@x.example", "b@x.example"),
    }
    return receiver("email", **{**its, **given})


def test_a_mail_says_it_and_its_end_answers_it(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    which = mail_to(port, user="bot", password="${PW}")
    one = drift(message="Latenz 2× so hoch.\r\nBcc: all@x.example", agent="bot\r\nBcc: all@x.example")
    for letter in (Letter((News(one),)), Letter((News(over(one)),))):
        sent(which, letter, {"PW": TOKEN})
    (to, first), (_, second) = box.mails
    assert ["a@x.example", "b@x.example"] == to
    assert "Warning: drift.latency_p95 at bot Bcc: all@x.example" == first["Subject"]
    assert first["Bcc"] is None
    assert "Latenz 2× so hoch. Bcc: all@x.example" in first.get_content()
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]
    assert second["Subject"].startswith("Over: ")


@pytest.mark.parametrize(
    ("given", "refuse", "said", "hopeless"),
    [
        ({"user": "bot", "password": f"wrong{TOKEN}"}, "", "refuses the user or the password (535)", False),
        ({}, "554 no such thing", "refuses the mail (554 no such thing)", True),
        ({}, "451 later", "refuses the mail (451 later)", False),
        ({"tls": "starttls"}, "", "see its setting tls", False),
        ({"tls": "tls"}, "", "cannot be spoken to in TLS", False),
        ({"port": 1}, "", "cannot be reached (connection refused)", False),
    ],
)
def test_what_a_mail_server_refuses_is_told(
    mailbox: tuple[Mailbox, int], given: Any, refuse: str, said: str, hopeless: bool
) -> None:
    box, port = mailbox
    box.refuse = refuse
    with pytest.raises(Unsent) as error:
        sent(mail_to(port, **given))
    assert said in str(error.value)
    assert hopeless == error.value.hopeless
    assert TOKEN not in str(error.value)


# -- Alertmanager --------------------------------------------------------------------------------------

ROUTE = """
route: {receiver: hook, group_by: [alertname, agent], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
- name: hook
  webhook_configs: [{url: "%s/am", send_resolved: true}]
"""


def test_a_real_alertmanager_tells_of_an_episode_and_of_its_end(hook: Hook, tmp_path: Path) -> None:
    with alertmanager(tmp_path, ROUTE % hook.url) as its:
        which = receiver("alertmanager", url=its.url)
        sender = build(which, {}, "https://watch.example/{anomaly_id}")
        stand = Stand(everything, nothing_silenced, 15 * MINUTE, Told())

        def post() -> list[Any]:
            post = stand.next(now())
            assert post is not None
            sender.send(post)
            return stand.done(post, now())

        one = drift(onset_ms=now() - MINUTE, ts_ms=now(), tool="search")
        stand.take(one, 0, 0, now())
        assert [one] == post()
        (alert,) = its.alerts()
        assert {
            "alertname": "drift.latency_p95", "severity": "warning", "agent": "support", "tool": "search",
            "source": "runwatch",
        } == alert["labels"]  # fmt: skip
        assert "d1 is slow." == alert["annotations"]["description"]
        assert "https://watch.example/d1" == alert["generatorURL"]
        assert ["firing"] == statuses(hook, 1)
        time.sleep(1.1)
        stand.take(replace(over(one), ts_ms=now()), 0, 1, now())
        post()
        assert ["firing", "resolved"] == statuses(hook, 2)
        assert [] == its.alerts()


def test_a_test_reaches_a_real_alertmanager(hook: Hook, tmp_path: Path) -> None:
    with alertmanager(tmp_path, ROUTE % hook.url) as its:
        which = receiver("alertmanager", url=f"{its.url}/api/v2/alerts")
        build(which, {}, None).send(trial_message(which, now()))
        assert ["test.alert"] == [alert["labels"]["alertname"] for alert in its.alerts()]
        assert f"{its.url}/…" == place_of(which, {})


def statuses(hook: Hook, count: int) -> list[str]:
    deadline = time.monotonic() + 15
    while len(hook.posts) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return [post["body"]["status"] for post in hook.posts]


def now() -> int:
    return int(time.time() * 1000)
