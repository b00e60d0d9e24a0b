"""Figures of words and of densities: what they draw is what was found, with a table and words beside them."""

from __future__ import annotations

import numpy as np
import pytest

from biasaudit.records import Battery
from biasaudit.report import scatter
from biasaudit.report.findings import lines
from biasaudit.report.findings_drawn import figures
from biasaudit.report.numbers import Numbers
from biasaudit.report.sections import designs as section
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Analysis, Finding
from biasaudit.stats import robust, texts, words


def test_densities_share_grid_and_bandwidth_hold_all_mass_and_weigh_prompts() -> None:
    rng = np.random.default_rng(0)
    first = [rng.normal(0, 1, 400), rng.normal(0, 1, 40)]
    second = [rng.normal(3, 1, 400), rng.normal(0, 1, 40)]
    found = robust.ridges([first, second], np.array([0.5, 0.5]))
    assert found is not None
    step = (found["high"] - found["low"]) / (robust.GRID - 1)
    assert [sum(row) * step for row in found["densities"]] == [pytest.approx(1, abs=0.02)] * 2
    assert found["quantiles"][0][2] == pytest.approx(0, abs=0.25)
    assert 0.5 < found["quantiles"][1][2] < 2.5  # half of the weight is the small prompt's
    equal = robust.ridges([[np.arange(9.0)], [np.arange(9.0)]], np.ones(1))
    assert equal is not None
    assert equal["densities"][0] == equal["densities"][1]
    assert robust.ridges([[np.ones(4)], [np.ones(4)]], np.ones(1)) is None
    mostly = robust.ridges([[np.array([0.0] * 20 + [1.0])], [np.zeros(20)]], np.ones(1))
    assert mostly is not None
    assert np.isfinite(mostly["densities"]).all()


def finding(design: str, name: str, **fields: object) -> Finding:
    return Finding(
        design=design, name=name, estimand="e", target="fixed", measure="toxicity", outcome="value",
        unit="words" if name == "length" else "share",
        tuned="tuned", reference="<b>base", decoding_id="", language="pt", estimate=0.1, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def words_of(n: int = 12) -> words.Distinctive:
    rng = np.random.default_rng(4)
    vocabulary = [f"palavra{chr(97 + k)}" for k in range(20)]
    first, second = (
        tuple(tuple(" ".join(rng.choice(vocabulary[at:], 12)) for _ in range(n)) for _ in range(4)) for at in (5, 0)
    )
    found = words.distinctive(texts.Strata(topics=tuple("abcd"), first=first, second=second), draws=99, rng=rng)
    assert found is not None
    return found


@pytest.mark.parametrize("locale", ["pt", "en"])
def test_both_figures_stand_with_legend_words_for_the_ear_and_a_table(locale: str) -> None:
    found = words_of()
    drawn = robust.ridges([[np.linspace(0, 1, 30)], [np.linspace(0, 0.5, 30)]], np.ones(1))
    rows = [
        finding("words", "largest-z", details={
            "threshold": found.threshold, "cloud": [list(pair) for pair in found.cloud],
            "words": [{"word": w.word, "z": w.z, "documents_first": w.documents_first,
                       "documents_second": w.documents_second, "p": w.p} for w in found.words],
        }),
        finding("robust", "tail", details={"ridges": drawn, "threshold": 0.4, "unit": "probability"}),
    ]  # fmt: skip
    view = ReportView(
        battery=Battery(name="b", version=1, title={}, languages=("pt",), topics=(), prompts=(), pairs=()),
        language="pt", arms=(), prompts=(), decodings=(),
        analysis=Analysis(contrasts=(), compositions=(), verdict=None, findings=tuple(rows), alpha=0.01),
    )  # fmt: skip
    page = str(section.render(view, locale))
    assert page.count("<svg") == 4
    assert page.count('role="img" aria-label="') == 2
    assert "99%" in page
    assert "<b>base" not in page
    for word in found.words:
        assert f">{word.word}<" in page
    assert {"pt": "Quantis (10%; 25%; 50%", "en": "Quantiles (10%; 25%; 50%"}[locale] in page
    assert {"pt": "tuned: 8,6%; 24,1%; 50,0%", "en": "tuned: 8.6%; 24.1%; 50.0%"}[locale] in page


def test_no_name_stands_on_another_and_only_words_beyond_the_band_have_one() -> None:
    dots = [scatter.Dot(f"palavra{k}", 50, 9.0 + 0.01 * k) for k in range(9)] + [scatter.Dot("dentro", 50, 1.0)]
    page = str(scatter.words_by_z(dots, [(3.0, 0.2)], 3.0, ("x", "z"), "pt"))
    assert page.count("palavra") == 2  # one a figure
    assert "dentro" not in page
    assert 'width="' in str(scatter.words_by_z(dots[-1:], [], 3.0, ("x", "z"), "pt"))


def test_distances_of_texts_stand_beside_those_of_a_model_from_itself() -> None:
    rows = [
        finding("text", name, details={"null": null} if null else {})
        for name in ("energy", "c2st")
        for null in ("", "split-half")
    ]
    longer = finding("text", "length", details={"mean_tuned": 12.5, "mean_reference": 9.0})
    drawn = figures("text", [*rows, longer], "en")
    (told,) = lines("text", [longer], Words("pt"), Numbers("pt"))
    assert told.startswith("Palavras por texto, em média: 12,50 em tuned, 9,000 em ")
    assert [title for title, _ in drawn] == ["Energy distance", "Classifier, AUC (0.5 is chance)"]
    assert "null: one half" in str(drawn[0][1])
    assert "less 0.5" in str(drawn[1][1])
