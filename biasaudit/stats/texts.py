"""Has the text changed at all? Distances between two arms' completions, always within a prompt.

None of this says that bias changed: any difference in length, topic or style counts. Features are TF-IDF weights of
character 2- to 4-grams, hashed; p-values come from exchanging completions between the arms within each prompt.

Source: energy distance, Székely & Rizzo 2013, and MMD, Gretton et al. 2012, both as U-statistics, so that values of
different sample sizes compare; classifier two-sample test, Lopez-Paz & Oquab 2017, here kernel ridge regression, whose
out-of-fold scores for every permutation follow from one matrix inverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.stats.swaps import memberships, share_as_extreme

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

GRAMS = (2, 3, 4)
BUCKETS = 2**18
MAX_CHARACTERS = 2_000
"""Characters of one completion that count."""
MAX_PER_PROMPT = 100
"""Completions of one prompt and arm that count; the first ones, which are a random sample."""
MAX_CLASSIFIED = 1_200
"""Completions that the classifier sees, spread evenly over prompts."""
FOLDS = 5
RIDGE = 1.0
DRAWS = 999
DRAWS_CLASSIFIER = 499
ROUNDING = 2e-6
"""What single precision leaves of a distance of 0, whose parts are of size 1: texts that are equal are not apart."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """Completions of two arms, prompt by prompt."""

    topics: tuple[str, ...]
    """One a prompt."""
    first: tuple[tuple[str, ...], ...]
    second: tuple[tuple[str, ...], ...]
    coupled: bool = False
    """Position k of both arms is one pair."""

    def cut(self, most: int) -> Strata:
        """At most `most` completions of each prompt and arm."""
        return Strata(
            topics=self.topics,
            first=tuple(rows[:most] for rows in self.first),
            second=tuple(rows[:most] for rows in self.second),
            coupled=self.coupled,
        )

    @property
    def weights(self) -> Floats:
        """Weight of each prompt, topics equal, prompts equal within a topic."""
        names = list(dict.fromkeys(self.topics))
        return np.array([1 / (len(names) * self.topics.count(topic)) for topic in self.topics])

    @property
    def completions(self) -> int:
        """Of both arms."""
        return sum(map(len, self.first)) + sum(map(len, self.second))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTest:
    """One statistic and its permutation p-value."""

    value: float
    p: float
    n: int


def features(texts: Sequence[str]) -> Any:
    """TF-IDF weights as a sparse CSR matrix, shape (len(texts), `BUCKETS`), rows of length 1 (or 0 for empty texts).

    Weights as scikit-learn's `TfidfVectorizer(sublinear_tf=True)`; n-grams are hashed instead of listed.
    """
    from scipy import sparse

    rows, columns = _hashed(texts)
    counts = sparse.csr_matrix(
        (np.ones(rows.size, dtype=np.float32), (rows, columns)), shape=(len(texts), BUCKETS), dtype=np.float32
    )
    counts.sum_duplicates()
    frequency = np.bincount(counts.indices, minlength=BUCKETS)
    idf = (np.log((1 + len(texts)) / (1 + frequency)) + 1).astype(np.float32)
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    counts.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(counts.indptr)).astype(np.float32)
    return counts


def _hashed(texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """(document, bucket) of every n-gram; white space runs, and the zero that parts documents here, are one blank."""
    cleaned = [" ".join(text[:MAX_CHARACTERS].lower().replace("\x00", " ").split()) for text in texts]
    joined = "\x00".join(cleaned) + "\x00"
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    ends = codes == 0
    document = np.cumsum(ends) - ends
    rows, columns = [], []
    with np.errstate(over="ignore"):
        value = codes.copy()
        inside = ~ends
        for size in range(2, max(GRAMS) + 1):
            reach = codes.size - size + 1
            if reach <= 0:
                break
            value = value[:reach] * _MULTIPLIER + codes[size - 1 :]
            inside = inside[:reach] & ~ends[size - 1 :]
            found = np.flatnonzero(inside)
            mixed = value[found] * _MULTIPLIER + np.uint64(size)
            rows.append(document[found].astype(np.int32))
            columns.append(((mixed ^ (mixed >> np.uint64(29))) * _MULTIPLIER >> np.uint64(46)).astype(np.int32))
    return np.concatenate(rows or [np.zeros(0, np.int32)]), np.concatenate(columns or [np.zeros(0, np.int32)])


def gram_matrices(strata: Strata) -> list[Matrix]:
    """Cosines between the completions of each prompt, first arm first, shape (n_j, n_j)."""
    every = [text for first, second in zip(strata.first, strata.second, strict=True) for text in (*first, *second)]
    matrix = features(every)
    found, at = [], 0
    for first, second in zip(strata.first, strata.second, strict=True):
        here = matrix[at : at + len(first) + len(second)]
        cosine = np.clip((here @ here.T).toarray(), 0.0, 1.0).astype(np.float32)
        cosine[cosine > 1 - ROUNDING] = 1.0  # else equal texts lie 0.0003 apart: a root enlarges what rounding leaves
        found.append(cosine)
        at += len(first) + len(second)
    return found


def distances_apart(strata: Strata, *, draws: int = DRAWS, rng: np.random.Generator) -> dict[str, TextTest]:
    """`energy` and `mmd`: unbiased distances between the arms within prompts, topics weighted equally.

    Args:
        strata: completions; prompts with fewer than two in an arm do not count.
        draws: permutations.
        rng: their source.

    Returns:
        Empty when no prompt has two completions in both arms.
    """
    strata = _usable(strata.cut(MAX_PER_PROMPT))
    if not strata.topics:
        return {}
    cosines = gram_matrices(strata)
    squared = [2 - 2 * cosine for cosine in cosines]
    scale = float(np.median(np.concatenate([part[np.triu_indices(part.shape[0], 1)] for part in squared])))
    totals = {"energy": np.zeros(draws + 1), "mmd": np.zeros(draws + 1)}
    for part, first, second, weight in zip(squared, strata.first, strata.second, strata.weights, strict=True):
        rows = memberships(len(first), len(second), draws, coupled=strata.coupled, rng=rng)
        totals["energy"] += weight * _unbiased(np.sqrt(part), rows, len(first), coupled=strata.coupled)
        kernel = np.exp(-part / max(scale, 1e-6))
        totals["mmd"] -= weight * _unbiased(kernel, rows, len(first), coupled=strata.coupled)
    n = strata.completions
    return {
        name: TextTest(value=_rounded(found[0]), p=share_as_extreme(found, rounding=ROUNDING), n=n)
        for name, found in totals.items()
    }


def _rounded(value: float) -> float:
    """Six significant digits: more depend on the order in which a library adds; 0 for what rounding leaves of it."""
    return 0.0 if abs(value) < ROUNDING else float(f"{value:.6g}")


def _usable(strata: Strata) -> Strata:
    """The prompts with two completions in both arms."""
    kept = [k for k in range(len(strata.topics)) if min(len(strata.first[k]), len(strata.second[k])) > 1]
    return Strata(
        topics=tuple(strata.topics[k] for k in kept),
        first=tuple(strata.first[k] for k in kept),
        second=tuple(strata.second[k] for k in kept),
        coupled=strata.coupled,
    )


def _unbiased(values: Matrix, rows: Matrix, first: int, *, coupled: bool) -> Floats:
    """2·mean between − mean within − mean within for every assignment, shape (draws + 1,); no value with itself.

    Pairs under one noise are left out of the mean between: they are alike by design.
    """
    values = values.copy()
    np.fill_diagonal(values, 0.0)
    size = values.shape[0]
    second = size - first
    pairs = first * second
    if coupled:
        k = np.arange(first)
        values[k, first + k] = values[first + k, k] = 0.0
        pairs -= first
    sums = values.sum(axis=1, dtype=np.float64)
    inner = np.einsum("ij,ij->i", rows @ values, rows, dtype=np.float64)
    crossing = rows.astype(np.float64) @ sums - inner
    outer = float(sums.sum()) - inner - 2 * crossing
    within = inner / (first * (first - 1)) + outer / (second * (second - 1))
    return np.asarray(2 * crossing / pairs - within, dtype=np.float64)


def classified(strata: Strata, *, draws: int = DRAWS_CLASSIFIER, rng: np.random.Generator) -> TextTest | None:
    """Classifier two-sample test: how well an unseen prompt's completions are told apart, as AUC within prompts.

    Folds hold whole prompts; p is by permutation within prompts, as the folds are not independent. None with fewer
    than two usable prompts.
    """
    usable = _usable(strata)
    if len(usable.topics) < 2:
        return None
    strata = usable.cut(max(2, MAX_CLASSIFIED // (2 * len(usable.topics))))
    every = [text for first, second in zip(strata.first, strata.second, strict=True) for text in (*first, *second)]
    matrix = features(every)
    kernel = (matrix @ matrix.T).toarray().astype(np.float64)
    inverse = np.linalg.inv(kernel + RIDGE * np.eye(kernel.shape[0]))
    spans, labels = [], []
    at = 0
    for first, second in zip(strata.first, strata.second, strict=True):
        rows = memberships(len(first), len(second), draws, coupled=strata.coupled, rng=rng)
        labels.append(rows.T.astype(np.float64))
        spans.append((at, at + len(first) + len(second)))
        at = spans[-1][1]
    target = np.concatenate([part - part.mean(axis=0) for part in labels])
    scores = _out_of_fold(inverse, target, spans)
    aucs = np.stack([_auc(scores[a:b], part) for (a, b), part in zip(spans, labels, strict=True)])
    found = strata.weights @ aucs
    return TextTest(value=_rounded(found[0]), p=share_as_extreme(found), n=strata.completions)


def _out_of_fold(inverse: Floats, target: Floats, spans: Sequence[tuple[int, int]]) -> Floats:
    """Predictions for each fold from the others: y − (A_FF)⁻¹ (A y)_F with A the inverse of the ridged kernel."""
    folds = min(FOLDS, len(spans))
    weighed = inverse @ target
    predicted = np.empty_like(target)
    for fold in range(folds):
        rows = np.concatenate([np.arange(*span) for span in spans[fold::folds]])
        predicted[rows] = target[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], weighed[rows])
    return predicted


def _auc(scores: Floats, labels: Floats) -> Floats:
    """AUC of every column, ties half; shapes (n, B + 1) -> (B + 1,)."""
    ranks = _column_ranks(np.round(scores, 9))
    positive = labels.sum(axis=0)
    negative = labels.shape[0] - positive
    below = (ranks * labels).sum(axis=0) - positive * (positive + 1) / 2
    return np.asarray(below / (positive * negative), dtype=np.float64)


def _column_ranks(values: Floats) -> Floats:
    """Midranks of every column, shape (n, B), in one sweep over all columns."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    place = np.arange(values.shape[0])[:, None]
    new = np.ones(values.shape, dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    last = np.roll(new, -1, axis=0)
    last[-1] = True
    start = np.maximum.accumulate(np.where(new, place, 0), axis=0)
    stop = np.minimum.accumulate(np.where(last, place, values.shape[0])[::-1], axis=0)[::-1]
    ranks = np.empty_like(values)
    np.put_along_axis(ranks, order, (start + stop) / 2 + 1, axis=0)
    return ranks


def halves(texts: Sequence[Sequence[str]], topics: Sequence[str]) -> Strata:
    """One arm against itself, every other completion: the matched null."""
    return Strata(
        topics=tuple(topics),
        first=tuple(tuple(rows[0::2]) for rows in texts),
        second=tuple(tuple(rows[1::2]) for rows in texts),
    )
