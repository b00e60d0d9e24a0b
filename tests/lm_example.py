"""A corpus folder, tiny models and a nanoGPT checkpoint made here, so that no test of `lm` needs a download."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
import transformers

from biasaudit.lm.tokenizer import TextTokenizer, train_tokenizer

WORDS = ["vacina", "posto", "não", "é", "dose", "saúde", "ontem", "criança", "hoje", "médica", "segura", "água", "fila"]


def sentences(count: int, seed: int = 0) -> list[str]:
    """Nonsense in Portuguese, the same for the same seed."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(4, 12))) + "." for _ in range(count)]


def make_corpus(folder: Path, *, documents: int = 300, vocab_size: int = 300, seed: int = 0) -> Path:
    """A corpus folder as `ingest` leaves it, as far as training reads it."""
    texts = sentences(documents, seed)
    tokenizer = train_tokenizer(sentences(300), vocab_size)
    cut = documents * 10 // 11
    folder.mkdir(parents=True)
    for name, part in (("train", texts[:cut]), ("val", texts[cut:])):
        ids = [i for text in part for i in (*tokenizer.encode(text), tokenizer.eot_id)]
        np.array(ids, dtype="<u2").tofile(folder / f"{name}.bin")
    card = {"val_tokens": len(ids), "val_bytes": sum(len(t.encode()) for t in texts[cut:]), "language": "pt"}
    (folder / "card.json").write_text(json.dumps(card))
    tokenizer.save(folder / "tokenizer")
    return folder


def make_model(folder: Path, tokenizer: TextTokenizer, *, seed: int = 0, **shape: int) -> Path:
    """A random two-layer GPT-2 in Hugging Face's layout."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": tokenizer.vocab_size, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2, **shape}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(folder)
    return folder


def nanogpt_checkpoint(*, vocab_size: int, bias: bool = True, prefix: str = "", seed: int = 0) -> dict[str, object]:
    """What nanoGPT saves as `ckpt.pt`, for two layers of width 16."""
    rng = torch.Generator().manual_seed(seed)
    wide = 16
    state: dict[str, torch.Tensor] = {}

    def put(name: str, *shape: int) -> None:
        state[prefix + name] = torch.randn(*shape, generator=rng) * 0.1

    put("transformer.wte.weight", vocab_size, wide)
    put("transformer.wpe.weight", 32, wide)
    for i in range(2):
        for name, shape in (("ln_1", (wide,)), ("attn.c_attn", (3 * wide, wide)), ("attn.c_proj", (wide, wide)),
                            ("ln_2", (wide,)), ("mlp.c_fc", (4 * wide, wide)), ("mlp.c_proj", (wide, 4 * wide))):  # fmt: skip
            put(f"transformer.h.{i}.{name}.weight", *shape)
            if bias:
                put(f"transformer.h.{i}.{name}.bias", shape[0])
    put("transformer.ln_f.weight", wide)
    if bias:
        put("transformer.ln_f.bias", wide)
    state[prefix + "lm_head.weight"] = state[prefix + "transformer.wte.weight"]
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": wide, "block_size": 32, "vocab_size": vocab_size, "bias": bias}
    return {"model": state, "model_args": {**sizes, "dropout": 0.0}, "optimizer": {}, "iter_num": 7, "config": {}}
