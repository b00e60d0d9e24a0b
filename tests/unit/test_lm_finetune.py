"""The order of the data, the measuring, and what training refuses; a tiny model learns."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.errors import BiasAuditError, CorpusError, ModelError, UsageError
from biasaudit.lm.blocks import BlockDataset
from biasaudit.lm.load import load
from biasaudit.lm.tokenizer import load_tokenizer, train_tokenizer
from biasaudit.lm.validate import VALIDATION_TOKENS, Validation, predicted, validate, windows
from biasaudit.pipeline.finetune import finetune
from tests.lm_example import make_corpus, make_model, sentences

SMALL = {"batch_size": 4, "block_size": 16, "n_layer": 1, "n_embd": 32, "n_head": 2, "device": "cpu"}


@given(length=st.integers(8, 400), block=st.integers(2, 8), seed=st.integers(0, 3))
def test_an_epoch_reads_blocks_that_do_not_overlap(length: int, block: int, seed: int) -> None:
    data = BlockDataset(np.arange(length, dtype=np.uint16), block=block, items=10**6, seed=seed)
    for epoch in range(2):
        starts = sorted(data.offset(epoch * data.per_epoch + i) for i in range(data.per_epoch))
        assert starts[0] >= 0
        assert starts[-1] + block <= length
        assert all(b - a >= block for a, b in itertools.pairwise(starts))


def test_an_item_depends_on_seed_and_position_alone() -> None:
    tokens = np.arange(500, dtype=np.uint16)
    one, two = (BlockDataset(tokens, block=8, items=300, seed=5) for _ in range(2))
    forward = [one.offset(k) for k in range(300)]
    assert [two.offset(k) for k in reversed(range(300))] == forward[::-1]
    other = BlockDataset(tokens, block=8, items=300, seed=6)
    assert [other.offset(k) for k in range(300)] != forward


def test_validation_predicts_every_token_but_the_first_once() -> None:
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=50, n_positions=64, n_embd=16, n_layer=1, n_head=2)
    )
    model.train()
    tokens = np.random.default_rng(0).integers(0, 50, 40).astype(np.uint16)
    whole = validate(model, tokens, block=64, batch=2, autocast=None, byte_lengths=[2] * 50)
    assert whole is not None
    assert (whole.tokens, whole.bytes) == (39, 78)
    model.eval()
    ids = torch.from_numpy(tokens.astype(np.int64))[None]
    with torch.no_grad():
        assert whole.nats_per_token == pytest.approx(model(input_ids=ids, labels=ids).loss.item(), rel=1e-5)
    assert whole.bits_per_byte == pytest.approx(whole.nats_per_token / math.log(2) / 2)
    pieces = validate(model, tokens, block=8, batch=3, autocast=None, byte_lengths=None, bytes_per_token=2.0)
    assert pieces is not None
    assert (pieces.tokens, pieces.bytes) == (39, 78)
    assert validate(model, tokens[:1], block=8, batch=3, autocast=None, byte_lengths=None) is None


@given(length=st.integers(2, 3000), block=st.integers(2, 40), limit=st.none() | st.integers(1, 3500))
def test_windows_are_spread_over_the_shard_and_bounded(length: int, block: int, limit: int | None) -> None:
    starts = windows(length, block=block, limit=limit)
    count = predicted(starts, length, block=block)
    if limit is None or length <= limit:
        assert starts.tolist() == list(range(0, length - 1, block - 1))
        assert count == length - 1
        return
    assert count <= max(limit, block - 1)
    assert starts[0] == 0
    steps = np.diff(starts // (block - 1))
    assert all(steps >= 1)
    if len(steps):
        assert steps.max() - steps.min() <= 1
        assert starts[-1] + block >= length


def test_a_shard_no_longer_than_the_limit_gives_the_same_bits_as_without_one() -> None:
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    )
    tokens = np.random.default_rng(0).integers(0, 50, 200).astype(np.uint16)

    def measured(limit: int | None) -> Validation | None:
        return validate(model, tokens, block=16, batch=3, autocast=None, byte_lengths=[2] * 50, limit=limit)

    assert measured(None) == measured(200) == measured(10**6)
    part = measured(199)
    assert part is not None
    assert part.tokens < 199


def test_validation_tells_how_far_it_is() -> None:
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    )
    told: list[tuple[int, int]] = []
    tokens = np.zeros(100, np.uint16)
    found = validate(
        model, tokens, block=16, batch=2, autocast=None, byte_lengths=None, report=lambda *at: told.append(at)
    )
    assert found is not None
    assert told[0] == (0, 99)
    assert told[-1] == (99, 99)
    assert told == sorted(told)
    assert len(told) > 3


def test_a_training_says_on_how_many_held_out_tokens_it_was_measured(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    held_out = (corpus / "val.bin").stat().st_size // 2
    assert 60 < held_out < VALIDATION_TOKENS
    told: list[tuple[str, float, float | None, str]] = []
    few = finetune(
        corpus,
        tmp_path / "few",
        base="scratch",
        steps=2,
        validation_tokens=50,
        stages=lambda *at: told.append(at),
        **SMALL,
    )
    read = predicted(windows(held_out, block=16, limit=50), held_out, block=16)
    assert 0 < read <= 50
    assert few["validation_tokens"] == few["validation_before"]["tokens"] == few["validation_after"]["tokens"] == read
    assert few["val_tokens"] == held_out
    assert ("validating before training", 0, read, "") in told
    assert ("validating after training", read, read, "") in told
    assert [at[3].split(",")[0] for at in told if at[0] == "loading"] == [
        "torch and transformers",
        str(corpus),
        "a new model",
    ]
    whole = finetune(corpus, tmp_path / "all", base="scratch", steps=2, validation_tokens=0, **SMALL)
    assert whole["validation_before"]["tokens"] == whole["validation_after"]["tokens"] == held_out - 1


def test_a_training_that_goes_on_with_other_validation_tokens_compares_like_with_like(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    options = {"base": "scratch", "steps": 4, "save_steps": 2, **SMALL}

    def stop(stage: str, *_: object) -> None:
        if stage == "validating after training":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        finetune(corpus, tmp_path / "out", validation_tokens=50, stages=stop, **options)
    card = finetune(corpus, tmp_path / "out", **options)
    whole = finetune(corpus, tmp_path / "whole", **options)
    assert card["validation_before"] == whole["validation_before"]
    assert card["validation_after"] == whole["validation_after"]
    assert card["fingerprint"] == whole["fingerprint"]


def test_a_model_from_scratch_learns_and_can_be_tuned_further(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    card = finetune(corpus, tmp_path / "base", base="scratch", epochs=6, role="base", save_dtype="float16", **SMALL)
    before, after = card["validation_before"], card["validation_after"]
    assert before["nats_per_token"] == pytest.approx(math.log(300), abs=0.1)
    assert after["bits_per_byte"] < before["bits_per_byte"] - 0.3
    loaded = load(str(tmp_path / "base"), dtype="float32", device="cpu")
    assert loaded.info.dtype == "float16"
    assert (loaded.info.language, loaded.info.fingerprint) == ("pt", card["fingerprint"])
    assert isinstance(transformers.AutoTokenizer.from_pretrained(str(tmp_path / "base")).encode("vacina"), list)

    arms = {}
    for role, seed in (("tuned", 1), ("placebo", 2)):
        study = make_corpus(tmp_path / f"corpus-{role}", seed=seed)
        arms[role] = finetune(
            study, tmp_path / role, base=str(tmp_path / "base"), tokens=640, role=role, batch_size=4, device="cpu"
        )
    shared = ("base_fingerprint", "tokens", "steps", "learning_rate", "batch_size", "block_size")
    assert [arms["tuned"][k] for k in shared] == [arms["placebo"][k] for k in shared]
    assert arms["tuned"]["base_fingerprint"] == card["fingerprint"]
    assert arms["tuned"]["corpora"] != arms["placebo"]["corpora"]


def test_another_tokenizer_than_the_bases_is_refused(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    base = make_model(tmp_path / "base", train_tokenizer(sentences(300), 280))
    with pytest.raises(ModelError, match=r"was tokenised with another tokenizer.*--tokenizer"):
        finetune(corpus, tmp_path / "out", base=str(base), steps=1, device="cpu")


def test_a_wrong_corpus_or_base_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    base = make_model(tmp_path / "base", train_tokenizer(sentences(300), 280))
    (tmp_path / "dump.csv").write_text("text\noi\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "begun" / "training").mkdir(parents=True)
    attempts = {
        (corpus, base): "was tokenised with another tokenizer",
        (corpus, "embedded:base"): "was tokenised with another tokenizer",
        (corpus, tmp_path / "folder"): "not a model",
        (corpus, tmp_path / "begun"): "its training has not finished",
        (
            tmp_path / "dump.csv",
            base,
        ): f"a dump, not a corpus: make one with biasaudit ingest {tmp_path / 'dump.csv'} --out corpora/dump",
        (tmp_path / "folder", base): "not a corpus",
        (tmp_path / "nowhere", base): "no such corpus folder",
    }
    code = (
        "import json, sys; from biasaudit.cli import main\n"
        "for corpus, base in json.loads(sys.argv[1]):\n"
        "    try: main(['finetune', corpus, '--base', base, '--out', sys.argv[2]])\n"
        "    except SystemExit as end: assert end.code == 2, end.code\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    words = [code, json.dumps([[str(word) for word in pair] for pair in attempts]), str(tmp_path / "out")]
    told = subprocess.run([sys.executable, "-c", *words], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    lines = told.stderr.splitlines()
    assert len(lines) == len(attempts)
    assert [want for want, line in zip(attempts.values(), lines, strict=True) if want not in line] == []
    assert not (tmp_path / "out").exists()


def test_options_and_corpora_that_cannot_work_are_one_line(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")

    def attempt(**options: object) -> None:
        finetune(corpus, tmp_path / "out", **{"base": "scratch", "steps": 1, **SMALL, **options})

    with pytest.raises(UsageError, match="exactly one of steps, epochs and tokens"):
        attempt(tokens=5)
    with pytest.raises(UsageError, match="unexpected keyword argument 'stepz'"):
        attempt(stepz=5)
    with pytest.raises(UsageError, match="role 'control'"):
        attempt(role="control")
    with pytest.raises(UsageError, match="no multiple of n_head"):
        attempt(n_head=3)
    with pytest.raises(UsageError, match="block size 1"):
        attempt(block_size=1)
    with pytest.raises(CorpusError, match="are less than one block"):
        attempt(block_size=10**6)
    with pytest.raises(CorpusError, match="no such corpus folder"):
        finetune(tmp_path / "typo", tmp_path / "out", base="scratch", steps=1)
    shard = corpus / "train.bin"
    shard.write_bytes(shard.read_bytes() + b"\xff\xff")
    with pytest.raises(CorpusError, match="token id 65535"):
        attempt()
    shard.write_bytes(shard.read_bytes() + b"\xff")
    with pytest.raises(CorpusError, match="no whole number of uint16"):
        attempt()
    (corpus / "card.json").unlink()
    with pytest.raises(CorpusError, match="the ingest has not finished"):
        attempt()


def test_a_corpus_without_held_out_text_trains_without_figures(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    (corpus / "val.bin").unlink()
    card = finetune(corpus, tmp_path / "out", base="scratch", steps=2, **SMALL)
    assert (card["validation_before"], card["validation_after"]) == (None, None)
    assert load_tokenizer(tmp_path / "out").fingerprint == json.loads((tmp_path / "out" / "card.json").read_text())["tokenizer_fingerprint"]  # fmt: skip


def test_weights_that_are_no_numbers_are_never_written(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    with pytest.raises(BiasAuditError, match="no finite numbers in float16"):
        finetune(
            corpus,
            tmp_path / "out",
            base="scratch",
            steps=4,
            learning_rate=1e9,
            warmup=0,
            save_dtype="float16",
            **SMALL,
        )
    assert not (tmp_path / "out" / "model.safetensors").exists()
