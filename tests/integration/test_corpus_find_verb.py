"""`corpus find` on a corpus folder that ingest wrote: hits, counts, nearest messages, and what a terminal gets."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biasaudit.errors import CorpusError, StoreError, UsageError
from biasaudit.identity import plain
from biasaudit.pipeline.corpus_find import corpus_index, find
from biasaudit.pipeline.ingest import ingest

WORDS = ["governo", "saúde", "cidade", "médico", "escola", "família", "notícia", "brasil", "gente", "hoje", "mundo"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 messages of two channels, one of them twice, one with personal data."""
    folder = tmp_path_factory.mktemp("find")
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, 20)) + f" {n}" for n in range(200)]
    texts[10] = "A Vácina do Butantã chegou: veja em https://t.me/abc e fale com maria@gmail.com agora mesmo"
    texts[20] = texts[21] = "Ninguém sabe onde a vacina foi guardada naquela noite de chuva forte"
    with (folder / "dump.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["id", "channel_id", "date", "message"])
        writer.writerows([n, 1000 + n % 2, f"2021-{1 + n // 20:02}-05 10:00:00+00:00", t] for n, t in enumerate(texts))
    ingest([folder / "dump.csv"], folder / "one", tokenizer="embedded:base")
    return folder / "one"


def test_hits_are_counted_and_shown_around_their_place(corpus: Path) -> None:
    outcome = find(corpus, "VACINA", quiet=True)
    data: Any = outcome.data
    assert (data["documents"], data["messages"], data["searched"]) == (2, 3, 199)
    assert [hit["hit"] for hit in data["hits"]] == ["Vácina", "vacina"]
    assert [hit["copies"] for hit in data["hits"]] == [1, 2]
    assert sum(of["documents"] for of in data["months"].values()) == 2
    assert "2 of 199 documents match (3 messages with their copies)" in outcome.text
    assert "A «Vácina» do Butantã chegou: veja em [LINK] e fale com [EMAIL] agora mesmo" in outcome.text
    assert "2 copies" in outcome.text
    json.dumps(plain(data), allow_nan=False)
    assert len(find(corpus, "a", limit=5, quiet=True).data["hits"]) == 5
    assert "documents more" in find(corpus, "a", limit=5, quiet=True).text


def test_nearest_documents_are_ranked_by_what_they_share(corpus: Path) -> None:
    query = "ela perguntou onde a vacina foi guardada naquela noite"
    outcome = find(corpus, query, nearest=True, limit=3, quiet=True)
    data: Any = outcome.data
    assert data["documents"] == 0
    first = data["nearest"][0]
    assert first["text"].startswith("Ninguém sabe onde")
    assert first["copies"] == 2
    assert all(row["shared_tokens"] < first["shared_tokens"] for row in data["nearest"][1:])
    assert "no hit in 199 documents" in outcome.text
    again = find(corpus, query, quiet=True)
    assert [row["document"] for row in again.data["nearest"]][:3] == [row["document"] for row in data["nearest"]]
    assert "nearest" not in find(corpus, "vacina", quiet=True).data


def test_a_whole_message_is_found_as_one_span_up_to_its_placeholders(corpus: Path) -> None:
    index, words = corpus_index(corpus)
    rows = pq.read_table(corpus / "documents.parquet").to_pylist()
    train = [row["text"] for row in rows if row["split"] == "train"]
    assert index.documents == len(train)
    plain_texts = [n for n, text in enumerate(train) if "[" not in text]
    spans = index.longest_common_spans([words.encode(train[n]) for n in plain_texts])
    assert spans.lengths.tolist() == [len(words.encode(train[n])) for n in plain_texts]
    assert [train[n] for n in spans.documents] == [train[n] for n in plain_texts]
    masked = next(text for text in train if "[LINK]" in text)
    assert 3 < index.longest_common_span(words.encode(masked)) < len(words.encode(masked)) - 6


def test_no_hit_without_an_index_is_an_answer_and_says_how_to_go_on(corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("documents.parquet", "train.bin", "card.json"):
        (copy / name).write_bytes((corpus / name).read_bytes())
    outcome = find(copy, "zebra", quiet=True)
    assert (
        outcome.text
        == "no hit in 199 documents\n--nearest shows the training documents that share the most tokens with it"
    )
    assert outcome.exit_code == 0
    (copy / "index" / "train-0123").mkdir(parents=True)
    (copy / "index" / "train-0123" / "index.json").write_text("{}")
    (copy / "tokenizer").symlink_to(corpus / "tokenizer")
    assert "nearest" not in find(copy, "zebra", quiet=True).data
    with pytest.raises(StoreError, match="no finished index"):
        corpus_index(copy, make=False)


def test_what_a_terminal_gets_is_masked_and_has_no_controls(tmp_path: Path) -> None:
    texts = ["alvo \x1b[31m\u202evermelho\u202c ligue (11) 91234-5678 \x07\nfim"]
    columns = {"text": texts, "split": ["train"], "copies": [1], "channel_id": ["a\x1b]0;x\x07"], "date": ["2021"]}
    pq.write_table(pa.table(columns), tmp_path / "documents.parquet")
    outcome = find(tmp_path, "alvo", quiet=True)
    assert "\x1b" not in outcome.text
    assert "\u202e" not in outcome.text
    assert "\x07" not in outcome.text
    assert "[PHONE]" in outcome.text
    assert "91234" not in json.dumps(plain(outcome.data))
    inside: Any = find(tmp_path, "91234", quiet=True).data
    assert inside["hits"][0]["hit"] == "[PHONE]"


def test_what_cannot_be_done_is_said(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at character 1"):
        find(corpus, "(a", regex=True, quiet=True)
    with pytest.raises(UsageError, match="give one of them"):
        find(corpus, "a", regex=True, nearest=True, quiet=True)
    with pytest.raises(UsageError, match="give 0 or more"):
        find(corpus, "a", limit=-1, quiet=True)
    with pytest.raises(CorpusError, match=r"no documents\.parquet"):
        find(tmp_path, "a", quiet=True)
    with pytest.raises(CorpusError, match=r"card\.json: cannot be read"):
        corpus_index(tmp_path)
