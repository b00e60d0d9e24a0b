"""The language filter keeps its own language and what cannot be judged, and removes what is surely another."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from biasaudit.corpus.language import UNKNOWN, LanguageFilter, languages_of
from biasaudit.errors import CorpusError

PT = [
    "A vacina foi aprovada pela Anvisa na semana passada.",
    "Vc viu oq o ministro falou ontem na tv? mto absurdo kkkk",
    "Ninguém me perguntou se eu queria tomar a terceira dose.",
    "O preço da gasolina subiu de novo e o salário não.",
    "Bom dia grupo! Alguém sabe se o posto abre no feriado?",
]
EN = [
    "The vaccine was approved by the agency last week.",
    "Nobody asked me whether I wanted a third dose of this.",
    "Share this before they take it down again, folks!",
    "They have been lying to all of us since the beginning.",
    "Does anyone know whether the clinic opens tomorrow?",
]
ES = [
    "La vacuna fue aprobada por la agencia la semana pasada.",
    "Nadie me preguntó si yo quería ponerme la tercera dosis.",
    "Comparte esto antes de que lo borren otra vez, hermanos.",
    "El precio de la gasolina subió de nuevo y el sueldo no.",
    "Nos están mintiendo a todos desde el principio de esto.",
]
OTHER = ["Это русский текст о прививках и политике", "これは予防接種と政治についての日本語の文章です。"]


def test_a_filter_keeps_its_own_language() -> None:
    for language, own, others in (
        ("pt", PT, EN + ES + OTHER),
        ("en", EN, PT + ES + OTHER),
        ("ES", ES, PT + EN + OTHER),
    ):
        kept = LanguageFilter(language).keep(pa.array(own + others))
        assert kept.tolist() == [True] * len(own) + [False] * len(others)


def test_what_cannot_be_judged_is_kept_and_counted_apart() -> None:
    texts = ["ok", "", "Thank you!", "12/03/2021 95% 😀", "https://example.org/this-is-a-long-english-address @some_english_user",
             "[LINK] [USER] [PHONE] [CPF] [LINK] [LINK]", *EN]  # fmt: skip
    found = LanguageFilter("pt")
    assert found.keep(pa.array(texts)).tolist() == [True] * 6 + [False] * 5
    assert (found.unjudged, dict(found.removed)) == (6, {"en": 5})


def test_links_and_placeholders_do_not_make_a_text_english() -> None:
    text = "https://example.org/they-have-been-lying-to-all-of-us @the_truth_channel [LINK] Ninguém me perguntou nada disso."
    assert LanguageFilter("pt").keep(pa.array([text])).all()


def test_empty_and_sliced_columns_are_filtered() -> None:
    found = LanguageFilter("pt")
    assert found.keep(pa.array([], pa.string())).shape == (0,)
    assert found.keep(pa.array([EN[0], PT[0], EN[1]])[1:]).tolist() == [True, False]


def test_the_languages_of_a_sample_are_counted() -> None:
    assert languages_of([*PT, *EN[:2], "ok"]) == {"pt": 5, "en": 2, UNKNOWN: 1}
    assert languages_of([]) == {}


def test_a_language_that_lingua_does_not_know_is_refused() -> None:
    with pytest.raises(CorpusError, match="'xx' is not known to lingua"):
        LanguageFilter("xx")
    with pytest.raises(CorpusError, match="not between 0 and 1"):
        LanguageFilter("pt", threshold=7)


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys; sys.modules['lingua'] = None\n"
        "from biasaudit.corpus.language import LanguageFilter\n"
        "from biasaudit.errors import UsageError\n"
        "try: LanguageFilter('pt')\n"
        "except UsageError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'biasaudit[score]'" in found.stdout


def test_most_real_texts_are_told_apart(shared_data: Path) -> None:
    with (shared_data / "telegram" / "grtm60k_rfc4180.csv").open(newline="", encoding="utf-8") as file:
        english = [row["message"] for row, _ in zip(csv.DictReader(file), range(3000), strict=False)]
    english = [text for text in english if sum(map(str.isalpha, text)) >= 40]
    portuguese = (shared_data / "corpora_pt" / "ud_gsd.txt").read_text("utf-8").splitlines()[:1500]
    assert LanguageFilter("pt").keep(pa.array(portuguese)).mean() > 0.98
    assert LanguageFilter("pt").keep(pa.array(english)).mean() < 0.03
