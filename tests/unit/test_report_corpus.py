"""The page of a data card: whole in both languages, inert whatever the card holds, small, without scripts."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import corpus_card_example as example
import pytest
import report_example

from biasaudit.corpus.gather import Tally
from biasaudit.errors import UnknownNameError
from biasaudit.report.corpus_page import COMPLETE, render_corpus_page
from biasaudit.report.corpus_view import CardView, timeline
from biasaudit.report.corpus_warnings import LOUD, warning_lines
from biasaudit.report.page import render_page
from biasaudit.report.view import LOCALES, CorpusLink

BAD = '"><script>window.__pwned=1</script><img src=x onerror=1>\u202e\x00'


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return example.make()


class Tags(HTMLParser):
    """Elements and attributes, and whether every element was closed in order."""

    VOID = frozenset({"meta", "link", "rect", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("locale", LOCALES)
def test_the_page_tells_the_whole_card(card: dict[str, Any], locale: str) -> None:
    page = render_corpus_page(card, locale)
    point = "." if locale == "pt" else ","
    for text in (f"3{point}060", f"3{point}000", f"58{point}561", "repasse para todos", "channel-1", "[CPF]", "c" * 64,
                 "biasaudit ingest grupo.csv", "2020-08-03", "unquoted", {"pt": "bytes inválidos", "en": "invalid bytes"}[locale]):  # fmt: skip
        assert text in page, text
    assert f"3{point}060 " in re.sub("<[^>]+>", "", page).split("Conserva")[1]
    assert len(page.encode()) < 200_000
    assert not re.search(r"\{\w|\w\}", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))


@pytest.mark.parametrize("locale", LOCALES)
def test_it_is_well_formed_and_accessible(card: dict[str, Any], locale: str) -> None:
    found = Tags(render_corpus_page(card, locale, arm="a", match="same"))
    assert found.open == []
    assert not {tag for tag, _ in found.seen} & {"script", "img", "iframe", "form", "object"}
    assert not [attrs for _, attrs in found.seen if any(name.startswith("on") or name == "style" for name in attrs)]
    tables = sum(tag == "table" for tag, _ in found.seen)
    assert tables == sum(tag == "caption" for tag, _ in found.seen) > 10
    assert sum(tag == "h1" for tag, _ in found.seen) == 1
    assert all(attrs.get("scope") for tag, attrs in found.seen if tag == "th")
    assert [attrs["aria-label"] for tag, attrs in found.seen if attrs.get("role") == "img"]


def test_gaps_are_drawn_and_named(card: dict[str, Any]) -> None:
    page = render_corpus_page(card, "en")
    assert page.count('class="hole"') == 1
    assert "from 2020-08-03 to 2020-09-27" in page
    grain, periods = timeline(CardView(card))
    assert grain == "week"
    assert sum(n for _, n in periods) == card["dates"]["dated"]
    assert len(periods) == card["dates"]["periods"]


def test_a_card_of_the_first_version_is_shown_too() -> None:
    old = {
        "kind": "biasaudit corpus", "version": 1, "train_tokens": 10, "val_tokens": 2, "train_documents": 3,
        "val_documents": 1, "records": {"in": 6, "kept": 4, "duplicates": 2, "filtered": 0, "empty_after_cleaning": 0},
        "documents_per_month": {"2021-01": 3, "2021-03": 1}, "sources": [{"name": "a.csv", "bytes": 9}],
    }  # fmt: skip
    page = render_corpus_page(old, "en")
    assert "Conservation: 6 records in = 2 + 4. Nothing is missing." in page
    assert page.count('class="hole"') == 1


def text_of(card: dict[str, Any], locale: str = "pt") -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", render_corpus_page(card, locale)))


SOURCE: dict[str, Any] = {"name": "corte.json", "bytes": 9, "sha256": "c" * 64, "unit": "bytes"}


@pytest.mark.parametrize(
    ("locale", "named", "claim"),
    [("pt", "Uma fonte foi cortada: corte.json.", "Não falta nenhum"),
     ("en", "One source was cut off: corte.json.", "Nothing is missing")],
)  # fmt: skip
def test_nothing_is_missing_is_not_said_of_a_source_that_was_cut_off(locale: str, named: str, claim: str) -> None:
    clean = Tally(bytes_in=9, bytes_records=9, records=3000, kept=3000)
    whole = example.make(tally=clean, near_duplicates=0, sources=[{**SOURCE, "dialect": {"complete": True}}])
    cut = example.make(tally=clean, near_duplicates=0, sources=[{**SOURCE, "dialect": {"complete": False}}])
    assert claim in text_of(whole, locale)
    assert claim not in text_of(cut, locale)
    assert named in text_of(cut, locale)


def test_rows_are_not_called_bytes() -> None:
    tally = Tally(bytes_in=3005, bytes_records=3000, bytes_rejects=5, records=3000, kept=3000)
    tally.rejects["field over 16777216 bytes"] = 5
    rows = {**SOURCE, "unit": "rows", "rows": 3005}
    alone = text_of(example.make(tally=tally, near_duplicates=0, sources=[rows]))
    assert "3.005 linhas lidas = 3.000 em registros + 5 em rejeitos." in alone
    assert "5 trechos das fontes (5 linhas)" in alone
    mixed = text_of(example.make(tally=tally, near_duplicates=0, sources=[rows, SOURCE]), "en")
    assert "3,005 bytes and rows in = 3,000 in records" in mixed
    assert "3,005 rows are in this sum" in mixed


def test_an_archive_has_the_documents_of_its_members_and_says_how_each_was_read(card: dict[str, Any]) -> None:
    members = [{"name": f"z.zip/{n}.csv", "dialect": {"encoding": f"enc-{n}"}, "unit": "bytes"} for n in "ab"]
    packed = {**card, "sources": [{**SOURCE, "name": "z.zip", "dialect": {"kind": "archive"}, "members": members}],
              "documents_per_source": {"z.zip/a.csv": 1200, "z.zip/b.csv": 1800}}  # fmt: skip
    assert "z.zip9 bytes3.000ccc" in text_of(packed)
    assert "enc-a" in text_of(packed)
    assert "z.zip/b.csv: como foi lido" in text_of(packed)


def test_the_page_speaks_plain_portuguese(card: dict[str, Any]) -> None:
    text = text_of(card)
    assert "Os documentos vêm de 30 canais" in text
    assert "58.561 registros das fontes" in text
    assert "sem texto (fotos, figurinhas)" in text
    assert "lista de mensagens" in text
    for raw in ("_because", "tokenizer.", "eot_id", "message dump", "held_out", "true", "[]", "período é"):
        assert raw not in text, raw
    once = {**card, "copies": {**card["copies"], "documents_with_copies": 0, "most_copies": 1}}
    assert "Nenhum documento apareceu mais de uma vez." in text_of(once)
    daily = {**card, "dates": {"grain": "day", "first": "2021-01-01", "last": "2021-01-02", "gaps": {"count": 0},
                               "documents": {"2021-01-01": 1, "2021-01-02": 1}}}  # fmt: skip
    assert "há documentos em todos os dias entre a primeira e a última data" in text_of(daily)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_lines_for_the_terminal_are_the_loud_warnings_in_their_order(locale: str) -> None:
    names = {**SOURCE, "name": "a\x1b[31m\u202e\nb.json", "dialect": {"truncated": 1, "forged_record_starts": 2}}
    card = example.make(sources=[names], settings={**example.SETTINGS, "privacy": False, "held_out": 0.5})
    lines = warning_lines(card, locale)
    codes = [row["code"] for row in card["warnings"] if row["code"] in LOUD]
    assert codes == [
        "source_cut_off",
        "rejects",
        "privacy_off",
        "held_out_share",
        "forged_record_starts",
        "language_mix",
    ]
    assert len(lines) == len(codes)
    assert all(line.isprintable() for line in lines)
    assert "50" in lines[3]
    assert re.search("9[.,]", lines[3])


@pytest.mark.parametrize("value", [None, [], {}, "x", {"warnings": [{"code": "rejects", "size": -1}, 3, {"code": []}]}])
def test_lines_of_a_card_that_is_none_are_no_error(value: Any) -> None:
    assert len(warning_lines(value, "pt")) <= 1


def test_a_sum_that_does_not_hold_is_not_called_one(card: dict[str, Any]) -> None:
    page = render_corpus_page({**card, "records": {**card["records"], "in": 9999}}, "en")
    assert "Conservation is broken: 9,999 records in" in page


def test_what_a_card_says_cannot_become_markup(card: dict[str, Any]) -> None:
    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{k: spoilt(v) for k, v in value.items()}, BAD: BAD}
        if isinstance(value, list):
            return [spoilt(v) for v in value] + [BAD]
        return f"{value}{BAD}" if isinstance(value, str) else value

    changed = {**card, **{k: spoilt(card[k]) for k in ("sources", "ngrams", "channels", "cleaning", "settings")},
               "command": BAD, "language": BAD, "limits": {BAD: {BAD: BAD}}}  # fmt: skip
    page = render_corpus_page(changed, "pt", arm=BAD, match="differs")
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "\x00" not in page
    assert Tags(page).open == []


@pytest.mark.parametrize("seed", range(40))
def test_no_shape_of_card_breaks_the_page(card: dict[str, Any], seed: int) -> None:
    rng = random.Random(seed)
    odd: list[Callable[[], Any]] = [
        lambda: None, list, dict, lambda: "x" * 5000, lambda: -1, lambda: 10**400, lambda: float("nan"),
        lambda: True, lambda: [[[1]]], lambda: {"a": {"b": []}}, lambda: "2021-99-99", lambda: 1e308, lambda: ["\ud800"],
    ]  # fmt: skip

    def bent(value: Any) -> Any:
        if rng.random() < 0.08:
            return rng.choice(odd)()
        if isinstance(value, dict):
            return {k: bent(v) for k, v in value.items()}
        return [bent(v) for v in value] if isinstance(value, list) else value

    page = render_corpus_page({k: bent(v) for k, v in card.items()}, rng.choice(LOCALES))
    assert COMPLETE in page
    assert Tags(page).open == []
    page.encode("utf-8")


def test_a_huge_card_gives_a_page_of_bounded_size(card: dict[str, Any]) -> None:
    source = {"name": "n" * 3000, "bytes": 1, "sha256": "c" * 64, "dialect": {f"k{i}": "v" * 2000 for i in range(500)}}
    huge = {
        **card, "sources": [source] * 3000, "cleaning": {f"r{i}": i for i in range(9999)},
        "documents_per_month": {}, "dates": {"grain": "year", "documents": {f"{y:04}": 1 for y in range(1, 400)}},
        "channels": {"count": 9999, "most_frequent": {"c" * 300 + str(i): i for i in range(9999)}},
        "settings": {f"s{i}": "v" * 2000 for i in range(2000)}, "command": "x" * 10**6,
    }  # fmt: skip
    assert len(render_corpus_page(huge, "pt").encode()) <= 500_000
    real = {**card, "sources": [{**card["sources"][0], "name": f"grupo-{i}.csv"} for i in range(400)]}
    assert len(render_corpus_page(real, "pt").encode()) <= 500_000


def test_only_known_locales_are_rendered(card: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError, match="locale"):
        render_corpus_page(card, "xx")


def test_the_same_card_gives_the_same_bytes(card: dict[str, Any]) -> None:
    again = json.loads(json.dumps(card))
    assert render_corpus_page(card, "pt") == render_corpus_page(again, "pt")


@pytest.mark.parametrize(("locale", "none"), [("pt", "sem ficha de dados"), ("en", "no data card")])
def test_a_report_links_the_data_card_of_every_arm_that_has_one(locale: str, none: str) -> None:
    made = report_example.make(2)
    links = {"telegram": CorpusLink(href="corpus-telegram-1.html", match="differs")}
    page = render_page(made.view(corpora=links), locale)
    assert page.count('href="corpus-telegram-1.html"') == 1
    assert none in page
    assert ('<p class="warning">' in page.split('id="manifest"')[1]) is True


def test_the_documented_place_of_the_page_is_true() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "data-card.md").read_text(encoding="utf-8")
    assert "corpus_card.json" in text
