"""Every entry of the reference file of worked examples, to its printed digits: by our code where we own the method."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats
from statsmodels.stats import contingency_tables, nonparametric, proportion
from statsmodels.stats.multitest import multipletests
from test_stats_golden import BH1995, DARWIN, RABBITS, agresti_caffo_tost

from biasaudit.records import NextToken
from biasaudit.report.verdict import rule_of_three
from biasaudit.sampling.distributions import compare
from biasaudit.stats import interval, permutation, robust, words
from biasaudit.stats.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, label_counts
from biasaudit.stats.contrast import population_estimate
from biasaudit.stats.correction import moments, ppi, rogan_gladen, rogan_gladen_interval
from biasaudit.stats.dose import cochran_armitage
from biasaudit.stats.multiplicity import benjamini_hochberg, holm
from biasaudit.stats.power import planning_se, power
from biasaudit.stats.sequential import anytime_multiplier, anytime_rho_squared

ADMISSIONS = np.array(
    [[[512, 313], [89, 19]], [[353, 207], [17, 8]], [[120, 205], [202, 391]],
     [[138, 279], [131, 244]], [[53, 138], [94, 299]], [[22, 351], [24, 317]]]
)  # fmt: skip
"""R, datasets: UCBAdmissions, per department sex by admission."""
SMOKERS, PATIENTS = np.array([83, 90, 129, 70]), np.array([86, 93, 136, 82])
MALES, FEMALES = np.array([19.0, 22, 16, 29, 24]), np.array([20.0, 11, 17, 12])
PAIN = (np.array([1.0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1]), np.array([3.0, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]))
FLEISS = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
     [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip
NAN = math.nan
KRIPPENDORFF = np.array(
    [[NAN, NAN, NAN, NAN, NAN, 3, 4, 1, 2, 1, 1, 3, 3, NAN, 3],
     [1, NAN, 2, 1, 3, 3, 4, 3, NAN, NAN, NAN, NAN, NAN, NAN, NAN],
     [NAN, NAN, 2, 1, 3, 4, 4, NAN, 2, 1, 1, 3, 3, NAN, 4]]
)  # fmt: skip
FOX = ("the quick brown fox jumped over the lazy pig", "the lazy purple pig jumped over the lazier donkey")
CBPP_INCIDENCE = [
    2, 3, 4, 0, 3, 1, 1, 8, 2, 0, 2, 2, 0, 2, 0, 5, 0, 0, 1, 3, 0, 0, 1, 8, 1, 3, 0, 12, 2, 0, 0, 0, 1, 1, 0, 2, 0, 5,
    3, 1, 2, 1, 0, 0, 1, 2, 0, 0, 11, 0, 0, 0, 1, 1, 1, 0,
]  # fmt: skip
CBPP_SIZE = [
    14, 12, 9, 5, 22, 18, 21, 22, 16, 16, 20, 10, 10, 9, 6, 18, 25, 24, 4, 17, 17, 18, 20, 16, 10, 9, 5, 34, 9, 6, 8, 6,
    22, 22, 18, 22, 25, 27, 22, 22, 10, 8, 6, 5, 21, 24, 19, 23, 19, 2, 3, 2, 19, 15, 15, 15,
]  # fmt: skip
CBPP_HERDS = [4, 3, 4, 4, 4, 4, 4, 1, 4, 4, 4, 4, 4, 4, 4]
"""Rows of each herd, periods from 1 on (lme4, `cbpp`)."""


def limits(found: Any) -> list[float]:
    return [found.low, found.high]


def pair(found: Any) -> list[float]:
    return [float(found[0]), float(found[1])]


def difference(method: str) -> list[float]:
    return pair(proportion.confint_proportions_2indep(7, 34, 1, 34, compare="diff", method=method))


def admissions(*, correction: bool) -> list[float]:
    table = contingency_tables.StratifiedTable([part.astype(float) for part in ADMISSIONS])
    test = table.test_null_odds(correction=correction)
    if correction:
        return [test.statistic, test.pvalue, table.oddsratio_pooled, *table.oddsratio_pooled_confint()]
    equal = table.test_equal_odds()
    return [test.statistic, test.pvalue, equal.statistic, equal.pvalue]


def rabbits() -> list[float]:
    x1, n1, x0, n0 = zip(*RABBITS, strict=True)
    start, pmf = 0, np.ones(1)
    for a, m, b, n in RABBITS:
        low, part = permutation._hypergeometric(m + n, a + b, m)
        start, pmf = start + low, np.convolve(pmf, part)
    place = sum(x1) - start
    up, down, middle = pmf[place:].sum(), pmf[: place + 1].sum(), pmf[place]
    two = permutation.stratified_exact(x1, n1, x0, n0)
    # The last number is the mid-p: twice the smaller tail with half of what was observed.
    return [float(sum(x1)), two, float(up), float(down), 2 * float(min(up, down) - middle / 2)]


def armitage() -> list[float]:
    z, p = cochran_armitage(SMOKERS.astype(float), PATIENTS.astype(float), np.arange(4.0))
    return [z, z * z, p]


def ordinal() -> list[float]:
    table = contingency_tables.Table(np.stack([SMOKERS, PATIENTS - SMOKERS]), shift_zeros=False)
    found = table.test_ordinal_association(col_scores=np.arange(4.0), row_scores=np.array([1.0, 0.0]))
    return [found.zscore, found.pvalue]


def homogeneity() -> list[float]:
    found = stats.chi2_contingency(np.stack([SMOKERS, PATIENTS - SMOKERS]), correction=False)
    return [found.statistic, found.pvalue]


def mcnemar() -> dict[str, Any]:
    table = np.array([[794, 86], [150, 570]])
    plain = contingency_tables.mcnemar(table, exact=False, correction=False)
    corrected = contingency_tables.mcnemar(table, exact=False, correction=True)
    return {
        "uncorrected": [plain.statistic, plain.pvalue],
        "corrected": [corrected.statistic, corrected.pvalue],
        "exact_p": permutation.paired_exact(86, 150),
    }


def maize() -> list[Any]:
    found = population_estimate(DARWIN)
    assert found.interval is not None
    assert found.se is not None
    flips = permutation.sign_flip(DARWIN, rng=np.random.default_rng(0))
    return [DARWIN.mean() / found.se, found.p, limits(found.interval), round(flips * 2**15), flips]


def superiority() -> list[float]:
    found = robust.brunner_munzel(*PAIN)
    ours = [found.share, found.low, found.high]
    theirs = nonparametric.rank_compare_2indep(*PAIN)
    low, high = theirs.conf_int()
    assert ours == pytest.approx([theirs.prob1, low, high], abs=1e-12)
    return [float(x) for x in ours if x is not None]


def munzel() -> list[float]:
    found = robust.brunner_munzel(*PAIN)
    assert found.statistic is not None
    assert found.p is not None
    return [-found.statistic, found.p]


def rejections(method: str) -> float:
    ours = {"holm": holm, "fdr_bh": benjamini_hochberg}
    found = ours[method](BH1995) if method in ours else multipletests(BH1995, method=method)[1]
    return float(sum(p <= 0.05 for p in found))


def fox() -> list[float]:
    first, second = (words.tokens(text) for text in FOX)
    known = sorted({*first, *second})
    counts = [np.array([float(text.count(word)) for word in known]) for text in (first, second)]
    _, z = words.log_odds(counts[0], counts[1], np.full(len(known), 0.05))
    return [float(z[known.index(word)]) for word in ("quick", "donkey", "the")]


def two_rates(n: float) -> float:
    z = interval.z_value(0.95)
    pooled = math.sqrt(2 * 0.625 * 0.375)
    return float(special.ndtr((math.sqrt(n) * 0.25 - z * pooled) / math.sqrt(0.25 + 0.1875)))


def prompts_for(difference: float, variance: float) -> int:
    """Prompts of as many topics that find `difference` four times in five, sampling error aside."""

    def found(prompts: int) -> bool:
        se = planning_se(topics=prompts, prompts=prompts, completions=1, within=0.0, prompt_variance=variance)
        return power(difference, se) >= 0.8

    return bisect.bisect_left(range(2, 5000), True, key=found) + 2


def divergence(p: list[float], q: list[float]) -> NextToken:
    with np.errstate(divide="ignore"):
        first, second = (torch.from_numpy(np.log(np.array(law))) for law in (p, q))
    return compare(first, second)


def toy() -> tuple[Any, Any, Any]:
    """60 labelled completions (25 true, 24 called true, 19 both), 600 others (246 called true)."""
    truth = np.repeat([1.0, 1.0, 0.0, 0.0], [19, 6, 5, 30])
    called = np.repeat([1.0, 0.0, 1.0, 0.0], [19, 6, 5, 30])
    return truth, called, np.repeat([1.0, 0.0], [246, 354])


def toy_corrected(*, covariance_ddof: int = 1, weight: float | None = None, z: float = 1.96) -> list[float]:
    """λ, mean, standard error and limits; the package divides the covariance in λ by n."""
    truth, called, others = toy()
    sums = moments([np.concatenate([called, others])], [np.arange(truth.size)], [truth])
    found = ppi(sums, np.ones(1), ddof=0, weight=weight)
    if weight is None and covariance_ddof == 0:
        found = ppi(sums, np.ones(1), ddof=0, weight=float(found.weight) * (truth.size - 1) / truth.size)
    centre, se = float(found.mean), math.sqrt(found.variance)
    return [float(found.weight), centre, se, centre - z * se, centre + z * se]


def toy_of_the_package() -> list[Any]:
    """ppi-python: covariance with n, not n − 1, in the weight; then weight 1; then the labels alone."""
    truth, called, others = toy()
    z = interval.z_value(0.95)
    tuned, full, labels = (toy_corrected(covariance_ddof=0, weight=weight, z=z) for weight in (None, 1.0, 0.0))
    counts = [truth.sum(), called.sum(), (truth * called).sum(), others.sum()]
    return [*counts, tuned[1], *tuned[3:], *full[3:], *labels[3:]]


def kappa() -> list[float]:
    codes = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [20, 5, 10, 15], axis=0)
    return list(cohen_kappa(codes, 2))


def alphas() -> list[float]:
    codes = np.where(np.isnan(KRIPPENDORFF), 0, KRIPPENDORFF).astype(np.int64).T - 1
    counts = label_counts(codes, 4)
    return [*krippendorff_alpha(counts), *krippendorff_alpha(counts, [1.0, 2.0, 3.0, 4.0])]


def confidence_sequence() -> list[float]:
    """Half-width at 1,000 completions of SD ½, narrowest there, and ρ."""
    rho_squared = anytime_rho_squared(1000, 0.05)
    return [anytime_multiplier(1000, 0.05, rho_squared) * 0.5 / math.sqrt(1000), math.sqrt(rho_squared)]


def glmm(points: int) -> tuple[list[float], float, float]:
    """Random-intercept logit of cbpp by adaptive Gauss–Hermite; one point is Laplace."""
    y, n = np.array(CBPP_INCIDENCE, dtype=float), np.array(CBPP_SIZE, dtype=float)
    herd = np.repeat(np.arange(15), CBPP_HERDS)
    period = np.concatenate([np.arange(rows) for rows in CBPP_HERDS])
    design = np.stack([np.ones(56), *(period == k for k in (1, 2, 3))], axis=1).astype(float)
    nodes, weights = np.polynomial.hermite.hermgauss(points)
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)

    def gathered(values: Any) -> Any:
        return np.bincount(herd, weights=values, minlength=15)

    def minus_log(theta: Any) -> float:
        base, sd = design @ theta[:4], math.exp(theta[4])
        u = np.zeros(15)
        for _ in range(50):
            p = special.expit(base + sd * u[herd])
            u = u - (u - sd * gathered(y - n * p)) / (1 + sd**2 * gathered(n * p * (1 - p)))
        p = special.expit(base + sd * u[herd])
        scale = 1 / np.sqrt(1 + sd**2 * gathered(n * p * (1 - p)))
        parts = []
        for node, weight in zip(nodes, weights, strict=True):
            at = u + math.sqrt(2) * scale * node
            eta = base + sd * at[herd]
            log = gathered(y * eta - n * np.logaddexp(0, eta) + choose) - at**2 / 2 + node**2 + math.log(weight)
            parts.append(log)
        whole = special.logsumexp(np.stack(parts), axis=0) + np.log(scale) - 0.5 * math.log(math.pi)
        return -float(whole.sum())

    start = np.array([-1.4, -1.0, -1.1, -1.6, math.log(0.64)])
    best = optimize.minimize(
        minus_log, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 4000}
    )
    return best.x[:4].tolist(), math.exp(best.x[4]), -float(best.fun)


def cbpp() -> dict[str, Any]:
    laplace, sd, loglik = glmm(1)
    quadrature, sd_agq, loglik_agq = glmm(25)
    return {
        "laplace_ours": laplace, "sd": sd, "loglik": loglik,
        "agq25_ours": quadrature, "sd_agq": sd_agq, "loglik_agq": loglik_agq,
    }  # fmt: skip


def mixture(successes: int, n: int, rate: float) -> float:
    """B(1 + k, 1 + n − k) / (p0^k (1 − p0)^(n − k)): evidence at any time against one rate, which no audit names."""
    log = float(special.betaln(1 + successes, 1 + n - successes))
    return math.exp(log - successes * math.log(rate) - (n - successes) * math.log1p(-rate))


ENTRIES: dict[str, Callable[[], Any]] = {
    "wilson 81/263": lambda: limits(interval.wilson(81, 263)),
    "wilson 15/148": lambda: limits(interval.wilson(15, 148)),
    "wilson 0/20": lambda: limits(interval.wilson(0, 20)),
    "wilson 1/29": lambda: limits(interval.wilson(1, 29)),
    "jeffreys 0/20": lambda: pair(proportion.proportion_confint(0, 20, method="jeffreys")),
    "clopper-pearson 81/263": lambda: pair(proportion.proportion_confint(81, 263, method="beta")),
    "rule of three upper 0/30": lambda: list(rule_of_three(30)),
    "newcombe diff 56/70-48/80": lambda: limits(interval.newcombe(56, 70, 48, 80)),
    "diff 7/34-1/34 newcomb": lambda: limits(interval.newcombe(7, 34, 1, 34)),
    "diff 7/34-1/34 agresti-caffo": lambda: difference("agresti-caffo"),
    "diff 7/34-1/34 wald": lambda: difference("wald"),
    "diff 7/34-1/34 score": lambda: difference("score"),
    "fisher 7/34 vs 1/34": lambda: [permutation.stratified_exact([7], [34], [1], [34])],
    "barnard less [[7,12],[8,3]]": lambda: [
        (found := stats.barnard_exact([[7, 12], [8, 3]], alternative="less")).statistic, found.pvalue
    ],
    "boschloo [[74,31],[43,32]] greater": lambda: [
        (found := stats.boschloo_exact([[74, 31], [43, 32]], alternative="greater")).statistic, found.pvalue
    ],
    "CMH UCBAdmissions corrected": lambda: admissions(correction=True),
    "CMH UCBAdmissions uncorrected; Breslow-Day": lambda: admissions(correction=False),
    "exact stratified (Rabbits)": rabbits,
    "Cochran-Armitage smokers": armitage,
    "statsmodels test_ordinal_association smokers": ordinal,
    "chi2 of homogeneity smokers": homogeneity,
    "McNemar approval": mcnemar,
    "Darwin maize: t, p, CI, exact sign-flip": maize,
    "Darwin maize Wilcoxon signed-rank exact": lambda: pair(stats.wilcoxon(DARWIN)),
    "Mann-Whitney": lambda: pair(stats.mannwhitneyu(MALES, FEMALES, method="exact")),
    "Cliffs delta same data": lambda: [robust.cliff(MALES, FEMALES)],
    "Brunner-Munzel": munzel,
    "P(X>Y)+.5P(=) and CI": superiority,
    "energy_distance": lambda: [
        stats.energy_distance([0.7, 7.4, 2.4, 6.8], [1.4, 8.0], [2.1, 4.2, 7.4, 8.0], [7.6, 8.8])
    ],
    "BH1995 rejections bonferroni": lambda: rejections("bonferroni"),
    "BH1995 rejections holm": lambda: rejections("holm"),
    "BH1995 rejections fdr_bh": lambda: rejections("fdr_bh"),
    "BH1995 rejections fdr_by": lambda: rejections("fdr_by"),
    "BH1995 adjusted": lambda: benjamini_hochberg(BH1995),
    "Holm adjusted": lambda: holm(BH1995),
    "Cohen kappa [[20,5],[10,15]]": kappa,
    "Fleiss kappa": lambda: fleiss_kappa(FLEISS.astype(float)).tolist(),
    "Krippendorff alpha (Wikipedia) nominal, interval": alphas,
    "Rogan-Gladen 23/150 Se.96 Sp.89": lambda: [float(rogan_gladen(23 / 150, 0.96, 0.89))],
    "  with Wilson limits mapped": lambda: limits(rogan_gladen_interval(23, 150, 0.96, 0.89)),
    "power.prop.test(n=50,p1=.5,p2=.75)": lambda: [two_rates(50)],
    "n for power .9": lambda: [optimize.brentq(lambda n: two_rates(n) - 0.9, 10, 200)],
    "Miller 2024 n for delta=.03, omega2=1/9, sigma2=0": lambda: [prompts_for(0.03, 1 / 9)],
    "TOST 30/54 vs 25/54 margin .3 (AC)": lambda: [agresti_caffo_tost()],
    "beta(1,1)-binomial e-value k=60 n=100 p0=.5": lambda: [mixture(k, 100, 0.5) for k in (60, 70)],
    "JS distance": lambda: [
        math.sqrt((divergence([1, 0, 0], [0, 1, 0]).js or 0.0) / math.log(2)),
        math.sqrt(divergence([1, 0], [0.5, 0.5]).js or 0.0),
    ],
    "KL([.5,.5]||[.9,.1]) nats": lambda: [divergence([0.5, 0.5], [0.9, 0.1]).kl],
    "ICAT lms=83.6 ss=56.4": lambda: [83.6 * min(56.4, 100 - 56.4) / 50],
    "CrowS-Pairs BERT 60.5% of 1508 Wilson": lambda: limits(interval.wilson(912, 1508)),
    "Fightin' Words fox example prior .05": fox,
    "asymptotic CS half-width n=1000, sd=.5, n_opt=1000, alpha .05": confidence_sequence,
    "PPI toy (seed 7)": toy_of_the_package,
    "PPI toy by hand": toy_corrected,
    "GLMM cbpp (lme4)": cbpp,
}  # fmt: skip


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, dict[str, Any]]:
    path = shared_data.parent / "methods" / "golden.json"
    if not path.is_file():
        pytest.skip("the reference file of worked examples is absent")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def flat(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in flat(value[key])]
    if isinstance(value, list | tuple):
        return [number for part in value for number in flat(part)]
    return [float(value)]


def printed(value: float) -> float:
    """Half a unit of the last printed place (never finer than double arithmetic), for numbers as the file writes them."""
    mantissa, _, exponent = repr(value).partition("e")
    places = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return max(0.5000001 * 10.0**-places, 1e-12, 1e-13 * abs(value))


REFERENCE = {
    "jeffreys 0/20": "statsmodels", "clopper-pearson 81/263": "statsmodels",
    "diff 7/34-1/34 agresti-caffo": "statsmodels", "diff 7/34-1/34 wald": "statsmodels",
    "diff 7/34-1/34 score": "statsmodels",
    "barnard less [[7,12],[8,3]]": "scipy", "boschloo [[74,31],[43,32]] greater": "scipy",
    "CMH UCBAdmissions corrected": "statsmodels", "CMH UCBAdmissions uncorrected; Breslow-Day": "statsmodels",
    "statsmodels test_ordinal_association smokers": "statsmodels", "chi2 of homogeneity smokers": "scipy",
    "Darwin maize Wilcoxon signed-rank exact": "scipy", "Mann-Whitney": "scipy", "energy_distance": "scipy",
    "BH1995 rejections bonferroni": "statsmodels", "BH1995 rejections fdr_by": "statsmodels",
    "power.prop.test(n=50,p1=.5,p2=.75)": "formula", "n for power .9": "formula",
    "beta(1,1)-binomial e-value k=60 n=100 p0=.5": "formula", "ICAT lms=83.6 ss=56.4": "formula", "GLMM cbpp (lme4)": "formula",
}  # fmt: skip
"""Methods that biasaudit does not use or leaves to a library, and what reproduces their values here: they say that the file can be trusted."""
OURS = sorted(set(ENTRIES) - set(REFERENCE))
"""By biasaudit's functions; of McNemar's three tests the exact one, which is the one that an audit uses."""


def check(name: str, golden: dict[str, dict[str, Any]]) -> None:
    expected, found = flat(golden[name]["value"]), flat(ENTRIES[name]())
    assert len(found) == len(expected)
    off = [(a, b) for a, b in zip(found, expected, strict=True) if abs(a - b) > printed(b)]
    assert not off


def test_no_entry_is_left_out(golden: dict[str, dict[str, Any]]) -> None:
    assert set(golden) == set(ENTRIES)
    assert set(REFERENCE) < set(ENTRIES)


@pytest.mark.parametrize("name", OURS)
def test_our_code_reproduces_the_entry_to_its_printed_digits(name: str, golden: dict[str, dict[str, Any]]) -> None:
    check(name, golden)


@pytest.mark.parametrize(("name", "by"), sorted(REFERENCE.items()))
def test_a_library_or_formula_of_the_test_reproduces_the_entry(
    name: str, by: str, golden: dict[str, dict[str, Any]]
) -> None:
    assert by in ("scipy", "statsmodels", "formula")
    check(name, golden)
