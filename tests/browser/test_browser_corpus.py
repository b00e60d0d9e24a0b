"""A data card's page in a real Chromium: the policy holds, nothing is fetched, the report's link opens it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import corpus_card_example
import pytest
import report_example
from test_browser_report import CHROMIUM, CONTRAST, FLAGS, PAYLOADS, RUN, opened

from biasaudit.report.corpus_page import COMPLETE, render_corpus_page
from biasaudit.report.page import render_page
from biasaudit.report.view import CorpusLink

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is absent")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus-telegram.html"
    path.write_text(render_corpus_page(corpus_card_example.make(), "pt"), encoding="utf-8")
    return path


def test_the_reports_link_opens_the_page_and_nothing_is_fetched(browser: Any, page: Path) -> None:
    links = {"telegram": CorpusLink(href=page.name, match="same")}
    report = page.with_name("report.html")
    report.write_text(render_page(report_example.make(2).view(corpora=links), "pt"), encoding="utf-8")
    found = opened(browser, report)
    found.page.click(f'a[href="{page.name}"]')
    found.page.wait_for_selector(f"#{COMPLETE}")
    assert found.page.url == page.as_uri()
    assert found.said == []
    assert {url for url in found.asked if not url.startswith("data:")} == {report.as_uri(), page.as_uri()}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_every_width_and_stands_out(browser: Any, page: Path, theme: str) -> None:
    shown = opened(browser, page, theme=theme).page
    worst = shown.evaluate(CONTRAST)
    assert worst[0] >= 4.5, worst
    shown.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    for width in (320, 768, 1280):
        shown.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_cards_are_inert(browser: Any, tmp_path: Path) -> None:
    plain = corpus_card_example.make(200)
    names = dict.fromkeys(PAYLOADS, 5)
    rows = [{"text": text, "documents": 5} for text in PAYLOADS]
    sources = [{"name": text, "bytes": 1, "sha256": text, "dialect": {text: text}} for text in PAYLOADS]
    hostile = {
        **plain, "sources": sources, "channels": {"count": 9, "most_frequent": names}, "cleaning": names,
        "ngrams": {**plain["ngrams"], "top": {"1": rows}}, "settings": dict.fromkeys(PAYLOADS, "x"),
        "languages": {"sample": 9, "documents": names}, "rejects": {"count": 9, "reasons": names},
    }  # fmt: skip
    path = tmp_path / "hostile.html"
    path.write_text(render_corpus_page(hostile, "pt", arm=PAYLOADS[7], match="differs"), encoding="utf-8")
    found = opened(browser, path)
    assert found.page.evaluate("typeof window.__pwned") == "undefined"
    assert found.said == []
    assert [url for url in found.asked if not url.startswith("data:")] == [path.as_uri()]
    assert found.page.locator(f"#{COMPLETE}").is_visible()
    broken = path.read_text(encoding="utf-8").replace("<main>", f"<main><script>{RUN}</script>")
    path.write_text(broken, encoding="utf-8")
    found = opened(browser, path)
    assert found.page.evaluate("typeof window.__pwned") == "undefined"
    assert any("Content Security Policy" in line for line in found.said)
