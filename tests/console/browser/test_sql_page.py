"""The SQL page in a browser: what it runs, refuses, stops and hands out; against the real stack."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .conftest import Enter

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SLOW = "SELECT sum(sipHash64(hex(MD5(toString(number))))) FROM numbers(1900000000)"


def write(page: Page, sql: str) -> None:
    page.click(".cm-content")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(sql)


@pytest.fixture
def page(enter: Enter) -> Page:
    page = enter("/sql")
    expect(page.locator(".cm-content")).to_be_visible()
    return page


def test_a_query_by_the_keyboard_as_table_and_chart(page: Page) -> None:
    write(page, "SELECT number AS n, n * 2 AS twice, '<b>x</b>' AS text FROM numbers(250)")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("sql-table")).to_contain_text("<b>x</b>")
    expect(page.get_by_test_id("sql-where")).to_have_text("1–100 of 250")
    expect(page.get_by_test_id("sql-status")).to_contain_text("250 rows")
    page.get_by_test_id("sql-mode").get_by_text("Chart").click()
    expect(page.get_by_test_id("sql-chart").locator("svg")).to_be_visible()


@pytest.mark.parametrize(
    "sql", ["DROP TABLE runs", "INSERT INTO events_in (run_id) VALUES ('x')", "SELECT * FROM file('/etc/passwd')"]
)
def test_what_it_may_not_is_refused(page: Page, sql: str) -> None:
    write(page, sql)
    page.get_by_test_id("sql-run").click()
    expect(page.get_by_test_id("sql-error")).to_contain_text("Not enough privileges")


def test_an_error_names_its_place(page: Page) -> None:
    write(page, "SELECT 1 FOM runs")
    page.get_by_test_id("sql-run").click()
    expect(page.get_by_test_id("sql-error")).to_contain_text("line 1, col 14")


def test_a_query_is_stopped(page: Page) -> None:
    write(page, SLOW)
    page.get_by_test_id("sql-run").click()
    page.get_by_test_id("sql-stop").click()
    expect(page.get_by_test_id("sql-status")).to_contain_text("Stopped after")
    expect(page.get_by_test_id("sql-run")).to_be_visible()


def test_a_long_result_is_cut_and_its_csv_is_whole(page: Page) -> None:
    write(page, "SELECT number AS n FROM numbers(50000)")
    page.get_by_test_id("sql-run").click()
    expect(page.get_by_test_id("sql-cut")).to_contain_text("Only the first 10,000 rows")
    with page.expect_download() as download:
        page.get_by_test_id("sql-csv").click()
    assert 50_001 == len(Path(download.value.path()).read_text().splitlines())


def test_a_link_runs_nothing_by_itself(enter: Enter) -> None:
    page = enter("/sql?q=SELECT%2042%20AS%20answer")
    expect(page.locator(".cm-content")).to_contain_text("SELECT 42 AS answer")
    expect(page.get_by_test_id("sql-status")).to_contain_text("came with the address")
    expect(page.get_by_test_id("sql-table")).to_have_count(0)
    page.get_by_test_id("sql-run").click()
    expect(page.get_by_test_id("sql-table")).to_contain_text("42")


def test_a_query_is_kept_in_the_browser(page: Page) -> None:
    write(page, "SELECT 'kept'")
    page.get_by_test_id("sql-save").click()
    page.get_by_test_id("sql-name").fill("<i>mine</i>")
    page.get_by_test_id("sql-keep").click()
    kept = page.get_by_test_id("sql-kept")
    expect(kept).to_have_text("<i>mine</i>")
    page.wait_for_function("localStorage.getItem('runwatch.sql') !== null")
    page.reload()
    kept.click()
    expect(page.locator(".cm-content")).to_contain_text("SELECT 'kept'")


def test_an_example_at_the_size_of_a_phone(enter: Enter) -> None:
    page = enter("/sql", size="phone")
    page.get_by_test_id("sql-example-4").click()
    page.get_by_test_id("sql-run").click()
    expect(page.get_by_test_id("sql-status")).to_contain_text("rows")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
