"""The page: one offline file, complete, inert, with every number twice."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser

import pytest
import report_example

from biasaudit.report import sections
from biasaudit.report.page import COMPLETE, render_page
from biasaudit.report.view import LOCALES, ReportView
from biasaudit.results import Analysis

HOSTILE = "</script><img src=x onerror=__pwned=1>\u202e{{7*7}}\ud800"


@pytest.fixture(scope="module")
def view() -> ReportView:
    return report_example.make(4).view()


@pytest.fixture(scope="module")
def pages(view: ReportView) -> dict[str, str]:
    return {locale: render_page(view, locale) for locale in LOCALES}


class Outline(HTMLParser):
    """Elements and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def outline(page: str) -> list[tuple[str, dict[str, str | None]]]:
    reading = Outline()
    reading.feed(page)
    return reading.found


def test_the_policy_comes_first_and_fits_the_script_and_the_style(pages: dict[str, str]) -> None:
    page = pages["pt"]
    head = page[page.index("<head>") + 6 :].lstrip()
    policy = re.match(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', head)
    assert policy is not None
    said = policy[1].replace("&#39;", "'")
    for tag in ("script", "style"):
        source = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert source is not None
        digest = b64encode(hashlib.sha256(source[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in said
    assert said.startswith("default-src 'none'; ")
    assert said.endswith("img-src data:; base-uri 'none'; form-action 'none'")


@pytest.mark.parametrize("locale", LOCALES)
def test_nothing_is_loaded_and_nothing_runs_inline(pages: dict[str, str], locale: str) -> None:
    for tag, attributes in outline(pages[locale]):
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")]
        assert tag not in {"iframe", "object", "embed", "base", "img", "video"}
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_page_says_that_it_is_complete(pages: dict[str, str], locale: str) -> None:
    assert pages[locale].rstrip().endswith("</html>")
    assert f'id="{COMPLETE}"' in pages[locale][-400:]


def test_the_same_view_gives_the_same_bytes(view: ReportView, pages: dict[str, str]) -> None:
    assert render_page(view, "en") == pages["en"]


def test_ids_are_unique_and_every_inner_link_has_its_target(pages: dict[str, str]) -> None:
    found = outline(pages["en"])
    ids = [a["id"] for _, a in found if a.get("id")]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for t, a in found if t == "a"} <= set(ids)


def test_every_figure_has_words_and_every_table_a_caption(pages: dict[str, str]) -> None:
    page = pages["en"]
    drawings = [a for t, a in outline(page) if "drawing" in (a.get("class") or "")]
    assert len(drawings) >= 3
    assert all(a.get("role") == "img" and len(a.get("aria-label") or "") > 40 for a in drawings)
    assert page.count("<table") == page.count("<caption")
    assert all(a.get("scope") for t, a in outline(page) if t == "th")


def test_charts_follow_the_theme_by_variables_alone(pages: dict[str, str]) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", pages["en"], re.DOTALL))
    assert 'fill="var(--tuned)"' in drawn
    assert not re.findall(r'(?:fill|stroke)="#[0-9a-f]{3,6}"', drawn)


def test_every_prompt_stands_in_the_table(view: ReportView, pages: dict[str, str]) -> None:
    table = pages["en"].split('id="prompts"')[1].split("</section>")[0]
    assert all(prompt.text in table for prompt in view.prompts)


def test_hostile_names_and_texts_stay_text(view: ReportView) -> None:
    rows = tuple(dataclasses.replace(r, text=HOSTILE, labels={"stance": HOSTILE}) for r in view.reader[:6])
    arms = tuple(dataclasses.replace(a, spec=HOSTILE, card={HOSTILE: HOSTILE}) for a in view.arms)
    topics = tuple(dataclasses.replace(t, title={"en": HOSTILE}) for t in view.battery.topics)
    battery = dataclasses.replace(view.battery, title={"en": HOSTILE}, topics=topics)
    hostile = dataclasses.replace(
        view,
        battery=battery,
        arms=arms,
        reader=rows,
        run_id=HOSTILE,
        badges={HOSTILE: HOSTILE},
        manifest={HOSTILE: HOSTILE},
    )
    page = render_page(hostile, "en")
    page.encode("utf-8")
    found = outline(page)
    assert not [t for t, a in found if t == "img" or "onerror" in a]
    assert sum(t == "script" for t, _ in found) == 2
    assert f'id="{COMPLETE}"' in page[-400:]
    assert "\u202e" not in page
    assert "{{7*7}}" in page


def test_a_run_of_likelihoods_alone_still_has_a_page(view: ReportView) -> None:
    bare = dataclasses.replace(
        view,
        reader=(),
        reader_total=0,
        analysis=Analysis(contrasts=(), compositions=(), verdict=None),
    )
    page = render_page(bare, "pt")
    assert "Esta execução não tem textos gerados" in page
    assert "não dá veredito" in page


def test_mixed_numerics_are_said(view: ReportView) -> None:
    manifest = {**view.manifest, "numerics": {"a": {"tile": 128}, "b": {"tile": 64}}}
    analysis = dataclasses.replace(view.analysis, counts={**view.analysis.counts, "numerics": 2})
    mixed = dataclasses.replace(view, manifest=manifest, analysis=analysis)
    assert "Mixed numerics" in sections.load("manifest").render(mixed, "en")


def test_a_sample_is_labelled_as_one(view: ReportView) -> None:
    reader = sections.load("reader").render(dataclasses.replace(view, reader_total=20_000), "en")
    assert "of 20,000 completions: a random sample, stratified" in reader


def test_a_manifest_of_thousands_of_files_does_not_swell_the_page(view: ReportView) -> None:
    files = {f"part-{i:05}": {"sha256": "e" * 64} for i in range(20_000)}
    manifest = {**view.manifest, "files": files}
    section = sections.load("manifest").render(dataclasses.replace(view, manifest=manifest), "en")
    assert len(section) < 400_000
