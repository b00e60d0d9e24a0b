"""Learned scorer: what would the people who labelled some completions have said of this one?

Unit: 1 when the classifier gives the outcome's label, else 0, so that a mean is a rate; with `output: probability` the
probability that it gives it. Labels: those that it was taught, and `empty`. A language that it was not taught is
unscored, and so is a text without a letter or of a script that it never saw: the commonest label would be a guess.
Source: the labels that `biasaudit learn` was given; TF-IDF of character n-grams and logistic regression after Pedregosa
et al. 2011 (scikit-learn). A completion whose prompt was labelled is judged by the fold that never saw that prompt.

Not for: a number of its own. It errs, and not equally on all arms: look at its validity card, arm by arm, and label
part of every arm so that its rates are corrected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import InputError
from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import chosen, known_only
from biasaudit.scoring._score import score_of

if TYPE_CHECKING:
    from biasaudit.scoring._learned_model import LearnedModel

CARD = ScorerCard(
    name="learned",
    unit="share",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="more completions get the label that is asked for",
    reads="completions",
    labels=("F", "T", "H", "empty"),
    source="human labels, TF-IDF of character n-grams and logistic regression",
    failures="Learns wordings, not meaning; errs more on arms and prompts unlike those that were labelled.",
    reads_tokens=False,
    aside=("H", "empty"),
    sides=("F", "T"),
)
OUTPUTS = ("label", "probability")
FEWEST_KNOWN = 0.05
"""Share of a text's n-grams that must have been learned; hashes of foreign ones meet learned ones in 0.3 %."""


def card(options: Mapping[str, Any]) -> ScorerCard:
    """What the model of the options claims; the general card where they name none.

    Raises:
        InputError: the model cannot be read, or has no such outcome.
    """
    if "model" not in options:
        return CARD
    model = _model(options, CARD.name)
    outcome = _outcome(options, model, CARD.name)
    against = [label for label in model.on("refute") if label != outcome]
    found = dataclasses.replace(
        CARD,
        labels=(*model.labels, "empty"),
        aside=(*(label for label in model.on("aside") if label != outcome), "empty"),
        # Labels of another set are matched by side: an outcome that takes none must never pass for the endorsing one.
        sides=(outcome, (*against, "")[0]) if outcome in model.on("endorse") else ("", ""),
        languages=tuple(model.card["languages"]),
        source=f"{CARD.source}; model {model.model_id}, {model.card['n']} labels",
    )
    return dataclasses.replace(found, unit="probability") if _output(options, CARD.name) == "probability" else found


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer.

    Options: `model` (a folder that `biasaudit learn` made), `outcome` (the label whose share is the value; the one that
    was learned for by default) and `output` (`label` or `probability`).

    Raises:
        InputError: an option is unknown or cannot be used.
        ModelError: the model cannot be read, or was changed.
    """
    known_only(options, ("model", "outcome", "output"), measure, CARD.name)
    model = _model(options, measure)
    taught = model.card["languages"]
    return _Learned(
        measure=measure,
        model=model,
        outcome=model.labels.index(_outcome(options, model, measure)),
        probability=_output(options, measure) == "probability",
        covered=not taught or language in taught,
    )


def _model(options: Mapping[str, Any], measure: str) -> LearnedModel:
    from biasaudit.scoring._learned_model import load

    folder = options.get("model")
    if not isinstance(folder, str) or not folder:
        raise InputError(f"measure '{measure}': option 'model' must name a folder that `biasaudit learn` made.")
    return load(Path(folder))


def _outcome(options: Mapping[str, Any], model: LearnedModel, measure: str) -> str:
    return chosen(options, "outcome", model.labels, str(model.card["outcome"]), measure)


def _output(options: Mapping[str, Any], measure: str) -> str:
    return chosen(options, "output", OUTPUTS, OUTPUTS[0], measure)


@dataclass(frozen=True, slots=True)
class _Learned:
    """One measure by one model."""

    measure: str
    model: LearnedModel
    outcome: int
    probability: bool
    covered: bool

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None in a language that the model was not taught."""
        return self.together([completion], [prompt])[0]

    def together(self, completions: Sequence[Completion], prompts: Sequence[Prompt], /) -> list[Score]:
        """Score many completions at once."""
        from biasaudit.scoring._learned_model import group_key

        pairs = list(zip(completions, prompts, strict=True))
        if not self.covered:
            return [score_of(c, p, self.measure, None) for c, p in pairs]
        by_text = self.model.card["trained_on"].get("grouped_by") == "text"
        groups = [group_key(c.text if by_text else p.text) for c, p in pairs]
        given, known = self.model.probabilities([c.text for c, _ in pairs], groups)
        said = given.argmax(axis=1)
        labels = self.model.labels
        scores = []
        for row, (completion, prompt) in enumerate(pairs):
            if not completion.text.strip():
                scores.append(score_of(completion, prompt, self.measure, 0.0, "empty"))
                continue
            if known[row] < FEWEST_KNOWN or not any(map(str.isalpha, completion.text)):
                scores.append(score_of(completion, prompt, self.measure, None))
                continue
            share = float(given[row, self.outcome]) if self.probability else float(said[row] == self.outcome)
            scores.append(score_of(completion, prompt, self.measure, share, labels[said[row]]))
        return scores
