"""What `benchmarks/sampling.py` compares our engine with: transformers, CTranslate2, and a loop without a cache."""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Run = Callable[[int], int]
"""One round: from the round's number to how many tokens it made."""


def generate(model: Any, prompts: list[list[int]], options: argparse.Namespace, top_k: int) -> Run:
    """Sampling by transformers itself: all completions of a prompt in one batch, its best form; a prompt a round."""
    sampled = {"do_sample": True, "top_k": top_k, "max_new_tokens": options.new, "pad_token_id": 0}

    def run(number: int) -> int:
        made = 0
        for ids in _chosen(prompts, options, number):
            batch = torch.tensor([ids] * options.completions, device=model.device)
            out = model.generate(batch, attention_mask=torch.ones_like(batch), **sampled)
            made += out.numel() - batch.numel()
        return made

    return run


def continuous(model: Any, prompts: list[list[int]], options: argparse.Namespace, top_k: int) -> Run:
    """Transformers' continuous batching over a paged cache, which it keeps from round to round; a prompt a round.

    It plans for a part of the free memory alone, because the other engines of the round stay where they are.
    """
    import transformers

    limits = {"max_new_tokens": options.new, "eos_token_id": -1, "pad_token_id": 0}
    sampled = transformers.GenerationConfig(do_sample=True, top_k=top_k, **limits)
    paged = transformers.ContinuousBatchingConfig(max_memory_percent=0.3)

    def run(number: int) -> int:
        inputs = [ids for ids in _chosen(prompts, options, number) for _ in range(options.completions)]
        found = model.generate_batch(
            inputs, generation_config=sampled, continuous_batching_config=paged, persistent_manager=True
        )
        return sum(len(output.generated_tokens) for output in found.values())

    return run


def loop(model: Any, prompts: list[list[int]], options: argparse.Namespace, top_k: int) -> Run:
    """One text at a time without a cache, as small training repositories sample; slow, hence few tokens."""

    @torch.inference_mode()
    def run(number: int) -> int:
        ids = torch.tensor(_chosen(prompts, options, number)[:1], device=model.device)
        for _ in range(options.loop_tokens):
            logits = model(ids, use_cache=False).logits[:, -1].float()
            if top_k:
                kth = torch.topk(logits, top_k).values[:, -1:]
                logits[logits < kth] = -torch.inf
            ids = torch.cat((ids, torch.multinomial(torch.softmax(logits, -1), 1)), 1)
        return int(options.loop_tokens)

    return run


def ctranslate2(model: Any, prompts: list[list[int]], options: argparse.Namespace, top_k: int) -> Run | None:
    """CTranslate2 in fp32, one batch a prompt; None where it is not installed."""
    if importlib.util.find_spec("ctranslate2") is None:
        return None
    engine = _translated(model, options.threads)

    def run(number: int) -> int:
        made = 0
        for ids in _chosen(prompts, options, number):
            start = [[f"t{token}" for token in ids]] * options.completions
            limits = {"max_length": options.new, "min_length": options.new, "include_prompt_in_result": False}
            results = engine.generate_batch(start, sampling_topk=top_k, sampling_temperature=1.0, **limits)
            made += sum(len(result.sequences_ids[0]) for result in results)
        return made

    return run


def _translated(model: Any, threads: int) -> Any:
    """A CTranslate2 generator of `model`, converted in a temporary folder, with tokens named t0, t1 and so on."""
    import ctranslate2
    import tokenizers
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        names = {f"t{token}": token for token in range(model.config.vocab_size)}
        ends = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "t0")
        words = tokenizers.Tokenizer(tokenizers.models.WordLevel(names, unk_token=ends["unk_token"]))
        transformers.PreTrainedTokenizerFast(tokenizer_object=words, **ends).save_pretrained(folder)
        model.save_pretrained(folder)
        target = str(Path(folder) / "converted")
        ctranslate2.converters.TransformersConverter(folder).convert(target)
        return ctranslate2.Generator(target, device="cpu", compute_type="float32", intra_threads=threads)


def _chosen(prompts: list[list[int]], options: argparse.Namespace, number: int) -> list[list[int]]:
    """The prompts of a peer's round: over all rounds they are spread from the shortest to the longest."""
    many = min(options.peer_prompts, len(prompts))
    places = [(number * many + i) * (len(prompts) - 1) for i in range(many)]
    return [prompts[place // max(1, options.rounds * many - 1) % len(prompts)] for place in places]
