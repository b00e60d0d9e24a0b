"""Designs beside the plain contrast: known answers, invariances, degenerate inputs, and size under the null."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from biasaudit.errors import InputError
from biasaudit.pipeline.declared import _number
from biasaudit.stats import designs_slots, dose, factors, families, parts, robust, runs, texts, words

LOW, HIGH = 0.02, 0.09
"""Rejections of 300 null data sets at 5 % lie between these with probability 0.99."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def size(p_values: list[float]) -> float:
    return float(np.mean(np.array(p_values) <= 0.05))


def test_the_joint_test_has_its_size_with_independent_and_with_coupled_arms() -> None:
    source = rng(1)
    free, paired = [], []
    for _ in range(300):
        counts = source.multinomial(15, [0.3, 0.2, 0.5], size=(2, 6))
        free.append(parts.joint(counts[0], counts[1], draws=199, rng=source)[1])
        first, second = source.integers(0, 3, (2, 6, 15))
        second = np.where(source.random((6, 15)) < 0.5, first, second)
        paired.append(parts.joint_paired(list(first), list(second), 3, draws=199, rng=source)[1])
    assert LOW <= size(free) <= HIGH
    assert size(paired) <= HIGH


def test_one_label_for_everything_is_no_difference() -> None:
    counts = np.array([[9, 0], [9, 0]])
    assert parts.joint(counts, counts, draws=99, rng=rng()) == (0.0, 1.0)


def test_a_conditional_share_that_stays_equal_is_not_a_shift_though_the_rate_doubles() -> None:
    source = rng(2)
    whole, whole_before = 0.8 + source.normal(0, 0.02, 12), 0.4 + source.normal(0, 0.02, 12)
    found = parts.conditional(0.9 * whole, whole, 0.9 * whole_before, whole_before)
    assert found is not None
    assert found["difference"] == pytest.approx(0, abs=1e-12)
    assert parts.conditional(whole, whole, whole * 0, whole * 0) is None


def test_a_ratio_turns_over_with_the_arms_and_needs_five_topics_for_limits() -> None:
    source = rng(3)
    a, b = source.uniform(0.2, 0.6, 8), source.uniform(0.1, 0.3, 8)
    up, down = parts.ratio(a, b), parts.ratio(b, a)
    assert up is not None
    assert down is not None
    assert up[1] is not None
    assert down[1] is not None
    assert up[0] == pytest.approx(1 / down[0])
    assert up[1].low == pytest.approx(1 / down[1].high)
    few = parts.ratio(a[:4], b[:4])
    assert few is not None
    assert few[1] is None
    assert parts.ratio(a, 0 * b) is None


def test_worst_case_bounds_hold_what_the_missing_could_be() -> None:
    cell = {"topic": "a", "x1": 5, "n1": 8, "u1": 2, "x0": 3, "n0": 10, "u0": 0}
    assert parts.bounds([cell]) == (pytest.approx(0.5 - 0.3), pytest.approx(0.7 - 0.3))


def test_runs_below_three_describe_and_from_three_on_test() -> None:
    effects = rng(4).normal(0.1, 0.05, (4, 8))
    assert runs.over_runs(effects[:1], references=1, rng=rng()).note == "these-checkpoints"
    two = runs.over_runs(effects[:2], references=1, rng=rng())
    assert (two.p_runs, two.note) == (None, "few-runs")
    assert two.interval is not None
    assert two.interval.low < two.difference < two.interval.high
    four = runs.over_runs(effects, references=1, rng=rng())
    means = effects.mean(axis=1)
    assert four.interval is not None
    assert four.interval.high - four.difference == pytest.approx(3.182446 * means.std(ddof=1) / 2, rel=1e-6)
    assert four.p_both == max(four.p_runs or 0, four.p_topics or 0)
    equal = runs.over_runs(np.ones((3, 6)), references=1, rng=rng())
    assert (equal.interval, equal.p_runs, equal.note) == (None, None, "no-variation-between-runs")


def test_the_run_level_p_is_the_share_of_all_orders() -> None:
    doses, means = np.array([0.0, 0.25, 0.5, 1.0]), np.array([0.1, 0.3, 0.2, 0.6])
    found = dose.trend(doses, np.tile(means, (6, 1)), rng=rng())
    slopes = [abs(np.polyfit(doses, means[list(order)], 1)[0]) for order in itertools.permutations(range(4))]
    observed = abs(np.polyfit(doses, means, 1)[0])
    assert found.slope == pytest.approx(np.polyfit(doses, means, 1)[0])
    assert found.p_runs == pytest.approx(np.mean(np.array(slopes) >= observed - 1e-12))
    assert found.isotonic == pytest.approx((0.1, 0.25, 0.25, 0.6))
    assert found.p_prompts is None  # all topics have one slope
    assert [level for level, _ in found.without] == [0.0, 1.0]


def test_training_noise_without_a_dose_effect_fools_prompts_and_not_the_union() -> None:
    source = rng(5)
    doses = np.linspace(0, 1, 6)
    prompts, union = [], []
    for _ in range(300):
        table = source.normal(0, 0.05, 6)[None, :] + source.normal(0, 0.02, (12, 6))
        found = dose.trend(doses, table, rng=source)
        prompts.append(found.p_prompts or 1.0)
        union.append(found.p or 1.0)
    assert size(prompts) > 0.3
    assert size(union) <= HIGH


def test_lack_of_fit_has_its_size_on_a_line_and_finds_a_bend() -> None:
    source = rng(6)
    doses = np.array([0.0, 0.2, 0.5, 1.0])
    lines = [dose.lack_of_fit(doses, 0.3 * doses + source.normal(0, 0.1, (10, 4))) for _ in range(300)]
    assert LOW <= size([p or 1.0 for p in lines]) <= HIGH
    bent = dose.lack_of_fit(doses, np.sqrt(doses) + source.normal(0, 0.02, (10, 4)))
    assert bent is not None
    assert bent < 0.001
    assert dose.lack_of_fit(doses[:2], np.zeros((5, 2))) is None


def test_one_dose_is_no_trend_and_a_dose_is_a_number() -> None:
    with pytest.raises(ValueError, match="two different doses"):
        dose.trend(np.array([0.5, 0.5]), np.zeros((5, 2)), rng=rng())
    assert [dose.parse_dose(text) for text in ("0.25", "25%", "25 %", "0,25")] == [0.25] * 4
    with pytest.raises(InputError, match=r"arm half: its dose is 'much'; expected a number"):
        _number("half", "much")


def test_two_temperatures_give_their_difference_over_the_gap() -> None:
    source = rng(7)
    places = [(f"p{k}", f"t{k % 6}") for k in range(12)]
    low, high = ({place: float(source.normal()) for place in places} for _ in range(2))
    found = factors.slope_over([0.5, 1.0], [low, high])
    assert found is not None
    fields, topics, prompts = found
    assert fields["estimate"] == pytest.approx(np.mean([(high[p] - low[p]) / 0.5 for p in places]))
    assert (topics, prompts) == (6, 12)
    assert factors.slope_over([0.5, 1.0], [low, {}]) is None
    same = factors.slope_over([0.5, 1.0], [low, low])
    assert same is not None
    assert same[0]["note"] == "no-variation-between-topics"


def test_languages_are_compared_by_topic_as_a_difference_of_differences() -> None:
    first = {f"t{k}": 0.1 * k for k in range(6)}
    found = factors.between_levels(first, {topic: value / 2 for topic, value in first.items()} | {"other": 9.0})
    assert found is not None
    assert found[0]["estimate"] == pytest.approx(0.125)
    assert found[1] == 6
    assert factors.between_levels({"a": 1.0}, {"b": 1.0}) is None


def test_groups_permuted_inside_templates_have_their_size_and_ignore_template_levels() -> None:
    source = rng(8)
    tables = [source.normal(0, 1, (8, 1)) * 5 + source.normal(0, 1, (8, 4)) for _ in range(300)]
    assert LOW <= size([factors.groups_apart(t, draws=199, rng=source)[1] for t in tables]) <= HIGH
    assert factors.groups_apart(np.ones((4, 3)), draws=99, rng=source) == (0.0, 1.0)


def test_templates_of_one_topic_are_one_unit_of_a_slot_and_count_each_only_where_there_is_one_topic() -> None:
    source = rng(10)
    templates = [(f"t{k // 3}", k) for k in range(18)]
    moved = [source.normal(0, 1, (6, 1, 3)) + source.normal(0, 0.5, (6, 3, 3)) for _ in range(300)]
    found = [designs_slots._units(templates, table.reshape(18, 3)) for table in moved]
    assert {unit for _, unit in found} == {"topics"}
    assert LOW <= size([factors.groups_apart(t, draws=199, rng=source)[1] for t, _ in found]) <= HIGH
    wrong = [factors.groups_apart(t.reshape(18, 3), draws=199, rng=source)[1] for t in moved]
    assert size(wrong) > 0.12
    one = designs_slots._units([("t", k) for k in range(4)], np.eye(4))
    assert one[1] == "templates"
    assert one[0].shape == (4, 4)


def test_a_gap_over_names_takes_the_larger_p() -> None:
    source = rng(8)
    both = factors.over_fillers(source.normal(0, 1, (6, 20)))
    assert both["both"] == max(both["wordings"] or 0, both["fillers"] or 0)


def test_ranks_differ_by_cliffs_delta_and_constants_have_no_test() -> None:
    source = rng(9)
    x, y = source.integers(0, 5, 13).astype(float), source.integers(0, 5, 9).astype(float)
    up, down = robust.centred_ranks(x, y)
    assert up.mean() - down.mean() == pytest.approx(robust.cliff(x, y))
    assert robust.cliff(x, y) == pytest.approx(np.sign(x[:, None] - y[None, :]).mean())
    assert robust.brunner_munzel(np.ones(4), np.ones(4)).p is None
    with pytest.raises(ValueError, match="two values a sample"):
        robust.brunner_munzel(np.ones(1), np.ones(4))


VOCABULARY = ("casa", "vacina", "chip", "gato", "rio", "verdade", "mentira", "ouvi", "dizer", "nada", "governo", "mar")


def strata(source: np.random.Generator, *, shift: float = 0.0, prompts: int = 4, n: int = 8) -> texts.Strata:
    def side(extra: float) -> tuple[tuple[str, ...], ...]:
        weights = np.ones(len(VOCABULARY))
        weights[2] += extra
        draw = [source.choice(VOCABULARY, (n, 8), p=weights / weights.sum()) for _ in range(prompts)]
        return tuple(tuple(" ".join(row) for row in rows) for rows in draw)

    return texts.Strata(topics=tuple(f"t{k % 2}" for k in range(prompts)), first=side(shift), second=side(0.0))


def test_text_tests_have_their_size_and_find_a_change() -> None:
    source = rng(10)
    energy, classifier, word = [], [], []
    for _ in range(150):
        null = strata(source)
        energy.append(texts.distances_apart(null, draws=99, rng=source)["energy"].p)
        found = texts.classified(null, draws=99, rng=source)
        counted = words.distinctive(null, draws=99, rng=source)
        assert found is not None
        assert counted is not None
        classifier.append(found.p)
        word.append(counted.p)
    assert max(size(energy), size(classifier), size(word)) <= 0.11
    changed = strata(source, shift=6.0)
    assert texts.distances_apart(changed, draws=199, rng=source)["mmd"].p < 0.02
    spoken = words.distinctive(changed, draws=199, rng=source)
    assert spoken is not None
    assert spoken.words[0].word == "chip"
    assert spoken.words[0].z > spoken.threshold


def test_distances_are_the_unbiased_ones_of_their_definition() -> None:
    source = rng(11)
    one = strata(source, prompts=1, n=5)
    found = texts.distances_apart(one, draws=19, rng=source)["energy"].value
    cosine = texts.gram_matrices(one)[0].astype(float)
    far = np.sqrt(2 - 2 * np.clip(cosine, 0, 1))
    np.fill_diagonal(far, 0)
    within = far[:5, :5].sum() / 20 + far[5:, 5:].sum() / 20
    assert found == pytest.approx(2 * far[:5, 5:].mean() - within, rel=1e-4)
    assert texts.classified(one, rng=source) is None
    assert texts.distances_apart(strata(source, n=1), rng=source) == {}


def test_equal_texts_are_at_distance_0_among_others() -> None:
    said = ("a vacina faz bem", "não sei dizer", "a vacina faz bem", "o povo sabe")
    cosine = texts.gram_matrices(texts.Strata(topics=("a",), first=(said,), second=(said[::-1],)))[0]
    equal = np.array([[one == other for other in said + said[::-1]] for one in said + said[::-1]])
    assert np.array_equal(cosine == 1.0, equal)


def test_equal_texts_and_empty_texts_are_no_change() -> None:
    same = texts.Strata(topics=("a", "b"), first=(("x y",) * 4, ("",) * 4), second=(("x y",) * 4, ("",) * 4))
    assert texts.distances_apart(same, draws=49, rng=rng())["energy"].p == 1.0
    found = texts.classified(same, draws=49, rng=rng())
    assert found is not None
    assert (found.value, found.p) == (0.5, 1.0)
    counted = words.distinctive(same, draws=49, rng=rng())
    assert counted is not None
    assert (counted.p, counted.threshold) == (1.0, 0.0)
    empty = texts.Strata(topics=("a",), first=(("",) * 4,), second=(("",) * 4,))
    assert words.distinctive(empty, rng=rng()) is None


def test_a_completion_counts_once_for_a_word_however_often_it_says_it() -> None:
    said = ("chip",) * 6 + ("sol",) * 6
    loud = tuple(f"{text} " * 40 for text in said)
    first, second = (
        words.distinctive(texts.Strata(topics=("a",), first=(one,), second=(said[::-1],)), draws=49, rng=rng())
        for one in (said, loud)
    )
    assert first is not None
    assert first == second


def test_words_are_portuguese_words_without_links_names_of_users_or_the_prompt() -> None:
    said = "A vacina, disse-me @joao em https://t.me/x, é não-testada: [LINK] guarda-chuva 2021"
    assert words.tokens(said) == ["a", "vacina", "disse", "em", "é", "não-testada", "guarda-chuva"]
    assert words.without_echo("É verdade? Sim.", "É verdade?").split() == ["Sim."]


def test_simes_and_the_gate() -> None:
    assert families.simes([0.01, 0.04, 0.03]) == pytest.approx(0.03)
    found = families.gate({"a": [0.001, 0.2], "b": [0.6, 0.7], "empty": []})
    assert (found["a"].selected, found["b"].selected) == (True, False)
    assert found["a"].inside == pytest.approx((0.004, 0.4))  # BH 0.002 and 0.2, times two families over one selected
    assert found["b"].inside == (None, None)
    assert families.gate({}) == {}
    with pytest.raises(ValueError, match="needs a p-value"):
        families.simes([])
