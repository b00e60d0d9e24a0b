"""Classifier scorer: what does a text classifier of transformers say of a completion (toxicity, sentiment, regard)?

Unit: the probability of the outcome's label; with `output: label` 1 where it is the likeliest label, else 0, so that a
mean is a rate. Labels: the model's own, renamed as `labels` says, and `empty`.
Source: the model that the battery names, by folder, or by hub name and revision.

Not for: languages and kinds of text that the model was not trained on: say which it may judge (`languages`); the rest
is unscored. Toxicity models take mentions of groups for attacks on them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biasaudit.errors import InputError
from biasaudit.records import Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import chosen, known_only, languages_of
from biasaudit.scoring._score import score_of

if TYPE_CHECKING:
    from biasaudit.scoring._transformer import Named

CARD = ScorerCard(
    name="classifier",
    unit="probability",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="the outcome's label is more probable",
    reads="completions",
    source="a text classifier that the battery names",
    failures="Errs outside its training data, and not equally on all arms; mentions of groups may count as toxic.",
    reads_tokens=False,
    aside=("empty",),
    sides=("", ""),
)
OPTIONS = ("model", "revision", "labels", "outcome", "output", "languages")
OUTPUTS = ("probability", "label")


def card(options: Mapping[str, Any]) -> ScorerCard:
    """What the model of the options claims; the general card where they name none.

    Raises:
        InputError: an option cannot be used.
        ModelError: the model's configuration cannot be read.
    """
    if "model" not in options:
        return CARD
    asked = _asked(options, CARD.name)
    return dataclasses.replace(
        CARD,
        unit="share" if asked.rate else CARD.unit,
        labels=(*dict.fromkeys(asked.words), "empty"),
        languages=asked.languages,
        source=asked.model.model + (f"@{asked.model.revision}" if asked.model.revision else ""),
    )


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer; the model is loaded when the first completion comes.

    Options: `model` (a folder, or a name of the hub with `revision`), `outcome` (the label that counts), `labels` (the
    model's labels -> yours; several may become one), `output` (`probability` or `label`) and `languages` (those that
    the model may judge; any by default).

    Raises:
        InputError: an option is unknown or cannot be used.
        ModelError: the model's configuration cannot be read.
    """
    known_only(options, OPTIONS, measure, CARD.name)
    asked = _asked(options, measure)
    covered = not asked.languages or language in asked.languages
    return _Classifier(measure=measure, asked=asked, covered=covered)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the options ask for."""

    model: Named
    words: tuple[str, ...]
    """Our label for each of the model's."""
    outcome: str
    rate: bool
    languages: tuple[str, ...]


def _asked(options: Mapping[str, Any], measure: str) -> _Asked:
    from biasaudit.scoring._transformer import named

    model = named(options, measure)
    words = tuple(model.map_of(options.get("labels"), measure).values())
    if options.get("outcome") not in words:
        raise InputError(
            f"measure '{measure}': option 'outcome' must name the label that counts, one of "
            f"{', '.join(dict.fromkeys(words))}."
        )
    languages = languages_of(options, measure)
    rate = chosen(options, "output", OUTPUTS, OUTPUTS[0], measure) == "label"
    return _Asked(model, words, str(options["outcome"]), rate, languages)


@dataclass(frozen=True, slots=True)
class _Classifier:
    """One measure by one model."""

    measure: str
    asked: _Asked
    covered: bool

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None in a language that the model may not judge."""
        return self.together([completion], [prompt])[0]

    def together(self, completions: Sequence[Completion], prompts: Sequence[Prompt], /) -> list[Score]:
        """Score many completions at once."""
        from biasaudit.scoring._transformer import probabilities

        pairs = list(zip(completions, prompts, strict=True))
        if not self.covered:
            return [score_of(c, p, self.measure, None) for c, p in pairs]
        full = [at for at, (completion, _) in enumerate(pairs) if completion.text.strip()]
        given = probabilities(self.asked.model, [pairs[at][0].text for at in full])
        found = dict(zip(full, given.tolist(), strict=True))
        return [self._score(c, p, found.get(at)) for at, (c, p) in enumerate(pairs)]

    def _score(self, completion: Completion, prompt: Prompt, given: Sequence[float] | None) -> Score:
        if given is None:
            return score_of(completion, prompt, self.measure, 0.0 if self.asked.rate else None, "empty")
        sums: dict[str, float] = {}
        for word, share in zip(self.asked.words, given, strict=True):
            sums[word] = sums.get(word, 0.0) + share
        label = max(sums, key=lambda word: sums[word])
        value = float(label == self.asked.outcome) if self.asked.rate else min(1.0, sums[self.asked.outcome])
        return score_of(completion, prompt, self.measure, value, label)
