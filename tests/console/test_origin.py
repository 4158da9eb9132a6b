"""Whether a request comes from the console's own pages, and was meant for it."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runwatch.console.access.origin import Own, is_foreign, is_shown_own, local_path, place_of, single

LOCAL = Own.of("127.0.0.1", None, "")
PUBLIC = Own.of("0.0.0.0", "https://runwatch.example.org", "console, runwatch.internal.")
HERE = {"host": "127.0.0.1:8090"}


@pytest.mark.parametrize(
    ("host", "own", "known"),
    [
        ("127.0.0.1:8090", LOCAL, True),
        ("localhost:8090", LOCAL, True),
        ("LOCALHOST", LOCAL, True),
        ("localhost.", LOCAL, True),
        ("[::1]:8090", LOCAL, True),
        ("10.1.2.3", LOCAL, True),
        ("evil.example", LOCAL, False),
        ("localhost.evil.example", LOCAL, False),
        ("127.0.0.1.evil.example:8090", LOCAL, False),
        ("127.0.0.1@evil.example", LOCAL, False),
        ("evil.example@127.0.0.1", LOCAL, False),
        ("", LOCAL, False),
        (None, LOCAL, False),
        ("127.0.0.1:port", LOCAL, False),
        ("runwatch.example.org", PUBLIC, True),
        ("console:8090", PUBLIC, True),
        ("runwatch.internal", PUBLIC, True),
        ("other.example.org", PUBLIC, False),
    ],
)
def test_by_which_names_it_goes(host: str | None, own: Own, known: bool) -> None:
    assert known == own.is_called(host)


def test_it_is_secure_where_people_reach_it_by_tls() -> None:
    assert PUBLIC.secure and not LOCAL.secure


@pytest.mark.parametrize("url", ["runwatch.example.org", "ftp://runwatch.example.org", "https://", "https://a:b"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="RUNWATCH_CONSOLE_URL"):
        Own.of("127.0.0.1", url, "")


@pytest.mark.parametrize(
    ("origin", "foreign"),
    [
        ("http://127.0.0.1:8090", False),
        ("http://127.0.0.1:3000", True),  # the same site, and so the cookie comes along
        ("http://localhost:8090", True),
        ("https://127.0.0.1:8090", True),
        ("http://evil.example", True),
        ("null", True),
        ("", True),
        ("http://127.0.0.1:8090@evil.example", True),
        ("file://", True),
    ],
)
def test_what_another_origins_page_asks_for_is_foreign(origin: str, foreign: bool) -> None:
    for scheme, method in (("http", "GET"), ("http", "POST"), ("ws", None)):
        assert foreign == is_foreign(scheme, method, {**HERE, "origin": origin}, LOCAL)


def test_behind_a_proxy_the_public_address_is_ours() -> None:
    asked = {"host": "127.0.0.1:8090", "origin": "https://runwatch.example.org"}
    assert not is_foreign("http", "POST", asked, PUBLIC)
    assert is_foreign("http", "POST", {**asked, "origin": "http://runwatch.example.org"}, PUBLIC)
    assert is_foreign("http", "POST", {**asked, "origin": "https://runwatch.example.org:444"}, PUBLIC)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "whatever"])
def test_a_link_from_elsewhere_may_be_followed_and_nothing_more(site: str) -> None:
    followed = {**HERE, "sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert not is_foreign("http", "GET", followed, LOCAL)
    assert is_foreign("http", "POST", followed, LOCAL)
    assert is_foreign("http", "GET", {**followed, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, LOCAL)
    assert is_foreign("http", "GET", {**followed, "sec-fetch-dest": "iframe"}, LOCAL)
    assert is_foreign("ws", None, {**HERE, "sec-fetch-site": site, "sec-fetch-mode": "websocket"}, LOCAL)


def test_what_is_typed_in_or_asked_for_by_our_pages_is_not() -> None:
    for site in ("none", "same-origin"):
        assert not is_foreign("http", "GET", {**HERE, "sec-fetch-site": site, "sec-fetch-mode": "cors"}, LOCAL)
    assert not is_foreign("http", "POST", HERE, LOCAL), "scripts say nothing"


def test_who_acts_with_a_cookie_says_where() -> None:
    assert is_shown_own({"origin": "http://127.0.0.1:8090"})
    assert is_shown_own({"sec-fetch-site": "same-origin"})
    assert not is_shown_own({"sec-fetch-site": "none"})
    assert not is_shown_own({})


def test_headers_that_decide_are_there_once() -> None:
    assert {"host": "a", "x": "2"} == single([(b"Host", b"a"), (b"X", b"1"), (b"X", b"2")])
    for name in (b"host", b"Origin", b"Authorization", b"Sec-Fetch-Site"):
        assert single([(name, b"a"), (name.lower(), b"b")]) is None


@pytest.mark.parametrize("path", ["/", "/runs?span=1h&agent=a", "/runs/a%2Fb", "/incidents/x#top", "/runs?q=//x"])
def test_where_one_wanted_to_go_one_goes(path: str) -> None:
    assert path == local_path(path)


@pytest.mark.parametrize(
    "path",
    [
        None, "", "runs", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
        "https://evil.example", "https:evil.example", "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example",
        "/ /evil.example", "/\u2028x", "/login", "/login?next=/login", "/login/", "/logout", "/" + "x" * 5_000,
    ],
)  # fmt: skip
def test_nowhere_else(path: str | None) -> None:
    assert "/" == local_path(path)


@given(st.text(alphabet="/\\.:@?#ab\t\n\r \x00\u3000%", max_size=20))
@example("/.//evil")
def test_whatever_is_asked_for_stays_here(path: str) -> None:
    base = "http://127.0.0.1:8090/login"
    went = urljoin(base, local_path(path))
    assert "127.0.0.1:8090" == urlsplit(went).netloc
    assert place_of(base) == place_of(went)
