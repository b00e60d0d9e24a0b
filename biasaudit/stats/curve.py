"""Specification curve: the same contrast under every choice that an analyst could have made.

Scorers × subsets of templates × decodings × denominators; one row each, sorted by its estimate. It shows how much of a
result is the choice; it is no test, and its median is no better estimate.

Source: Simonsohn, Simmons & Nelson 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biasaudit.results import Interval
from biasaudit.stats.contrast import population_estimate
from biasaudit.stats.parts import conditional

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Share of an outcome, prompt by prompt, in both arms: arrays of shape (P,)."""

    topics: tuple[str, ...]
    templates: tuple[str, ...]
    tuned: Floats
    reference: Floats
    whole_tuned: Floats
    """Share of completions that can be interpreted."""
    whole_reference: Floats

    def only(self, kept: Sequence[int]) -> Shares:
        """The prompts at positions `kept`."""
        rows = list(kept)
        return Shares(
            topics=tuple(self.topics[k] for k in rows),
            templates=tuple(self.templates[k] for k in rows),
            tuned=self.tuned[rows],
            reference=self.reference[rows],
            whole_tuned=self.whole_tuned[rows],
            whole_reference=self.whole_reference[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """One choice, and what it gives."""

    templates: str
    """`all`, or `without NAME`, or `only NAME`."""
    denominator: str
    """`all` completions, or the `interpretable` ones."""
    estimate: float
    interval: Interval | None
    mean: float
    """Of both arms' shares, each a mean over topics."""
    topics: int
    prompts: int


def specifications(shares: Shares, *, level: float = 0.95) -> list[Specification]:
    """All subsets (all templates, each left out, each alone) by both denominators."""
    names = list(dict.fromkeys(shares.templates))
    subsets: dict[str, list[int]] = {"all": list(range(len(shares.topics)))}
    if len(names) > 1:
        for name in names:
            subsets[f"only {name}"] = [k for k, template in enumerate(shares.templates) if template == name]
            if len(names) > 2:
                subsets[f"without {name}"] = [k for k, template in enumerate(shares.templates) if template != name]
    plain = bool((shares.whole_tuned == 1).all() and (shares.whole_reference == 1).all())
    found = []
    for label, kept in subsets.items():
        part = shares.only(kept)
        for denominator in ("all",) if plain else ("all", "interpretable"):
            one = _one(part, label, denominator, level)
            if one is not None:
                found.append(one)
    return found


def _one(part: Shares, label: str, denominator: str, level: float) -> Specification | None:
    """One specification; None when nothing can be interpreted."""
    places = _places(part.topics)
    up, down = _means(places, part.tuned), _means(places, part.reference)
    counts = {"topics": up.size, "prompts": len(part.topics)}
    if denominator == "all":
        effects = up - down
        estimate = float(effects.mean())
        interval = population_estimate(effects, level=level).interval
        mean = float((up + down).mean() / 2)
        return Specification(
            templates=label, denominator=denominator, estimate=estimate, interval=interval, mean=mean, **counts
        )
    wholes = _means(places, part.whole_tuned), _means(places, part.whole_reference)
    found = conditional(up, wholes[0], down, wholes[1], level=level)
    if found is None:
        return None
    mean = (found["share_tuned"] + found["share_reference"]) / 2
    return Specification(
        templates=label, denominator=denominator, estimate=found["difference"], interval=found["interval"], mean=mean,
        **counts,
    )  # fmt: skip


def _places(topics: Sequence[str]) -> Ints:
    """Code of each prompt's topic, by first appearance."""
    names = {topic: k for k, topic in enumerate(dict.fromkeys(topics))}
    return np.array([names[topic] for topic in topics], dtype=np.int64)


def _means(places: Ints, values: Floats) -> Floats:
    """Unweighted mean inside each topic."""
    return np.asarray(np.bincount(places, weights=values) / np.bincount(places), dtype=np.float64)
