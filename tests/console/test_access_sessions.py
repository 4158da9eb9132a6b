"""Sessions: whose they are, and when they no longer hold."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from itsdangerous import URLSafeSerializer
from starlette.requests import HTTPConnection

from runwatch.config import Settings
from runwatch.console.access import tokens
from runwatch.console.access.access import Access
from runwatch.console.access.roles import Role, Session
from runwatch.console.access.tokens import Tokens

HOUR_S = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A console's access in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = Clock()
        self.tokens: Tokens = tokens.make(home)
        self.access = self.another()

    def another(self, **given: object) -> Access:
        return Access(Settings(home=self.home, **given), clock=self.clock)  # type: ignore[arg-type]

    def sign_in(self, token: str, person: str = "") -> tuple[str, Session]:
        found = self.access.sign_in(token, person)
        assert found is not None
        return found

    def asked(self, cookie: str | None, **headers: str) -> HTTPConnection:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        if cookie is not None:
            raw.append((b"cookie", f"{self.access.cookie}={cookie}".encode()))
        return HTTPConnection({"type": "http", "headers": raw})

    def who(self, cookie: str | None, **headers: str) -> Session | None:
        return self.access.session(self.asked(cookie, **headers))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_token_begins_a_session_of_its_role(scene: Scene) -> None:
    cookie, session = scene.sign_in(scene.tokens.operator, " anna ")
    assert (Role.operator, "anna (console)", "anna") == (session.role, session.name, session.person)
    found = scene.who(cookie)
    assert found is not None
    assert replace(session, until_s=int(session.until_s)) == found
    cookie, session = scene.sign_in(scene.tokens.viewer)
    assert (Role.viewer, "console") == (session.role, session.name)
    assert scene.access.sign_in("x" * 43, "anna") is None
    assert scene.access.sign_in("", "anna") is None
    assert scene.access.sign_in("x" * 1_000_000, "anna") is None


def test_what_takes_an_operator_a_viewer_may_not(scene: Scene) -> None:
    viewer, operator = (scene.sign_in(one)[0] for one in (scene.tokens.viewer, scene.tokens.operator))
    assert scene.access.may(scene.asked(viewer), Role.viewer)
    assert not scene.access.may(scene.asked(viewer), Role.operator)
    assert scene.access.may(scene.asked(operator), Role.operator)
    assert not scene.access.may(scene.asked(None), Role.viewer)


def test_it_ends_after_its_hours(scene: Scene) -> None:
    cookie, _ = scene.sign_in(scene.tokens.viewer)
    scene.clock.now += 12 * HOUR_S - 1
    assert scene.who(cookie) is not None
    scene.clock.now += 2
    assert scene.who(cookie) is None


def test_it_ends_when_signed_out_for_every_process(scene: Scene) -> None:
    cookie, session = scene.sign_in(scene.tokens.viewer)
    other, _ = scene.sign_in(scene.tokens.viewer)
    scene.access.sign_out(session)
    assert scene.who(cookie) is None
    assert scene.who(other) is not None, "another session goes on"
    scene.access = scene.another()
    assert scene.who(cookie) is None
    assert scene.who(other) is not None, "a console that starts anew knows who is signed in"


def test_it_ends_with_new_tokens_at_once(scene: Scene) -> None:
    cookie, _ = scene.sign_in(scene.tokens.operator)
    fresh = tokens.make(scene.home)
    assert scene.who(cookie) is None
    assert scene.access.sign_in(scene.tokens.operator, "") is None
    assert scene.access.sign_in(fresh.operator, "") is not None


def test_it_ends_with_other_tokens_of_the_environment(scene: Scene) -> None:
    first = scene.another(console_operator_token="the-first-token-of-all")
    cookie, _ = first.sign_in("the-first-token-of-all", "") or pytest.fail("not let in")
    assert first.session(scene.asked(cookie)) is not None
    second = scene.another(console_operator_token="the-second-token-of-all")
    assert second.session(scene.asked(cookie)) is None


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    access = Access(Settings(home=tmp_path / "file", console_operator_token="the-first-token-of-all"))
    cookie, session = access.sign_in("the-first-token-of-all", "") or pytest.fail("not let in")
    asked = HTTPConnection({"type": "http", "headers": [(b"cookie", f"{access.cookie}={cookie}".encode())]})
    assert access.session(asked) is not None
    access.sign_out(session)
    assert access.session(asked) is None


def test_forged_ones_are_none(scene: Scene) -> None:
    cookie, session = scene.sign_in(scene.tokens.viewer)
    said, _, signature = cookie.rpartition(".")
    fields = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    assert "viewer" == fields[1]
    fields[1] = "operator"
    forged = base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode().rstrip("=")
    assert scene.who(f"{forged}.{signature}") is None
    assert scene.who(said) is None
    assert scene.who(cookie[:-1]) is None
    assert scene.who("") is None
    assert scene.who("." * 10_000) is None
    other = URLSafeSerializer(b"another key", salt="runwatch console session 1").dumps(fields)
    assert scene.who(str(other)) is None
    assert session.id


def test_consoles_on_one_machine_do_not_meet(scene: Scene, tmp_path: Path) -> None:
    elsewhere = Scene(tmp_path / "second")
    assert elsewhere.access.cookie != scene.access.cookie
    cookie, _ = scene.sign_in(scene.tokens.operator)
    assert elsewhere.who(cookie) is None


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER"])
def test_a_token_may_come_with_the_request(word: str, scene: Scene) -> None:
    found = scene.who(None, authorization=f"{word} {scene.tokens.operator}")
    assert found is not None and (Role.operator, "API", False) == (found.role, found.name, found.by_cookie)
    named = scene.who(None, authorization=f"{word} {scene.tokens.viewer}", **{"x-runwatch-name": "deploy\tbot"})
    assert named is not None and (Role.viewer, "deploy bot (API)") == (named.role, named.name)


def test_a_wrong_token_does_not_fall_back_to_the_cookie(scene: Scene) -> None:
    cookie, _ = scene.sign_in(scene.tokens.operator)
    assert scene.who(cookie, authorization="Bearer x") is None
    assert scene.who(cookie, authorization=f"Basic {scene.tokens.operator}") is None
    assert scene.who(cookie, authorization="") is None
