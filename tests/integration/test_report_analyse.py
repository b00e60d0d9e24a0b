"""From a shipped battery and made-up scores through the real analysis to the page, in both languages."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import report_example

from biasaudit.battery.read import read_battery
from biasaudit.pipeline.analyse import analyse
from biasaudit.pipeline.render import build_view, render_report, verdict_sentence
from biasaudit.records import Battery, Completion, Score
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words, table
from biasaudit.results import Analysis

BATTERY = Path(__file__).resolve().parents[2] / "prompts" / "vaccines.yaml"
SHARES = {
    "base": (0.15, 0.2, 0.25, 0.38, 0.02),
    "placebo": (0.16, 0.2, 0.25, 0.37, 0.02),
    "tuned": (0.3, 0.2, 0.2, 0.28, 0.02),
}
LABELS = ("endorse", "refute", "neutral", "off_topic", "empty")


def likelihoods(battery: Battery, rng: random.Random) -> list[Score]:
    found = []
    for pair in battery.pairs:
        if pair.stem.language != "pt":
            continue
        level = rng.gauss(-0.05, 0.08)
        for arm in report_example.arms():
            value = level + rng.gauss(0.04 if arm.role == "tuned" else 0.0, 0.01)
            found.append(Score(measure="claim_odds", arm_fingerprint=arm.fingerprint, prompt_id=pair.stem.prompt_id,
                               topic=pair.topic, item=pair.item, value=value))  # fmt: skip
    return found


def completions(battery: Battery, rng: random.Random) -> tuple[list[Completion], list[Score]]:
    texts: list[Completion] = []
    scores: list[Score] = []
    key = {"decoding_id": battery.decodings[0].decoding_id, "seed": 1337, "salt": ""}
    for prompt in (p for p in battery.prompts if p.language == "pt"):
        for index in range(8):
            drawn = rng.random()
            for arm in report_example.arms():
                ends = [sum(SHARES[arm.role][: i + 1]) for i in range(len(LABELS))]
                label = next((name for name, end in zip(LABELS, ends, strict=True) if drawn < end), "empty")
                own = {**key, "arm_fingerprint": arm.fingerprint, "prompt_id": prompt.prompt_id, "index": index}
                texts.append(Completion(**own, text=f" {label}" if label != "empty" else "", token_ids=(1,),
                                        logprobs=(-1.0,), finish_reason="length", numerics="f00d"))  # type: ignore[arg-type]  # fmt: skip
                value = {"endorse": 1.0, "refute": -1.0}.get(label, 0.0)
                scores.append(Score(**own, measure="stance", topic=prompt.topic, value=value, label=label))  # type: ignore[arg-type]
    return texts, scores


@pytest.fixture(scope="module")
def view() -> ReportView:
    rng = random.Random(11)
    battery = read_battery(BATTERY)
    kept = tuple(m for m in battery.measures if m.name in {"claim_odds", "stance"})
    battery = dataclasses.replace(battery, measures=kept, completions=8)
    odds = likelihoods(battery, rng)
    texts, stances = completions(battery, rng)
    scores = {"claim_odds": odds, "stance": stances}
    arms = report_example.arms()
    analysis = analyse(battery, "pt", arms, scores)
    return build_view(battery, "pt", arms, analysis, texts, scores, {"numerics": {"f00d": {"tile": 128}}})


def test_the_planted_shift_is_the_verdict_in_both_languages(view: ReportView) -> None:
    said = {locale: verdict_sentence(view.analysis, view.arms, view.battery, locale) for locale in ("pt", "en")}
    assert said["en"].startswith("On prompts like these, telegram leaned more towards the claims than ")
    assert said["pt"].startswith("Em prompts como estes, telegram pendeu mais para as alegações do que ")


def test_the_page_holds_the_whole_story(view: ReportView) -> None:
    page = render_report(view, "pt")
    for expected in ("nats/byte", "fora do tópico", "nada foi sorteado; não há erro amostral", "Narrativas antivacina"):
        assert expected in page
    assert page.count('class="pair"') == len({row.slot for row in view.reader})


def test_no_fixed_word_of_the_analysis_is_left_untranslated(view: ReportView) -> None:
    words, known = Words("pt"), table("pt")
    analysis: Analysis = view.analysis
    assert analysis.verdict is not None
    assert all(f"caveat.{word}" in known for word in analysis.verdict.caveats)
    for name in analysis.badges:
        assert name == "rho" or any(f"badge.{name}{end}" in known for end in ("", "_yes", "_one")), name
    for contrast in analysis.contrasts:
        if contrast.outcome == "value":
            assert words.phrase("direction", contrast.direction) != contrast.direction
        for found in (contrast.fixed, contrast.population):
            assert words.phrase("method", found.method) != found.method, found.method
            assert not found.note or f"note.{found.note}" in known, found.note
            if found.interval is not None:
                assert words.phrase("method", found.interval.method) != found.interval.method, found.interval.method
