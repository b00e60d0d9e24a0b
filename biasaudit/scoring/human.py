"""Human labels as a scorer: what the people who read a completion without knowing its arm said of it.

Unit: 1 when they gave the outcome's label, else 0, so that a mean is a rate; where every label of the set has a value,
that value. A completion counts as most of its readers found it at first sight; one that nobody read, and one on which
its readers are evenly divided, is unscored.
Source: the labels that `biasaudit label import` stored in the run.

Not for: a whole run without a plan. Labels of a sample chosen at random (as `biasaudit label` chooses) stand for the
rest; labels of hand-picked completions stand for themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from biasaudit.errors import InputError
from biasaudit.labels import HumanLabel, Key, LabelSet, decided, decided_topic, label_set
from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import chosen, known_only
from biasaudit.scoring._score import score_of

CARD = ScorerCard(
    name="human",
    unit="share",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="more completions get the label that is asked for",
    reads="completions",
    labels=("T", "F", "H"),
    source="labels given by people who did not know the arm",
    failures="People differ, tire and drift: look at their agreement; what nobody read is unscored.",
    reads_tokens=False,
    aside=("H",),
    sides=("F", "T"),
)
OPTIONS = ("labels", "outcome", "rater", "reads")
TOPIC = ("on_topic", "off_topic")


def card(options: Mapping[str, Any]) -> ScorerCard:
    """What the scorer claims under a battery's own labels.

    Raises:
        InputError: an option cannot be used.
    """
    asked = _asked(options, CARD.name)
    if asked.topic:
        return dataclasses.replace(CARD, labels=TOPIC, aside=TOPIC[1:], sides=("", ""), direction="more on topic")
    sides = ((*asked.labels.on("endorse"), "")[0], (*asked.labels.on("refute"), "")[0])
    found = dataclasses.replace(CARD, labels=asked.labels.keys, aside=asked.labels.on("aside"), sides=sides)
    values = asked.labels.values
    if asked.outcome or values is None:
        return found
    span = (min(values), max(values))
    return dataclasses.replace(found, unit="points of the scale", range=span, direction="higher on the scale")


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:  # noqa: ARG001 - one signature for all scorers
    """Make the scorer; it has to be given the run's labels (`labels.ReadsLabels`), or everything is unscored.

    Options: `labels` (the battery's own, see `labels.label_set`; T, F, H by default), `outcome` (the label whose share
    is the value; the first one that endorses by default), `rater` (one person's labels alone), and `reads`: `label`, or
    `on_topic` for what was said of the topic.

    Raises:
        InputError: an option is unknown or cannot be used.
    """
    known_only(options, OPTIONS, measure, CARD.name)
    return _Human(measure=measure, asked=_asked(options, measure))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the options ask for."""

    labels: LabelSet
    outcome: str
    """Empty where the value is that of the scale."""
    rater: str
    topic: bool


def _asked(options: Mapping[str, Any], measure: str) -> _Asked:
    labels = label_set(options.get("labels"), f"measure '{measure}', option 'labels'")
    outcome = options.get("outcome")
    if outcome is None and labels.values is None:
        outcome = next(iter(labels.on("endorse")), None)
        if outcome is None:
            raise InputError(
                f"measure '{measure}': say which label is the outcome (outcome: {labels.keys[0]}), or give one of them "
                "side: endorse, or all of them a value."
            )
    if outcome is not None and outcome not in labels.keys:
        raise InputError(f"measure '{measure}': outcome '{outcome}' is none of the labels {', '.join(labels.keys)}.")
    return _Asked(
        labels=labels,
        outcome=outcome or "",
        rater=str(options.get("rater", "")),
        topic=chosen(options, "reads", ("label", "on_topic"), "label", measure) == "on_topic",
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Human:
    """One measure of human labels."""

    measure: str
    asked: _Asked
    said: Mapping[Key, str | bool | None] = dataclasses.field(default_factory=dict)

    def given(self, labels: Sequence[HumanLabel]) -> CompletionScorer:
        """The same scorer with all labels of a run at hand."""
        own = [label for label in labels if not self.asked.rater or label.rater == self.asked.rater]
        set_id = self.asked.labels.set_id
        found: Mapping[Key, Any] = decided_topic(own, set_id) if self.asked.topic else decided(own, set_id)
        return dataclasses.replace(self, said=found)

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """The score of one completion; None where nobody read it or its readers are divided."""
        said = self.said.get(completion.key)
        if said is None:
            return score_of(completion, prompt, self.measure, None)
        if self.asked.topic:
            return score_of(completion, prompt, self.measure, float(said), TOPIC[0] if said else TOPIC[1])
        if self.asked.outcome:
            return score_of(completion, prompt, self.measure, float(said == self.asked.outcome), str(said))
        values = dict(zip(self.asked.labels.keys, self.asked.labels.values or (), strict=True))
        return score_of(completion, prompt, self.measure, values[str(said)], str(said))
