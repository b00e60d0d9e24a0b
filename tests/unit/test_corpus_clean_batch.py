"""A batch is cleaned as its texts are one by one, and cleaning twice changes nothing more."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.corpus import clean, clean_text, legacy
from biasaudit.corpus.clean import Cleaner
from biasaudit.errors import UnknownNameError, UsageError

PIECES = [
    " ", "  ", "\n", "\n\n\n", "\t", "\r", "\r\n", "\x00", "\x0b", "\x1c", "\x85", "\u2028", "\u200b", "\u200d", "\ufeff", "\u200e", "\u202e",
    "\u00a0", "\u3000", "a", "é", "e\u0301", "=", "\u0338", "\u0301", "\u0323", "\u05b1", "\u05b0", "\u1100", "\u1161", "\u212b", "\uf900",
    "\U0001d15e", "Encaminhado de: Fulano\n", "Forwarded from X\n", "[Forwarded from X]", "[10:22, 12/03/2021] Ana: ", "Encaminhada\n",
    "Canal, [12.03.2021 10:22]\n", "12/03/2021 10:22 - +55 11 91234-5678: ", "Siga-nos", "Inscreva-se no canal", "Compartilhe", "👉 @canal_x",
    "Join our channel", "Sent from my iPhone", "Enviado do meu iPhone", "via @some_bot", "@usuario", "fulano@gmail.com", "https://exemplo.br/a?b=c",
    "www.exemplo.br", "t.me/+abcDEF", "t.me/canal", "chat.whatsapp.com/AbC", ".", "!", ":", "-", "[", "]", "(", ")", "😀", "👩🏽‍⚕️", "🇧🇷", "🇧",
    "1️⃣", "©️", "©", "\ufe0f", "\u20e3", "🏴\U000e0067\U000e0062\U000e007f", "9,5/10", "31/12/2021", "95%", "2^53", "ſ", "İ", "ı", "K", "ª", "²", "½", "Ⅷ",
    "Uma noite destas, vindo da cidade para o Engenho Novo, encontrei no", "trem da Central", "— disse", "http", "://", "www", "_",
]  # fmt: skip
nasty = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)
storable = nasty.map(lambda text: text.encode("utf-8", "replace").decode())
rule_sets = st.sets(st.sampled_from(clean.names())).filter(lambda rules: not {"emoji-drop", "emoji-name"} <= rules)


@given(st.lists(storable, max_size=8), rule_sets, st.integers(0, 3))
@settings(max_examples=400)
def test_a_batch_is_cleaned_as_its_texts_are(texts: list[str], rules: set[str], skipped: int) -> None:
    one, many = Cleaner(rules), Cleaner(rules)
    column = pa.array(texts, pa.string())[skipped:]
    assert many.batch(column).to_pylist() == [one(text) for text in texts[skipped:]]
    assert many.changed == one.changed


@given(nasty, rule_sets)
@settings(max_examples=1000)
def test_cleaning_twice_changes_nothing_more_whatever_the_rules(text: str, rules: set[str]) -> None:
    cleaner = Cleaner(rules - {"legacy"})
    once = cleaner(text)
    assert cleaner(once) == once


@given(nasty)
def test_the_order_in_which_rules_are_given_does_not_matter(text: str) -> None:
    assert Cleaner(reversed(clean.DEFAULT))(text) == Cleaner()(text)


def test_empty_and_sliced_batches_are_batches() -> None:
    for rules in (clean.DEFAULT, ["legacy"], [], ["emoji-name", *clean.DEFAULT]):
        assert Cleaner(rules).batch(pa.array([], pa.string())).to_pylist() == []
        assert Cleaner(rules).batch(pa.array(["a", "b"], pa.string())[2:]).to_pylist() == []
    column = pa.array(["x\x00", " a  b ", "c", "", "d\r\n"], pa.string())
    assert Cleaner().batch(column[1:4]).to_pylist() == ["a b", "c", ""]


def test_a_clean_batch_is_passed_on_as_it_is() -> None:
    column = pa.array(["tudo certo", "95% em 31/12/2021"], pa.string())
    assert Cleaner().batch(column) is column


def test_counts_of_two_processes_add_up() -> None:
    one, two, both = Cleaner(), Cleaner(), Cleaner()
    texts = ["a  b", "c\x00", "d\x00  e", "f"]
    one.batch(pa.array(texts[:2]))
    two.batch(pa.array(texts[2:]))
    both.batch(pa.array(texts))
    total = Counter(one.changed)
    total.update(two.changed)
    assert total == both.changed
    assert set(total) == set(clean.DEFAULT)


def test_every_text_that_composition_changes_has_a_trigger() -> None:
    points = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    flagged = pc.match_substring_regex(pa.array(map(chr, points), pa.string()), clean_text.nfc_trigger()).to_pylist()
    quiet = {point for point, found in zip(points, flagged, strict=True) if not found}
    for point in quiet:
        assert unicodedata.combining(chr(point)) == 0
        assert unicodedata.is_normalized("NFC", chr(point))
    for point in points:  # No second half of a composition is quiet, so quiet characters compose with nothing before.
        parts = unicodedata.normalize("NFD", chr(point))
        if len(parts) > 1 and unicodedata.normalize("NFC", parts) == chr(point):
            assert quiet.isdisjoint(map(ord, parts[1:]))
    assert len(quiet) > 1_100_000


def test_composition_leaves_no_work_for_the_rules_before_it() -> None:
    earlier = Cleaner(["controls", "bidi", "newlines"])
    for point in range(0x110000):
        char = chr(point)
        composed = unicodedata.normalize("NFC", char)
        if composed != char and earlier(char) == char:
            assert earlier(composed) == composed


@given(st.lists(storable, max_size=6))
@settings(max_examples=300)
def test_the_study_s_expression_means_the_same_in_columns(texts: list[str]) -> None:
    assert legacy.batch(pa.array(texts, pa.string())).to_pylist() == [legacy.clean(text) for text in texts]


def test_the_study_s_expression_means_the_same_for_every_character() -> None:
    every = [f"x{chr(p)}y" for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    every += [f"@{chr(p)} www{chr(p)} " for p in range(0x3100)] + [chr(p) for p in range(0x3100)]
    assert legacy.batch(pa.array(every, pa.string())).to_pylist() == [legacy.clean(text) for text in every]


def test_real_messages_are_cleaned_alike_one_by_one_and_together(shared_data: object) -> None:
    import csv
    from pathlib import Path

    path = Path(str(shared_data)) / "telegram" / "wpp_2020.csv"
    with path.open(newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    rules = [name for name in clean.names() if name not in ("legacy", "emoji-name")]
    one, many = Cleaner(rules), Cleaner(rules)
    assert many.batch(pa.array(texts, pa.string())).to_pylist() == [one(text) for text in texts]
    assert many.changed == one.changed


def test_rules_that_do_not_exist_or_exclude_each_other_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="withespace"):
        Cleaner(["withespace"])
    with pytest.raises(UsageError, match="exclude each other"):
        Cleaner(["emoji-drop", "emoji-name"])
