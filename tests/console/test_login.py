"""The way in: the login page, its cookie, where it leads, and how often one may be wrong."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from .served import OPERATOR, PAGE, VIEWER, Served, serving


def test_it_is_one_form_that_password_managers_know(served: Served) -> None:
    with served.client(**PAGE) as client:
        answer = client.get("/login?next=/runs?span=1h")
    assert 200 == answer.status_code
    page = answer.text
    assert 1 == page.count("<form") and 'method="post" action="/login"' in page
    assert 'name="person" autocomplete="username"' in page
    assert 'name="token" type="password" autocomplete="current-password"' in page
    assert 'value="/runs?span=1h"' in page
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert not re.search(r"(src|href)=\"https?:", page), "it needs nothing from elsewhere"


def test_who_signs_in_goes_where_they_wanted_to(served: Served) -> None:
    with served.client(origin=served.url) as client:
        answer = client.post("/login", data={"token": VIEWER, "person": "anna", "next": "/runs?span=1h"})
        assert (303, "/runs?span=1h") == (answer.status_code, answer.headers["location"])
        assert 200 == client.get("/runs?span=1h").status_code


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "",
        "/login",
    ],
)
def test_nobody_is_led_elsewhere(wanted: str, served: Served) -> None:
    with served.client(origin=served.url) as client:
        assert "/" == client.post("/login", data={"token": VIEWER, "next": wanted}).headers["location"]
        page = client.get("/login", params={"next": wanted}).text
        assert "evil" not in page and "javascript:" not in page


def test_the_cookie_is_for_the_console_alone(served: Served) -> None:
    with served.client(origin=served.url) as client:
        said = client.post("/login", data={"token": OPERATOR}).headers["set-cookie"]
    name, *flags = [one.strip() for one in said.split(";")]
    assert name.startswith("runwatch_session_")
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= {one.lower() for one in flags}
    assert "domain" not in said.lower()
    assert OPERATOR not in said


def test_it_lasts_as_long_as_is_set(tmp_path: Path) -> None:
    with serving(tmp_path, console_session_hours="0.5") as found, found.client(origin=found.url) as client:
        assert "Max-Age=1800" in client.post("/login", data={"token": OPERATOR}).headers["set-cookie"]


def test_a_wrong_token_is_told_and_not_repeated(tmp_path: Path) -> None:
    with serving(tmp_path) as found, found.client(origin=found.url) as client:
        answer = client.post("/login", data={"token": "wrong-and-secret", "person": "anna", "next": "/runs"})
        assert 401 == answer.status_code
        assert "That is no token of this console." in answer.text
        assert "wrong-and-secret" not in answer.text
        assert 'value="anna"' in answer.text and 'value="/runs"' in answer.text
        assert "set-cookie" not in answer.headers


def test_names_made_of_html_are_text(served: Served) -> None:
    name = "<img src=x onerror=alert(1)>\"'"
    with served.signed_in(OPERATOR, name) as client:
        assert f"{name} (console)" == client.get("/api/session").json()["name"]
        page = client.get("/").text
        assert "<img src=x" not in page
    with served.client(origin=served.url) as client:
        page = client.post("/login", data={"token": "x", "person": name}).text
        assert name not in page and html.escape(name, quote=False).split('"')[0] in page


def test_who_is_wrong_too_often_waits(tmp_path: Path) -> None:
    with serving(tmp_path) as found, found.client(origin=found.url) as client:
        statuses = [client.post("/login", data={"token": f"guess {number}"}).status_code for number in range(8)]
        assert [401] * 5 + [429] * 3 == statuses
        answer = client.post("/login", data={"token": OPERATOR})
        assert 429 == answer.status_code, "or else the limit would tell which token is right"
        assert 0 < int(answer.headers["retry-after"]) <= 12
        assert f"wait {answer.headers['retry-after']} s" in answer.text
        token = {"authorization": f"Bearer {OPERATOR}"}
        assert 200 == client.get("/api/session", headers=token).status_code, "scripts go on"


def test_a_form_that_is_too_large_is_refused(served: Served) -> None:
    with served.client(origin=served.url) as client:
        assert 413 == client.post("/login", data={"token": "x" * 1_000_000}).status_code
        assert 303 == client.post("/login", data={"token": OPERATOR, "person": "x" * 5_000}).status_code


def test_who_is_signed_in_is_led_on(served: Served) -> None:
    with served.signed_in() as client:
        page = client.get("/login?next=/runs").text
        assert 'data-next="/runs"' in page
    with served.client() as client:
        assert 'data-next=""' in client.get("/login?next=/runs").text


def test_a_link_in_a_mail_is_asked_for_again_from_here(served: Served) -> None:
    elsewhere = {**PAGE, "sec-fetch-site": "cross-site"}
    with served.client(**elsewhere) as client:
        location = client.get("/incidents/x").headers["location"]
        assert 'data-next="/login?next=/incidents/x&amp;again=1"' in client.get(location).text
        assert 'data-next=""' in client.get(f"{location}&again=1").text
    with served.client(**PAGE) as client:
        assert 'data-next=""' in client.get("/login").text


def test_signing_out_takes_the_cookie_away(served: Served) -> None:
    with served.signed_in() as client:
        answer = client.post("/logout")
        assert "/login" == answer.headers["location"]
        assert "max-age=0" in answer.headers["set-cookie"].lower()
        assert 401 == client.post("/logout").status_code


def test_without_tokens_the_page_says_how_to_make_some(tmp_path: Path) -> None:
    with serving(tmp_path, console_operator_token="", console_viewer_token="") as found, found.client() as client:
        assert "No tokens have been made yet" in client.get("/login").text
        assert 401 == client.post("/login", data={"token": ""}).status_code
        assert 401 == client.get("/api/session", headers={"authorization": "Bearer x"}).status_code
