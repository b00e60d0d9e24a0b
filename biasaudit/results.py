"""What an analysis finds, as plain values: intervals, effects, contrasts and the verdict's ingredients.

Part of the ground beside `records.py` (kept apart for size). Everything here goes to `analysis.json` as it stands.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Target = Literal["fixed", "population"]
VerdictKind = Literal["changed", "small", "equivalent", "inconclusive", "described"]


ALPHA = 0.05
"""Level of the tests where a battery declares none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence or prediction interval, in the measure's unit."""

    low: float
    high: float
    level: float = 0.95
    method: str = ""

    @property
    def for_looks(self) -> bool:
        """Whether it is adjusted for stopping by registered looks (`stats.stopping`)."""
        return self.method.startswith(("repeated interval", "confidence sequence"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEstimate:
    """What can be said of one target: exactly these prompts, or prompts like these."""

    target: Target
    interval: Interval | None
    """None when no interval exists (no sampling error, one topic, or no variation between topics)."""
    p: float | None
    p_adjusted: float | None = None
    family_size: int = 1
    df: float | None = None
    se: float | None = None
    method: str = ""
    note: str = ""
    """Why something is missing, one of `stats.contrast.NOTES`: `no-sampling-error`, `too-few-topics` …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEffect:
    """One row of the per-prompt table."""

    prompt_id: str
    topic: str
    template: str
    framing: str
    n_tuned: int
    n_reference: int
    mean_tuned: float | None
    mean_reference: float | None
    difference: float | None
    interval: Interval | None = None
    p: float | None = None
    p_adjusted: float | None = None
    """Benjamini–Hochberg over the prompts: exploratory."""
    rho: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicEffect:
    """One topic: the unweighted mean over its prompts."""

    topic: str
    prompts: int
    mean_tuned: float
    mean_reference: float
    difference: float
    interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """How much the effect varies between topics."""

    q: float
    df: int
    p: float | None
    i_squared: float
    """0 to 1."""
    tau_squared: float
    prediction: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests against a margin that the battery fixed before sampling."""

    margin: float
    p: float
    """Holm-adjusted over `family_size` tests: of the confirmatory family, or of the contrasts beside it."""
    interval: Interval
    """Of the target that was asked, at level 1 − 2α: 90 % for tests at 5 %."""
    equivalent: bool
    family_size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """The difference of one measure between two arms under one decoding, in one language."""

    measure: str
    scorer: str
    outcome: str
    """`value`, or a label whose share is the outcome."""
    unit: str
    direction: str
    tuned: str
    reference: str
    decoding_id: str
    language: str
    role: Literal["primary", "secondary", "descriptive"]
    mean_tuned: float
    mean_reference: float
    difference: float
    """Unweighted mean over topics of the mean over a topic's prompts of (tuned − reference)."""
    fixed: TargetEstimate
    population: TargetEstimate
    heterogeneity: Heterogeneity | None
    equivalence: Equivalence | None
    mde: float | None
    """Smallest difference found with 80 % power by the target that decides (asked for, else fixed), in the unit."""
    n_topics: int
    n_prompts: int
    n_tuned: int
    n_reference: int
    unscored_tuned: int
    unscored_reference: int
    moved_up: int
    """Prompts whose difference is above 0."""
    coupled: bool
    rho: float | None
    """Measured correlation of coupled outcomes within prompts; None when uncoupled or undefined."""
    prompts: tuple[PromptEffect, ...] = ()
    topics: tuple[TopicEffect, ...] = ()
    source: str = ""
    corrected: str = ""
    """`ppi` where means, difference, targets and topics are those of people's labels; prompts stay the scorer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Shares of labels in one arm: unweighted over topics, then prompts; the shares add up to 1."""

    measure: str
    arm: str
    decoding_id: str
    shares: Mapping[str, float]
    counts: Mapping[str, int]
    conditional: Mapping[str, float | None] = field(default_factory=dict)
    """Shares among the on-topic labels only ("conditional on being interpretable")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the report says first: a kind and the contrast that it rests on; the sentence comes from templates."""

    kind: VerdictKind
    target: Target
    contrast: int
    """Position of the contrast in `Analysis.contrasts`."""
    varies: bool = False
    """I² over one half or split signs: the sentence must say "varies by prompt"."""
    caveats: tuple[str, ...] = ()
    """Fixed words, each with a sentence in the report's locale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One number that a design beside the plain contrast gives; none of them reaches a verdict."""

    design: str
    """Which design: one of `stats.designs.DESIGNS`."""
    name: str
    """Which number of the design, a fixed word with a name in the report's locale."""
    estimand: str
    """What is estimated, in a fixed sentence."""
    target: str
    """Of what it speaks: `fixed`, `population`, `runs` (trainings like these), or `none` (no inference)."""
    measure: str
    outcome: str
    unit: str
    tuned: str
    """The first arm, or all arms of a design that has several, joined by commas."""
    reference: str
    decoding_id: str
    language: str
    estimate: float | None
    interval: Interval | None = None
    p: float | None = None
    p_adjusted: float | None = None
    """Inside its family."""
    family: str = "exploratory"
    """`confirmatory`, `secondary` or `exploratory`."""
    n: Mapping[str, int] = field(default_factory=dict)
    """Level (`runs`, `topics`, `prompts`, `completions` …) -> how many."""
    method: str = ""
    source: str = ""
    note: str = ""
    """Why something is missing, or under which condition it holds."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """What people said of the run's completions with one set of labels: who read what, and how far they agree."""

    set_id: str
    labels: tuple[str, ...]
    raters: tuple[Mapping[str, Any], ...]
    """A row a person: `rater`, `labelled`, `blind` (on a page), `repeats`, `counts` of what was said at first sight."""
    coverage: tuple[Mapping[str, Any], ...]
    """A row an arm: `arm`, `completions`, `labelled`, `by_several`, `divided`, and `counts` of what counts."""
    agreement: tuple[Finding, ...]
    """Agreement between people, and of each with themselves."""
    checks: tuple[Finding, ...]
    """Whether labels depend on where, by whom or when they were given; `details.table` is what is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything that `analyse` found; `analysis.json` is its canonical JSON."""

    contrasts: tuple[Contrast, ...]
    compositions: tuple[Composition, ...]
    verdict: Verdict | None
    """The first tuned arm's; None when the battery asks nothing or no tuned arm has a reference."""
    verdicts: tuple[Verdict, ...] = ()
    """One for every tuned arm, in the order of the arms; `verdict` is the first."""
    beside_margins: tuple[Verdict, ...] = ()
    """The same logic for contrasts outside the family whose measure has a margin (placebo − base, say): never the
    headline."""
    counts: Mapping[str, Any] = field(default_factory=dict)
    """Completions wanted, stored, scored, unscored: numbers that must add up."""
    badges: Mapping[str, Any] = field(default_factory=dict)
    sweep: tuple[Mapping[str, Any], ...] = ()
    exploratory: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    """What the designs beside the plain contrast found."""
    labelling: tuple[Labelling, ...] = ()
    """Human labels, a row a set of labels."""
    alpha: float = ALPHA
    """Level of the tests, as the battery declares it; intervals hold 1 − `alpha`, of equivalence 1 − 2·`alpha`."""
    lock: Mapping[str, Any] = field(default_factory=dict)
    """What was registered before sampling, and what differs from it (`pipeline.lock_content`); empty without a lock."""


def analysis_from_json(value: Mapping[str, Any]) -> Analysis:
    """The analysis that `analysis.json` holds.

    Raises:
        TypeError: a field is missing or unknown.
    """
    restored = _restore(Analysis, value)
    assert isinstance(restored, Analysis)
    return restored


def _restore(kind: Any, value: Any) -> Any:
    """`value`, plain JSON, as the annotated type `kind`: dataclasses and tuples are made again."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if value is None:
        return None
    if origin in (types.UnionType, typing.Union):
        return _restore(next(k for k in inner if k is not type(None)), value)
    if origin is tuple:
        return tuple(_restore(inner[0], item) for item in value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{key: _restore(hints[key], item) for key, item in value.items()})
    return value
