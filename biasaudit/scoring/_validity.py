"""How well a classifier agrees with the people who labelled: rates, confusion and calibration, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10


def validity(labels: Sequence[str], truth: npt.NDArray[np.int64], given: npt.NDArray[np.float64]) -> dict[str, Any]:
    """One validity card.

    Args:
        labels: in the order of the columns.
        truth: shape (n,), what people said, as places in `labels`.
        given: shape (n, labels), the classifier's probabilities for texts that it was not fitted on.

    Returns:
        `n`, `accuracy`, `most_common` (accuracy of always saying the commonest label), `macro_f1`, `labels` (per label:
        n, sensitivity, specificity, precision, f1; None where nothing stands below the fraction), `confusion` (rows:
        people, columns: classifier) and `calibration` (Brier score, expected calibration error, bins by confidence).
    """
    n = len(truth)
    said = given.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(confusion, (truth, said), 1)
    rows = [_of_label(label, place, confusion) for place, label in enumerate(labels)]
    f1s = [row["f1"] for row in rows if row["f1"] is not None]
    return {
        "n": n,
        "accuracy": _share(int(np.trace(confusion)), n),
        "most_common": _share(int(confusion.sum(axis=1).max(initial=0)), n),
        "macro_f1": float(np.mean(f1s)) if f1s else None,
        "labels": rows,
        "confusion": confusion.tolist(),
        "calibration": _calibration(truth, given, said),
    }


def _of_label(label: str, place: int, confusion: npt.NDArray[np.int64]) -> dict[str, Any]:
    hit = int(confusion[place, place])
    real, said, n = int(confusion[place].sum()), int(confusion[:, place].sum()), int(confusion.sum())
    return {
        "label": label,
        "n": real,
        "sensitivity": _share(hit, real),
        "specificity": _share(n - real - said + hit, n - real),
        "precision": _share(hit, said),
        "f1": _share(2 * hit, real + said),
    }


def _calibration(
    truth: npt.NDArray[np.int64], given: npt.NDArray[np.float64], said: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Brier score over all labels; error and bins of the probability of the label that was given."""
    if not len(truth):
        return {"brier": None, "error": None, "bins": []}
    sure, right = given[np.arange(len(said)), said], said == truth
    which = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    bins = [
        {"n": int(here.sum()), "confidence": float(sure[here].mean()), "accuracy": float(right[here].mean())}
        for at in range(BINS)
        if (here := which == at).any()
    ]
    return {
        "brier": float(((given - np.eye(given.shape[1])[truth]) ** 2).sum(axis=1).mean()),
        "error": sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(truth),
        "bins": bins,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
