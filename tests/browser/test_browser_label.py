"""The labelling page in a real Chromium, by keyboard alone: labels, undo, reload, export, import; nothing is fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_browser_report import CHROMIUM, CONTRAST, FLAGS, PAYLOADS, RUN, Opened, opened

from biasaudit.labels import DEFAULT, label_set
from biasaudit.pipeline.label_files import checksum
from biasaudit.report.label_page import COMPLETE, Item, render_label_page

pytestmark = pytest.mark.browser
BATCH = "ab" * 16


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is absent")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield started
        started.close()


def page_file(folder: Path, texts: list[str], locale: str = "pt", labels: Any = DEFAULT) -> Path:
    items = [
        Item(item=f"{k:032x}", prompt=f"É verdade {k}?", claim="vacinas têm chip", text=text)
        for k, text in enumerate(texts)
    ]
    order = [(item.item, 1) for item in items] + [(items[0].item, 2)]
    path = folder / "labels.html"
    path.write_text(render_label_page(BATCH, "Rotulagem", "pt", items, [order, order[:2]], labels, locale), "utf-8")
    return path


def begin(found: Opened, name: str = "ana") -> Any:
    found.page.keyboard.type(name)
    found.page.keyboard.press("Enter")
    found.page.wait_for_selector("#desk", state="visible")
    return found.page


def exported(page: Any, folder: Path) -> dict[str, Any]:
    with page.expect_download() as waiting:
        page.keyboard.press("e")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return dict(json.loads(path.read_text("utf-8")))


def test_ten_texts_are_labelled_by_keyboard_alone_across_a_reload(browser: Any, tmp_path: Path) -> None:
    path = page_file(tmp_path, [f" texto número {k}" for k in range(12)])
    found = opened(browser, path)
    page = begin(found)
    for key in "tfhT1":
        page.keyboard.press(key)
    assert page.locator("#say").inner_text() == "Verdadeiro para o texto 5."
    page.keyboard.press("o")
    page.keyboard.press("o")
    page.keyboard.press("2")
    page.keyboard.press("h")
    page.keyboard.press("u")
    page.keyboard.press("c")
    page.keyboard.type("dúvida: t f h 1 e")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    assert "Texto 8 de 13; rotulados: 7" in page.locator("#where").inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.reload()
    page.wait_for_selector("#start")
    assert page.locator("#rater").input_value() == "ana"
    page.keyboard.press("Enter")
    assert "Texto 6 de 13; rotulados: 7" in page.locator("#where").inner_text()
    page.keyboard.press("g")
    for key in "tfh":
        page.keyboard.press(key)
    assert "rotulados: 10" in page.locator("#where").inner_text()
    given = exported(page, tmp_path)
    assert [(row["item"], row["pass"], row["label"]) for row in given["labels"]] == [
        (f"{k:032x}", 1, label) for k, label in enumerate("TFHTTFFTFH")
    ]
    assert [row["on_topic"] for row in given["labels"]][:6] == [True, True, None, True, True, False]
    assert given["labels"][6]["note"] == "dúvida: t f h 1 e"
    assert (given["batch"], given["rater"], given["reader"]) == (BATCH, "ana", 1)
    assert given["check"] == checksum(given["labels"])
    assert found.said == []
    assert {url for url in found.asked if not url.startswith(("data:", "blob:"))} == {path.as_uri()}


def test_an_export_comes_back_into_another_browser(browser: Any, tmp_path: Path) -> None:
    path = page_file(tmp_path, ["um", "dois", "três"])
    page = begin(opened(browser, path))
    page.keyboard.press("f")
    page.keyboard.press("t")
    exported(page, tmp_path)
    (file,) = tmp_path.glob("labels-*.json")
    other = begin(opened(browser, path))
    assert "rotulados: 0" in other.locator("#where").inner_text()
    other.set_input_files("#file", str(file))
    other.locator("#say", has_text=re.compile("^2 ")).wait_for(state="attached")
    assert "rotulados: 2" in other.locator("#where").inner_text()
    stranger = begin(opened(browser, path), "bia")
    stranger.set_input_files("#file", str(file))
    stranger.locator("#say", has_text="outra pessoa").wait_for(state="attached")
    assert "rotulados: 0" in stranger.locator("#where").inner_text()


def test_people_and_lists_do_not_mix(browser: Any, tmp_path: Path) -> None:
    path = page_file(tmp_path, ["um", "dois", "três"])
    found = opened(browser, path)
    begin(found).keyboard.press("f")
    found.page.reload()
    found.page.fill("#rater", "bia")
    found.page.select_option("#reader", "1")
    found.page.click("button[type=submit]")
    assert "Texto 1 de 2; rotulados: 0" in found.page.locator("#where").inner_text()


def test_hostile_texts_are_inert(browser: Any, tmp_path: Path) -> None:
    path = page_file(tmp_path, list(PAYLOADS))
    found = opened(browser, path)
    page = begin(found)
    for text in PAYLOADS:
        shown = page.locator("#text").inner_text()
        if re.fullmatch(r"[\x21-\x7e]+", text):
            assert shown == text
        page.keyboard.press("ArrowRight")
    assert page.locator("#text *").count() == 0
    assert page.evaluate("typeof window.__pwned") == "undefined"
    assert found.said == []
    assert {url for url in found.asked if not url.startswith("data:")} == {path.as_uri()}
    assert page.locator(f"#{COMPLETE}").is_visible()
    broken = path.read_text("utf-8").replace(
        '<main id="work"', f'<script>{RUN}</script><img src=x onerror={RUN}><main id="work"'
    )
    path.write_text(broken, "utf-8")
    found = opened(browser, path)
    assert found.page.evaluate("typeof window.__pwned") == "undefined"
    assert any("Content Security Policy" in line for line in found.said)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_can_be_read_and_reached_in_both_languages(browser: Any, tmp_path: Path, theme: str) -> None:
    path = page_file(tmp_path, [" ", "x" * 3000], "en")
    page = begin(opened(browser, path, theme=theme))
    assert page.locator("#text").inner_text() == "(wrote nothing)"
    assert page.evaluate(CONTRAST)[0] >= 4.5
    page.keyboard.press("t")
    assert page.evaluate(CONTRAST)[0] >= 4.5
    page.locator("#work").evaluate("one => one.focus()")
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.dataset.label || ''"))
    order = ["T", "F", "H", "note", "previous", "next", "open", "undo", "export", "import", "help", "shortcuts"]
    assert [name for name in reached if name in order][: len(order)] == order
    nameless = page.evaluate(
        """() => Array.from(document.querySelectorAll('button, input:not([hidden]), select, textarea, progress'))
        .filter((one) => one.checkVisibility() && !(one.textContent.trim() || (one.labels && one.labels.length)
          || one.getAttribute('aria-labelledby'))).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    for width in (320, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.select_option("#language", "pt")
    assert page.locator("html").get_attribute("lang") == "pt-BR"
    assert page.locator("#next").inner_text() == "Próximo"
    page.locator("#item").focus()
    page.keyboard.press("?")
    assert page.locator("#dialog").is_visible()
    page.keyboard.press("f")
    page.keyboard.press("Escape")
    assert not page.locator("#dialog").is_visible()
    assert "rotulados: 1" in page.locator("#where").inner_text()
    page.uncheck("#shortcuts")
    page.locator("#item").focus()
    page.keyboard.press("f")
    assert "rotulados: 1" in page.locator("#where").inner_text()


def test_the_batterys_own_labels_have_keys_of_their_own(browser: Any, tmp_path: Path) -> None:
    own = label_set({"odio": {"pt": "Ódio", "en": "Hate"}, "n": {"pt": "Nada", "en": "None"}, "e": "Outro"}, "x")
    page = begin(opened(browser, page_file(tmp_path, ["um", "dois", "três"], labels=own)))
    assert [one.split("\n")[0] for one in page.locator("#labels button").all_inner_texts()] == [
        "1 Ódio",
        "N Nada",
        "3 Outro",
    ]
    for key in "1n3":
        page.keyboard.press(key)
    assert [row["label"] for row in exported(page, tmp_path)["labels"]] == ["odio", "n", "e"]


def test_without_scripts_it_says_what_it_needs(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, page_file(tmp_path, ["um"]), scripts=False).page
    assert "JavaScript" in page.locator("noscript").inner_text()
