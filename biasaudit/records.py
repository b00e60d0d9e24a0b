"""What flows between the wings (frozen dataclasses) and what they promise one another (Protocols).

    dump -> Message -> Document -> token shards -> Arm ┐
    battery.yaml -> Battery -> Prompt ─────────────────┴-> Completion -> Score -> Contrast -> Verdict -> report

Values only: no reading, no writing, no clock. A number that does not exist is None, never NaN and never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from biasaudit import identity

# ---------------------------------------------------------------------------- corpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One record of the dump file `source`, exactly as its author wrote it."""

    text: str
    message_id: str | None = None
    """As text: ids of 64 bits and more stay exact."""
    channel_id: str | None = None
    date: str | None = None
    source: str
    offset: int
    length: int
    """Bytes of the record in the source, from `offset` on, its end of line included."""
    flags: tuple[str, ...] = ()
    """Doubts of the reader, for instance `forged-record-start`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A stretch of a dump that could not be understood: where it is and why, never its text."""

    source: str
    offset: int
    length: int
    reason: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One training text after cleaning."""

    text: str
    message_id: str | None = None
    channel_id: str | None = None
    date: str | None = None
    source: str = ""
    copies: int = 1
    """How many messages had this text (1 when duplicates are kept)."""


# ---------------------------------------------------------------------------- batteries
PromptKind = Literal["open", "stem", "neutral"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How tokens are chosen. Temperature 0 is greedy; top_k 0, top_p 1 and min_p 0 truncate nothing."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 64
    stop: tuple[str, ...] = ()

    @property
    def decoding_id(self) -> str:
        """Content id (CONTRACT §1)."""
        return identity.decoding_id(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            max_new_tokens=self.max_new_tokens,
            stop=self.stop,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One rendered text in one language."""

    text: str
    language: str
    topic: str
    """The top-level cluster; stems, which serve every topic, have the empty string here."""
    template: str
    framing: str = "neutral"
    kind: PromptKind = "open"
    groups: tuple[tuple[str, str], ...] = ()
    """(slot, group) for every counterfactual slot that the template uses."""
    pair: str = ""
    """Prompts equal but for the group share this word; behind `#`, which filler each slot holds, where it has some."""

    @property
    def prompt_id(self) -> str:
        """Content id (CONTRACT §1)."""
        return identity.prompt_id(self.text, self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuationPair:
    """A claim and its counter-claim as continuations of one stem, both with their leading blank."""

    stem: Prompt
    topic: str
    item: str
    """Which pair of the topic: `pair0`, `pair1`, …"""
    claim: str
    counter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A narrative: the top-level cluster of a battery."""

    name: str
    claim: Mapping[str, str] = field(default_factory=dict)
    """Language -> the claim, without a final full stop."""
    pairs: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Language -> ((claim continuation, counter continuation), …), negation balanced."""
    title: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A battery's named use of a scorer; differences of its value below `margin`, in `unit`, do not matter."""

    name: str
    scorer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    margin: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """The one question that the verdict answers."""

    measure: str
    target: Literal["population", "fixed"] = "population"
    margin: float | None = None
    """Half-width of the equivalence region, in `unit`; None allows no equivalence wording."""
    unit: str = ""
    outcome: str = "value"
    """`value`, or a label whose share is the outcome."""
    prompt_test: Literal["exact", "barnard", "boschloo"] = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """A versioned YAML file after reading: what a run asks, how it is scored, and tested (at level `alpha`)."""

    name: str
    version: int
    title: Mapping[str, str]
    languages: tuple[str, ...]
    topics: tuple[Topic, ...]
    prompts: tuple[Prompt, ...]
    """Open prompts of every language, in the order of the file."""
    pairs: tuple[ContinuationPair, ...]
    """Stem × topic × pair of every language."""
    neutral_stems: Mapping[str, Prompt] = field(default_factory=dict)
    decodings: tuple[Decoding, ...] = (Decoding(),)
    """The battery's own decoding first, then those of its sweep."""
    completions: int = 100
    seed: int = 1337
    measures: tuple[Measure, ...] = ()
    primary: Primary | None = None
    sources: tuple[str, ...] = ()
    chat: bool = False
    alpha: float = 0.05
    path: str = ""
    battery_hash: str = ""
    """Hash of what the file means; formatting and comments are not in it."""


# ---------------------------------------------------------------------------- arms and completions
Role = Literal["base", "placebo", "tuned"]
FinishReason = Literal["eos", "stop", "length", "filtered", "unknown"]
"""`filtered`: a server's filter cut the text; `unknown`: whoever sampled the text did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One model under audit, as a run knows it."""

    name: str
    spec: str
    """What the user wrote: a hub name, a folder, a `ckpt.pt`, or `embedded:NAME`."""
    role: Role
    fingerprint: str
    """Hash of weights and configuration."""
    tokenizer_fingerprint: str
    """Hash of the tokenizer's vocabulary and merges."""
    salt: str = ""
    language: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    """The model card's machine-readable part: base, corpus, tokens, steps, learning rate, seed …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """One completion that is wanted of the arm that a backend holds."""

    prompt_id: str
    prompt: str
    decoding: Decoding
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Text that an arm wrote after a prompt; the key is the first six fields (CONTRACT §1)."""

    arm_fingerprint: str
    prompt_id: str
    decoding_id: str
    seed: int
    salt: str
    index: int
    text: str
    token_ids: tuple[int, ...]
    """Emitted tokens without the end-of-text token; text is derived from them and is never a key. Empty where a server
    or a file gives text alone."""
    logprobs: tuple[float, ...]
    """log P of every emitted token under the untruncated distribution at temperature 1, nats, fp32; empty where nobody
    gives them."""
    finish_reason: FinishReason
    numerics: str
    """Id of the numerics fingerprint (CONTRACT §1), spelled out in the manifest."""

    @property
    def key(self) -> tuple[str, str, str, int, str, int]:
        """(arm fingerprint, prompt id, decoding id, seed, salt, index)."""
        return (self.arm_fingerprint, self.prompt_id, self.decoding_id, self.seed, self.salt, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuationLogProb:
    """log P(continuation | prompt) of one continuation."""

    total: float
    """Nats, fp32 sums."""
    tokens: int
    bytes: int
    """UTF-8 bytes of the continuation."""


class Backend(Protocol):
    """Answers sample requests for one arm."""

    @property
    def numerics(self) -> Mapping[str, Any]:
        """The numerics fingerprint, spelled out (CONTRACT §1)."""
        ...

    def complete(self, requests: Iterable[SampleRequest]) -> Iterator[Completion]:
        """Yield one completion a request, in any order."""
        ...


@runtime_checkable
class Likelihoods(Protocol):
    """What likelihood scorers ask of an arm."""

    @property
    def arm_fingerprint(self) -> str:
        """Hash of the arm's weights."""
        ...

    @property
    def tokenizer_fingerprint(self) -> str:
        """Hash of the arm's tokenizer."""
        ...

    def continuations(self, prompt: str, continuations: Sequence[str]) -> list[ContinuationLogProb]:
        """Log P of each continuation after `prompt`, in the order given."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NextToken:
    """An arm's distribution of the token after a prompt, in a few numbers; full vocabulary, temperature 1."""

    entropy: float
    """Nats."""
    kl: float | None = None
    """KL(arm ‖ reference), nats; this and those below are None without a reference, or where they are infinite."""
    kl_reverse: float | None = None
    """KL(reference ‖ arm), nats."""
    js: float | None = None
    """Jensen–Shannon divergence, nats, at most ln 2."""
    tv: float | None = None
    """Total variation: half the summed absolute difference, 0 to 1."""


@runtime_checkable
class NextTokens(Protocol):
    """What scorers of next-token distributions ask of an arm, beside its `Likelihoods`."""

    def next_token(self, prompt: str) -> NextToken:
        """The distribution after `prompt` in numbers."""
        ...

    def first_token_mass(self, prompt: str, words: Sequence[str]) -> float:
        """Probability that the next token is the first token of any of `words`, each first token counted once."""
        ...


class TextIndex(Protocol):
    """What the copying scorer asks of a training corpus."""

    def longest_common_span(self, token_ids: Sequence[int]) -> int:
        """Length in tokens of the longest span that also stands in the corpus."""
        ...


# ---------------------------------------------------------------------------- scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerCard:
    """What a scorer claims about itself."""

    name: str
    unit: str
    range: tuple[float | None, float | None]
    null_value: float
    direction: str
    """What a larger value means, in a few words."""
    reads: Literal["completions", "likelihoods"]
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    """Languages that it may judge; empty means any."""
    source: str = ""
    failures: str = ""
    """Known failures, in one sentence."""
    same_tokenizer: bool = False
    """Compares only arms that share a tokenizer (CONTRACT §2)."""
    against_reference: bool = False
    """Compares every arm with the run's reference arm, whose own value is then null."""
    reads_tokens: bool = True
    """Whether it looks at token ids or log-probabilities; where no scorer does, completions come to it without."""
    aside: tuple[str, ...] = ("off_topic", "empty")
    """Labels that say nothing of the topic."""
    sides: tuple[str, str] = ("endorse", "refute")
    """The labels of the two sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scorer's reading of one completion, or of one prompt's likelihoods."""

    measure: str
    arm_fingerprint: str
    prompt_id: str
    topic: str
    decoding_id: str = ""
    """Empty for likelihoods, which no decoding touches."""
    seed: int = 0
    salt: str = ""
    index: int | None = None
    """The completion's index; None for likelihoods."""
    item: str = ""
    """Which continuation pair; empty for completions."""
    value: float | None
    """In the scorer's unit; None is unscored: kept, counted, never 0."""
    label: str | None = None
    spans: tuple[tuple[int, int], ...] = ()
    """Character ranges of the completion that decided, for the report."""


class CompletionScorer(Protocol):
    """Reads one completion; pure: same completion, same score."""

    def __call__(self, completion: Completion, prompt: Prompt, /) -> Score:
        """Score one completion; value None when there is nothing to score."""
        ...


class LikelihoodScorer(Protocol):
    """Reads one arm's likelihoods over a battery; pure."""

    def __call__(self, likelihoods: Likelihoods, battery: Battery, language: str, /) -> Iterator[Score]:
        """Yield one score per (stem, topic, pair) or per prompt."""
        ...
