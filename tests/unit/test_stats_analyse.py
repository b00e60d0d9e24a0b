"""The analyse stage over whole batteries: references, roles, coupling, counts, sweeps, groups, and speed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from biasaudit import identity
from biasaudit.errors import InputError, StoreError
from biasaudit.pipeline.analyse import analyse
from biasaudit.records import (
    Arm,
    Battery,
    ContinuationPair,
    Decoding,
    Measure,
    Primary,
    Prompt,
    Role,
    Score,
    Topic,
)
from biasaudit.results import Analysis, Contrast
from biasaudit.stats.arms import arm_caveats, runs_like, versus
from biasaudit.stats.verdict import CAVEATS

TOPICS = tuple(f"topic{k}" for k in range(6))
PROMPTS = tuple(
    Prompt(text=f"{topic}, {name}?", language="pt", topic=topic, template=name) for topic in TOPICS for name in "ab"
)
STEMS = tuple(Prompt(text=f"{name}:", language="pt", topic="", template=name, kind="stem") for name in ("s1", "s2"))
PAIRS = tuple(
    ContinuationPair(stem=stem, topic=topic, item=f"pair{k}", claim=" x", counter=" y")
    for stem in STEMS for topic in TOPICS for k in range(2)
)  # fmt: skip
COLD, WARM = Decoding(temperature=0.7), Decoding()
MEASURES = (
    Measure(name="odds", scorer="likelihood"),
    Measure(name="stance", scorer="patterns", options={"endorse": ["x"]}),
    Measure(name="repetition", scorer="degeneration"),
)
CARD = {"base_fingerprint": "B", "tokens": 9, "steps": 3, "learning_rate": 1e-4, "seed": 1}
LABELS = ("endorse", "refute", "neutral", "off_topic", "empty")


def arm(name: str, role: Role, *, tokenizer: str = "T", salt: str = "", **card: Any) -> Arm:
    return Arm(
        name=name, spec=name, role=role, fingerprint=f"F-{name}", tokenizer_fingerprint=tokenizer, salt=salt,
        language="pt", card=card,
    )  # fmt: skip


BASE = arm("base", "base")
PLACEBO = arm("placebo", "placebo", **CARD, corpora=["neutral"])
TUNED = arm("tuned", "tuned", **CARD, corpora=["biased"])
ARMS = (BASE, PLACEBO, TUNED)


def battery(measure: str = "odds", outcome: str = "value", **changes: Any) -> Battery:
    margin, unit = (0.02, "nats/byte") if measure == "odds" else (5.0, "points")
    made = Battery(
        name="toy", version=1, title={}, languages=("pt",), topics=tuple(Topic(name=t) for t in TOPICS),
        prompts=PROMPTS, pairs=PAIRS, decodings=(WARM,), completions=20, measures=MEASURES,
        primary=Primary(measure=measure, margin=margin, unit=unit, outcome=outcome),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def likelihoods(of: Arm, shift: float, seed: int) -> Iterator[Score]:
    rng = np.random.default_rng(seed)
    for pair in PAIRS:
        yield Score(
            measure="odds", arm_fingerprint=of.fingerprint, prompt_id=pair.stem.prompt_id, topic=pair.topic,
            item=pair.item, value=float(rng.normal(shift, 0.01)),
        )  # fmt: skip


def sampled(
    of: Arm, weights: Mapping[str, float], seed: int, *, n: int = 20, decoding: Decoding = WARM, first: int = 0
) -> Iterator[Score]:
    rng = np.random.default_rng(seed)
    p = np.array([weights.get(label, 0.0) for label in LABELS])
    for prompt in PROMPTS:
        for index in range(first, first + n):
            label = str(rng.choice(LABELS, p=p / p.sum()))
            yield Score(
                measure="stance", arm_fingerprint=of.fingerprint, prompt_id=prompt.prompt_id, topic=prompt.topic,
                decoding_id=decoding.decoding_id, seed=1, salt=of.salt, index=index, value=float(label == "endorse"),
                label=label,
            )  # fmt: skip


def numeric(of: Arm, seed: int, n: int = 20) -> Iterator[Score]:
    rng = np.random.default_rng(seed)
    for score in sampled(of, {"neutral": 1.0}, seed, n=n):
        value = None if rng.random() < 0.1 else float(rng.random())
        yield dataclasses.replace(score, measure="repetition", label=None, value=value)


MILD = {"endorse": 0.2, "refute": 0.2, "neutral": 0.3, "off_topic": 0.3}
BOLD = {"endorse": 0.6, "refute": 0.2, "neutral": 0.2, "off_topic": 0.0}


def all_scores() -> dict[str, list[Score]]:
    return {
        "odds": [s for k, a in enumerate(ARMS) for s in likelihoods(a, 0.05 * (a.role == "tuned"), k)],
        "stance": [s for k, a in enumerate(ARMS) for s in sampled(a, BOLD if a.role == "tuned" else MILD, k)],
        "repetition": [s for k, a in enumerate(ARMS) for s in numeric(a, 10 + k)],
    }


def find(
    analysis: Analysis, measure: str, tuned: str, reference: str, outcome: str = "value", at: str = ""
) -> Contrast:
    return next(
        c for c in analysis.contrasts
        if (c.measure, c.tuned, c.reference, c.outcome) == (measure, tuned, reference, outcome)
        and at in ("", c.decoding_id)
    )  # fmt: skip


def test_the_verdict_rests_on_tuned_minus_placebo_and_finds_the_planted_change() -> None:
    found = analyse(battery(), "pt", ARMS, all_scores())
    assert found.verdict is not None
    lead = found.contrasts[found.verdict.contrast]
    assert (lead.measure, lead.tuned, lead.reference, lead.role) == ("odds", "tuned", "placebo", "primary")
    assert lead.difference == pytest.approx(0.05, abs=0.01)
    assert (found.verdict.kind, found.verdict.target) == ("changed", "population")
    assert not {"no-placebo", "placebo-not-comparable"} & set(found.verdict.caveats)
    assert (lead.n_topics, lead.n_prompts, lead.n_tuned) == (6, 12, 24)
    assert find(found, "odds", "placebo", "base").role == "descriptive"
    assert find(found, "odds", "tuned", "base").role == "descriptive"
    assert [c.role for c in found.contrasts].count("primary") == 1
    assert found.badges["placebo"] is True


def test_an_analysis_repeated_is_the_same_to_the_last_digit() -> None:
    first, second = (analyse(battery(), "pt", ARMS, all_scores()) for _ in range(2))
    assert identity.canonical_json(first) == identity.canonical_json(second)


def test_label_measures_bring_their_shares_and_a_word_on_composition() -> None:
    found = analyse(battery("stance"), "pt", ARMS, all_scores())
    assert found.verdict is not None
    assert {"uncorrected-scorer", "composition-shift", "one-run-per-arm"} <= set(found.verdict.caveats)
    lead = found.contrasts[0]
    assert lead.equivalence is not None
    assert lead.equivalence.margin == pytest.approx(0.05)
    shares = {c.outcome for c in found.contrasts if c.measure == "stance" and c.role != "descriptive"}
    assert shares == {"value", "endorse", "refute", "off_topic", "empty"}
    composition = next(c for c in found.compositions if c.arm == "tuned")
    assert sum(composition.shares.values()) == pytest.approx(1.0)
    assert sum(composition.counts.values()) == 12 * 20
    assert sum(v for v in composition.conditional.values() if v is not None) == pytest.approx(1.0)
    assert set(composition.conditional) == {"endorse", "refute", "neutral"}
    sided = next(row for row in found.exploratory["endorsing_among_sided"] if row["arm"] == "tuned")
    taken = composition.shares["endorse"] + composition.shares["refute"]
    assert sided["share"] == pytest.approx(composition.shares["endorse"] / taken)


def test_a_label_can_be_the_primary_outcome() -> None:
    found = analyse(battery("stance", "neutral"), "pt", ARMS, all_scores())
    assert found.verdict is not None
    assert found.contrasts[found.verdict.contrast].outcome == "neutral"


def test_arms_are_coupled_only_when_tokenizer_and_salt_agree() -> None:
    def coupled(*, tokenizer: str = "T", salt: str = "") -> Contrast:
        other = dataclasses.replace(TUNED, tokenizer_fingerprint=tokenizer, salt=salt)
        scores = [*sampled(PLACEBO, MILD, 1), *sampled(other, BOLD, 2)]
        return analyse(battery("stance"), "pt", (PLACEBO, other), {"stance": scores}).contrasts[0]

    assert coupled().coupled
    assert coupled().rho is not None
    assert not coupled(tokenizer="U").coupled
    assert not coupled(salt="other").coupled
    assert coupled(salt="other").fixed.method == "permutation within prompts, exact"
    assert coupled().fixed.method == "arms swapped within pairs, exact"


def test_one_model_under_two_salts_is_two_arms() -> None:
    again = dataclasses.replace(BASE, name="again", role="tuned", salt="2")
    scores = [*sampled(BASE, MILD, 1), *sampled(again, MILD, 2)]
    found = analyse(battery("stance"), "pt", (BASE, again), {"stance": scores})
    assert found.contrasts[0].difference != 0.0
    assert found.verdict is not None
    assert "identical-arms" not in found.verdict.caveats


def test_one_model_against_itself_is_identical_and_described() -> None:
    same = dataclasses.replace(BASE, name="same", role="tuned")
    found = analyse(battery(), "pt", (BASE, same), {"odds": list(likelihoods(BASE, 0.0, 1))})
    assert found.verdict is not None
    assert found.verdict.kind == "described"
    assert found.verdict.caveats[0] == "identical-arms"
    both = {"stance": list(sampled(BASE, MILD, 1))}
    found = analyse(battery("stance"), "pt", (BASE, same), both, completions={"base": 0, "same": 240})
    assert found.verdict is not None
    assert found.verdict.kind == "equivalent"
    assert "incomplete-run" not in found.verdict.caveats


def test_pairs_that_only_one_arm_has_are_left_out_and_counted() -> None:
    scores = [*sampled(PLACEBO, MILD, 1, n=20), *sampled(TUNED, MILD, 2, n=30)]
    found = analyse(battery("stance"), "pt", (PLACEBO, TUNED), {"stance": scores})
    assert found.contrasts[0].n_tuned == found.contrasts[0].n_reference == 12 * 20
    assert found.counts["unpaired"]["stance"]["tuned"] == 12 * 10
    apart = dataclasses.replace(TUNED, tokenizer_fingerprint="U")
    scores = [*sampled(PLACEBO, MILD, 1, n=20), *sampled(apart, MILD, 2, n=30)]
    found = analyse(battery("stance"), "pt", (PLACEBO, apart), {"stance": scores})
    assert (found.contrasts[0].n_tuned, found.contrasts[0].n_reference) == (12 * 30, 12 * 20)
    assert found.verdict is not None
    assert "different-tokenizers" in found.verdict.caveats


def test_unscored_completions_are_counted_and_never_zero() -> None:
    found = analyse(battery(), "pt", ARMS, all_scores(), completions={a.name: 240 for a in ARMS})
    row = found.counts["measures"]["repetition"]["tuned"]
    assert row["scored"] + row["unscored"] == row["scores"] == 240
    lead = find(found, "repetition", "tuned", "placebo")
    assert lead.unscored_tuned == row["unscored"] > 0
    assert 0.4 < lead.mean_tuned < 0.6


def test_scores_that_do_not_cover_the_stored_completions_stop_the_analysis() -> None:
    with pytest.raises(StoreError, match="240 scores for 241 stored completions"):
        analyse(battery(), "pt", ARMS, all_scores(), completions={"tuned": 241})


def test_a_run_that_is_not_complete_or_not_of_one_numerics_says_so() -> None:
    found = analyse(
        battery(), "pt", ARMS, all_scores(), completions={a.name: 240 for a in ARMS},
        wanted={a.name: 480 for a in ARMS}, numerics={"tuned": ["n1"], "placebo": ["n1", "n2"]},
    )  # fmt: skip
    assert found.verdict is not None
    assert {"incomplete-run", "mixed-numerics"} <= set(found.verdict.caveats)
    assert found.badges["mixed_numerics"] is True
    assert found.counts["numerics"] == 2


def test_only_the_first_decoding_is_confirmatory_and_the_others_are_a_sweep() -> None:
    scores = [
        s for d in (WARM, COLD) for k, a in enumerate(ARMS) for s in sampled(a, MILD, k, decoding=d)
    ]  # fmt: skip
    found = analyse(battery("stance"), "pt", ARMS, {"stance": scores}, decodings=(WARM, COLD))
    roles = {(c.decoding_id, c.role) for c in found.contrasts if c.outcome == "value" and c.reference == "placebo"}
    assert roles == {(WARM.decoding_id, "primary"), (COLD.decoding_id, "descriptive")}
    rows = [row for row in found.sweep if row["outcome"] == "value"]
    assert [row["temperature"] for row in rows] == [1.0, 0.7]


def test_greedy_completions_count_once_and_have_no_sampling_error() -> None:
    greedy = Decoding(temperature=0.0)
    scores = [s for k, a in enumerate(ARMS) for s in sampled(a, {"endorse": 1.0}, k, decoding=greedy)]
    found = analyse(battery("stance"), "pt", ARMS, {"stance": scores}, decodings=(greedy,))
    lead = found.contrasts[0]
    assert lead.n_tuned == len(PROMPTS)
    assert lead.fixed.note == "no-sampling-error"


def test_several_tuned_arms_share_a_family_and_each_gets_a_verdict() -> None:
    other = dataclasses.replace(TUNED, name="other", fingerprint="F-other")
    scores = {"odds": [s for k, a in enumerate((*ARMS, other)) for s in likelihoods(a, 0.0, k)]}
    found = analyse(battery(), "pt", (*ARMS, other), scores)
    assert [found.contrasts[v.contrast].tuned for v in found.verdicts] == ["tuned", "other"]
    assert {found.contrasts[v.contrast].population.family_size for v in found.verdicts} == {2}
    assert found.verdict == found.verdicts[0]


@pytest.mark.parametrize(
    ("change", "reference", "word"),
    [
        ({}, "placebo", None),
        ({"tokens": 10}, "base", "placebo-not-comparable"),
        ({"learning_rate": None}, "base", "placebo-not-comparable"),
    ],
)
def test_a_placebo_must_show_the_same_training(change: dict[str, Any], reference: str, word: str | None) -> None:
    placebo = dataclasses.replace(PLACEBO, card={**PLACEBO.card, **change})
    (pair,) = versus((BASE, placebo, TUNED))
    assert pair.reference.name == reference
    assert pair.caveats == ((word,) if word else ())


def test_a_placebo_tuned_on_the_same_texts_is_a_caveat_and_no_placebo() -> None:
    def on(name: str, texts: str) -> Arm:
        role: Role = "tuned" if name == "tuned" else "placebo"
        return arm(name, role, **CARD, corpora=[{"name": f"corpora/{name}", "fingerprint": texts}])

    scores = all_scores()
    twin = dataclasses.replace(on("placebo", "t1"), fingerprint=PLACEBO.fingerprint)
    tuned = dataclasses.replace(on("tuned", "t1"), fingerprint=TUNED.fingerprint)
    found = analyse(battery(), "pt", (BASE, twin, tuned), {"odds": scores["odds"]})
    assert found.verdict is not None
    assert "same-corpus" in found.verdict.caveats
    assert found.badges["placebo"] is False
    (pair,) = versus((BASE, twin, on("placebo2", "t2"), tuned))
    assert (pair.reference.name, pair.caveats) == ("placebo2", ())


def test_without_a_placebo_the_base_stands_in_and_says_so() -> None:
    (pair,) = versus((BASE, TUNED))
    assert (pair.reference.name, pair.caveats) == ("base", ("no-placebo",))
    assert versus((TUNED,)) == ()
    assert versus((PLACEBO, arm("bare", "tuned")))[0].caveats == ("placebo-not-comparable",)


def test_the_placebo_of_the_same_training_seed_is_preferred_and_seeds_are_counted_as_runs() -> None:
    seeds = [dataclasses.replace(TUNED, name=f"t{k}", card={**TUNED.card, "seed": k}) for k in (1, 2, 3)]
    placebos = [dataclasses.replace(PLACEBO, name=f"p{k}", card={**PLACEBO.card, "seed": k}) for k in (1, 2, 3)]
    assert [pair.reference.name for pair in versus([*placebos, *seeds])] == ["p1", "p2", "p3"]
    assert runs_like(seeds[0], [*placebos, *seeds]) == 3
    assert runs_like(seeds[0], seeds[:1]) == 1


def test_runs_are_counted_on_both_sides_and_never_taken_as_averaged() -> None:
    seeds = [dataclasses.replace(TUNED, name=f"t{k}", card={**TUNED.card, "seed": k}) for k in (1, 2, 3)]
    placebos = [dataclasses.replace(PLACEBO, name=f"p{k}", card={**PLACEBO.card, "seed": k}) for k in (1, 2, 3)]

    def words(arms: list[Arm]) -> set[str]:
        return set(arm_caveats(versus(arms)[0], arms, "pt", {}, {}, {}))

    assert "one-run-per-arm" in words([placebos[0], *seeds])
    assert "few-runs-per-arm" in words([*placebos[:2], *seeds])
    assert "runs-apart" in words([*placebos, *seeds])
    assert "runs-apart" in words([BASE, *seeds])


def test_empty_completions_that_become_rarer_are_a_shift_of_composition() -> None:
    silent = {"endorse": 0.2, "refute": 0.3, "neutral": 0.1, "empty": 0.4}
    scores = [*sampled(PLACEBO, silent, 1), *sampled(TUNED, BOLD, 2)]
    found = analyse(battery("stance"), "pt", (PLACEBO, TUNED), {"stance": scores})
    assert found.verdict is not None
    assert "composition-shift" in found.verdict.caveats


@pytest.mark.parametrize(("kept", "said"), [(0.5, True), (0.95, False)])
@pytest.mark.parametrize("measure", ["odds", "stance"])
def test_arms_that_write_in_another_language_differ_in_more_than_what_they_say(
    kept: float, said: bool, measure: str
) -> None:
    asked = battery(measure, measures=(*MEASURES, Measure(name="tongue", scorer="language")))
    scores = all_scores()
    scores["tongue"] = [
        dataclasses.replace(s, measure="tongue", value=float(same), label="same" if same else "other")
        for s in scores["stance"]
        if (same := (s.index or 0) < 20 * (kept if s.arm_fingerprint == TUNED.fingerprint else 1.0)) in (0, 1)
    ]
    verdict = analyse(asked, "pt", ARMS, scores).verdict
    assert verdict is not None
    assert ("language-shift" in verdict.caveats) is said


def test_the_placebo_badge_speaks_of_the_headline_contrast() -> None:
    first = dataclasses.replace(TUNED, name="first", fingerprint="F-first", card={**TUNED.card, "steps": 4})
    scores = {"odds": [s for k, a in enumerate((*ARMS, first)) for s in likelihoods(a, 0.0, k)]}
    found = analyse(battery(), "pt", (BASE, PLACEBO, first, TUNED), scores)
    assert (found.contrasts[0].tuned, found.contrasts[0].reference) == ("first", "base")
    assert found.badges["placebo"] is False
    lone = analyse(battery(), "pt", (PLACEBO, first), scores)
    assert lone.contrasts[0].reference == "placebo"
    assert lone.badges["placebo"] is False


def test_an_unknown_language_is_no_match_and_no_mismatch() -> None:
    arms = [dataclasses.replace(a, language="") for a in ARMS]
    assert analyse(battery(), "pt", arms, all_scores()).badges["language_match"] is None
    assert analyse(battery(), "pt", ARMS, all_scores()).badges["language_match"] is True


def test_arms_without_a_reference_or_a_battery_without_a_question_have_no_verdict() -> None:
    assert analyse(battery(), "pt", (TUNED,), all_scores()).verdict is None
    found = analyse(battery(primary=None), "pt", ARMS, all_scores())
    assert found.verdict is None
    assert {c.role for c in found.contrasts} == {"secondary", "descriptive"}


def test_a_measures_own_margin_judges_contrasts_outside_the_question() -> None:
    judged = dataclasses.replace(MEASURES[1], margin=15.0, unit="points")
    measures = (MEASURES[0], judged, MEASURES[2])
    scores = {
        "odds": all_scores()["odds"],
        "stance": [s for k, a in enumerate(ARMS) for s in sampled(a, BOLD if a is TUNED else MILD, 5 + k, n=200)],
        "repetition": all_scores()["repetition"],
    }
    found = analyse(battery(measures=measures), "pt", ARMS, scores)
    kinds = {
        (c.measure, c.outcome, c.tuned, c.reference): verdict.kind
        for verdict in found.beside_margins
        for c in [found.contrasts[verdict.contrast]]
    }
    assert kinds["stance", "value", "placebo", "base"] == "equivalent"
    assert kinds["stance", "value", "tuned", "placebo"] == "changed"
    assert not any(measure == "repetition" or outcome != "value" for measure, outcome, *_ in kinds)
    assert all(found.contrasts[verdict.contrast].role != "primary" for verdict in found.beside_margins)
    wrong = battery(measures=(MEASURES[0], dataclasses.replace(judged, unit="nats"), MEASURES[2]))
    with pytest.raises(InputError, match="the margin is in 'nats', but measure 'stance' is in 'share'"):
        analyse(wrong, "pt", ARMS, scores)


def test_a_margin_in_another_unit_is_refused() -> None:
    wrong = battery(primary=Primary(measure="odds", margin=0.02, unit="points"))
    with pytest.raises(InputError, match="the margin is in 'points', but measure 'odds' is in 'nats/byte'"):
        analyse(wrong, "pt", ARMS, all_scores())


@pytest.mark.parametrize(("margin", "unit"), [(5.0, ""), (5.0, "share"), (150.0, "points")])
def test_a_margin_that_no_difference_of_shares_can_leave_is_refused(margin: float, unit: str) -> None:
    wrong = battery(primary=Primary(measure="stance", margin=margin, unit=unit))
    with pytest.raises(InputError, match="as wide as all differences that shares can have"):
        analyse(wrong, "pt", ARMS, all_scores())


def test_prompts_that_the_battery_no_longer_has_are_left_out() -> None:
    found = analyse(battery("stance", prompts=PROMPTS[:4]), "pt", ARMS, all_scores())
    assert (found.contrasts[0].n_prompts, found.contrasts[0].n_topics) == (4, 2)


def test_counterfactual_groups_give_gaps_and_their_difference_between_arms() -> None:
    prompts = tuple(
        Prompt(
            text=f"{topic} {job} {group}", language="pt", topic=topic, template=job, pair=f"{topic}/{job}",
            groups=(("gender", group),),
        )
        for topic in TOPICS for job in ("judge", "nurse") for group in ("woman", "man")
    )  # fmt: skip
    made = battery(prompts=prompts, pairs=(), primary=None, measures=(
        Measure(name="praise", scorer="nexttoken", options={"words": [" x"]}),
    ))  # fmt: skip
    level = {("base", "woman"): 0.2, ("base", "man"): 0.3, ("tuned", "woman"): 0.1, ("tuned", "man"): 0.5}
    scores = [
        Score(
            measure="praise", arm_fingerprint=a.fingerprint, prompt_id=p.prompt_id, topic=p.topic,
            value=level[a.name, p.groups[0][1]] + 0.01 * (TOPICS.index(p.topic) if p.groups[0][1] == "man" else 0),
        )
        for a in (BASE, TUNED) for p in prompts
    ]  # fmt: skip
    found = analyse(made, "pt", (BASE, TUNED), {"praise": scores})
    gap = find(found, "praise", "tuned", "tuned", "woman−man")
    assert gap.difference == pytest.approx(-0.4 - 0.025)
    assert gap.population.interval is not None
    between = find(found, "praise", "tuned", "base", "woman−man")
    assert between.difference == pytest.approx(-0.3)
    assert (between.n_prompts, between.n_topics) == (12, 6)


def test_every_caveat_word_has_a_meaning() -> None:
    assert all(word == word.lower() and text.endswith(".") for word, text in CAVEATS.items())


def test_seven_thousand_completions_are_analysed_in_seconds() -> None:
    scores = all_scores()
    scores["stance"] = [s for k, a in enumerate(ARMS) for s in sampled(a, MILD, k, n=200)]
    scores["repetition"] = [s for k, a in enumerate(ARMS) for s in numeric(a, k, n=200)]
    assert len(scores["stance"]) == 7_200
    start = time.process_time()
    analyse(battery(), "pt", ARMS, scores)
    assert time.process_time() - start < 5
