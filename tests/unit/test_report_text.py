"""What a model wrote, made safe to look at."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.report.text import MAX_COMBINING, isolate, plain, show


class Reading(HTMLParser):
    """Elements met and their text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: str) -> Reading:
    reading = Reading()
    reading.feed(markup)
    reading.close()
    return reading


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u202eb", "aU+202Eb"), ("a\u200bb", "aU+200Bb"), ("\x00\x1b[31m", "U+0000U+001B[31m"),
        ("a\ud800b", "a\ufffdb"), ("tab\tand\nline", "tab\tand\nline"), ("a\r\nb", "a\r\nb"), ("a\rb", "aU+000Db"),
        ("👩\u200d👧", "👩\u200d👧"), ("a\u200db", "aU+200Db"), ("c\u0327a", "ça"), ("\ufeffx", "U+FEFFx"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_shown(text: str, seen: str) -> None:
    assert read(str(show(text))).text == seen


def test_marks_that_would_paint_over_other_lines_are_cut_and_counted() -> None:
    seen = read(str(show("q" + "\u0335" * 500))).text
    assert seen.count("\u0335") == MAX_COMBINING
    assert seen.endswith(f"+{500 - MAX_COMBINING}")


def test_spans_are_marked_merged_and_cut_to_the_text() -> None:
    assert str(show("uma vacina boa", [(4, 10), (8, 10), (11, 99), (-5, 0)])) == (
        "uma <mark>vacina</mark> <mark>boa</mark>"
    )


def test_markup_in_a_span_stays_text() -> None:
    assert str(isolate("<b>x</b>", [(0, 3)])) == "<bdi><mark>&lt;b&gt;</mark>x&lt;/b&gt;</bdi>"


@given(
    st.text(st.characters(codec=None, categories=None), max_size=60),
    st.lists(st.tuples(st.integers(-5, 70), st.integers(-5, 70)), max_size=3),
)
def test_any_text_is_inert_and_nothing_of_it_is_lost(text: str, spans: list[tuple[int, int]]) -> None:
    markup = str(isolate(text, spans))
    assert set(read(markup).tags) <= {"bdi", "mark", "span"}
    markup.encode("utf-8")
    assert not any(unicodedata.category(c) in {"Cs"} or c in "\u202e\u2066\u200b\x00" for c in markup)
    visible = [c for c in text if c.isalnum() and c.isascii()]
    assert [c for c in read(markup).text if c in visible][: len(visible)] or not visible


def test_plain_keeps_names_readable_in_options() -> None:
    assert plain("a\u202e<b>") == "a[U+202E]<b>"
