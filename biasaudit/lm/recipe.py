"""What a training run will do, settled and checked before its first step.

The options, the corpus and the base are checked against one another here; `lm.finetune` then only trains.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from biasaudit import identity
from biasaudit.errors import CorpusError, ModelError, UsageError
from biasaudit.lm import blocks
from biasaudit.lm import device as devices
from biasaudit.lm.load import describe, load
from biasaudit.lm.tokenizer import TextTokenizer, load_tokenizer

SCRATCH = "scratch"
DEFAULT_BLOCK = 256
TRAINING_BYTES = 16
"""Bytes a parameter while training: weight, gradient and two moments in fp32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """What decides the trained weights, beside the corpus. None: worked out, and written in the card."""

    base: str
    """A model spec (`lm.load`), or `scratch`."""
    steps: int | None = None
    """Optimizer steps; exactly one of `steps`, `epochs` and `tokens` is given."""
    epochs: float | None = None
    tokens: int | None = None
    batch_size: int = 8
    """Blocks a forward pass."""
    grad_accumulation: int = 1
    block_size: int | None = None
    """Tokens a block; the model's context, at most 256, by default."""
    learning_rate: float | None = None
    """Peak; 1e-4 from a base, 1e-3 from scratch by default."""
    warmup: int | None = None
    """Steps; 2 % of all by default."""
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    dropout: float | None = None
    """None: the base's own; 0 from scratch."""
    seed: int = 1337
    save_steps: int | None = None
    """A twentieth of all steps by default, at most 500."""
    eval_steps: int | None = None
    """A tenth of all steps by default, at least 100."""
    precision: str = "auto"
    device: str = "auto"
    compile: bool = False
    """torch.compile: faster steps after a minute of compiling; on a CPU it needs a C++ compiler."""
    n_layer: int = 4
    n_embd: int = 256
    n_head: int = 4
    context: int | None = None
    """Positions of a model from scratch; the block size by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training run with every choice made: what `train` needs, and what decides its result."""

    config: FinetuneConfig
    corpus: Path
    train: blocks.Tokens
    val: blocks.Tokens
    corpus_card: Mapping[str, Any]
    corpus_fingerprint: str
    tokenizer: TextTokenizer
    base_fingerprint: str | None
    steps: int
    precision: str
    device: torch.device

    @property
    def tokens_seen(self) -> int:
        """Tokens that the model reads in training."""
        c = self.config
        return self.steps * c.batch_size * c.grad_accumulation * (c.block_size or 0)

    def dataset(self) -> blocks.BlockDataset:
        """Every training block of the run, in its order."""
        c = self.config
        items = self.steps * c.batch_size * c.grad_accumulation
        return blocks.BlockDataset(self.train, block=c.block_size or 0, items=items, seed=c.seed)

    @property
    def request(self) -> dict[str, Any]:
        """What may not change between a kill and its resume."""
        return {
            "config": identity.plain(self.config),
            "steps": self.steps,
            "base_fingerprint": self.base_fingerprint,
            "corpus_fingerprint": self.corpus_fingerprint,
            "tokenizer_fingerprint": self.tokenizer.fingerprint,
            "precision": self.precision,
            "device": self.device.type,
        }


def plan(config: FinetuneConfig, corpus: Path) -> Training:
    """Check corpus, base and options against one another, and settle every open choice.

    Raises:
        CorpusError: a shard is missing, too short, or holds ids that the tokenizer does not have.
        ModelError: the base cannot be used, or has another tokenizer than the corpus.
        UsageError: options that contradict one another.
    """
    _check_rates(config)
    card = _corpus_card(corpus)
    tokenizer = load_tokenizer(corpus / "tokenizer")
    kind = str(card.get("dtype") or ("uint16" if tokenizer.vocab_size <= 65_536 else "uint32"))
    train = blocks.open_tokens(corpus / "train.bin", kind)
    has_val = (corpus / "val.bin").is_file()
    val = blocks.open_tokens(corpus / "val.bin", kind) if has_val else train[:0]
    largest = max(blocks.largest_token(train), blocks.largest_token(val))
    if largest >= tokenizer.vocab_size:
        raise CorpusError(
            f"{corpus}: holds token id {largest}, and its tokenizer has only {tokenizer.vocab_size}. Ingest again."
        )
    context, fingerprint = _base_limits(config, corpus, tokenizer)
    block = config.block_size or min(context, DEFAULT_BLOCK)
    if not 2 <= block <= context:
        raise UsageError(f"block size {block}: the model takes 2 to {context} tokens.")
    if len(train) < block:
        raise CorpusError(f"{corpus / 'train.bin'}: {len(train)} tokens are less than one block of {block}.")
    place = devices.pick_device(config.device)
    steps = _steps(config, block, len(train))
    scratch = config.base == SCRATCH
    settled = replace(
        config,
        block_size=block,
        learning_rate=(1e-3 if scratch else 1e-4) if config.learning_rate is None else config.learning_rate,
        warmup=config.warmup if config.warmup is not None else max(1, round(0.02 * steps)),
        dropout=config.dropout if config.dropout is not None or not scratch else 0.0,
        save_steps=config.save_steps or max(1, min(500, math.ceil(steps / 20))),
        eval_steps=config.eval_steps or max(100, math.ceil(steps / 10)),
        context=context if scratch else None,
    )
    return Training(
        config=settled,
        corpus=corpus,
        train=train,
        val=val,
        corpus_card=card,
        corpus_fingerprint=_corpus_fingerprint(corpus, tokenizer),
        tokenizer=tokenizer,
        base_fingerprint=fingerprint,
        steps=steps,
        precision=devices.pick_dtype(config.precision, place),
        device=place,
    )


def _corpus_card(corpus: Path) -> dict[str, Any]:
    if not corpus.is_dir():
        raise CorpusError(f"{corpus}: no such corpus folder. Make one with `biasaudit ingest DUMP --out {corpus}`.")
    path = corpus / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: missing or not JSON; the ingest has not finished. Run it again.") from error
    return dict(card)


def _corpus_fingerprint(corpus: Path, tokenizer: TextTokenizer) -> str:
    """Hash of the shards and of the tokenizer that made them."""
    shards = [identity.file_hash(corpus / n) if (corpus / n).is_file() else None for n in ("train.bin", "val.bin")]
    return identity.content_hash(["corpus", *shards, tokenizer.fingerprint])


def _base_limits(config: FinetuneConfig, corpus: Path, tokenizer: TextTokenizer) -> tuple[int, str | None]:
    """Context length and fingerprint of the base; from scratch, the context that was asked for."""
    if config.base == SCRATCH:
        if config.n_embd % config.n_head:
            raise UsageError(f"n_embd {config.n_embd} is no multiple of n_head {config.n_head}.")
        return config.context or config.block_size or DEFAULT_BLOCK, None
    info = describe(config.base)
    if info.tokenizer_fingerprint != tokenizer.fingerprint:
        raise ModelError(
            f"{corpus}: was tokenised with another tokenizer than {config.base}'s. "
            f"Run ingest again with --tokenizer {config.base}."
        )
    devices.require_memory(
        info.parameters * TRAINING_BYTES, devices.pick_device(config.device), f"training {config.base}"
    )
    return info.context_length, info.fingerprint


def _check_rates(config: FinetuneConfig) -> None:
    """Refuse what the optimizer or dropout would refuse later, after the model is loaded; NaN fits no range."""
    if config.learning_rate is not None and not 0 < config.learning_rate < math.inf:
        raise UsageError(f"learning rate {config.learning_rate:g}: give a number above 0, for instance 0.0001.")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UsageError(f"dropout {config.dropout:g}: give a share from 0 to below 1, for instance 0.1.")


def _steps(config: FinetuneConfig, block: int, available: int) -> int:
    """Optimizer steps from whichever budget was given."""
    given = [value for value in (config.steps, config.epochs, config.tokens) if value is not None]
    if len(given) != 1 or given[0] <= 0:
        raise UsageError("give exactly one of steps, epochs and tokens, above 0.")
    if min(config.batch_size, config.grad_accumulation) < 1:
        raise UsageError("batch size and gradient accumulation are at least 1.")
    if config.steps is not None:
        return config.steps
    budget = config.tokens if config.tokens is not None else (config.epochs or 0) * available
    return max(1, round(budget / (config.batch_size * config.grad_accumulation * block)))


def build(training: Training) -> Any:
    """The model before its first step, weights in fp32; from scratch its weights follow from the seed alone."""
    config = training.config
    torch.manual_seed(identity.key64("weights", config.seed) % 2**63)
    if config.base != SCRATCH:
        model = load(config.base, dtype="float32", device=str(training.device)).model
    else:
        shape = transformers.GPT2Config(
            vocab_size=training.tokenizer.vocab_size,
            n_positions=config.context,
            n_embd=config.n_embd,
            n_layer=config.n_layer,
            n_head=config.n_head,
            bos_token_id=training.tokenizer.eot_id,
            eos_token_id=training.tokenizer.eot_id,
        )
        model = transformers.GPT2LMHeadModel(shape).to(training.device)
    if config.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = config.dropout
        for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout"):
            if hasattr(model.config, name):
                setattr(model.config, name, config.dropout)
    return model
