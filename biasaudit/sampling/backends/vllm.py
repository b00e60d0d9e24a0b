"""The backend of vLLM's offline engine, for hosts with several GPUs and models that are too large for ours.

Written against vLLM 0.33. Prompts go in as our own token ids, so they are exactly what our engine would read. Every
request has a seed of its own; vLLM draws its own noise, and the same seed under another batch may give another text:
such an arm is coupled with no other, and its numerics say so.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from biasaudit.errors import InputError, UsageError
from biasaudit.identity import content_hash, key64
from biasaudit.records import Arm, Completion, ContinuationLogProb, FinishReason, SampleRequest
from biasaudit.sampling.backends import ArmSpec

VERSION = 1
BATCH = 4096
"""Requests handed to vLLM at a time: many enough to fill any GPU, few enough to be committed as they come."""
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "auto": "auto"}
_SEEDS = 2**31 - 1
_QUIET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
"""vLLM reports its use to its makers unless told not to."""


class Tokens(Protocol):
    """What we ask of a tokenizer."""

    @property
    def eot_id(self) -> int:
        """Id of the end-of-text token."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text."""
        ...

    def decode(self, ids: list[int]) -> str:
        """Text of ids."""
        ...


class VLLMBackend:
    """Completions and likelihoods of one arm through vLLM."""

    def __init__(
        self, spec: ArmSpec, *, arm: Arm, seed: int, folder: str, tokenizer: Tokens, context: int, dtype: str = "auto"
    ) -> None:
        """Load the weights onto the GPUs.

        Args:
            spec: options `gpus`, `memory` (share of each GPU's memory), `dtype`.
            arm: gives the fingerprints and the salt.
            seed: of the run; each request's own seed follows from it.
            folder: the model's files.
            tokenizer: the arm's.
            context: tokens that the model can hold.
            dtype: `auto`, `fp32`, `bf16` or `fp16`, unless the spec says.

        Raises:
            UsageError: vLLM is not installed, or an option cannot be used.
            InputError: vLLM refuses the model.
        """
        os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
        self._vllm = _import_vllm()
        self._arm, self._seed, self._tokenizer, self._context = arm, seed, tokenizer, context
        self._encode_after = getattr(tokenizer, "encode_after", tokenizer.encode)
        self._decode_after = getattr(tokenizer, "decode_after", tokenizer.decode)
        precision = spec.options.get("dtype", dtype)
        if precision not in _DTYPES:
            raise UsageError(f"vllm:…,dtype={precision}: expected one of {', '.join(_DTYPES)}")
        gpus, memory = _number(spec, "gpus", 1), _number(spec, "memory", 0.9)
        self._settings = {
            "tensor_parallel_size": int(gpus),
            "gpu_memory_utilization": memory,
            "dtype": _DTYPES[precision],
        }
        try:
            self._llm = self._vllm.LLM(
                model=folder, tokenizer=folder, trust_remote_code=False, seed=0, max_model_len=context, **self._settings
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise InputError(f"vllm:{spec.target}: vLLM cannot run it: {str(error).splitlines()[0]}") from error

    @property
    def arm_fingerprint(self) -> str:
        """Hash of the arm's weights, as sampled by vLLM."""
        return self._arm.fingerprint

    @property
    def tokenizer_fingerprint(self) -> str:
        """Hash of the arm's tokenizer."""
        return self._arm.tokenizer_fingerprint

    @property
    def numerics(self) -> Mapping[str, Any]:
        """The numerics fingerprint, spelled out."""
        return {
            "engine": f"vllm {VERSION}",
            "path": "vllm",
            "vllm": str(self._vllm.__version__),
            **self._settings,
            "batch_invariant": False,
        }

    @property
    def numerics_seen(self) -> Mapping[str, Mapping[str, Any]]:
        """The one fingerprint, by id."""
        return {self._numerics_id: self.numerics}

    @property
    def _numerics_id(self) -> str:
        return content_hash(self.numerics)[:16]

    def complete(self, requests: Iterable[SampleRequest]) -> Iterator[Completion]:
        """Yield one completion a request, in order, `BATCH` at a time.

        Raises:
            InputError: a prompt leaves no room in the model's context.
        """
        waiting = iter(requests)
        while batch := list(islice(waiting, BATCH)):
            prompts = [{"prompt_token_ids": self._ids(request.prompt)} for request in batch]
            settings = [
                self._params(request, self._context - len(prompt["prompt_token_ids"]))
                for request, prompt in zip(batch, prompts, strict=True)
            ]
            outputs = self._llm.generate(prompts, settings, use_tqdm=False)
            for request, output in zip(batch, outputs, strict=True):
                yield self._completion(request, output.outputs[0])

    def _ids(self, prompt: str) -> list[int]:
        """Ids of a prompt; an empty one starts from the end-of-text token, as in our own engine."""
        ids = self._tokenizer.encode(prompt) or [self._tokenizer.eot_id]
        if len(ids) >= self._context:
            raise InputError(
                f"A prompt ('{prompt[:57]}…') has {len(ids)} tokens, and the model's context is {self._context}, of "
                "which at least one is needed for the completion. Shorten the prompt."
            )
        return ids

    def _params(self, request: SampleRequest, room: int) -> Any:
        decoding = request.decoding
        return self._vllm.SamplingParams(
            n=1,
            temperature=decoding.temperature,
            top_k=decoding.top_k,
            top_p=decoding.top_p,
            min_p=decoding.min_p,
            repetition_penalty=decoding.repetition_penalty,
            max_tokens=min(decoding.max_new_tokens, room),
            stop=list(decoding.stop) or None,
            stop_token_ids=[self._tokenizer.eot_id],
            seed=key64("vllm", self._seed, self._arm.salt, request.prompt_id, request.index) % _SEEDS,
            logprobs=0,
        )

    def _completion(self, request: SampleRequest, output: Any) -> Completion:
        tokens = [int(token) for token in output.token_ids]
        logprobs = [float(at[token].logprob) for at, token in zip(output.logprobs or (), tokens, strict=False)]
        if tokens and tokens[-1] == self._tokenizer.eot_id:
            tokens, logprobs = tokens[:-1], logprobs[: len(tokens) - 1]
        reason = _reason(output)
        return Completion(
            arm_fingerprint=self._arm.fingerprint,
            prompt_id=request.prompt_id,
            decoding_id=request.decoding.decoding_id,
            seed=self._seed,
            salt=self._arm.salt,
            index=request.index,
            text=output.text if reason == "stop" else self._decode_after(tokens),
            token_ids=tuple(tokens),
            logprobs=tuple(logprobs),
            finish_reason=reason,
            numerics=self._numerics_id,
        )

    def continuations(self, prompt: str, continuations: Sequence[str]) -> list[ContinuationLogProb]:
        """Log P of each continuation after `prompt`, in the order given, from vLLM's log-probabilities of a prompt.

        Prompt and continuation are tokenised apart, as in our own engine.

        Raises:
            InputError: prompt and continuation together exceed the model's context.
        """
        start = self._ids(prompt)
        targets = [self._encode_after(text) for text in continuations]
        asked = [(place, target) for place, target in enumerate(targets) if target]
        for _, target in asked:
            if len(start) + len(target) >= self._context:
                raise InputError(
                    f"A stem ('{prompt[:57]}…') and its continuation have {len(start) + len(target)} tokens, and the "
                    f"model's context is {self._context}. Shorten them."
                )
        settings = self._vllm.SamplingParams(n=1, temperature=0.0, max_tokens=1, prompt_logprobs=0)
        outputs = self._llm.generate(
            [{"prompt_token_ids": [*start, *target]} for _, target in asked], settings, use_tqdm=False
        )
        totals = {
            place: sum(float(output.prompt_logprobs[len(start) + k][token].logprob) for k, token in enumerate(target))
            for (place, target), output in zip(asked, outputs, strict=True)
        }
        return [
            ContinuationLogProb(total=totals.get(place, 0.0), tokens=len(target), bytes=len(text.encode("utf-8")))
            for place, (text, target) in enumerate(zip(continuations, targets, strict=True))
        ]


def _reason(output: Any) -> FinishReason:
    """Read why vLLM ended: its `stop` is a stop string when it names one, and the end of the text otherwise."""
    if output.finish_reason == "length":
        return "length"
    if output.finish_reason == "stop":
        return "stop" if isinstance(output.stop_reason, str) else "eos"
    return "unknown"


def _number(spec: ArmSpec, name: str, default: float) -> float:
    try:
        value = float(spec.options.get(name, default))
    except ValueError:
        value = 0.0
    if not 0 < value < 1e4 or (name == "gpus" and value != int(value)) or (name == "memory" and value > 1):
        raise UsageError(f"vllm:…,{name}={spec.options[name]}: expected for instance gpus=2, memory=0.9")
    return value


def _import_vllm() -> Any:
    try:
        return importlib.import_module("vllm")
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "vllm":
            raise UsageError(
                "vllm: arms need vLLM, which wants a GPU and an environment of its own: pip install 'biasaudit[vllm]'. "
                "Without it, leave 'vllm:' away and our own engine samples the model."
            ) from error
        raise UsageError(f"vllm: arms need a working vLLM; importing it failed: {error}") from error


def build(**options: Any) -> VLLMBackend:
    """The door of this backend: see `VLLMBackend` for the options."""
    return VLLMBackend(**options)
