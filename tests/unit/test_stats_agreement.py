"""Agreement: published examples to their printed digits, libraries as oracles, intervals that cover, checks that hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biasaudit.stats import agreement

FLEISS = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
     [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]], dtype=float,
)  # fmt: skip
"""Fleiss 1971, as printed in the article on Fleiss' kappa: ten items, fourteen raters, five labels."""
RATINGS = [
    "* * * * * 3 4 1 2 1 1 3 3 * 3",
    "1 * 2 1 3 3 4 3 * * * * * * *",
    "* * 2 1 3 4 4 * 2 1 1 3 3 * 4",
]
"""Krippendorff's example of three raters, fifteen items and four labels."""


def ratings() -> np.ndarray:
    return np.array([[-1 if word == "*" else int(word) - 1 for word in row.split()] for row in RATINGS]).T


def two(table: list[list[int]]) -> np.ndarray:
    """A confusion table as codes of two raters."""
    return np.array([(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)])


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, dict[str, list[float]]]:
    path = shared_data.parent / "methods" / "golden.json"
    if not path.is_file():
        pytest.skip("the reference file of worked examples is absent")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_the_published_examples_come_out_to_their_digits() -> None:
    assert agreement.cohen_kappa(two([[20, 5], [10, 15]]), 2)[0] == pytest.approx(0.4, abs=5e-7)
    assert agreement.fleiss_kappa(FLEISS)[0] == pytest.approx(0.209931, abs=5e-7)
    counts = agreement.label_counts(ratings(), 4)
    assert agreement.krippendorff_alpha(counts)[0] == pytest.approx(0.691358, abs=5e-7)
    assert agreement.krippendorff_alpha(counts, [1, 2, 3, 4])[0] == pytest.approx(0.810845, abs=5e-7)


def test_the_reference_file_has_the_same_numbers(golden: dict[str, dict[str, list[float]]]) -> None:
    counts = agreement.label_counts(ratings(), 4)
    ours = {
        "Cohen kappa [[20,5],[10,15]]": [agreement.cohen_kappa(two([[20, 5], [10, 15]]), 2)[0]],
        "Fleiss kappa": [agreement.fleiss_kappa(FLEISS)[0]],
        "Krippendorff alpha (Wikipedia) nominal, interval": [
            agreement.krippendorff_alpha(counts)[0], agreement.krippendorff_alpha(counts, [1, 2, 3, 4])[0],
        ],
    }  # fmt: skip
    for name, found in ours.items():
        assert found == pytest.approx(golden[name]["value"], abs=5e-7)


def test_gwets_coefficient_stays_high_where_one_label_is_almost_all() -> None:
    # Gwet 2008 on tables like [[118, 5], [2, 0]]: kappa is below 0 although 94.4 % agree.
    codes = two([[118, 5], [2, 0]])
    counts = agreement.label_counts(codes, 2)
    share = (118 + 118 + 5 + 2) / 250
    expected = 2 * share * (1 - share)
    assert agreement.prevalence(counts) > agreement.EXTREME
    assert agreement.cohen_kappa(codes, 2)[0] < 0
    assert agreement.gwet_ac1(counts)[0] == pytest.approx((118 / 125 - expected) / (1 - expected))
    assert agreement.gwet_ac1(counts)[0] > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_libraries_give_the_same_coefficients(seed: int) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 60)
    codes = np.where(rng.random((60, 3)) < 0.7, truth[:, None], rng.integers(0, 4, (60, 3)))
    counts = agreement.label_counts(codes, 4)
    assert agreement.fleiss_kappa(counts)[0] == pytest.approx(inter_rater.fleiss_kappa(counts))
    table = np.zeros((4, 4))
    np.add.at(table, (codes[:, 0], codes[:, 1]), 1)
    expected = inter_rater.cohens_kappa(table).kappa
    assert agreement.cohen_kappa(codes[:, :2], 4)[0] == pytest.approx(expected)
    holes = np.where(rng.random(codes.shape) < 0.4, -1, codes)
    given = np.where(holes < 0, np.nan, holes).T
    counts = agreement.label_counts(holes, 4)
    for metric, values in (("nominal", None), ("interval", [0, 1, 2, 3])):
        expected = krippendorff.alpha(reliability_data=given, level_of_measurement=metric, value_domain=[0, 1, 2, 3])
        assert agreement.krippendorff_alpha(counts, values)[0] == pytest.approx(expected)


def test_weights_are_items_repeated() -> None:
    codes = ratings()
    weights = np.random.default_rng(2).integers(0, 3, (1, len(codes))).astype(float)
    repeated = np.repeat(codes, weights[0].astype(int), axis=0)
    counts, again = agreement.label_counts(codes, 4), agreement.label_counts(repeated, 4)
    for found, expected in (
        (agreement.krippendorff_alpha(counts, None, weights), agreement.krippendorff_alpha(again)),
        (agreement.fleiss_kappa(counts, weights), agreement.fleiss_kappa(again)),
        (agreement.gwet_ac1(counts, weights), agreement.gwet_ac1(again)),
        (agreement.cohen_kappa(codes[:, 1:], 4, weights), agreement.cohen_kappa(repeated[:, 1:], 4)),
    ):
        assert found == pytest.approx(expected)


def test_intervals_hold_the_true_agreement() -> None:
    rng = np.random.default_rng(5)
    held = []
    for _ in range(200):
        truth = rng.integers(0, 3, 100)
        codes = np.where(rng.random((100, 2)) < 0.8, truth[:, None], rng.integers(0, 3, (100, 2)))
        counts = agreement.label_counts(codes, 3)
        _, interval = agreement.with_interval(
            lambda w, c=counts: agreement.krippendorff_alpha(c, None, w), 100, rng=rng, draws=400
        )
        assert interval is not None
        held.append(interval.low <= 0.64 <= interval.high)
    assert 0.90 <= np.mean(held) <= 0.985


def test_what_is_undefined_is_none_and_never_a_certainty() -> None:
    rng = np.random.default_rng(1)
    one = agreement.label_counts(np.zeros((30, 2), dtype=int), 3)
    assert agreement.with_interval(lambda w: agreement.krippendorff_alpha(one, None, w), 30, rng=rng) == (None, None)
    few = agreement.label_counts(np.array([[0, 0], [1, 1], [1, 0]]), 2)
    estimate, interval = agreement.with_interval(lambda w: agreement.fleiss_kappa(few, w), 3, rng=rng)
    assert estimate is not None
    assert interval is None
    same = agreement.label_counts(np.repeat(np.arange(15)[:, None] % 3, 2, axis=1), 3)
    assert agreement.with_interval(lambda w: agreement.fleiss_kappa(same, w), 15, rng=rng) == (1.0, None)
    assert agreement.with_interval(lambda w: agreement.fleiss_kappa(same[:0], w), 0, rng=rng) == (None, None)


def test_a_batch_that_labels_otherwise_is_found_and_arms_alone_are_not() -> None:
    rng = np.random.default_rng(3)
    # The arms differ and the batches have other shares of them: pooled, that would look like a batch effect.
    confounded = [np.array([[80, 20], [8, 2]]), np.array([[2, 8], [20, 80]])]
    assert agreement.stratified_chi2(confounded, rng=rng)[1] == pytest.approx(1.0)
    drifting = [np.array([[80, 20], [60, 40]]), np.array([[30, 70], [15, 85]])]
    statistic, p = agreement.stratified_chi2(drifting, rng=rng)
    assert statistic > 10
    assert p is not None
    assert p < 0.005
    assert agreement.stratified_chi2([np.array([[5, 0], [7, 0]])], rng=rng) == (0.0, None)


def test_the_check_rejects_one_time_in_twenty_when_nothing_depends() -> None:
    rng = np.random.default_rng(9)
    found = []
    for _ in range(400):
        tables = [
            np.stack([rng.multinomial(40, share), rng.multinomial(25, share)])
            for share in ((0.5, 0.3, 0.2), (0.1, 0.6, 0.3))
        ]
        found.append(agreement.stratified_chi2(tables, rng=rng, draws=199)[1])
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.085
