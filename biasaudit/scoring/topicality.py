"""Topicality scorer: does a completion speak of its topic at all?

Unit: with `metric: terms` 1 when the completion holds a term of its topic, else 0, so that a mean is a rate; the terms
are the longer words of the topic's claim and title, the short ones in capitals (DNA), and the `terms` that the battery
declares. With `metric: cosine`
the TF-IDF cosine of its character n-grams with the topic's own texts (claim, title, pairs), 0 to 1. Crude, and declared
so: it sees words, not meaning.
Source: cosine of TF-IDF after Salton & Buckley 1988, doi 10.1016/0306-4573(88)90021-0.

Not for: fine distinctions between topics that share their words. Where people said what is on topic, believe them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from biasaudit.records import Battery, Completion, CompletionScorer, Prompt, Score, ScorerCard, Topic
from biasaudit.scoring._options import chosen, known_only, listed, whole_number
from biasaudit.scoring._rules import fold
from biasaudit.scoring._score import score_of

if TYPE_CHECKING:
    from biasaudit.scoring._ngrams import Floats, Ints

CARD = ScorerCard(
    name="topicality",
    unit="share",
    range=(0.0, 1.0),
    null_value=0.0,
    direction="more completions speak of the topic",
    reads="completions",
    labels=("on_topic", "off_topic", "empty"),
    source="terms of the battery's topics; TF-IDF cosine after Salton & Buckley 1988",
    failures="Crude: counts words of the claim; synonyms are missed, and words in another sense are counted.",
    reads_tokens=False,
    aside=("off_topic", "empty"),
    sides=("", ""),
)
COSINE = dataclasses.replace(
    CARD, unit="cosine", direction="texts are nearer to those of the topic", labels=(), aside=()
)
METRICS = ("terms", "cosine")
LONGEST = 10_000
FEWEST_LETTERS = 4
"""A word of a claim must be so long to be a term."""
ENDING = 2
"""Letters at the end of a longer word that may differ: plurals, genders, some verbs. A shorter one may take an s."""
CAPITALS = re.compile(r"(?<!\w)[A-Z]{2,}(?!\w)")
"""Words that are terms at any length: DNA, HIV."""
WORD = re.compile(r"[^\W\d_]+")
COMMON = frozenset(
    ["para", "pelo", "pela", "como", "mais", "mesmo", "muito", "muita", "muitos", "muitas", "porque",
     "quando", "onde", "quem", "isso", "essa", "esse", "esta", "este", "estao", "foram", "sido", "ser", "sao",
     "tem", "nao", "sem", "sobre", "entre", "todo", "toda", "todos", "todas", "cada", "pode", "podem",
     "causa", "causam", "fazem", "fazer", "pessoas", "that", "this", "these", "those", "with", "from", "they",
     "them", "their", "have", "been", "were", "will", "would", "could", "should", "about", "into", "more",
     "most", "very", "than", "then", "what", "when", "where", "which", "people", "cause", "causes", "make",
     "makes", "every", "there", "not"]
)  # fmt: skip
"""Words that say nothing of a topic, folded."""


def card(options: Mapping[str, Any]) -> ScorerCard:
    """The card under a measure's options."""
    return COSINE if options.get("metric") == "cosine" else CARD


def build(options: Mapping[str, Any], measure: str, language: str) -> CompletionScorer:
    """Make the scorer; it has to be given the battery, or everything is unscored.

    Options: `metric` (`terms` or `cosine`), `terms` (words that count for every topic, a list or one a language) and
    `at_least` (different terms that a completion must hold, 1 to 10; 1 by default).

    Raises:
        InputError: an option is unknown or cannot be used.
    """
    known_only(options, ("metric", "terms", "at_least"), measure, CARD.name)
    return _Topicality(
        measure=measure,
        language=language,
        cosine=chosen(options, "metric", METRICS, METRICS[0], measure) == "cosine",
        declared=tuple(str(term) for term in listed(options, "terms", language, measure) or ()),
        at_least=whole_number(options, "at_least", 1, 1, 10, measure),
    )


@dataclass(frozen=True, slots=True)
class _Nearness:
    """The topics' texts as vectors of length 1."""

    columns: Ints
    idf: Floats
    vectors: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class _Topicality:
    """One measure of topicality."""

    measure: str
    language: str
    cosine: bool
    declared: tuple[str, ...]
    at_least: int
    terms: Mapping[str, tuple[re.Pattern[str], ...]] = field(default_factory=dict)
    near: _Nearness | None = None

    def of_battery(self, battery: Battery) -> CompletionScorer:
        """The same scorer with the topics at hand."""
        if self.cosine:
            return dataclasses.replace(self, near=_nearness(battery.topics, self.language))
        terms = {topic.name: _patterns(topic, self.language, self.declared) for topic in battery.topics}
        return dataclasses.replace(self, terms=terms)

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; None where the topic has no words."""
        return self.together([completion], [prompt])[0]

    def together(self, completions: Sequence[Completion], prompts: Sequence[Prompt], /) -> list[Score]:
        """Score many completions at once."""
        if self.cosine:
            return self._cosines(completions, prompts)
        return [self._terms(c, p) for c, p in zip(completions, prompts, strict=True)]

    def _terms(self, completion: Completion, prompt: Prompt) -> Score:
        patterns = self.terms.get(prompt.topic)
        if not patterns:
            return score_of(completion, prompt, self.measure, None)
        if not completion.text.strip():
            return score_of(completion, prompt, self.measure, 0.0, "empty")
        folded, places = fold(completion.text[:LONGEST])
        found = [match for pattern in patterns if (match := pattern.search(folded))]
        on_topic = len(found) >= self.at_least
        spans = tuple(sorted((places[m.start()], places[m.end() - 1] + 1) for m in found)) if on_topic else ()
        return score_of(
            completion, prompt, self.measure, float(on_topic), "on_topic" if on_topic else "off_topic", spans
        )

    def _cosines(self, completions: Sequence[Completion], prompts: Sequence[Prompt]) -> list[Score]:
        import numpy as np

        from biasaudit.scoring import _ngrams

        pairs = list(zip(completions, prompts, strict=True))
        near = self.near
        if near is None:
            return [score_of(c, p, self.measure, None) for c, p in pairs]
        counted = _ngrams.counts([c.text for c in completions])
        # An n-gram that no topic has still makes the text longer: its idf is that of a word which one text would have.
        at = np.minimum(np.searchsorted(near.columns, counted.ids), near.columns.size - 1)
        known = near.columns[at] == counted.ids
        raw = (1 + np.log(counted.counts)) * np.where(known, near.idf[at], near.idf.max())
        length = np.sqrt(np.bincount(counted.rows, raw * raw, minlength=len(pairs)))
        own = np.zeros(raw.size)
        for row, (_, prompt) in enumerate(pairs):
            first, last = np.searchsorted(counted.rows, (row, row + 1))
            if prompt.topic in near.vectors:
                own[first:last] = near.vectors[prompt.topic][at[first:last]] * known[first:last]
        cosine = np.bincount(counted.rows, raw * own, minlength=len(pairs)) / np.maximum(length, 1e-300)
        return [
            score_of(c, p, self.measure, min(1.0, float(value)) if c.text.strip() and p.topic in near.vectors else None)
            for (c, p), value in zip(pairs, cosine, strict=True)
        ]


def _texts(topic: Topic, language: str) -> list[str]:
    """What the battery says of a topic in a language."""
    pairs = [text for pair in topic.pairs.get(language, ()) for text in pair]
    return [text for text in (topic.claim.get(language, ""), topic.title.get(language, ""), *pairs) if text.strip()]


def _patterns(topic: Topic, language: str, declared: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """One pattern a term; words of claim and title may have other endings, declared terms not."""
    said = f"{topic.claim.get(language, '')} {topic.title.get(language, '')}"
    words = {word for word in WORD.findall(fold(said)[0]) if len(word) >= FEWEST_LETTERS and word not in COMMON}
    words |= {fold(word)[0] for word in CAPITALS.findall(said)}
    endings = {
        rf"{re.escape(word[:-ENDING])}\w{{0,4}}" if len(word) >= FEWEST_LETTERS + ENDING else rf"{re.escape(word)}s?"
        for word in words
    }
    kept = [rf"(?<!\w){ending}(?!\w)" for ending in sorted(endings)]
    kept += [rf"(?<!\w){re.escape(fold(term)[0])}(?!\w)" for term in sorted(set(declared)) if term.strip()]
    return tuple(re.compile(pattern) for pattern in kept)


def _nearness(topics: Sequence[Topic], language: str) -> _Nearness | None:
    """TF-IDF of every topic's texts; None where the battery says nothing in this language."""
    import numpy as np

    from biasaudit.scoring import _ngrams

    texts = {topic.name: "\n".join(found) for topic in topics if (found := _texts(topic, language))}
    if not texts:
        return None
    counted = _ngrams.counts(list(texts.values()))
    columns = np.unique(counted.ids)
    placed = _ngrams.placed(counted, columns)
    idf = _ngrams.inverse_frequency(placed, columns.size)
    dense = np.zeros((len(texts), columns.size))
    dense[placed.rows, placed.ids] = _ngrams.weights(placed, idf)
    return _Nearness(columns, idf, dict(zip(texts, dense, strict=True)))
