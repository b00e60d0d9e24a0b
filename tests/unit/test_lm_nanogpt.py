"""A pickle from anywhere either becomes safetensors in a child of its own, or one line that says why not."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from biasaudit.errors import ModelError
from biasaudit.lm.load import describe, load
from biasaudit.lm.nanogpt import check_zip, import_checkpoint
from biasaudit.lm.nanogpt_child import Refused, convert
from biasaudit.lm.tokenizer import load_tokenizer, train_tokenizer
from tests.lm_example import nanogpt_checkpoint, sentences


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(sentences(100), 280).save(folder)
    return folder


def nanogpt_logits(state: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    """nanoGPT's forward pass, written out: the slow truth."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (16,), state[f"{name}.weight"], state.get(f"{name}.bias"), 1e-5)

    x = state["transformer.wte.weight"][ids] + state["transformer.wpe.weight"][: len(ids)]
    for i in range(2):
        h = f"transformer.h.{i}"
        q, k, v = (
            t.view(len(ids), 2, 8).transpose(0, 1)
            for t in linear(norm(x, f"{h}.ln_1"), f"{h}.attn.c_attn").split(16, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1).reshape(len(ids), 16)
        x = x + linear(y, f"{h}.attn.c_proj")
        x = x + linear(F.gelu(linear(norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc")), f"{h}.mlp.c_proj")
    return norm(x, "transformer.ln_f") @ state["lm_head.weight"].t()


@pytest.mark.parametrize(("bias", "prefix"), [(True, "_orig_mod."), (False, "")])
def test_an_import_computes_what_nanogpt_computed(
    bias: bool, prefix: str, tokenizer_folder: Path, tmp_path: Path
) -> None:
    checkpoint = nanogpt_checkpoint(vocab_size=304, bias=bias, prefix=prefix)
    torch.save(checkpoint, tmp_path / "ckpt.pt")
    loaded = load(
        str(tmp_path / "ckpt.pt"), dtype="float32", device="cpu", cache=tmp_path / "c", tokenizer=str(tokenizer_folder)
    )
    state = {name.removeprefix(prefix): tensor for name, tensor in checkpoint["model"].items()}
    ids = torch.tensor([1, 5, 250, 3, 299])
    with torch.no_grad():
        ours = loaded.model(input_ids=ids[None]).logits[0]
    torch.testing.assert_close(ours, nanogpt_logits(state, ids), atol=1e-5, rtol=1e-4)
    assert (loaded.info.kind, loaded.info.vocab_size, loaded.tokenizer.vocab_size) == ("nanogpt", 304, 280)


def test_a_tokenizer_beside_the_checkpoint_is_its_own(tokenizer_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tokenizer_folder, tmp_path / "out")
    torch.save(nanogpt_checkpoint(vocab_size=304), tmp_path / "out" / "ckpt.pt")
    info = describe(str(tmp_path / "out" / "ckpt.pt"), cache=tmp_path / "c")
    assert info.tokenizer_fingerprint == load_tokenizer(tokenizer_folder).fingerprint


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def hostile(kind: str, mark: Path) -> dict[str, object]:
    good = nanogpt_checkpoint(vocab_size=304)
    if kind == "code":
        return {**good, "config": Payload(mark)}
    if kind == "layers":
        return {**good, "model_args": {**good["model_args"], "n_layer": 10**9}}
    if kind == "size as text":
        return {**good, "model_args": {**good["model_args"], "n_embd": "16"}}
    state = dict(good["model"])
    if kind == "nan":
        state["transformer.wpe.weight"] = torch.full((32, 16), float("nan"))
    elif kind == "view":
        state["transformer.wte.weight"] = torch.zeros(1, 1).expand(304, 16)
    elif kind == "huge view":
        return {
            "model": {"transformer.wte.weight": torch.zeros(1).expand(2**31, 16)}, "model_args": good["model_args"],
        }  # fmt: skip
    elif kind == "missing":
        del state["transformer.ln_f.weight"]
    return {**good, "model": state}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("layers", "n_layer is '1000000000'; expected a whole number from 1 to 1000"),
        ("size as text", "n_embd is '16'"),
        ("nan", "holds NaN"),
        ("view", "a view that is larger than the file"),
        ("huge view", "is missing"),
        ("missing", "transformer.ln_f.weight is missing"),
    ],
)
def test_contradictory_contents_are_refused(kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=message):
        convert(hostile(kind, tmp_path), size=100_000)


def test_code_in_a_pickle_does_not_run(tokenizer_folder: Path, tmp_path: Path) -> None:
    torch.save(hostile("code", tmp_path / "PWN"), tmp_path / "ckpt.pt")
    with pytest.raises(ModelError, match="torch refuses it") as caught:
        import_checkpoint(tmp_path / "ckpt.pt", cache=tmp_path / "c", tokenizer=str(tokenizer_folder))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "PWN").exists()
    assert not list((tmp_path / "c").iterdir())


@pytest.mark.parametrize("how", ["compressed", "twice", "cut", "not a zip"])
def test_a_zip_that_torch_never_writes_is_refused_before_it_is_opened(how: str, tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    torch.save(nanogpt_checkpoint(vocab_size=304), path)
    if how == "compressed":
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new.pt", "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.namelist():
                new.writestr(entry, old.read(entry))
        path = tmp_path / "new.pt"
    elif how == "twice":
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(archive.namelist()[0], b"x")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ModelError, match="Save"):
        check_zip(path)


def test_without_its_tokenizer_the_message_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    torch.save(nanogpt_checkpoint(vocab_size=304), tmp_path / "ckpt.pt")
    with pytest.raises(ModelError, match="TIKTOKEN_CACHE_DIR"):
        describe(str(tmp_path / "ckpt.pt"), cache=tmp_path / "c")


def test_a_tokenizer_that_is_too_large_is_refused(tokenizer_folder: Path, tmp_path: Path) -> None:
    torch.save(nanogpt_checkpoint(vocab_size=270), tmp_path / "ckpt.pt")
    with pytest.raises(ModelError, match="270 tokens and the tokenizer 280"):
        describe(str(tmp_path / "ckpt.pt"), cache=tmp_path / "c", tokenizer=str(tokenizer_folder))
