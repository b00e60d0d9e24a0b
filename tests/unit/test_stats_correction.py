"""Correction by human labels: published numbers, what it does to two arms, and what it refuses."""

from __future__ import annotations

import dataclasses
import html
import json
from pathlib import Path

import numpy as np
import pytest

from biasaudit.labels import DEFAULT, HumanLabel, Label, LabelSet
from biasaudit.pipeline.analyse import analyse
from biasaudit.records import Arm, Battery, Decoding, Measure, Primary, Prompt, Role, Score, ScorerCard, Topic
from biasaudit.report.sections import correction as section
from biasaudit.report.view import ReportView
from biasaudit.report.words import table
from biasaudit.results import Analysis, Finding
from biasaudit.stats import correction
from biasaudit.stats.contrast import NOTES
from biasaudit.stats.corrected import meaning
from biasaudit.stats.sequential import Schedule
from biasaudit.stats.stopping import Stopping

N = 80
TOPICS = tuple(f"topic{k}" for k in range(10))
PROMPTS = tuple(
    Prompt(text=f"{topic} {name}", language="pt", topic=topic, template=name) for topic in TOPICS for name in "ab"
)
ROLES: dict[str, Role] = {"base": "base", "tuned": "tuned"}
ARMS = tuple(
    Arm(name=name, spec=name, role=role, fingerprint=f"F-{name}", tokenizer_fingerprint=name, language="pt")
    for name, role in ROLES.items()
)
BATTERY = Battery(
    name="toy", version=1, title={}, languages=("pt",), topics=tuple(Topic(name=t) for t in TOPICS), prompts=PROMPTS,
    pairs=(), decodings=(Decoding(),), completions=N,
    measures=(Measure(name="stance", scorer="patterns", options={"endorse": ["x"]}),),
    primary=Primary(measure="stance", outcome="endorse", margin=10.0, unit="points"),
)  # fmt: skip


def toy() -> correction.Moments:
    """60 labelled (25 yes, 24 called, 19 both) and 600 unlabelled completions, 246 of them called."""
    y, f = np.zeros(60), np.zeros(660)
    y[:25] = f[:19] = f[25:30] = f[60:306] = 1
    return correction.moments([f], [np.arange(60)], [y])


def test_ppi_gives_the_worked_example_and_what_ppi_python_gives_without_tuning() -> None:
    tuned = correction.ppi(toy(), np.ones(1), ddof=0)
    assert tuned.weight == pytest.approx(0.572794, abs=5e-7)
    assert tuned.mean == pytest.approx(0.422395, abs=5e-7)
    assert tuned.variance**0.5 == pytest.approx(0.051299, abs=5e-7)
    for weight, low, high in [(1.0, 0.311477, 0.541857), (0.0, 0.291921, 0.541412)]:
        found = correction.ppi(toy(), np.ones(1), ddof=0, weight=weight)
        interval = correction.z_interval(float(found.mean), float(found.variance), method="")
        assert [interval.low, interval.high] == pytest.approx([low, high], abs=1e-6)


def test_rogan_gladen_gives_the_example_of_epi_prev() -> None:
    assert correction.rogan_gladen(23 / 150, 0.96, 0.89) == pytest.approx(0.05098, abs=5e-6)
    found = correction.rogan_gladen_interval(23, 150, 0.96, 0.89)
    assert [found.low, found.high] == pytest.approx([-0.006589, 0.128917], abs=5e-7)


def test_the_reference_file_agrees(shared_data: Path) -> None:
    path = shared_data.parent / "methods" / "golden.json"
    if not path.is_file():
        pytest.skip("the reference file of worked examples is absent")
    golden = json.loads(path.read_text(encoding="utf-8"))
    weight, mean, se, _ = golden["PPI toy by hand"]["value"][:4]
    found = correction.ppi(toy(), np.ones(1), ddof=0)
    assert [found.weight, found.mean, found.variance**0.5] == pytest.approx([weight, mean, se], abs=6e-7)
    yes, called, both, rest = golden["PPI toy (seed 7)"]["value"][:4]
    sums = toy()
    assert [float(part.sum()) for part in (sums.y, sums.f, sums.yf, sums.g)] == [yes, called, both, rest]
    assert golden["Rogan-Gladen 23/150 Se.96 Sp.89"]["value"] == [
        pytest.approx(float(correction.rogan_gladen(23 / 150, 0.96, 0.89)), abs=5e-6)
    ]
    mapped = correction.rogan_gladen_interval(23, 150, 0.96, 0.89)
    assert golden["  with Wilson limits mapped"]["value"] == pytest.approx([mapped.low, mapped.high], abs=6e-7)


def test_one_stratum_for_all_is_the_plain_estimate_and_replicates_do_not_mix() -> None:
    rng = np.random.default_rng(3)
    values = [rng.binomial(1, 0.4, 50).astype(float) for _ in range(4)]
    rows = [np.arange(6)] * 4
    labels = [value[:6] for value in values]
    single = correction.moments(values, rows, labels)
    twice = correction.Moments(
        **{name: np.stack([getattr(single, name), getattr(toy(), name).repeat(4)]) for name in single.__slots__}
    )
    weights = np.full(4, 0.25)
    one, both = correction.ppi(single, weights), correction.ppi(twice, weights)
    assert both.mean[0] == pytest.approx(float(one.mean))
    assert both.variance[0] == pytest.approx(float(one.variance))


def test_a_prompt_whose_every_completion_is_labelled_is_what_people_said() -> None:
    f, y = np.array([1.0, 0, 1, 0]), np.array([0.0, 0, 1, 0])
    other = np.array([1.0, 0, 0, 1, 0, 1, 0, 0])
    arm = correction.moments([f, other], [np.arange(4), np.arange(4)], [y, other[:4]])
    found = correction.ppi(arm, np.full(2, 0.5), weight=1.0)
    assert found.prompts[0] == pytest.approx(0.25)
    assert np.isfinite(found.variance)


def test_labels_that_all_agree_are_no_certainty() -> None:
    arm = correction.moments([np.zeros(200)], [np.arange(100)], [np.zeros(100)])
    assert correction.ppi(arm, np.ones(1)).variance > 0


def test_strata_are_prompts_then_topics_then_the_arm() -> None:
    topics = ((0, 1), (2, 3))
    plenty, thin, bare = np.array([2.0, 3, 2, 2]), np.array([3.0, 1, 2, 2]), np.array([9.0, 0, 1, 0])
    for sides, level in [((plenty, plenty), "prompt"), ((plenty, thin), "topic"), ((thin, bare), "arm")]:
        found = correction.stratify(sides, topics)
        assert found is not None
        assert found[1] == level
    assert correction.stratify((plenty, np.array([1.0, 0, 0, 0])), topics) is None


# ---------------------------------------------------------------------------- whole analyses


def run(
    truth: float,
    errors: dict[str, float],
    labels: int,
    seed: int = 21,
    stopping: Stopping | None = None,
    **changes: object,
) -> Analysis:
    """Both arms have the same true rate; the scorer also endorses a share of the rest, by arm."""
    rng = np.random.default_rng(seed)
    scores, said = [], []
    for arm in ARMS:
        for prompt in PROMPTS:
            true = rng.random(N) < truth
            called = true | (rng.random(N) < errors[arm.name])
            for index in range(N):
                scores.append(
                    Score(
                        measure="stance",
                        arm_fingerprint=arm.fingerprint,
                        prompt_id=prompt.prompt_id,
                        topic=prompt.topic,
                        decoding_id=Decoding().decoding_id,
                        seed=1,
                        salt=arm.salt,
                        index=index,
                        value=float(called[index]),
                        label="endorse" if called[index] else "neutral",
                    )
                )
                if index < labels:
                    key = (arm.fingerprint, prompt.prompt_id, Decoding().decoding_id, 1, arm.salt, index)
                    said.append(HumanLabel(key=key, label="F" if true[index] else "T", rater="ana"))
    battery = dataclasses.replace(BATTERY, **changes)  # type: ignore[arg-type]
    return analyse(battery, "pt", ARMS, {"stance": scores}, labels=said, stopping=stopping)


def rows(analysis: Analysis, name: str, target: str = "fixed", outcome: str = "endorse") -> list[Finding]:
    return [
        f for f in analysis.findings
        if (f.design, f.name, f.target, f.outcome) == ("correction", name, target, outcome)
    ]  # fmt: skip


def test_a_scorer_that_errs_on_one_arm_more_is_seen_through() -> None:
    analysis = run(0.3, {"base": 0.05, "tuned": 0.25}, labels=10)
    for target in ("fixed", "population"):
        (raw,), (corrected,) = rows(analysis, "raw", target), rows(analysis, "ppi", target)
        assert raw.interval is not None
        assert corrected.interval is not None
        assert raw.interval.low > 0.0
        assert corrected.interval.low < 0 < corrected.interval.high
        assert corrected.n == {"topics": 10, "prompts": 20, "labels_tuned": 200, "labels_reference": 200}
        (inverted,) = rows(analysis, "rogan-gladen", target)
        assert inverted.interval is not None
        assert inverted.interval.low < 0 < inverted.interval.high
    verdict = analysis.verdict
    assert verdict is not None
    assert "uncorrected-scorer" not in verdict.caveats
    assert verdict.kind in ("inconclusive", "equivalent")
    assert analysis.badges["scorer_corrected"] is True
    primary = analysis.contrasts[verdict.contrast]
    assert primary.corrected == "ppi"
    assert primary.difference == pytest.approx(rows(analysis, "ppi")[0].estimate)
    assert np.mean([topic.difference for topic in primary.topics]) == pytest.approx(primary.difference)


def test_the_validity_card_counts_what_scorer_and_people_said_of_each_arm() -> None:
    analysis = run(0.3, {"base": 0.0, "tuned": 0.5}, labels=10)
    cards = {row.tuned: row for row in rows(analysis, "agreement")}
    assert set(cards) == {"base", "tuned"}
    assert cards["base"].estimate == 1.0
    assert cards["tuned"].details["sensitivity"] == 1.0
    assert cards["tuned"].details["specificity"] == pytest.approx(0.5, abs=0.12)
    details = cards["tuned"].details
    assert sum(details[key] for key in ("both", "scorer_only", "people_only", "neither")) == 200


def test_no_rate_is_below_0_or_above_1_however_bad_the_scorer() -> None:
    analysis = run(0.01, {"base": 0.9, "tuned": 0.9}, labels=5)
    rates = [row for row in analysis.findings if row.name.startswith("rate-")]
    assert {0.0, 1.0} & {end for row in rates if row.interval for end in (row.interval.low, row.interval.high)}
    for row in rates:
        assert row.estimate is not None
        assert 0 <= row.estimate <= 1
        assert row.interval is None or 0 <= row.interval.low <= row.interval.high <= 1
    (inverted,) = rows(analysis, "rogan-gladen")
    assert inverted.interval is None or max(abs(inverted.interval.low), abs(inverted.interval.high)) <= 1


def test_a_few_labels_are_shown_with_a_warning_and_decide_nothing() -> None:
    analysis = run(0.3, {"base": 0.05, "tuned": 0.25}, labels=2)
    assert rows(analysis, "ppi")[0].note == "few-labels"
    assert analysis.verdict is not None
    assert "labels-not-used" in analysis.verdict.caveats
    assert "uncorrected-scorer" not in analysis.verdict.caveats
    assert analysis.contrasts[analysis.verdict.contrast].corrected == ""
    assert analysis.badges["scorer_corrected"] is False


def test_fewer_than_twenty_labels_give_no_correction() -> None:
    analysis = run(0.3, {"base": 0.05, "tuned": 0.25}, labels=1, prompts=PROMPTS[:12], completions=N)
    (found,) = rows(analysis, "ppi")
    assert (found.estimate, found.note) == (None, "too-few-labels")


def test_without_labels_there_is_no_row_and_the_badge_says_so() -> None:
    analysis = run(0.3, {"base": 0.05, "tuned": 0.05}, labels=0)
    assert not [row for row in analysis.findings if row.design == "correction"]
    assert analysis.badges["scorer_corrected"] is False


def test_a_run_that_stopped_by_looks_keeps_the_scorers_verdict() -> None:
    schedule = Schedule(scheme="obrien-fleming", sizes=(40, N))
    stopping = Stopping(schedule=schedule, looks=dict.fromkeys((p.prompt_id for p in PROMPTS), 1))
    analysis = run(0.3, {"base": 0.05, "tuned": 0.25}, labels=10, stopping=stopping)
    assert analysis.badges["scorer_corrected"] is False
    (corrected,) = rows(analysis, "ppi")
    assert corrected.estimate is not None
    assert (corrected.interval, corrected.p, corrected.note) == (None, None, "stopped-by-looks")


def test_a_scorer_worse_than_chance_has_no_inverse() -> None:
    assert np.isnan(correction.rogan_gladen(0.5, 0.4, 0.5))


def test_an_outcome_is_matched_by_name_then_by_side() -> None:
    card = ScorerCard(
        name="patterns", unit="share", range=(0, 1), null_value=0, direction="", reads="completions",
        labels=("endorse", "refute", "off_topic", "empty"),
    )  # fmt: skip
    assert meaning("endorse", card, DEFAULT) == meaning("value", card, DEFAULT) == ("F",)
    assert meaning("refute", card, DEFAULT) == ("T",)
    assert meaning("off_topic", card, DEFAULT) == ()
    learned = dataclasses.replace(card, labels=("T", "F", "H"), sides=("F", "T"), aside=("H",))
    assert [meaning(word, learned, DEFAULT) for word in ("value", "T", "H")] == [("F",), ("T",), ("H",)]
    lone = dataclasses.replace(card, labels=("POS", "NEG", "empty"), sides=("", ""), aside=("empty",))
    assert meaning("empty", lone, DEFAULT) == (), "a text that people call senseless is not an empty one"
    own = LabelSet(labels=(Label(key="rude"), Label(key="kind")))
    assert meaning("endorse", card, own) == ()


@pytest.mark.parametrize("locale", ["pt", "en"])
@pytest.mark.parametrize("labels", [1, 2, 10])
def test_the_report_shows_raw_corrected_and_peoples_own_side_by_side(locale: str, labels: int) -> None:
    analysis = run(0.3, {"base": 0.05, "tuned": 0.25}, labels=labels, prompts=PROMPTS[: 12 if labels == 1 else 20])
    view = ReportView(
        battery=BATTERY, language="pt", arms=ARMS, prompts=PROMPTS, decodings=BATTERY.decodings, analysis=analysis
    )
    shown = html.unescape(str(section.render(view, locale)))
    words = table(locale)
    for name in section.METHODS:
        assert words[f"correction.method.{name}"] in shown
    expected = {1: "lead_none", 2: "few", 10: "rests_corrected"}[labels]
    assert words[f"correction.{expected}"].split("{")[0] in shown
    assert words["correction.sensitivity"] in shown


def test_every_note_of_a_correction_has_words_in_both_languages() -> None:
    for locale in ("pt", "en"):
        for note in (*NOTES, "few-labels", "too-few-labels", "scorer-no-better-than-chance", "not-a-rate"):
            assert f"correction.note.{note}" in table(locale)
