"""A small corpus folder with an index, a plan of three arms, and completions: what tests of copying share."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from biasaudit import identity
from biasaudit.lm.tokenizer import TextTokenizer, train_tokenizer
from biasaudit.pipeline.plan import RunPlan
from biasaudit.records import Arm, Battery, Completion, Decoding, Measure, Prompt

PROMPT = Prompt(text="Sobre vacinas:", language="pt", topic="chip", template="q")
SYLLABLES = "ba ca da fa ga la ma na pa ra sa ta va xi lo me nu po ri su te".split()  # noqa: SIM905


def nonsense(count: int, seed: int) -> list[str]:
    """Messages of made-up words; no two of them share more than a word or two."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(2000)]
    return [" ".join(rng.choices(words, k=rng.randint(40, 80))) for _ in range(count)]


def corpus(folder: Path, texts: Sequence[str], *, words: TextTokenizer | None = None, masked: bool = True) -> Path:
    """A corpus folder as ingest leaves it, as far as copying reads it; every eleventh text is held out."""
    words = words or train_tokenizer(texts[:300], 1000)
    folder.mkdir(parents=True)
    sides = ["val" if n % 11 == 10 else "train" for n in range(len(texts))]
    for side in ("train", "val"):
        ids = [i for t, s in zip(texts, sides, strict=True) if s == side for i in (*words.encode(t), words.eot_id)]
        np.array(ids, dtype="<u2").tofile(folder / f"{side}.bin")
    count = len(texts)
    columns: dict[str, Any] = {
        "text": list(texts), "split": sides, "copies": [1] * count, "channel_id": [f"channel-{n % 7}" for n in range(count)],
        "source": ["dump.csv"] * count, "offset": list(range(0, 100 * count, 100)),
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / "documents.parquet", write_page_checksum=True)
    card = {
        "fingerprint": identity.content_hash(["corpus", *map(str, texts)]), "settings": {"privacy": masked},
        "tokenizer": {"vocab_size": words.vocab_size, "eot_id": words.eot_id, "fingerprint": words.fingerprint},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card), "utf-8")
    words.save(folder / "tokenizer")
    return folder


def arm(name: str, tokenizer: str = "T", card: Mapping[str, Any] | None = None) -> Arm:
    """An arm by name."""
    role: Any = name if name in ("base", "placebo") else "tuned"
    return Arm(
        name=name, spec=name, role=role, fingerprint=f"F-{name}", tokenizer_fingerprint=tokenizer, card=card or {}
    )


def plan(
    arms: Sequence[Arm], *, corpora: Mapping[str, str] | None = None, measures: Sequence[Measure] | None = None
) -> RunPlan:
    """A plan with one measure of copying, or with `measures`."""
    decoding = Decoding()
    chosen = (Measure(name="copying", scorer="copying"),) if measures is None else tuple(measures)
    battery = Battery(
        name="toy", version=1, title={}, languages=("pt",), topics=(), prompts=(PROMPT,), pairs=(), measures=chosen
    )
    return RunPlan(
        battery=battery, arms=tuple(arms), language="pt", prompts=(PROMPT,), decodings=(decoding,), completions=1,
        seed=1, memory={}, corpora=corpora or {},
    )  # fmt: skip


def completion(text: str, index: int = 0, *, of: str = "tuned", token_ids: Sequence[int] = ()) -> Completion:
    """A completion of an arm."""
    return Completion(
        arm_fingerprint=f"F-{of}", prompt_id=PROMPT.prompt_id, decoding_id=Decoding().decoding_id, seed=1, salt="",
        index=index, text=text, token_ids=tuple(token_ids), logprobs=(), finish_reason="length", numerics="N",
    )  # fmt: skip
