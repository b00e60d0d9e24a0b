"""What a model folder says before it is loaded, and every way in which it may lie."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from biasaudit.errors import ModelError, ResourceError, UsageError
from biasaudit.lm import device as devices
from biasaudit.lm.load import describe, load
from biasaudit.lm.tokenizer import train_tokenizer
from tests.lm_example import make_model, sentences

TOKENIZER = train_tokenizer(sentences(100), 280)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model", TOKENIZER)


def change(folder: Path, **keys: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_describe_tells_sizes_without_loading(folder: Path) -> None:
    info = describe(str(folder))
    model = transformers.GPT2LMHeadModel.from_pretrained(str(folder))
    assert info.parameters == sum(p.numel() for p in model.parameters())
    assert (info.model_type, info.context_length, info.vocab_size, info.dtype) == ("gpt2", 32, 280, "float32")
    assert info.bytes_needed == {"float32": 4 * info.parameters, "bfloat16": 2 * info.parameters, "float16": 2 * info.parameters}  # fmt: skip
    assert info.tokenizer_fingerprint == TOKENIZER.fingerprint


def test_the_fingerprint_follows_weights_and_meaning_alone(folder: Path, tmp_path: Path) -> None:
    before = describe(str(folder)).fingerprint
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    (moved / "card.json").write_text('{"name": "other", "language": "pt"}')
    change(moved, transformers_version="9.9", architectures=None)
    assert describe(str(moved)).fingerprint == before
    assert describe(str(moved)).language == "pt"
    state = load_file(moved / "model.safetensors")
    state["transformer.wpe.weight"][0, 0] += 1e-3
    save_file(state, moved / "model.safetensors", metadata={"format": "pt"})
    assert describe(str(moved)).fingerprint != before
    change(folder, layer_norm_epsilon=1e-6)
    assert describe(str(folder)).fingerprint != before


def test_half_precision_weights_load_in_the_precision_asked_for(folder: Path) -> None:
    model = transformers.GPT2LMHeadModel.from_pretrained(str(folder), dtype=torch.float16)
    model.save_pretrained(folder)
    assert describe(str(folder)).dtype == "float16"
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        loaded = load(str(folder), dtype=name, device="cpu")
        assert {p.dtype for p in loaded.model.parameters()} == {dtype}
        assert not loaded.model.training


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "gpt_neo"])
def test_other_families_load_too(family: str, tied: bool, tmp_path: Path) -> None:
    if family == "llama":
        config = transformers.LlamaConfig(
            vocab_size=280, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=64, tie_word_embeddings=tied,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config)
    else:
        config = transformers.GPTNeoConfig(
            vocab_size=280, hidden_size=16, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]],
            max_position_embeddings=64, tie_word_embeddings=tied,
        )  # fmt: skip
        model = transformers.GPTNeoForCausalLM(config)
    model.save_pretrained(tmp_path)
    TOKENIZER.save(tmp_path)
    loaded = load(str(tmp_path), dtype="float32", device="cpu")
    assert loaded.info.parameters == sum(p.numel() for p in model.parameters())
    assert loaded.info.context_length == 64


def break_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 2**60) + raw[8:])


def fill_with_nan(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["transformer.wpe.weight"].fill_(float("nan"))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: (f / "model.safetensors").unlink(), "no weights here"),
    (lambda f: (f / "config.json").unlink(), "no config.json"),
    (lambda f: (f / "config.json").write_text("[" * 10**5), "cannot be read as JSON"),
    (lambda f: (f / "config.json").write_text('{"n_layer": 2}'), "no model_type"),
    (lambda f: (f / "tokenizer.json").unlink() or (f / "vocab.json").unlink(), "no tokenizer here"),
    (lambda f: train_tokenizer(sentences(100), 290).save(f), "tokenizer has 290 tokens and the model only 280"),
    (lambda f: change(f, auto_map={"AutoModel": "evil.py"}), "'auto_map' asks for code"),
    (lambda f: change(f, _attn_implementation_internal="evil/kernel"), "private key '_attn_implementation_internal'"),
    (lambda f: change(f, nested={"deep": [{"_x": 1}]}), "private key '_x'"),
    (lambda f: change(f, quantization_config={"bits": 4}), "quantised weights"),
    (lambda f: change(f, model_type="resnet"), "model_type 'resnet' is not a causal language model"),
    (lambda f: change(f, n_layer=10**9), "n_layer is 1000000000; expected a whole number from 1 to 1000"),
    (lambda f: change(f, n_layer=-1), "n_layer is -1"),
    (lambda f: change(f, n_layer="2"), "n_layer is 2; expected a whole number"),
    (lambda f: change(f, n_layer=3), r"tensor transformer.h.2\S+ is missing"),
    (lambda f: change(f, n_embd=32), "has shape"),
    (lambda f: change(f, n_positions=10**8), "n_positions is 100000000"),
    (lambda f: change(f, n_head=3), "no model can be built"),
    (cut, "cut short or damaged"),
    (break_header, "not a safetensors file"),
    (only_pickle, "pickle"),
    (fill_with_nan, "NaN or infinite"),
    (lambda f: (f / "training").mkdir(), "its training has not finished"),
    (lambda f: (f / "card.json").write_text("{"), "cannot be read as JSON"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[m[:40] for _, m in FAULTS])
def test_a_folder_that_lies_is_one_line(fault: Callable[[Path], object], message: str, folder: Path) -> None:
    fault(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load(str(folder), dtype="float32", device="cpu")
    assert "\n" not in str(caught.value)


def test_a_hub_name_that_is_not_cached_is_one_line_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="not in the hub's cache"):
        describe("nobody/nothing")
    with pytest.raises(ModelError, match="no such folder or file"):
        describe("./models/typo")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ModelError, match="expected a model folder"):
        describe(str(tmp_path / "notes.txt"))


def test_memory_and_devices_that_are_not_there_are_said_before_loading() -> None:
    with pytest.raises(ResourceError, match=r"A model needs about 1048576.0 GiB on cpu, and .* GiB are free"):
        devices.require_memory(2**50, torch.device("cpu"), "A model")
    with pytest.raises(UsageError, match="expected auto, cpu"):
        devices.pick_device("tpu!")
    with pytest.raises(UsageError, match="dtype 'int3'"):
        devices.pick_dtype("int3", torch.device("cpu"))
    assert devices.pick_dtype("fp16", torch.device("cpu")) == "float16"


@pytest.mark.parametrize("stored", ["embed_out.weight", "lm_head.weight"])
def test_a_gpt_neox_head_is_found_under_the_name_that_checkpoints_have(tmp_path: Path, stored: str) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.GPTNeoXConfig(vocab_size=280, max_position_embeddings=32, **sizes)
    folder = tmp_path / "neox"
    transformers.GPTNeoXForCausalLM(config).save_pretrained(folder)
    TOKENIZER.save(folder)
    weights = {k.replace("embed_out", "lm_head"): v for k, v in load_file(folder / "model.safetensors").items()}
    head = weights.pop("lm_head.weight")
    save_file({**weights, stored: head}, folder / "model.safetensors", metadata={"format": "pt"})
    assert describe(str(folder)).model_type == "gpt_neox"
    loaded = load(str(folder), dtype="float32", device="cpu")
    assert torch.equal(loaded.model.get_output_embeddings().weight, head)
