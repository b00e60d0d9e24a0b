"""`kill -9` while a model trains, then the same call: the weights are those of an uninterrupted run."""

from __future__ import annotations

import json
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from biasaudit import identity
from biasaudit.errors import RunLockedError, StoreError, UsageError
from biasaudit.pipeline.finetune import finetune
from tests import children
from tests.lm_example import make_corpus

OPTIONS = {
    "base": "scratch", "steps": 24, "batch_size": 2, "block_size": 16, "n_layer": 1, "n_embd": 16, "n_head": 2,
    "dropout": 0.1, "save_steps": 4, "eval_steps": 8, "precision": "float32", "device": "cpu", "seed": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("kill") / "corpus")


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path) -> str:
    torch.set_num_threads(1)
    finetune(corpus, corpus.parent / "whole", **OPTIONS)
    return identity.file_hash(corpus.parent / "whole" / "model.safetensors")


def train(corpus: Path, out: Path, dies_renaming: str) -> None:
    """Body of a process that dies when it is about to give something the name `dies_renaming`."""
    torch.set_num_threads(1)
    if dies_renaming:
        children.die_renaming(lambda name: str(name).endswith(dies_renaming))
    finetune(corpus, out, **OPTIONS)


def start(corpus: Path, out: Path, *, dies_renaming: str = "") -> BaseProcess:
    """Train in a process of its own."""
    child: BaseProcess = children.nursery().Process(target=train, args=(corpus, out, dies_renaming))
    child.start()
    return child


def kill_when(child: BaseProcess, happened) -> None:
    deadline = time.monotonic() + 120
    while not happened() and child.is_alive() and time.monotonic() < deadline:
        time.sleep(0.0005)
    child.kill()
    child.join()


def test_a_kill_inside_a_save_costs_nothing(corpus: Path, uninterrupted: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    saves = out / "training" / "checkpoints"
    child = start(corpus, out, dies_renaming="step-000000012")
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert any(saves.glob("step-*8"))
    assert any(saves.glob(".staged*/*"))
    assert not (out / "card.json").exists()
    card = finetune(corpus, out, **OPTIONS)
    assert identity.file_hash(out / "model.safetensors") == uninterrupted
    assert card["steps"] == 24
    assert not (out / "training" / "checkpoints").exists()
    lines = [json.loads(line) for line in (out / "training" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [8, 16]


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(12))
def test_kills_at_random_moments_cost_nothing(corpus: Path, uninterrupted: str, tmp_path: Path, round_: int) -> None:
    out, rng = tmp_path / "model", random.Random(round_)
    for _ in range(3):
        child = start(corpus, out)
        begun = out / "training" / "request.json"
        kill_when(child, begun.exists) if rng.random() < 0.1 else None
        wait = time.monotonic() + 5 + 4 * rng.random()
        kill_when(child, lambda wait=wait: time.monotonic() > wait)
    finetune(corpus, out, **OPTIONS)
    assert identity.file_hash(out / "model.safetensors") == uninterrupted


def stopped_half_way(corpus: Path, out: Path) -> list[Path]:
    """Train until a progress report at step 20 raises; two checkpoints are left."""

    class StopError(Exception):
        pass

    def stop(report) -> None:
        if report.step == 20:
            raise StopError

    with pytest.raises(StopError):
        finetune(corpus, out, progress=stop, **OPTIONS)
    return sorted((out / "training" / "checkpoints").glob("step-*"))


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    corpus: Path, uninterrupted: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, newer = stopped_half_way(corpus, tmp_path / "model")
    (newer / "optimizer.pt").unlink()
    finetune(corpus, tmp_path / "model", **OPTIONS)
    assert "optimizer.pt is missing" in caplog.text
    assert identity.file_hash(tmp_path / "model" / "model.safetensors") == uninterrupted


def test_nothing_is_guessed_when_every_checkpoint_is_damaged(corpus: Path, tmp_path: Path) -> None:
    for checkpoint in stopped_half_way(corpus, tmp_path / "model"):
        state = checkpoint / "rng_state.pth"
        raw = bytearray(state.read_bytes())
        raw[len(raw) // 2] ^= 1
        state.write_bytes(raw)
    with pytest.raises(StoreError, match=r"no checkpoint is whole \(rng_state.pth is damaged\)"):
        finetune(corpus, tmp_path / "model", **OPTIONS)


def test_other_options_for_the_same_folder_are_refused_and_fresh_starts_over(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    finetune(corpus, out, **{**OPTIONS, "steps": 2})
    with pytest.raises(UsageError, match=r"other options or data \(.*learning_rate 0.001 -> 0.01"):
        finetune(corpus, out, **{**OPTIONS, "steps": 2, "learning_rate": 0.01})
    card = finetune(corpus, out, fresh=True, **{**OPTIONS, "steps": 2, "learning_rate": 0.01})
    assert card["learning_rate"] == 0.01
    assert finetune(corpus, out, **{**OPTIONS, "steps": 2, "learning_rate": 0.01}) == card


def test_a_changed_corpus_is_refused(tmp_path: Path) -> None:
    first = make_corpus(tmp_path / "corpus")
    finetune(first, tmp_path / "model", **{**OPTIONS, "steps": 2})
    shard = first / "train.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(UsageError, match="corpus_fingerprint"):
        finetune(first, tmp_path / "model", **{**OPTIONS, "steps": 2})


def test_a_second_writer_is_turned_away(corpus: Path, tmp_path: Path) -> None:
    def again(report) -> None:
        with pytest.raises(RunLockedError, match="Another process writes"):
            finetune(corpus, tmp_path / "model", **OPTIONS)
        seen.append(report.step)

    seen: list[int] = []
    finetune(corpus, tmp_path / "model", progress=again, **OPTIONS)
    assert seen


def test_a_folder_of_something_else_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds something that finetune did not make"):
        finetune(corpus, tmp_path, fresh=True, **OPTIONS)
