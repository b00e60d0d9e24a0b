"""The backend of local models: a causal model of transformers, sampled by our engine.

Prompts are used exactly as written, with no chat template and no special token; an empty prompt starts from the
end-of-text token, as a document does in training. Tokens beyond the tokenizer's vocabulary (embedding matrices are
often padded) have no text: they are never chosen, and the distribution is the one over the tokens that have.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch

from biasaudit.errors import BiasAuditError, InputError, ModelError, ResourceError, UsageError
from biasaudit.identity import content_hash
from biasaudit.records import Arm, Completion, ContinuationLogProb, SampleRequest
from biasaudit.sampling import kernels
from biasaudit.sampling.backoff import UNKNOWN, usual_tile
from biasaudit.sampling.choose import BEST
from biasaudit.sampling.decoders import select
from biasaudit.sampling.decoders.base import Allocate, allocate_zeros
from biasaudit.sampling.distributions import first_tokens
from biasaudit.sampling.engine import VERSION, Engine, Finished
from biasaudit.sampling.graph import graphed
from biasaudit.sampling.kernels import machine
from biasaudit.sampling.likelihoods import continuation_logprobs, next_token_logprobs, text_logprob
from biasaudit.sampling.noise import row_key
from biasaudit.sampling.queue import Job

_PROMPTS_REMEMBERED = 1024

_COLDEST = 1e-6
"""Logits divided by much less than this overflow, and what is chosen then means nothing."""


class Tokens(Protocol):
    """What we ask of a tokenizer."""

    @property
    def eot_id(self) -> int:
        """Id of the end-of-text token."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of vocabulary and merges."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text."""
        ...

    def decode(self, ids: list[int]) -> str:
        """Text of ids."""
        ...


class TorchBackend:
    """Completions and likelihoods of one arm."""

    def __init__(
        self,
        model: Any,
        tokenizer: Tokens,
        *,
        arm: Arm,
        seed: int,
        tile: int | None = None,
        threads: int | None = None,
        best: int = BEST,
        allocate: Allocate = allocate_zeros,
    ) -> None:
        """Put `model` in evaluation mode and choose the path that runs it.

        Args:
            model: a causal model of transformers, on its device and in its dtype.
            tokenizer: the arm's.
            arm: gives the fingerprints and the salt.
            seed: of the noise.
            tile: rows that run at a time; None for what is usual on the device.
            threads: of torch, for the whole process; None leaves them.
            best: tokens with noise of their own when nothing is truncated.
            allocate: makes the cache's tensors; a test runs out of memory here.

        Raises:
            ModelError: the tokenizer has more tokens than the model, or the model's logits are not numbers.
            ResourceError: memory does not suffice for a single row.
            UsageError: a tile or thread count below 1.
        """
        width = int(model.get_input_embeddings().weight.shape[0])
        if tile is None:
            tile = usual_tile(model.get_input_embeddings().weight.device) or UNKNOWN
        if tile < 1 or (threads is not None and threads < 1):
            raise UsageError(f"tile {tile}, threads {threads}: both must be at least 1.")
        if tokenizer.vocab_size > width:
            raise ModelError(
                f"Arm '{arm.name}': its tokenizer has {tokenizer.vocab_size} tokens, its model only {width}. "
                "Use the tokenizer that the model was trained with."
            )
        # Even where the number stays: it also forbids MKL to use fewer threads as it sees fit (MKL_DYNAMIC).
        torch.set_num_threads(threads or torch.get_num_threads())
        model.eval()
        self._tokenizer, self._arm, self._seed, self._best = tokenizer, arm, seed, best
        try:
            decoder = select.choose(model, vocabulary=tokenizer.vocab_size, allocate=allocate)
        except BiasAuditError as error:
            raise ModelError(f"Arm '{arm.name}': {error}") from error
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ResourceError(
                f"Arm '{arm.name}': its weights are loaded, and there is no memory left to run a single row. Use half "
                "precision (--dtype bfloat16), a smaller model, or another device."
            ) from error
        self._decoder = graphed(decoder)
        self._mark = kernels.mark(self._decoder.device)  # read once: the engine holds to the answer of now
        self._encode_after = getattr(tokenizer, "encode_after", tokenizer.encode)
        self._ends = ends_of(model.config, tokenizer)
        decode = getattr(tokenizer, "decode_after", tokenizer.decode)
        self._engine = Engine(self._decoder, decode, ends=self._ends, tile=tile, best=best)
        self._prompts: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._seen: dict[str, Mapping[str, Any]] = {}

    @property
    def arm_fingerprint(self) -> str:
        """Hash of the arm's weights."""
        return self._arm.fingerprint

    @property
    def tokenizer_fingerprint(self) -> str:
        """Hash of the arm's tokenizer."""
        return self._arm.tokenizer_fingerprint

    @property
    def numerics(self) -> Mapping[str, Any]:
        """The numerics fingerprint, spelled out; its tile shrinks when memory runs out."""
        return self._numerics(self._engine.tile)

    @property
    def numerics_id(self) -> str:
        """16 hex digits: `Completion.numerics` of the next completion."""
        return content_hash(self.numerics)[:16]

    @property
    def numerics_seen(self) -> Mapping[str, Mapping[str, Any]]:
        """Every fingerprint under which this backend made a completion, by id."""
        return dict(self._seen)

    def _numerics(self, tile: int) -> dict[str, Any]:
        device = self._decoder.device
        cpu = device.type == "cpu"
        further = {"ends": sorted(self._ends)} if len(self._ends) > 1 else {}
        return {
            "engine": VERSION,
            "path": self._decoder.path + self._mark,
            "dtype": str(self._decoder.dtype).removeprefix("torch."),
            "device": device.type,
            "processor": " ".join((*kernels.processor(), *kernels.settings()))
            if cpu
            else " ".join(machine.on_gpu(device.index or 0)),
            "tile": tile,
            "threads": torch.get_num_threads() if cpu else 0,
            "torch": str(torch.__version__),
            "best": self._best,
            **further,
        }

    def complete(self, requests: Iterable[SampleRequest]) -> Iterator[Completion]:
        """Yield one completion a request, in the order of finishing.

        Requests are read as they are needed, a few tiles ahead; nothing is kept of what was yielded. `token_ids` and
        `logprobs` of a completion that a stop string ended run to the end of that string; its text stops before it.

        Raises:
            InputError: a prompt leaves no room in the model's context.
            UsageError: a decoding that cannot work.
            ResourceError: memory does not suffice for a single row.
        """
        jobs = (self._job(number, request) for number, request in enumerate(requests))
        for finished in self._engine.run(jobs):
            yield self._completion(finished)

    def _job(self, number: int, request: SampleRequest) -> Job:
        decoding = request.decoding
        if not (
            (decoding.temperature == 0.0 or decoding.temperature >= _COLDEST)
            and decoding.top_k >= 0
            and 0.0 < decoding.top_p <= 1.0
            and 0.0 <= decoding.min_p <= 1.0
            and decoding.repetition_penalty > 0.0
            and decoding.max_new_tokens >= 0
            and all(decoding.stop)
        ):
            raise UsageError(
                f"{decoding}: expected temperature 0 (greedy) or ≥ {_COLDEST}, top_k ≥ 0, top_p in (0, 1], "
                "min_p in [0, 1], repetition_penalty > 0, max_new_tokens ≥ 0 and no empty stop string."
            )
        prompt = self._encode(request.prompt)
        left = self._decoder.context - len(prompt)
        if left <= 0:
            raise InputError(_too_long(request.prompt_id, request.prompt, len(prompt), self._decoder.context))
        room = min(decoding.max_new_tokens, left)
        return Job(
            number=number,
            request=request,
            prompt=prompt,
            room=room,
            key=row_key(self._seed, self._arm.tokenizer_fingerprint, request.prompt_id, self._arm.salt, request.index),
            length_class=self._decoder.length_class(len(prompt) + room),
        )

    def _encode(self, prompt: str) -> tuple[int, ...]:
        """Ids of a prompt; the same prompt comes hundreds of times, so the last ones are remembered."""
        known = self._prompts.get(prompt)
        if known is None:
            known = tuple(self._tokenizer.encode(prompt)) or (self._tokenizer.eot_id,)
            self._prompts[prompt] = known
            if len(self._prompts) > _PROMPTS_REMEMBERED:
                self._prompts.popitem(last=False)
        return known

    def _completion(self, finished: Finished) -> Completion:
        request = finished.job.request
        numerics = self._numerics(finished.tile)
        numerics_id = content_hash(numerics)[:16]
        self._seen.setdefault(numerics_id, numerics)
        return Completion(
            arm_fingerprint=self._arm.fingerprint,
            prompt_id=request.prompt_id,
            decoding_id=request.decoding.decoding_id,
            seed=self._seed,
            salt=self._arm.salt,
            index=request.index,
            text=finished.text,
            token_ids=tuple(finished.tokens),
            logprobs=tuple(finished.logprobs),
            finish_reason=finished.reason,
            numerics=numerics_id,
        )

    def continuations(self, prompt: str, continuations: Sequence[str]) -> list[ContinuationLogProb]:
        """Log P of each continuation after `prompt`, in the order given; the prompt runs once for all of them.

        Prompt and continuation are tokenised apart and their ids joined: the leading blank belongs to the
        continuation, and the prompt's ids stay those that sampling uses, whatever follows. Tokenised as one text, a
        merge across the seam would give claim and counter-claim different prompts. A value does not depend on the
        other continuations (`likelihoods`).

        Raises:
            InputError: prompt and continuation together exceed the model's context.
        """
        start = self._encode(prompt)
        targets = [self._encode_after(text) for text in continuations]
        for text, target in zip(continuations, targets, strict=True):
            if len(start) + len(target) - 1 > self._decoder.context:
                size = len(start) + len(target)
                raise InputError(_too_long("with a continuation", prompt + text, size, self._decoder.context))
        found = continuation_logprobs(self._decoder, start, targets)
        return [
            ContinuationLogProb(total=float(each.sum()), tokens=len(each), bytes=len(text.encode("utf-8")))
            for text, each in zip(continuations, found, strict=True)
        ]

    def bits_per_byte(self, text: str) -> float:
        """Bits that the model needs for a byte of a held-out text, comparable across tokenizers; see `text_logprob`.

        Raises:
            InputError: the text is empty.
        """
        size = len(text.encode("utf-8"))
        if not size:
            raise InputError("bits per byte of an empty text do not exist; give a text of at least one character.")
        ids = self._tokenizer.encode(text)
        return -text_logprob(self._decoder, ids, self._tokenizer.eot_id) / math.log(2) / size

    def next_token_logprobs(self, prompt: str) -> torch.Tensor:
        """fp64 (V,): log P of every token as the next one after `prompt`, temperature 1, nothing truncated.

        Raises:
            InputError: the prompt is longer than the model's context.
        """
        ids = self._encode(prompt)
        if len(ids) > self._decoder.context:
            raise InputError(_too_long("of a next token", prompt, len(ids), self._decoder.context))
        return next_token_logprobs(self._decoder, ids)

    def first_token_mass(self, prompt: str, words: Sequence[str]) -> float:
        """Probability that the next token is the first of any of `words`, each first token counted once."""
        firsts = first_tokens(self._encode_after, words)
        return min(1.0, float(self.next_token_logprobs(prompt)[firsts].exp().sum()))


def ends_of(config: Any, tokenizer: Tokens) -> frozenset[int]:
    """Ids that end a completion: the tokenizer's end-of-text, and what else the configuration ends texts with.

    A model may have several (Llama 3). An id that is ordinary text to the tokenizer ends nothing: configurations that
    were never told theirs carry the one of their class.
    """
    named = getattr(config.get_text_config(), "eos_token_id", None)
    named = named if isinstance(named, (list, tuple)) else [named]
    special: frozenset[int] = getattr(tokenizer, "special_ids", frozenset())
    return frozenset((tokenizer.eot_id, *(end for end in named if end in special)))


def _too_long(prompt_id: str, text: str, tokens: int, context: int) -> str:
    head = text if len(text) <= 60 else text[:57] + "…"
    return (
        f"Prompt {prompt_id} ('{head}') has {tokens} tokens, and the model's context is {context}, of which "
        "at least one is needed for the completion. Shorten the prompt, or use a model with a longer context."
    )


def build(**options: Any) -> TorchBackend:
    """The door of this backend: see `TorchBackend` for the options."""
    return TorchBackend(**options)
