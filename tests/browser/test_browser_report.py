"""The report in a real Chromium: nothing runs, nothing is fetched, filters work, any width, any theme, no scripts."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import report_example

from biasaudit.report.page import COMPLETE, render_page
from biasaudit.report.view import ReaderRow

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

RUN = "window.__pwned=1"
PAYLOADS = (
    f"<script>{RUN}</script>", f"</script><script>{RUN}</script>", f"<!--<script>{RUN}//", "<!--", "-->", "]]>",
    f"<img src=x onerror={RUN}>", f'"><img src=x onerror="{RUN}">', f"'><svg onload={RUN}>", f"<svg/onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>", f"<math><mi xlink:href=javascript:{RUN}>x</mi></math>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>", f"<iframe src=javascript:{RUN}></iframe>",
    "<meta http-equiv=refresh content='0;url=https://example.org/'>", "<base href=https://example.org/>",
    "<link rel=stylesheet href=https://example.org/x.css>", "<style>body{display:none}</style>",
    f"<a href=javascript:{RUN}>x</a>", "<form action=https://example.org/><input name=q autofocus>",
    f"<details open ontoggle={RUN}>", f"<video><source onerror={RUN}></video>", f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>", f"<object data=javascript:{RUN}></object>", "</textarea></title></style></noscript>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>", f"<template><script>{RUN}</script></template>",
    f"{{{{constructor.constructor('{RUN}')()}}}}", f"${{{RUN}}}", "{% raw %}{{ 7*7 }}{% endraw %}",
    f"&lt;script&gt;{RUN}&lt;/script&gt;", f"\\u003cscript\\u003e{RUN}", f"\u2028{RUN}\u2029", "\u202egnp.exe\u202c",
    "\ud800\udfff lone \udc00", "\x00\x1b[31mred\x07", "a" + "\u0335" * 400, "</article></main></body></html>",
    f"<plaintext>{RUN}", f"<xmp><script>{RUN}</script></xmp>", "https://example.org/collect?x=1",
    f"javascript:{RUN}", "x" * 3000, f"<form><button formaction=javascript:{RUN}>b</button></form>",
)  # fmt: skip


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
def example() -> report_example.Example:
    return report_example.make(5)


@pytest.fixture(scope="module")
def report(example: report_example.Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(example.view(), "pt"), encoding="utf-8")
    return path


@dataclasses.dataclass
class Opened:
    page: Any
    said: list[str]
    asked: list[str]


def opened(browser: Any, path: Path, *, width: int = 1280, theme: str = "light", scripts: bool = True) -> Opened:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=scripts
    )
    page = context.new_page()
    found = Opened(page, [], [])
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("request", lambda request: found.asked.append(request.url))
    page.goto(path.as_uri())
    return found


def test_it_opens_without_a_complaint_and_asks_for_nothing(browser: Any, report: Path) -> None:
    found = opened(browser, report)
    assert found.said == []
    assert [url for url in found.asked if not url.startswith("data:")] == [report.as_uri()]
    assert found.page.locator(f"#{COMPLETE}").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_width_scrolls_sideways(browser: Any, report: Path, theme: str) -> None:
    page = opened(browser, report, theme=theme).page
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("svg.chart").filter(visible=True).count() == page.locator(".drawing").count()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_in_both_themes(browser: Any, report: Path, theme: str) -> None:
    page = opened(browser, report, theme=theme).page
    worst = page.evaluate(CONTRAST)
    assert worst[0] >= 4.5, worst


def test_search_and_filters_narrow_what_is_shown(browser: Any, report: Path, example: report_example.Example) -> None:
    from playwright.sync_api import expect

    page = opened(browser, report).page
    total = len(example.battery.prompts) * 2 * 5
    count = page.locator("#f-count")
    assert f"de {total}" in count.inner_text()
    page.fill("#f-text", "NINGUEM quer ouvir")
    expect(count).not_to_contain_text(str(total))
    shown = page.locator(".pair").all()
    assert shown
    assert all("ninguém quer ouvir" in pair.inner_text() for pair in shown)
    page.click("button[type=reset]")
    expect(count).to_contain_text(str(total))
    page.select_option("#f-a", "0")
    assert page.locator(".pair").count() > 0
    assert page.locator('.pair:not([data-a="0"])').count() == 0
    page.select_option("#f-p", index=3)
    assert page.locator(".pair h3 bdi").evaluate_all("all => new Set(all.map(one => one.textContent)).size") <= 1


def test_more_are_shown_on_request_and_nothing_found_is_said(browser: Any, report: Path) -> None:
    page = opened(browser, report).page
    before = page.locator(".pair").count()
    page.click("#f-more")
    assert page.locator(".pair").count() == 2 * before
    page.fill("#f-text", "palavra que ninguém escreveu")
    page.wait_for_selector("#f-none", state="visible")
    assert page.locator(".pair").count() == 0


def test_it_reads_without_scripts(browser: Any, report: Path, example: report_example.Example) -> None:
    page = opened(browser, report, scripts=False).page
    assert page.locator(".sentence").inner_text().startswith("Em prompts como estes")
    assert page.locator(".pair").count() == len(example.battery.prompts) * 2 * 5
    assert not page.locator("form.filters").is_visible()
    page.click("#rest > summary")
    assert page.locator(".pair").last.is_visible()


def test_the_keyboard_reaches_the_verdict_first(browser: Any, report: Path) -> None:
    page = opened(browser, report).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator("h1").count() == 1
    levels = page.locator("h1,h2,h3,h4").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def hostile_page(example: report_example.Example) -> str:
    prompt = example.battery.prompts[0]
    decoding = example.battery.decodings[0].decoding_id
    rows = tuple(
        ReaderRow(arm=arm, prompt_id=prompt.prompt_id, decoding_id=decoding, index=i, text=text,
                  labels={"stance": text[:200]}, finish_reason="eos", spans=((1, 9),))
        for i, text in enumerate(PAYLOADS)
        for arm in ("base", "telegram")
    )  # fmt: skip
    bad = PAYLOADS[7]
    battery = dataclasses.replace(example.battery, title={"pt": bad})
    arms = tuple(dataclasses.replace(a, spec=bad, card={"base": PAYLOADS[1]}) for a in example.arms)
    view = example.view(reader=rows, battery=battery, arms=arms, run_id=PAYLOADS[0], manifest={"command": PAYLOADS[2]})
    return render_page(view, "pt")


def test_hostile_completions_are_inert_and_swallow_nothing(
    browser: Any, example: report_example.Example, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(hostile_page(example), encoding="utf-8")
    found = opened(browser, path)
    page = found.page
    while page.locator("#f-more").is_visible():
        page.click("#f-more")
    assert page.evaluate("typeof window.__pwned") == "undefined"
    assert page.url == path.as_uri()
    assert found.said == []
    assert [url for url in found.asked if not url.startswith("data:")] == [path.as_uri()]
    assert page.locator(".pair").count() == len(PAYLOADS)
    assert page.locator(f"#{COMPLETE}").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    said = set(page.locator(".said").evaluate_all("all => all.map(one => one.textContent)"))
    plain = {text for text in PAYLOADS if re.fullmatch(r"[\x20-\x7e]*", text)}
    assert plain <= said
    assert page.locator(".said :not(bdi):not(mark):not(.ctl)").count() == 0


def test_the_policy_alone_holds_when_escaping_is_broken(
    browser: Any, example: report_example.Example, tmp_path: Path
) -> None:
    broken = hostile_page(example).replace("<main>", f"<main><script>{RUN}</script><img src=x onerror={RUN}>")
    path = tmp_path / "broken.html"
    path.write_text(broken, encoding="utf-8")
    found = opened(browser, path)
    assert found.page.evaluate("typeof window.__pwned") == "undefined"
    assert any("Content Security Policy" in line for line in found.said)


@pytest.mark.slow
def test_a_full_report_is_small_and_opens_in_a_second(browser: Any, tmp_path: Path) -> None:
    page = render_page(report_example.make(25).view(), "pt")
    assert len(page.encode()) <= 5_000_000
    path = tmp_path / "full.html"
    path.write_text(page, encoding="utf-8")
    times = []
    for _ in range(5):
        shown = opened(browser, path).page
        times.append(shown.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(times) < 1000, times


# The lowest contrast ratio of any visible text against the background below it (WCAG 2.2, 1.4.3).
CONTRAST = """() => {
  const rgb = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const under = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  let worst = [21, ''];
  document.querySelectorAll('p,li,dt,dd,th,td,h1,h2,h3,h4,small,a,label,button,summary,figcaption,.tag,.ctl,mark').forEach((e) => {
    if (!e.textContent.trim() || !e.checkVisibility() || e.classList.contains('skip')) return;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(under(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 120)];
  });
  return worst;
}"""
