"""Whoever is not let in meets nothing but the login page: of every route that there is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .served import OPERATOR, PAGE, VIEWER, Served, routes_of, serving

OPEN = {("GET", "/login"), ("POST", "/login"), ("GET", "/favicon.ico"), ("GET", "/health")}
ASKED_BY_POST = {"/login", "/logout", "/api/sql", "/api/sql/csv"}
"""What is sent by POST and yet changes nothing that an operator alone may change."""
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    found = routes_of(tmp_path_factory.mktemp("routes"))
    assert {("GET", "/"), ("GET", "/runs"), ("GET", "/api/docs"), ("GET", "/api/session")} <= set(found)
    assert any(path.startswith("/_nicegui") for _, path in found)
    return found


def filled(path: str) -> str:
    return re.sub(r"{[^}]*}", "x", path)


def test_every_route_asks_who_it_is(routes: list[tuple[str, str]], served: Served) -> None:
    assert OPEN <= set(routes) | {("GET", "/favicon.ico")}  # NiceGUI adds that one as it starts
    with served.client() as client:
        for method, path in routes:
            answer = client.request(method, filled(path))
            if (method.replace("HEAD", "GET"), path) in OPEN:
                assert answer.status_code in (200, 401, 405)
                continue
            assert 401 == answer.status_code, f"{method} {path}"
            assert method == "HEAD" or {"error"} == set(answer.json()), path


@pytest.mark.parametrize(
    "path",
    ["/nothing", "//login", "/login/", "/Login", "/login%2f..", "/login/../runs", "/health/", "/favicon.ico/x",
     "/api", "/api/nothing", "/metrics", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/docs/oauth2-redirect"],
)  # fmt: skip
def test_and_so_does_what_is_no_route(path: str, served: Served) -> None:
    with served.client() as client:
        assert 401 == client.get(path).status_code


def test_a_person_is_led_to_the_login_page(served: Served) -> None:
    with served.client(**PAGE) as client:
        answer = client.get("/runs/a b?span=1h&agent=<x>")
        assert (303, "/login?next=/runs/a%2520b%3Fspan%3D1h%26agent%3D%3Cx%3E") == (
            answer.status_code,
            answer.headers["location"].replace("%253Cx%253E", "%3Cx%3E"),
        )
        assert "/login" == client.get("/").headers["location"]
        assert "/login" == client.get("//evil.example/").headers["location"][:6]


@pytest.mark.parametrize("token", [OPERATOR, VIEWER])
def test_a_token_lets_in(token: str, served: Served) -> None:
    with served.client(authorization=f"Bearer {token}") as client:
        for path in ("/", "/runs", "/api/docs", "/api/openapi.json"):
            assert 200 == client.get(path).status_code
        assert ("operator" if token == OPERATOR else "viewer") == client.get("/api/session").json()["role"]


def test_a_viewer_may_not_act(routes: list[tuple[str, str]], served: Served) -> None:
    acting = [
        (method, path)
        for method, path in routes
        if method not in ("GET", "HEAD", "OPTIONS") and path not in ASKED_BY_POST and "{rest:path}" not in path
        if not path.startswith("/_nicegui")
    ]
    with served.signed_in(VIEWER) as client:
        for method, path in acting:
            answer = client.request(method, filled(path), json={})
            assert 403 == answer.status_code, f"{method} {path}: {answer.text}"
            assert "operator" in answer.json()["error"]


def test_a_session_lets_in_and_out(served: Served) -> None:
    with served.signed_in(VIEWER, "anna") as client:
        who = client.get("/api/session").json()
        assert ("viewer", "anna (console)") == (who["role"], who["name"])
        assert 11.9 * 3_600_000 < who["until_ms"] - time.time() * 1000 < 12.1 * 3_600_000
        kept = dict(client.cookies)
        assert 303 == client.post("/logout").status_code
        assert not client.cookies
        client.cookies.update(kept)
        assert 401 == client.get("/api/session").status_code, "the cookie was kept, and holds no longer"


@pytest.mark.parametrize("value", ["x", "WyJhIiwib3BlcmF0b3IiLCIiLCJhIiw5OTk5OTk5OTk5XQ.c2lnbmVk", "", ".", '"', "%00"])
def test_forged_cookies(value: str, served: Served) -> None:
    name = served.cookie().partition("=")[0]
    with served.client(cookie=f"{name}={value}") as client:
        assert 401 == client.get("/api/session").status_code


# -- where requests are made -----------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1"])
def test_another_origins_page_gets_nothing(origin: str, served: Served) -> None:
    with served.client(cookie=served.cookie(), origin=origin) as client:
        for method, path in (("GET", "/api/session"), ("POST", "/logout"), ("POST", "/login"), ("GET", "/")):
            answer = client.request(method, path)
            assert 403 == answer.status_code
            assert "another origin" in answer.json()["error"]
    with served.client(cookie=served.cookie()) as client:
        assert 200 == client.get("/api/session").status_code, "nobody was signed out"


def test_who_acts_with_a_cookie_says_where_from(served: Served) -> None:
    cookie = served.cookie()
    with served.client(cookie=cookie) as client:
        answer = client.post("/api/sql", json={})
        assert 403 == answer.status_code and "Origin" in answer.json()["error"]
        assert 403 == client.post("/logout").status_code
        assert 403 != client.post("/api/sql", json={}, headers={"sec-fetch-site": "same-origin"}).status_code
        assert 403 == client.post("/api/sql", json={}, headers={"sec-fetch-site": "same-site"}).status_code
    with served.client(authorization=f"Bearer {VIEWER}") as client:
        assert 403 != client.post("/api/sql", json={}).status_code, "a token is not sent unasked"


def test_other_names_are_not_ours(served: Served) -> None:
    with served.client(authorization=f"Bearer {OPERATOR}") as client:
        for host in ("evil.example", f"evil.example:{served.port}", "localhost.evil.example"):
            answer = client.get("/api/session", headers={"host": host})
            assert 421 == answer.status_code
            assert "RUNWATCH_CONSOLE_URL" in answer.json()["error"]
        for host in ("localhost", f"127.0.0.1:{served.port}", "[::1]"):
            assert 200 == client.get("/api/session", headers={"host": host}).status_code


def test_a_person_reads_a_sentence(served: Served) -> None:
    with served.client(**PAGE, host="evil.example") as client:
        answer = client.get("/")
    assert (421, "text/plain; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert answer.text.startswith("This console does not go by the name")


def test_what_is_not_there_is_a_page_for_people_and_an_error_for_scripts(served: Served) -> None:
    with served.client(authorization=f"Bearer {VIEWER}") as client:
        page = client.get("/no/<b>such</b>", headers={"accept": "text/html"})
        assert 404 == page.status_code and "There is no such page" in page.text and "<b>such" not in page.text
        for path in ("/nothing", "/api/nothing"):
            answer = client.get(path, headers={"accept": "application/json"})
            assert (404, {"error"}) == (answer.status_code, set(answer.json()))


def test_headers_said_twice(served: Served) -> None:
    for name in ("origin", "authorization", "sec-fetch-site"):
        answer = httpx.get(f"{served.url}/api/session", headers=[(name, "a"), (name, "b")])
        assert 400 == answer.status_code


def test_where_it_is_reached_by_a_proxy(tmp_path: Path) -> None:
    settings = {"console_url": "https://runwatch.example.org", "console_proxies": "127.0.0.1"}
    with serving(tmp_path, **settings) as found, found.client(host="runwatch.example.org") as client:
        said = {"origin": "https://runwatch.example.org", "x-forwarded-for": "10.0.0.7", "x-forwarded-proto": "https"}
        answer = client.post("/login", data={"token": VIEWER}, headers=said)
        assert 303 == answer.status_code
        assert "secure" in answer.headers["set-cookie"].lower()
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        for number in range(7):
            headers = {"x-forwarded-for": "10.0.0.9"}
            status = client.post("/login", data={"token": "wrong"}, headers=said | headers).status_code
            assert (401 if number < 5 else 429) == status
        assert 303 == client.post("/login", data={"token": VIEWER}, headers=said).status_code, "another address may"


# -- websockets ------------------------------------------------------------------------------------


def status_of_handshake(served: Served, **headers: str) -> int:
    try:
        with connect(f"ws://127.0.0.1:{served.port}{SOCKET}", additional_headers=headers):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_a_websocket_needs_a_session_and_our_origin(served: Served) -> None:
    cookie = served.cookie(VIEWER)
    assert 403 == status_of_handshake(served)
    assert 403 == status_of_handshake(served, Origin=served.url)
    assert 403 == status_of_handshake(served, Cookie="runwatch_session=x", Origin=served.url)
    assert 403 == status_of_handshake(served, Cookie=cookie)
    assert 403 == status_of_handshake(served, Cookie=cookie, Origin="http://evil.example")
    assert 403 == status_of_handshake(served, Cookie=cookie, Origin="http://127.0.0.1:1")
    assert 403 == status_of_handshake(served, Cookie=cookie, Origin=served.url, Host="evil.example")
    assert 403 == status_of_handshake(served, Authorization="Bearer wrong")
    assert 101 == status_of_handshake(served, Cookie=cookie, Origin=served.url)


def test_an_open_websocket_does_not_outlive_its_session(served: Served) -> None:
    with served.signed_in(VIEWER) as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        headers = {"Cookie": cookie, "Origin": served.url}
        with connect(f"ws://127.0.0.1:{served.port}{SOCKET}", additional_headers=headers) as socket:
            assert str(socket.recv(5)).startswith("0{"), "Engine.IO greets"
            socket.send("40")
            assert str(socket.recv(5)).startswith("4")
            assert 303 == client.post("/logout").status_code
            began = time.monotonic()
            with pytest.raises(ConnectionClosed):
                while time.monotonic() - began < 15:
                    socket.send("40")
                    socket.recv(5)
                    time.sleep(0.1)
            assert 4 < time.monotonic() - began < 10


# -- what answers say ------------------------------------------------------------------------------


def test_every_answer_tells_browsers_what_it_may_do(served: Served) -> None:
    with served.client(authorization=f"Bearer {VIEWER}") as client:
        for path in ("/", "/login", "/api/session", "/api/nothing", "/health", "/nothing"):
            headers = client.get(path).headers
            assert "nosniff" == headers["x-content-type-options"]
            assert "DENY" == headers["x-frame-options"]
            assert "same-origin" == headers["referrer-policy"]
            policy = headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
            assert "no-store" == headers["cache-control"]
            assert "server" not in headers


def scripts(html: str) -> Iterator[str]:
    return (found[1] for found in re.finditer(r"<script([^>]*)>", html))


@pytest.mark.parametrize("path", ["/", "/runs/x", "/nothing", "/api/docs"])
def test_scripts_within_pages_have_the_nonce_of_their_answer(path: str, served: Served) -> None:
    with served.client(authorization=f"Bearer {VIEWER}") as client:
        first, second = (client.get(path, headers={"accept": "text/html"}) for _ in range(2))
    policy = first.headers["content-security-policy"]
    rule = next(one for one in policy.split("; ") if one.startswith("script-src"))
    assert "'unsafe-inline'" not in rule
    assert ("'unsafe-eval'" in rule) == (path != "/api/docs")
    nonce = re.search(r"'nonce-([\w-]{24})'", rule)
    assert nonce is not None
    found = list(scripts(first.text))
    assert found and all(f'nonce="{nonce[1]}"' in one for one in found)
    assert nonce[1] not in second.headers["content-security-policy"]


def test_the_apis_page_needs_no_network(served: Served) -> None:
    with served.client(authorization=f"Bearer {VIEWER}") as client:
        page = client.get("/api/docs").text
        loaded = re.findall(r'(?:src|href|url)"?\s*[=:]\s*["\']([^"\']+)', page)
        assert any(one.endswith("swagger-ui-bundle.js") for one in loaded)
        assert all(one.startswith("/") for one in loaded), loaded
        for one in loaded:
            assert 200 == client.get(one).status_code, one
        said = client.get("/api/openapi.json").json()
        assert {"token", "session"} == set(said["components"]["securitySchemes"])
        for path, methods in said["paths"].items():
            for method in methods.values():
                assert [{"token": []}, {"session": []}] == method["security"], path


def test_a_header_of_a_proxy_is_not_written_into_pages(served: Served) -> None:
    with served.client(authorization=f"Bearer {VIEWER}", **{"x-forwarded-prefix": "/else"}) as client:
        assert "/else" not in client.get("/").text


# -- tokens that come with requests ------------------------------------------------------------------


def test_guessing_at_tokens_is_slowed_down(tmp_path: Path) -> None:
    with serving(tmp_path) as found, found.client() as client:
        for number in range(8):
            answer = client.get("/api/session", headers={"authorization": f"Bearer guess-{number}"})
            assert (401 if number < 5 else 429) == answer.status_code
        assert 0 < int(answer.headers["retry-after"]) <= 12
        assert "wait" in answer.json()["error"]
        right = {"authorization": f"Bearer {OPERATOR}"}
        assert 429 == client.get("/api/session", headers=right).status_code, (
            "or else the limit would tell which is right"
        )
        with found.signed_in() as other:
            assert 200 == other.get("/api/session").status_code, "who signs in is not kept out by a script"


def test_nothing_that_is_secret_is_logged(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        with found.client() as client:
            client.get("/api/session", headers={"authorization": f"Bearer {OPERATOR}"})
            client.get("/api/session", headers={"authorization": "Bearer wrong-and-yet-secret"})
            client.get("/api/session?token=wrong-and-yet-secret")
            client.post("/login", data={"token": "wrong-and-yet-secret"})
        cookie = found.cookie().partition("=")[2]
        command = Path(f"/proc/{found.process.pid}/cmdline")
        if command.exists():
            assert OPERATOR.encode() not in command.read_bytes()
    said = found.log.read_text()
    stored = (found.home / "console.json").read_text()
    for secret in (OPERATOR, VIEWER, "wrong-and-yet-secret", cookie):
        assert secret not in said and secret not in stored
