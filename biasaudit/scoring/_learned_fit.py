"""Fits a learned scorer on human labels and says how valid it is, by folds that never share a prompt.

Logistic regression over TF-IDF of character n-grams with one fixed penalty, so that nothing is chosen by looking at
results. Folds are stratified by label and grouped by prompt: people label many completions of few prompts, and a text
beside others of its own prompt is easier than a text after a new one. Which n-grams are read at all is decided on all
texts, without their labels; everything else is fitted inside each fold.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit import identity
from biasaudit.errors import InputError, UsageError
from biasaudit.labels import LabelSet
from biasaudit.scoring import _ngrams
from biasaudit.scoring._learned_model import files_of, group_key, logits, softmax
from biasaudit.scoring._validity import validity

PENALTY = 10.0
"""C of the logistic regression: weak, for vectors of length 1."""
FEWEST_TEXTS = 2
"""Texts of a fold that must hold an n-gram."""
MOST_COLUMNS = 50_000
FEWEST_LABELS = 10
"""Labelled texts below which nothing is learned."""
Fold = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""idf (D,), weights (labels, D), intercepts (labels,)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Example:
    """One labelled text."""

    prompt: str
    """Texts of one prompt stay in one fold."""
    text: str
    label: str
    arm: str = ""
    language: str = ""


def learn(
    examples: Sequence[Example], labels: LabelSet, *, outcome: str, folds: int, seed: int, source: Mapping[str, Any]
) -> dict[str, bytes]:
    """Fit a scorer and make its validity card.

    Args:
        examples: in any order; the same ones always give the same model.
        labels: that may be learned; those that nobody gave are left out.
        outcome: the label whose share is the scorer's value.
        folds: at most so many.
        seed: of the division into folds.
        source: what the card says that the labels came from.

    Returns:
        File name -> bytes of the model's folder (`_learned_model.load` reads it).

    Raises:
        InputError: too few labels, only one kind of label, or labels of one prompt only.
        UsageError: scikit-learn is not installed.
    """
    ordered = sorted(examples)
    given = Counter(example.label for example in ordered)
    kept = [label for label in labels.labels if given[label.key]]
    place = {label.key: at for at, label in enumerate(kept)}
    if outcome not in place:
        raise InputError(f"no text has the label '{outcome}', whose share is to be the outcome; labels: {dict(given)}.")
    groups = [group_key(example.prompt) for example in ordered]
    _enough(ordered, given, groups)
    truth = np.array([place[example.label] for example in ordered], dtype=np.int64)
    counts = _ngrams.counts([example.text for example in ordered])
    columns = _columns(counts)
    counts = _ngrams.placed(counts, columns)
    fold_of = _divide(truth, groups, folds, seed)
    fold = np.array([fold_of[group] for group in groups])
    count = int(fold.max()) + 1
    fitted = [_fit(counts, truth, np.flatnonzero(fold != k), columns.size, len(kept)) for k in range(count)]
    crossed = np.zeros((len(ordered), len(kept)))
    for k, own in enumerate(fitted):
        crossed[fold == k] = softmax(logits(counts, *own))[fold == k]
    fitted.append(_fit(counts, truth, np.arange(len(ordered)), columns.size, len(kept)))
    card = {
        "kind": "learned",
        "labels": [{"key": label.key, "side": label.side, "title": dict(label.title)} for label in kept],
        "outcome": outcome,
        "n": len(ordered),
        "prompts": len(fold_of),
        "folds": count,
        "fold_of": fold_of,
        "seed": seed,
        "arms": sorted({example.arm for example in ordered} - {""}),
        "languages": sorted({example.language for example in ordered} - {""}),
        "trained_on": {**source, "labels": dict(sorted(given.items())), "sha256": identity.content_hash(ordered)},
        "features": f"TF-IDF of character {_ngrams.SHORTEST}- to {_ngrams.LONGEST}-grams, {columns.size:,} of them",
        "model": f"multinomial logistic regression, L2, C = {PENALTY:g}",
        "validity": _cards([label.key for label in kept], ordered, truth, crossed),
    }
    names = ("idf", "weights", "intercepts")
    arrays = {name: np.stack([own[at] for own in fitted]).astype(np.float32) for at, name in enumerate(names)}
    return files_of(card, {"columns": columns.astype(np.uint32), **arrays})


def _enough(examples: Sequence[Example], given: Mapping[str, int], groups: Sequence[str]) -> None:
    if len(examples) < FEWEST_LABELS:
        raise InputError(f"{len(examples)} labelled texts are too few to learn from; label at least {FEWEST_LABELS}.")
    if len(given) < 2:
        raise InputError(f"every text has the label '{next(iter(given))}': there is nothing to tell apart.")
    if len(set(groups)) < 2:
        raise InputError("every labelled text answers one prompt; validity by prompt needs labels on two or more.")


def _columns(counts: _ngrams.Counts) -> npt.NDArray[np.int64]:
    """Hashed n-grams of at least two texts, the most frequent ones, sorted."""
    ids, texts = np.unique(counts.ids, return_counts=True)
    ids, texts = ids[texts >= FEWEST_TEXTS], texts[texts >= FEWEST_TEXTS]
    return np.sort(ids[np.lexsort((ids, -texts))[:MOST_COLUMNS]])


def _divide(truth: npt.NDArray[np.int64], groups: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """Group -> fold; every fold leaves at least two kinds of labels to fit on.

    Raises:
        InputError: one prompt holds all labels of a kind that cannot be spared.
    """
    divider = _sklearn("model_selection").StratifiedGroupKFold
    most = min(folds, len(set(groups)), int(np.bincount(truth).max()))
    names = np.array(groups)
    for count in range(most, 1, -1):
        found: dict[str, int] = {}
        split = divider(n_splits=count, shuffle=True, random_state=seed).split(truth, truth, names)
        usable = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a label rarer than the folds: some fold then has none of it
            for k, (rest, held) in enumerate(split):
                found |= dict.fromkeys(names[held].tolist(), k)
                usable &= len(np.unique(truth[rest])) > 1 and len(held) > 0
        if usable:
            return found
    raise InputError("one prompt holds all the texts of a label; validity by prompt needs each label on two or more.")


def _fit(
    counts: _ngrams.Counts, truth: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], columns: int, labels: int
) -> Fold:
    """One regression on the texts `rows`; a label that none of them has gets probability 0."""
    from scipy.sparse import csr_matrix

    inside = np.isin(counts.rows, rows)
    place = np.zeros(counts.texts, dtype=np.int64)
    place[rows] = np.arange(rows.size)
    own = _ngrams.Counts(place[counts.rows[inside]], counts.ids[inside], counts.counts[inside], rows.size)
    idf = _ngrams.inverse_frequency(own, columns, FEWEST_TEXTS)
    matrix = csr_matrix((_ngrams.weights(own, idf), (own.rows, own.ids)), shape=(rows.size, columns))
    regression = _sklearn("linear_model").LogisticRegression(C=PENALTY, solver="lbfgs", max_iter=2000, tol=1e-6)
    regression.fit(matrix, truth[rows])
    weights, intercepts = np.zeros((labels, columns)), np.full(labels, -np.inf)
    known = regression.classes_
    if known.size == 2:  # one row, that of the second label against the first
        weights[known[1]], intercepts[known] = regression.coef_[0], (0.0, regression.intercept_[0])
    else:
        weights[known], intercepts[known] = regression.coef_, regression.intercept_
    return idf, weights, intercepts


def _cards(
    labels: Sequence[str], examples: Sequence[Example], truth: npt.NDArray[np.int64], given: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """Validity over all texts, and by arm and language: a scorer may err more on one than on another."""
    found: dict[str, Any] = {"all": validity(labels, truth, given)}
    for kind in ("arm", "language"):
        own = np.array([getattr(example, kind) for example in examples])
        found[f"{kind}s"] = {
            name: validity(labels, truth[own == name], given[own == name]) for name in sorted(set(own.tolist()) - {""})
        }
    return found


def _sklearn(module: str) -> Any:
    """A module of scikit-learn.

    Raises:
        UsageError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise UsageError("learning needs scikit-learn: pip install 'biasaudit[learn]'.") from error
