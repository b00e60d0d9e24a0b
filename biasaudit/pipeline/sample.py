"""`biasaudit sample`: a few completions of one prompt from every arm, to look at a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from biasaudit.errors import ResourceError, UsageError
from biasaudit.pipeline.arms import backend_of
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.plan import Machine, choose_decodings, resolve_arms
from biasaudit.pipeline.progress import Console, visible
from biasaudit.records import Arm, Battery, Completion, Decoding, Prompt, SampleRequest

DEFAULT_SEED = 1337
SPEAKERS = {"en": ("You", "He"), "pt": ("Você", "Ele")}
SPOKEN = re.compile(r"\w[\w ]{0,30}: ")


def memory_size(count: int) -> str:
    """Bytes in the unit that a person reads: MiB below one GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def open_backend(arm: Arm, machine: Machine, *, seed: int, memory: int = 0, console: Console | None = None) -> Any:
    """What answers for an arm: its weights behind our engine (the memory is said first), or another backend.

    Raises:
        ResourceError: the weights do not fit.
        ModelError: the weights are not what they claim.
        InputError: a file or server of the arm cannot be used.
    """
    if backend_of(arm) != "torch":
        from biasaudit.pipeline.elsewhere import open_elsewhere

        return open_elsewhere(arm, machine, seed=seed)
    import torch
    from transformers.utils.logging import disable_progress_bar

    from biasaudit.lm.device import pick_device, pick_dtype
    from biasaudit.lm.load import load
    from biasaudit.sampling.backends.torch import TorchBackend

    if machine.threads:
        torch.set_num_threads(machine.threads)
    disable_progress_bar()
    if console is not None:
        precision = pick_dtype(machine.dtype, pick_device(machine.device))
        console.say(f"loading {arm.name} ({arm.spec}): its weights need {memory_size(memory)} in {precision}")
    try:
        loaded = load(arm.spec, dtype=machine.dtype, device=machine.device)
    except MemoryError as error:
        raise ResourceError(
            f"arm {arm.name} ({arm.spec}): not enough memory for {memory_size(memory)} of weights"
        ) from error
    tile = machine.tile or _automatic_tile(loaded.model)
    return TorchBackend(loaded.model, loaded.tokenizer, arm=arm, seed=seed, threads=machine.threads, tile=tile)


def _automatic_tile(model: Any) -> int:
    """Rows that fit into the memory left; on a CPU at most `usual_tile`."""
    from biasaudit.lm.device import free_bytes
    from biasaudit.sampling.backoff import automatic_tile, usual_tile

    weight = model.get_input_embeddings().weight
    size, usual = weight.element_size(), usual_tile(weight.device)
    return automatic_tile(model.config, free=free_bytes(weight.device), bytes_per_value=size, usual=usual)


def transcript(turns: Sequence[str], language: str) -> str:
    """Turns as the transcript that a base model continues; the speaker after the last turn is left to answer.

    A turn that names its speaker (`Ana: oi`) keeps it; the others alternate between the two of `SPEAKERS`.
    """
    speakers = SPEAKERS.get(language, SPEAKERS["en"])
    lines = [t if SPOKEN.match(t) else f"{speakers[n % 2]}: {t}" for n, t in enumerate(turns)]
    named = [line.partition(":")[0] for line in lines]
    answers = named[-2] if len(named) > 1 else speakers[1]
    return "\n".join([*lines, f"{answers}:"])


def sample_command(
    *,
    prompt: Sequence[str],
    arms: Sequence[str],
    salts: Sequence[str],
    dtype: str,
    device: str,
    tile: int | None,
    threads: int | None,
    seed: int | None,
    completions: int,
    language: str,
    dialogue: bool,
    quiet: bool,
    **decoding: Any,
) -> Outcome:
    """Sample and show; several values of temperature, top-k or top-p, as `choose_decodings` takes them, are a sweep."""
    console = Console(quiet=quiet)
    if len(prompt) > 1 and not dialogue:
        raise UsageError("sample takes one PROMPT: put it in quotes, or add --dialogue to give its turns one by one")
    text = transcript(prompt, language) if dialogue else prompt[0]
    asked = Prompt(text=text, language=language, topic="", template="command line")
    plain = Battery(name="sample", version=1, title={}, languages=(language,), topics=(), prompts=(asked,), pairs=())
    decodings = choose_decodings(plain, **decoding)
    found, memory = resolve_arms(arms, salts, console, dtype=dtype, device=device)
    machine = Machine(dtype=dtype, device=device, tile=tile or min(completions * len(decodings), 32), threads=threads)
    rows: list[dict[str, Any]] = []
    for arm in found:
        backend = open_backend(
            arm, machine, seed=DEFAULT_SEED if seed is None else seed, memory=memory[arm.name], console=console
        )
        place = {d.decoding_id: n for n, d in enumerate(decodings)}
        done = sorted(_complete(backend, asked, decodings, completions), key=lambda c: (place[c.decoding_id], c.index))
        rows += [shown(arm, decodings[place[c.decoding_id]], c) for c in done]
    return Outcome(text="\n".join(_show(text, rows)), data={"prompt": text, "completions": rows})


def _complete(backend: Any, asked: Prompt, decodings: Sequence[Decoding], completions: int) -> Iterator[Completion]:
    """Ask for `completions` under every decoding; for one under a greedy one, where all would be equal."""
    requests = (
        SampleRequest(prompt_id=asked.prompt_id, prompt=asked.text, decoding=decoding, index=index)
        for decoding in decodings
        for index in range(1 if decoding.temperature == 0 else completions)
    )
    answers: Iterator[Completion] = backend.complete(requests)
    return answers


def shown(arm: Arm, decoding: Decoding, completion: Completion) -> dict[str, Any]:
    """A completion as a person may see it: personal data that the model repeats is masked (CONTRACT §4)."""
    from biasaudit.corpus.privacy import mask

    return {
        "arm": arm.name,
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
        "index": completion.index,
        "text": mask(completion.text).text,
        "tokens": len(completion.token_ids),
        "finish_reason": completion.finish_reason,
        "nats": sum(completion.logprobs),
    }


def _show(text: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        decoding = f"temperature {row['temperature']:g}, top_k {row['top_k']}, top_p {row['top_p']:g}"
        yield f"--- {row['arm']} #{row['index']} ({decoding}, {row['tokens']} tokens, {row['finish_reason']})"
        yield visible(text + row["text"])
