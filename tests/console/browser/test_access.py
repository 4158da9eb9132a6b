"""Coming in and going out with a browser: by keyboard, by the printed address, by a link from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ..served import OPERATOR, VIEWER, Served


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context()
    found.set_default_timeout(20_000)
    yield found
    found.close()


def refused(page: Page) -> list[str]:
    """What the browser says that the content policy, or anything else, refused; it grows as the page lives."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


def test_by_keyboard_to_the_page_that_was_wanted(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    said = refused(page)
    page.goto(f"{served.url}/runs?span=1h")
    expect(page).to_have_url(f"{served.url}/login?next=/runs%3Fspan%3D1h")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("<b>anna</b>")
    page.keyboard.press("Tab")
    page.keyboard.type(OPERATOR)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{served.url}/runs?span=1h")
    page.get_by_test_id("who").click()
    expect(page.get_by_test_id("who-name")).to_have_text("<b>anna</b>")
    expect(page.get_by_test_id("who-role")).to_contain_text("Operator")
    assert [] == said


def test_by_the_printed_address_which_then_is_clean(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    went: list[str] = []
    page.on("request", lambda request: went.append(f"{request.url} {request.headers.get('referer', '')}"))
    page.goto(f"{served.url}/login#token={VIEWER}")
    expect(page).to_have_url(f"{served.url}/")
    assert not [one for one in went if VIEWER in one.replace(f"/login#token={VIEWER} ", "/login ")]
    page.go_back()
    assert VIEWER not in page.url


def test_a_link_from_elsewhere_leads_to_the_page(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    page.goto(f"{served.url}/login#token={VIEWER}")
    expect(page).to_have_url(f"{served.url}/")
    context.route(
        "http://mail.example/*",
        lambda route: route.fulfill(body=f'<a href="{served.url}/control?x=1">go</a>', content_type="text/html"),
    )
    page.goto("http://mail.example/")
    page.get_by_text("go").click()
    expect(page).to_have_url(f"{served.url}/control?x=1")


def test_so_does_one_that_holds_a_token(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    context.route(
        "http://mail.example/*",
        lambda route: route.fulfill(
            body=f'<a href="{served.url}/login#token={VIEWER}">go</a>', content_type="text/html"
        ),
    )
    page.goto("http://mail.example/")
    page.get_by_text("go").click()
    expect(page).to_have_url(f"{served.url}/")


def test_keys_go_to_pages_unless_someone_types(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    page.goto(f"{served.url}/login#token={VIEWER}")
    expect(page.get_by_test_id("nav-runs")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(page).to_have_url(f"{served.url}/control")
    expect(page.get_by_test_id("nav-runs")).to_be_visible()
    page.wait_for_function("() => window.socket?.connected")
    page.keyboard.press("?")
    expect(page.get_by_text("To the filter or search of the page")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("To the filter or search of the page")).to_be_hidden()
    page.evaluate("document.body.append(Object.assign(document.createElement('input'), {id: 'typed'}))")
    page.locator("#typed").press_sequentially("gr?/")
    expect(page.locator("#typed")).to_have_value("gr?/")
    expect(page).to_have_url(f"{served.url}/control")


def test_who_signs_out_is_out_on_every_page(context: BrowserContext, served: Served) -> None:
    first, second = context.new_page(), context.new_page()
    first.goto(f"{served.url}/login#token={OPERATOR}")
    expect(first).to_have_url(f"{served.url}/")
    second.goto(f"{served.url}/runs?span=1h")
    second.wait_for_function("() => window.socket?.connected")
    first.get_by_test_id("who").click()
    first.get_by_test_id("sign-out").click()
    expect(first).to_have_url(f"{served.url}/login")
    expect(second).to_have_url(f"{served.url}/login?next=%2Fruns%3Fspan%3D1h")
    second.goto(f"{served.url}/runs")
    expect(second).to_have_url(f"{served.url}/login?next=/runs")


def test_the_page_of_the_api_works_by_itself(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    said = refused(page)
    page.goto(f"{served.url}/login#token={VIEWER}")
    expect(page).to_have_url(f"{served.url}/")
    went: list[str] = []
    page.on("request", lambda request: went.append(request.url))
    page.goto(f"{served.url}/api/docs")
    page.locator('[data-path="/api/session"]').click()
    page.locator(".try-out__btn").click()
    page.locator("button.execute").click()
    expect(page.locator(".live-responses-table .response-col_description").last).to_contain_text('"viewer"')
    assert not [one for one in went if not one.startswith((served.url, "data:"))]
    assert [] == said
