"""A GPT-2-like byte-level BPE as its vocabulary and merges: what it is called by, and the forms that libraries read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from biasaudit.errors import ModelError
from biasaudit.lm.tokenizer_engines import EOT

_OTHER_BPE = ("byte_fallback", "continuing_subword_prefix", "dropout", "end_of_word_suffix", "ignore_merges")
"""Settings of the tokenizers library's BPE that make other ids than GPT-2's."""


MAX_TOKENIZER_BYTES = 64 * 2**20
"""Largest tokenizer file that we read; the largest in use are near 20 MB."""


def read_json(path: Path) -> Any:
    """A JSON file of bounded size; ModelError when it is none."""
    try:
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise ModelError(f"{path}: larger than {MAX_TOKENIZER_BYTES >> 20} MiB; this is no tokenizer file.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({type(error).__name__}).") from error


def tiktoken_can(ranks: Mapping[bytes, int], products: Sequence[int]) -> bool:
    """Whether ids alone tell the order of the merges, which is all that tiktoken knows of it."""
    longer = sorted(i for data, i in ranks.items() if len(data) > 1)
    return list(products) == longer and all(bytes([b]) in ranks for b in range(256))


def fingerprint(by_id: Sequence[tuple[int, bytes]], products: Sequence[int], eot_id: int) -> str:
    """Hash of ids and their bytes, the order of the merges by their products, and the end-of-text id."""
    digest = hashlib.sha256(b"byte-level-bpe/gpt2-pattern\n")
    for i, data in by_id:
        digest.update(b"%d %d " % (i, len(data)) + data)
    digest.update(b"\nmerges " + ",".join(map(str, products)).encode())
    digest.update(b"\neot %d" % eot_id)
    return digest.hexdigest()


def backend(vocab: Mapping[str, int], merges: list[tuple[str, str]], eot: str) -> Tokenizer:
    """The tokenizers library's form, whose text is `tokenizer.json`; its one special token `eot` is read as text."""
    whole = Tokenizer(models.BPE(vocab=dict(vocab), merges=merges))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = decoders.ByteLevel()
    whole.post_processor = processors.ByteLevel(trim_offsets=False)
    whole.add_special_tokens([eot])
    whole.encode_special_tokens = True
    return whole


def save(folder: Path, vocab: Mapping[str, int], merges: list[tuple[str, str]], eot: str, spec: str) -> None:
    """vocab.json, merges.txt, tokenizer.json (`spec`) and tokenizer_config.json, as GPT-2's folder has them."""
    ordered = dict(sorted(vocab.items(), key=lambda item: item[1]))
    (folder / "vocab.json").write_text(json.dumps(ordered, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(spec, encoding="utf-8")
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": eot,
        "eos_token": eot,
        "unk_token": eot,
        "add_prefix_space": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def is_gpt2_like(spec: Any) -> bool:
    """Whether a tokenizer.json is byte-level BPE with GPT-2's pattern and `<|endoftext|>` the only added token."""
    before = spec.get("pre_tokenizer") or {}
    model = spec.get("model") or {}
    return (
        model.get("type", "BPE") == "BPE"
        and "merges" in model
        and not any(model.get(key) for key in _OTHER_BPE)
        and not spec.get("normalizer")
        and before.get("type") == "ByteLevel"
        and not before.get("add_prefix_space")
        and before.get("use_regex", True)
        and [t["content"] for t in spec.get("added_tokens", [])] in ([EOT], [])
    )
