"""Distinctive words: which words one arm uses more, beyond what exchanging completions within prompts would give.

A completion counts once for a word, however often it says it: a model that repeats itself says no more. z of Fightin'
Words is not standard normal even so, since words come together; so the threshold is the largest |z| that
permutations within prompts reach (single-step max-T), which also settles the number of words.

Source: Monroe, Colaresi & Quinn 2008 (log-odds with an informative Dirichlet prior); Westfall & Young 1993 (max-T).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit.stats.swaps import memberships, share_as_extreme
from biasaudit.stats.texts import Strata

Floats = npt.NDArray[np.float64]

PRIOR = 500.0
"""α0: the weight of the prior, in words."""
MIN_DOCUMENTS = 3
MAX_PER_PROMPT = 200
"""Completions of one prompt and arm that count."""
SHOWN = 40
CLOUD = 150
"""Other words that a figure shows, spread evenly over their |z|."""
DRAWS = 499
CHUNK = 128

_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+|[@#]\w+|\[[A-Z_]+\]")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_CLITIC = re.compile(r"(?<=..)-(?:me|te|se|lhes?|n?[oa]s?|l[oa]s?|vos)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word and what its use says."""

    word: str
    z: float
    log_odds: float
    """Prior-smoothed log-odds, first arm minus second."""
    documents_first: int
    documents_second: int
    p: float
    """Adjusted for all words (max-T)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinctive:
    """The words with the largest |z|."""

    words: tuple[Word, ...]
    threshold: float
    """Quantile of max |z| under the permutations, at the level that was asked."""
    vocabulary: int
    p: float
    """Of the largest |z|."""
    n: int
    """Completions of both arms."""
    cloud: tuple[tuple[int, float], ...] = ()
    """(documents of both arms, z) of words that are not among `words`, for a figure."""


def tokens(text: str) -> list[str]:
    """Words in lower case, accents kept, links, addresses, tags and placeholders left out.

    Compounds stay whole (`guarda-chuva`); pronouns after a verb are cut off (`vacinou-se` gives `vacinou`).
    """
    cleaned = _LINK.sub(" ", unicodedata.normalize("NFC", text))
    return [word for found in _WORD.findall(cleaned.lower()) if (word := _CLITIC.sub("", found))]


def without_echo(text: str, prompt: str) -> str:
    """A completion without its prompt, where the model repeats it."""
    prompt = prompt.strip()
    return text.replace(prompt, " ") if prompt else text


def log_odds(first: Floats, second: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Fightin' Words: log-odds ratio with a Dirichlet prior, and its z.

    Args:
        first: counts, shape (V,) or (V, B).
        second: counts of the other arm.
        prior: pseudo-counts α_w, shape (V,) or (V, 1).
    """
    total = prior.sum()
    up, down = first + prior, second + prior
    delta = np.log(up / (first.sum(axis=0) + total - up)) - np.log(down / (second.sum(axis=0) + total - down))
    return delta, delta / np.sqrt(1 / up + 1 / down)


def distinctive(
    strata: Strata, *, draws: int = DRAWS, rng: np.random.Generator, level: float = 0.95
) -> Distinctive | None:
    """Words that tell the arms apart; None when fewer than two words stand in `MIN_DOCUMENTS` completions.

    Args:
        strata: completions, prompt echoes stripped.
        draws: permutations.
        rng: their source.
        level: of the threshold.
    """
    strata = strata.cut(MAX_PER_PROMPT)
    found = _counted(strata)
    if found is None:
        return None
    counts, words = found
    masks = np.concatenate(
        [
            memberships(len(first), len(second), draws, coupled=strata.coupled, rng=rng)
            for first, second in zip(strata.first, strata.second, strict=True)
        ],
        axis=1,
    )
    background = np.asarray(counts.sum(axis=1)).ravel()
    prior = PRIOR * background / background.sum()
    largest = np.zeros(draws + 1)
    for start in range(0, draws + 1, CHUNK):
        part = masks[start : start + CHUNK]
        first = np.asarray(counts @ part.T, dtype=np.float64)
        _, z = log_odds(first, background[:, None] - first, prior[:, None])
        largest[start : start + part.shape[0]] = np.abs(z).max(axis=0)
        if start == 0:
            observed = first[:, 0]
    delta, z = log_odds(observed, background - observed, prior)
    ranked = np.argsort(-np.abs(z), kind="stable")
    order, rest = ranked[:SHOWN], ranked[SHOWN:]
    rest = rest[:: max(1, -(-rest.size // CLOUD))]
    return Distinctive(
        words=tuple(
            Word(
                word=words[k],
                z=float(z[k]),
                log_odds=float(delta[k]),
                documents_first=int(observed[k]),
                documents_second=int(background[k] - observed[k]),
                p=float((1 + np.count_nonzero(largest[1:] >= abs(z[k]) - 1e-9)) / (draws + 1)),
            )
            for k in order
        ),
        threshold=float(np.quantile(largest[1:], level)) if draws else 0.0,
        vocabulary=len(words),
        p=share_as_extreme(largest),
        n=strata.completions,
        cloud=tuple((int(background[k]), round(float(z[k]), 3)) for k in rest),
    )


def _counted(strata: Strata) -> tuple[Any, list[str]] | None:
    """Which completion holds which word (sparse CSR of 0 and 1), in the order of the masks, and the words."""
    from scipy import sparse

    places: dict[str, int] = {}
    rows: list[int] = []
    ends: list[int] = [0]
    texts = [text for first, second in zip(strata.first, strata.second, strict=True) for text in (*first, *second)]
    for text in texts:
        rows.extend([places.setdefault(word, len(places)) for word in dict.fromkeys(tokens(text))])
        ends.append(len(rows))
    columns = np.repeat(np.arange(len(texts)), np.diff(ends))
    counts = sparse.csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (np.array(rows, dtype=np.int64), columns)),
        shape=(len(places), len(texts)),
    )
    kept = np.flatnonzero(np.diff(counts.indptr) >= MIN_DOCUMENTS)
    if kept.size < 2:
        return None
    words = list(places)
    return counts[kept], [words[k] for k in kept]
