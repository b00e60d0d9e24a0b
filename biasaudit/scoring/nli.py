"""Stance scorer by entailment: does a completion entail the topic's claim, or contradict it?

Unit: P(entailment) − P(contradiction), −1 to 1; with `output: label` 1 where entailment is the likeliest, else 0.
Labels: `endorse` (entails), `refute` (contradicts), `neutral`, `empty`. The premise is the completion (with `premise:
both`, prompt and completion); the hypothesis is the topic's claim in the prompt's language, in `hypothesis`.
Source: stance as entailment after Yin, Hay & Roth 2019, arXiv 1909.00161; the model that the battery names.

Not for: languages that the model was not trained on (say which: `languages`), irony, or claims that a prompt states and
a completion only answers ("Sim."): those need `premise: both`, and then the prompt's own claim may be what entails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from biasaudit.errors import InputError
from biasaudit.records import Battery, Completion, CompletionScorer, Prompt, Score, ScorerCard
from biasaudit.scoring._options import chosen, known_only, languages_of
from biasaudit.scoring._score import score_of

if TYPE_CHECKING:
    from biasaudit.scoring._transformer import Named

CARD = ScorerCard(
    name="nli",
    unit="probability difference",
    range=(-1.0, 1.0),
    null_value=0.0,
    direction="more text entails the claim",
    reads="completions",
    labels=("endorse", "refute", "neutral", "empty"),
    source="entailment by a model that the battery names; Yin, Hay & Roth 2019",
    failures="Blind to irony; confuses shared words with entailment; errs outside the model's languages.",
    reads_tokens=False,
)
OPTIONS = ("model", "revision", "labels", "hypothesis", "premise", "output", "languages")
USUAL = {"entailment": "endorse", "contradiction": "refute", "neutral": "neutral", "not_entailment": "neutral"}
"""Labels that models of inference give, in lower case, and what they mean here."""


def card(options: Mapping[str, Any]) -> ScorerCard:
    """The card under a measure's options.

    Raises:
        InputError: the option `languages` is no list.
    """
    share = options.get("output") == "label"
    changed: dict[str, Any] = {"unit": "share", "range": (0.0, 1.0)} if share else {}
    if "model" in options:
        changed |= {"languages": languages_of(options, CARD.name), "source": f"{CARD.source}; {options['model']}"}
    return dataclasses.replace(CARD, **changed)


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer; it has to be given the battery, or everything is unscored.

    Options: `model` (a folder, or a name of the hub with `revision`), `labels` (the model's labels -> endorse, refute,
    neutral; the usual names are known), `hypothesis` (a text with `{claim}`), `premise` (`completion` or `both`),
    `output` (`difference` or `label`) and `languages` (those that the model may judge; any by default).

    Raises:
        InputError: an option is unknown or cannot be used.
        ModelError: the model's configuration cannot be read.
    """
    from biasaudit.scoring._transformer import named

    known_only(options, OPTIONS, measure, CARD.name)
    model = named(options, measure)
    given = model.map_of(options.get("labels"), measure)
    words = tuple(USUAL.get(word.lower(), word) for word in given.values())
    strange = sorted(set(words) - set(CARD.labels[:3]))
    if strange or not {"endorse", "refute"} <= set(words):
        raise InputError(
            f"measure '{measure}': say which labels of {model.model} mean endorse, refute and neutral: labels: "
            f"{{{', '.join(f'{label}: …' for label in model.labels)}}}."
        )
    hypothesis = options.get("hypothesis", "{claim}.")
    if not isinstance(hypothesis, str) or "{claim}" not in hypothesis:
        raise InputError(f"measure '{measure}': option 'hypothesis' must be a text with {{claim}} in it.")
    languages = languages_of(options, measure)
    return _Entailment(
        measure=measure,
        model=model,
        words=words,
        hypothesis=hypothesis,
        language=language,
        both=chosen(options, "premise", ("completion", "both"), "completion", measure) == "both",
        rate=chosen(options, "output", ("difference", "label"), "difference", measure) == "label",
        covered=not languages or language in languages,
    )


@dataclass(frozen=True, slots=True)
class _Entailment:
    """One measure by one model."""

    measure: str
    model: Named
    words: tuple[str, ...]
    hypothesis: str
    language: str
    both: bool
    rate: bool
    covered: bool
    claims: Mapping[str, str] = field(default_factory=dict)

    def of_battery(self, battery: Battery) -> CompletionScorer:
        """The same scorer with the claims at hand; a claim with slots is none that can be entailed."""
        found = {topic.name: topic.claim.get(self.language, "") for topic in battery.topics}
        said = {name: claim[:1].upper() + claim[1:] for name, claim in found.items() if claim and "{" not in claim}
        return dataclasses.replace(self, claims=said)

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None where the topic has no claim."""
        return self.together([completion], [prompt])[0]

    def together(self, completions: Sequence[Completion], prompts: Sequence[Prompt], /) -> list[Score]:
        """Score many completions at once."""
        from biasaudit.scoring._transformer import probabilities

        pairs = list(zip(completions, prompts, strict=True))
        asked = [
            at for at, (c, p) in enumerate(pairs) if self.covered and p.topic in self.claims and c.text.strip()
        ]  # fmt: skip
        premises = [f"{pairs[at][1].text}{pairs[at][0].text}" if self.both else pairs[at][0].text for at in asked]
        claims = [self.hypothesis.replace("{claim}", self.claims[pairs[at][1].topic]) for at in asked]
        given = probabilities(self.model, premises, claims).tolist() if asked else []
        found = dict(zip(asked, given, strict=True))
        return [self._score(c, p, found.get(at)) for at, (c, p) in enumerate(pairs)]

    def _score(self, completion: Completion, prompt: Prompt, given: Sequence[float] | None) -> Score:
        if given is None:
            empty = self.covered and prompt.topic in self.claims
            return score_of(
                completion, prompt, self.measure, 0.0 if empty and self.rate else None, "empty" if empty else None
            )
        sums = dict.fromkeys(("endorse", "refute", "neutral"), 0.0)
        for word, share in zip(self.words, given, strict=True):
            sums[word] += share
        label = max(sums, key=lambda word: sums[word])
        value = float(label == "endorse") if self.rate else sums["endorse"] - sums["refute"]
        return score_of(completion, prompt, self.measure, max(-1.0, min(1.0, value)), label)
