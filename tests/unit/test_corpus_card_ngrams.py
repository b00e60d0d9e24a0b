"""The sample and its n-grams: the same however a corpus is cut, equal to a plain count, nobody's words, nobody's data."""

from __future__ import annotations

import random
import re
import time
from collections import Counter

import corpus_card_example as example
import numpy as np
import pyarrow as pa
import pytest

from biasaudit.corpus.card_ngrams import MIN_DOCUMENTS, STOP_WORDS, ngrams
from biasaudit.corpus.card_sample import Sample, draw, joined, share_of


def sample_of(texts: list[str]) -> Sample:
    return draw(pa.array(texts, pa.string()), np.arange(len(texts), dtype=np.uint64), 0, 1.0)


def plainly(texts: list[str], length: int) -> Counter[str]:
    """Documents by n-gram, one at a time."""
    counts: Counter[str] = Counter()
    for text in texts:
        seen = set()
        for sentence in re.split(r"[.!?:;\n]", text.lower()):
            words = re.findall(r"[a-z0-9à-öø-ÿ'-]+", sentence)
            for i in range(len(words) - length + 1):
                if not all(word in STOP_WORDS for word in words[i : i + length]):
                    seen.add(" ".join(words[i : i + length]))
        counts.update(seen)
    return counts


@pytest.mark.parametrize("seed", range(6))
def test_they_are_those_of_a_plain_count(seed: int) -> None:
    rng = random.Random(seed)
    words = [
        "Vacina",
        "não",
        "é",
        "de",
        "Água",
        "grupo",
        "a",
        "ÚLTIMA",
        "meia-noite",
        "d'água",
        "x1",
        "🙂",
        "“fim”",
        "…",
    ]
    texts = []
    for _ in range(300):
        drawn = [
            rng.choice(words) + rng.choice(["", "", "", ",", ".", "!\n", " 🚨 "]) for _ in range(rng.randint(0, 30))
        ]
        texts.append(rng.choice([" ", "  ", "\n"]).join(drawn))
    found = ngrams(sample_of(texts), top=30)["top"]
    for length in range(1, 6):
        counts = plainly(texts, length)
        expected = sorted(((-n, text) for text, n in counts.items() if n >= MIN_DOCUMENTS))[:30]
        assert [(-row["documents"], row["text"]) for row in found[str(length)]] == expected


def test_a_repeat_inside_one_document_counts_once() -> None:
    texts = ["compre agora compre agora compre agora"] * 5 + ["bom dia"] * 6
    found = ngrams(sample_of(texts))["top"]
    assert [(row["text"], row["documents"]) for row in found["2"]] == [
        ("bom dia", 6), ("agora compre", 5), ("compre agora", 5),
    ]  # fmt: skip


def test_what_few_documents_share_is_not_listed() -> None:
    found = ngrams(sample_of(["segredo de alguém"] * (MIN_DOCUMENTS - 1) + ["bom dia"] * MIN_DOCUMENTS))
    assert "segredo" not in str(found)


def test_placeholders_and_long_numbers_break_a_phrase_and_are_not_words() -> None:
    texts = ["ligue para [PHONE] agora mesmo, protocolo 1234567 aberto, artigo 5 da lei 123-456-789"] * 9
    shown = str(ngrams(sample_of(texts))["top"])
    assert "phone" not in shown
    assert not re.search(r"\d{5}|123", shown)
    assert "agora mesmo protocolo" in shown
    assert "protocolo aberto" not in shown


def test_a_corpus_that_was_not_masked_is_masked_for_the_card() -> None:
    texts = ["siga t.me/canal ou escreva a maria@example.org hoje, CPF 529.982.247-25"] * 9
    shown = str(ngrams(sample_of(texts), masked=False)["top"])
    assert "escreva a" in shown
    assert not re.search("maria|example|canal|529|982", shown)


@pytest.mark.parametrize(
    "texts", [[], [""], ["", "", ""], ["😀"] * 9, ["x" * 100_000] * 6, [".\n!"] * 7, ["\x00a"] * 7]
)
def test_texts_without_words_give_empty_lists(texts: list[str]) -> None:
    found = ngrams(sample_of(texts))
    assert set(found["top"]) == {"1", "2", "3", "4", "5"}
    assert found["sample"]["documents"] == len(texts)


def test_a_sample_does_not_depend_on_the_cut() -> None:
    text = example.columns(2000)["text"]
    digests = np.random.default_rng(3).integers(0, 2**64, 2000, np.uint64)
    whole = draw(text, digests, 0, 0.3)
    parts = [draw(text[i : i + 170], digests[i : i + 170], i, 0.3) for i in range(0, 2000, 170)]
    again = joined(parts)
    assert again.text.equals(whole.text)
    assert again.first(50).equals(whole.first(50))
    assert (again.documents, again.bytes) == (2000, whole.bytes)
    assert len(whole.text) == pytest.approx(600, abs=80)
    assert ngrams(again) == ngrams(whole)


def test_a_small_corpus_is_taken_whole_and_a_book_is_cut() -> None:
    assert share_of(1000) == share_of(0) == 1.0
    assert share_of(2 << 20) == 0.5
    assert len(sample_of(["a" * 50_000]).text[0].as_py()) == 20_000


@pytest.mark.slow
def test_four_megabytes_take_a_third_of_a_second() -> None:
    rng = random.Random(1)
    words = [f"{a}{b}ão" for a in "bcdfghjklm" for b in ("a", "er", "os", "in", "um", "ará", "esti")]
    weights = [1 / (1 + i) for i in range(len(words))]
    texts = [" ".join(rng.choices(words, weights, k=20)) for _ in range(38_000)]
    sample = sample_of(texts)
    best = 9.0
    for _ in range(5):
        started = time.process_time()
        ngrams(sample)
        best = min(best, time.process_time() - started)
    assert sample.bytes > 4_000_000
    assert best < 0.6
