"""A data card made by the real census, sample and n-grams over seeded synthetic messages; no model, no file."""

from __future__ import annotations

import datetime
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from biasaudit.corpus import card_ngrams, card_sample
from biasaudit.corpus.card import Census, card
from biasaudit.corpus.gather import Tally

WORDS = ("vacina", "posto", "fila", "amanhã", "grupo", "notícia", "verdade", "família", "jornal", "dose", "escola")
PHRASE = "repasse para todos os grupos da família"
SETTINGS = {
    "clean": ["nfc", "newlines", "controls", "bidi", "forwarded", "whitespace"], "privacy": True,
    "duplicates": "exact", "held_out": 1 / 11, "split": "sequential", "language": "pt", "where": {},
}  # fmt: skip
DIALECT = {"kind": "message dump", "quoting": "unquoted", "misread_by_a_csv_parser": 58_561, "forged_record_starts": 2}
TOKENIZER = {"fingerprint": "f" * 64, "vocab_size": 8192, "eot_id": 8191, "from": "embedded:base"}
SHARDS = {"train.bin": "a" * 64, "val.bin": "b" * 64}


def columns(count: int = 3000, seed: int = 5) -> dict[str, Any]:
    """What a census is fed: messages of two years with a silent month, thirty channels, some without date."""
    rng = random.Random(seed)
    start = datetime.date(2020, 3, 1)
    texts, dates = [], []
    for _ in range(count):
        words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 40)))
        texts.append(f"{words}, {PHRASE}!" if rng.random() < 0.1 else f"{words}.")
        day = start + datetime.timedelta(days=rng.randrange(700))
        if (day.year, day.month) in {(2020, 8), (2020, 9)}:
            day = day.replace(month=7)
        dates.append(None if rng.random() < 0.02 else f"{day.isoformat()} 10:00:00")
    text = pa.array(texts, pa.string())
    return {
        "text": text,
        "side": np.arange(count) >= count * 10 // 11,
        "tokens": np.array([len(t.split()) for t in texts], np.int64),
        "size": np.array([len(t.encode()) for t in texts], np.int64),
        "copies": np.array([rng.choice([1, 1, 1, 1, 2, 7, 150]) for _ in texts], np.int64),
        "channel": pa.array([f"channel-{rng.randint(1, 30)}" if rng.random() < 0.95 else None for _ in texts]),
        "date": pa.array(dates, pa.string()),
        "source": "grupo.csv",
    }


def census_of(found: dict[str, Any], low: int = 0, high: int | None = None) -> Census:
    """The census of a range of documents."""
    census = Census()
    census.add(**{
        key: value if isinstance(value, str) else value[low:high] for key, value in found.items() if key != "text"
    })  # fmt: skip
    return census


def make(count: int = 3000, **changes: Any) -> dict[str, Any]:
    """A card of `columns(count)`, with duplicates, rejects and doubts; `changes` replace arguments of `card`."""
    found = columns(count)
    census = census_of(found)
    size = int(found["size"].sum())
    digests = np.random.default_rng(1).integers(0, 2**64, count, np.uint64)
    sample = card_sample.draw(found["text"], digests, 0, card_sample.share_of(size))
    rejected = Counter({"invalid bytes": 3})
    tally = Tally(
        bytes_in=size + 130, bytes_records=size, bytes_rejects=100, bytes_separators=30, records=count + 60,
        kept=count, duplicates=40, filtered=15, empty=5, rejects=rejected, flags=Counter({"unclosed-quote": 4}),
        personal_data=Counter({"LINK": 500, "CPF": 12, "PHONE": 90}), documents_masked=420,
    )  # fmt: skip
    values: dict[str, Any] = {
        "settings": SETTINGS, "tally": tally, "near_duplicates": 10, "cleaning": {"nfc": 3, "whitespace": 812},
        "sources": [{"name": "grupo.csv", "bytes": size + 130, "sha256": "c" * 64, "dialect": DIALECT}],
        "census": census, "tokenizer": TOKENIZER, "language": "pt", "shards": SHARDS,
        "command": "biasaudit ingest grupo.csv --out CORPUS --split sequential",
        "languages": Counter({"pt": 850, "es": 100, "unknown": 50}), "ngrams": card_ngrams.ngrams(sample),
        "limits": {"near_duplicate_bytes_a_document": 516},
    }  # fmt: skip
    return card(**{**values, **changes})
