"""A learned text classifier as plain arrays: saved as JSON and npz, never pickle, and loaded without running any code.

Beside the model of all labels it keeps one a fold. A text whose prompt was labelled is judged by the fold that never
saw that prompt: so what the scorer says of a labelled completion owes nothing to its label, which correction by those
labels needs (cross-prediction: Zrnic & Candès 2024, arXiv 2309.16598).
"""

from __future__ import annotations

import hashlib
import io
import json
import unicodedata
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit import identity
from biasaudit.errors import ModelError
from biasaudit.scoring import _ngrams

Floats = npt.NDArray[np.float64]
FORMAT = 1
CARD_FILE, ARRAYS_FILE = "card.json", "model.npz"
_ARRAYS = ("columns", "idf", "weights", "intercepts")
_LARGEST = 1 << 30
"""Bytes that a model's arrays may take; ours take some megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedModel:
    """Multinomial logistic regressions over TF-IDF of character n-grams; the last one is that of all labels."""

    card: Mapping[str, Any]
    columns: npt.NDArray[np.int64]
    """Shape (D,): the hashed n-grams that are read, sorted."""
    idf: Floats
    """Shape (folds + 1, D)."""
    weights: Floats
    """Shape (folds + 1, labels, D)."""
    intercepts: Floats
    """Shape (folds + 1, labels)."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the arrays."""
        return tuple(str(entry["key"]) for entry in self.card["labels"])

    @property
    def model_id(self) -> str:
        """12 hex digits of the hash of the arrays."""
        return str(self.card["arrays_sha256"])[:12]

    def on(self, side: str) -> tuple[str, ...]:
        """Labels of a side."""
        return tuple(str(entry["key"]) for entry in self.card["labels"] if entry["side"] == side)

    def probabilities(self, texts: Sequence[str], groups: Sequence[str]) -> tuple[Floats, Floats]:
        """Probability of every label, shape (texts, labels), and the share of a text's n-grams that were learned.

        Args:
            texts: to be judged.
            groups: `group_key` of each; one that was labelled is judged by the fold that never saw it.
        """
        folds = self.card["fold_of"]
        last = self.intercepts.shape[0] - 1
        which = np.array([folds.get(group, last) for group in groups], dtype=np.int64)
        counted = _ngrams.counts(texts)
        found = _ngrams.placed(counted, self.columns)
        out = np.zeros((len(texts), len(self.labels)))
        for fold in np.unique(which):
            here = which == fold
            scores = logits(found, self.idf[fold], self.weights[fold], self.intercepts[fold])
            out[here] = softmax(scores[here])
        known, all_of_it = (np.bincount(own.rows, minlength=len(texts)) for own in (found, counted))
        return out, known / np.maximum(all_of_it, 1)


def logits(found: _ngrams.Counts, idf: Floats, weights: Floats, intercepts: Floats) -> Floats:
    """Scores before the softmax, shape (texts, labels)."""
    tfidf = _ngrams.weights(found, idf)
    scores = [np.bincount(found.rows, tfidf * own[found.ids], minlength=found.texts) for own in weights]
    return np.stack(scores, axis=1) + intercepts


def softmax(scores: Floats) -> Floats:
    """Rows that add up to 1."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def group_key(prompt: str) -> str:
    """What stands for a prompt in a model: 16 hex digits of a hash, so that a model holds no text."""
    return hashlib.sha256(unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def files_of(card: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, bytes]:
    """File name -> bytes of a model's folder; the same arrays always give the same bytes.

    Args:
        card: without its hashes.
        arrays: the fields of `LearnedModel` by name.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _ARRAYS:
            raw = io.BytesIO()
            np.save(raw, arrays[name], allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), raw.getvalue())
    data = packed.getvalue()
    whole = {**card, "format": FORMAT, "arrays_sha256": hashlib.sha256(data).hexdigest()}
    whole["card_sha256"] = identity.content_hash(whole)
    text = json.dumps(identity.plain(whole), ensure_ascii=False, indent=1, sort_keys=True)
    return {CARD_FILE: f"{text}\n".encode(), ARRAYS_FILE: data}


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model's folder, checked against its own hash.

    Raises:
        ModelError: there is none, or it was changed.
    """
    path = folder / CARD_FILE
    try:
        card = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is not a folder that `biasaudit learn` made: it holds no {CARD_FILE}. Give such a folder as "
            "option 'model'; a relative one starts where the command runs."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}). Learn the model again.") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT or card.get("kind") != "learned":
        raise ModelError(f"{path} is not the card of a learned scorer of format {FORMAT}. Learn the model again.")
    said = card.pop("card_sha256", None)
    if said != identity.content_hash(card):
        raise ModelError(f"{path} was changed after the model was learned: its hash differs. Learn the model again.")
    return card


def load(folder: Path) -> LearnedModel:
    """Read a model's folder; no code of it runs.

    Raises:
        ModelError: a file is missing, was changed, or has another shape.
    """
    card = read_card(folder)
    path = folder / ARRAYS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}. Learn the model again.") from error
    if hashlib.sha256(data).hexdigest() != card["arrays_sha256"]:
        raise ModelError(f"{path} is not the file that its card names: the hash differs. Learn the model again.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise ModelError(f"{path} is larger than {_LARGEST >> 20} MiB when it is unpacked; it is not ours.")
            arrays = {name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False) for name in _ARRAYS}
        found = LearnedModel(
            card=card,
            columns=arrays["columns"].astype(np.int64),
            **{name: arrays[name].astype(np.float64) for name in _ARRAYS[1:]},
        )
        d, k, c = found.columns.size, int(card["folds"]) + 1, len(found.labels)
        shapes = (found.idf.shape, found.weights.shape, found.intercepts.shape)
        fits = shapes == ((k, d), (k, c, d), (k, c)) and all(0 <= fold < k for fold in card["fold_of"].values())
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise ModelError(f"{path} is damaged ({error}). Learn the model again.") from error
    if not fits:
        raise ModelError(f"{path} has arrays of other shapes than its card says. Learn the model again.")
    return found
