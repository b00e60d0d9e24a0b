"""The backend of vLLM's offline engine, for hosts with several GPUs and models that are too large for ours.

Exercised with vLLM 0.32 on a CPU. Prompts go in as our own token ids, so they are exactly what our engine would read,
and a text ends at the tokens that end it there, whatever else the model's generation settings name. Every request has
a seed of its own; vLLM draws its own noise, and the same seed under another batch may give another text: such an arm is
coupled with no other, and its numerics say so.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

from biasaudit.errors import InputError, ResourceError, UsageError
from biasaudit.identity import content_hash, key64
from biasaudit.records import Arm, Completion, ContinuationLogProb, FinishReason, SampleRequest
from biasaudit.sampling.backends import ArmSpec
from biasaudit.sampling.starting import started

VERSION = 2
BATCH = 4096
"""Requests handed to vLLM at a time: many enough to fill any GPU, few enough to be committed as they come."""
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "auto": "auto"}
_SEEDS = 2**31 - 1
_DEAD = ("EngineDeadError", "EngineGenerateError")
_QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
}
"""vLLM reports its use to its makers unless told not to, and logs to stdout, where `--json` puts its results."""


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
            spec: options `gpus`, `memory` (share of each GPU's memory, or of the machine's), `context`, `dtype`.
            arm: gives the fingerprints and the salt.
            seed: of the run; each request's own seed follows from it.
            folder: the model's files.
            tokenizer: the arm's.
            context: tokens that the model can hold; the option asks for fewer, so that less memory is reserved.
            dtype: `auto`, `fp32`, `bf16` or `fp16`, unless the spec says.

        Raises:
            UsageError: vLLM is not installed, or an option cannot be used.
            InputError: vLLM refuses the model.
            ResourceError: its engine does not start, mostly for lack of memory.
        """
        os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
        self._vllm = _import_vllm()
        self._arm, self._seed, self._tokenizer = arm, seed, tokenizer
        self._context = min(context, int(_number(spec, "context", context)))
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
            self._llm = started(
                lambda: self._vllm.LLM(
                    model=folder,
                    tokenizer=folder,
                    trust_remote_code=False,
                    seed=0,
                    max_model_len=self._context,
                    **({"enable_chunked_prefill": False} if _on_cpu() else {}),
                    **self._settings,
                )
            )
        except (RuntimeError, TimeoutError) as error:
            raise ResourceError(
                f"vllm:{spec.target}: vLLM's engine did not start: {_first_line(error)} What vLLM wrote above says "
                f"why. Where memory is short, ask for less: ,memory=0.5 (a share of it) or ,context=2048"
            ) from error
        except (ValueError, OSError) as error:
            raise InputError(f"vllm:{spec.target}: vLLM cannot run it: {_first_line(error)}") from error
        self._processor = _processor()
        self._ends = sorted(_ends(self._llm, tokenizer))

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
            **self._processor,
            **({"ends": self._ends} if len(self._ends) > 1 else {}),
            "batch_invariant": False,
        }

    @property
    def numerics_seen(self) -> Mapping[str, Mapping[str, Any]]:
        """The one fingerprint, by id."""
        return {self._numerics_id: self.numerics}

    @cached_property
    def _numerics_id(self) -> str:
        return content_hash(self.numerics)[:16]

    def close(self) -> None:
        """Let the engine's processes and the memory that they hold go, so that the next arm's can start.

        It dies with its last reference too, at a time of the garbage collector's choosing.
        """
        engine = getattr(getattr(self._llm, "llm_engine", None), "engine_core", None)
        shutdown = getattr(engine, "shutdown", None)
        if shutdown is not None:
            shutdown()

    def complete(self, requests: Iterable[SampleRequest]) -> Iterator[Completion]:
        """Yield one completion a request, in order, `BATCH` at a time.

        Raises:
            InputError: a prompt leaves no room in the model's context.
            ResourceError: vLLM's engine died.
        """
        waiting = iter(requests)
        while batch := list(islice(waiting, BATCH)):
            prompts = [{"prompt_token_ids": self._ids(request.prompt)} for request in batch]
            settings = [
                self._params(request, self._context - len(prompt["prompt_token_ids"]))
                for request, prompt in zip(batch, prompts, strict=True)
            ]
            outputs = self._generate(prompts, settings)
            for request, output in zip(batch, outputs, strict=True):
                yield self._completion(request, output.outputs[0])

    def _generate(self, prompts: list[Any], settings: Any) -> list[Any]:
        try:
            found: list[Any] = self._llm.generate(prompts, settings, use_tqdm=False)
        except Exception as error:
            if type(error).__name__ not in _DEAD:
                raise
            raise ResourceError(
                f"arm {self._arm.name}: vLLM's engine died: {_first_line(error)} Every part that was committed is "
                "kept; the same command goes on. Where memory was short, ,memory=0.5 asks for less of it."
            ) from error
        return found

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
            stop_token_ids=self._ends,
            ignore_eos=True,
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            seed=key64("vllm", self._seed, self._arm.salt, request.prompt_id, request.index) % _SEEDS,
            logprobs=0,
        )

    def _completion(self, request: SampleRequest, output: Any) -> Completion:
        tokens = [int(token) for token in output.token_ids]
        logprobs = [float(at[token].logprob) for at, token in zip(output.logprobs or (), tokens, strict=False)]
        if tokens and tokens[-1] in self._ends:
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
        outputs = self._generate([{"prompt_token_ids": [*start, *target]} for _, target in asked], settings)
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
    whole = name != "memory"
    if not 0 < value < 1e8 or (whole and value != int(value)) or (not whole and value > 1):
        raise UsageError(f"vllm:…,{name}={spec.options[name]}: expected for instance gpus=2, memory=0.9, context=2048")
    return value


def _first_line(error: Exception) -> str:
    """What an error says first; vLLM's reach over pages."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _ends(llm: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end a completion, the same as in our engine."""
    from biasaudit.sampling.backends.torch import ends_of

    config = getattr(getattr(llm, "model_config", None), "hf_config", None)
    return frozenset((tokenizer.eot_id,)) if config is None else ends_of(config, tokenizer)


def _on_cpu() -> bool:
    """Whether vLLM computes on the CPU, by its own account.

    There a prompt read in pieces sets back the request's random numbers, which torch's generator for CPUs refuses: in
    vLLM 0.32 the engine dies of it ("CPU Generator does not use offset").
    """
    try:
        return bool(importlib.import_module("vllm.platforms").current_platform.is_cpu())
    except (ImportError, AttributeError):
        return False


def _processor() -> dict[str, str]:
    """Where vLLM computes; asked after its engine started, for vLLM forks, and a GPU must not be touched before."""
    import torch

    cpu = _on_cpu() or not torch.cuda.is_available()
    return {
        "device": "cpu" if cpu else "cuda",
        "processor": torch.backends.cpu.get_cpu_capability() if cpu else torch.cuda.get_device_name(0),
        "torch": str(torch.__version__),
    }


def _import_vllm() -> Any:
    try:
        found = importlib.import_module("vllm")
        _ = found.LLM, found.SamplingParams  # vLLM imports most of itself when they are first asked for
        return found
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "vllm":
            raise UsageError(
                "vllm: arms need vLLM, which wants an environment of its own: pip install 'biasaudit[vllm]'. "
                "Without it, leave 'vllm:' away and our own engine samples the model."
            ) from error
        raise UsageError(f"vllm: arms need a working vLLM; importing it failed: {_first_line(error)}") from error


def build(**options: Any) -> VLLMBackend:
    """The door of this backend: see `VLLMBackend` for the options."""
    return VLLMBackend(**options)
