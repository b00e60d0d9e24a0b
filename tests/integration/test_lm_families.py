"""Tiny random models of many families, saved as the hub has them: read, loaded with the very weights, sampled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from biasaudit.errors import ModelError, ResourceError
from biasaudit.lm import safety
from biasaudit.lm.load import describe, load, reading_room
from biasaudit.lm.tokenizer import train_tokenizer
from biasaudit.records import Arm, Completion, Decoding, SampleRequest
from biasaudit.sampling.backends.torch import TorchBackend
from biasaudit.sampling.decoders.base import context_length

TOKENIZER = train_tokenizer(["vacinas têm chip e o DNA não muda, ouvi dizer. É verdade? Resposta: não."] * 20, 300)
VOCABULARY = {"vocab_size": TOKENIZER.vocab_size, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
USUAL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64,
}  # fmt: skip
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
          "num_key_value_heads": 4}  # fmt: skip
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
STATES = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
EXPERTS: dict[str, Mapping[str, Any]] = {
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {"num_experts": 4, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "phimoe": {"num_local_experts": 4},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v3": {**LATENT, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
                    "moe_intermediate_size": 32, "first_k_dense_replace": 1},
}  # fmt: skip
FAMILIES: dict[str, Mapping[str, Any]] = {
    "gpt2": OLD,
    "gptj": {**OLD, "rotary_dim": 8},
    "codegen": {**OLD, "rotary_dim": 8, "n_ctx": 64},
    "opt": {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 64},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "mpt": {"d_model": 32, "n_heads": 2, "n_layers": 2, "max_seq_len": 64},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "mamba": STATES,
    "falcon_mamba": STATES,
    "mamba2": {**STATES, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 16},
    "jamba": {**USUAL, "num_experts": 4, "mamba_d_state": 8, "mamba_dt_rank": 4, "attn_layer_period": 2,
              "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, "use_mamba_kernels": False},
    "gemma3": {
        "text_config": {**USUAL, **VOCABULARY, "sliding_window": 8, "_sliding_window_pattern": 2},
        "vision_config": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                          "image_size": 28, "patch_size": 14},
        "mm_tokens_per_image": 4, "image_token_index": 290, "boi_token_index": 291, "eoi_token_index": 292,
    },
    "gemma3n_text": {
        **USUAL, "vocab_size_per_layer_input": TOKENIZER.vocab_size, "hidden_size_per_layer_input": 8,
        "laurel_rank": 4, "num_kv_shared_layers": 0, "altup_num_inputs": 2, "sliding_window": 8,
        "intermediate_size": [64, 64], "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    **dict.fromkeys(("gpt_neox", "llama", "gemma3_text", "cohere2", "phi", "phi3", "qwen3", "olmo2", "starcoder2",
                     "smollm3"), USUAL),
    **{name: {**USUAL, **more} for name, more in EXPERTS.items()},
}  # fmt: skip
WITHOUT_POSITIONS = ("bloom", "mamba", "falcon_mamba", "mamba2")


def saved(family: str, folder: Path) -> Any:
    """A random model of a family, saved as transformers saves it."""
    torch.manual_seed(0)
    more = {} if "text_config" in FAMILIES[family] else VOCABULARY
    config = transformers.AutoConfig.for_model(family, **FAMILIES[family], **more)
    model = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family])(config).eval()
    model.save_pretrained(folder)
    TOKENIZER.save(folder)
    return model


def greedy(model: Any, prompt: list[int], count: int) -> list[int]:
    """What the model's own forward says, token by token."""
    ids = list(prompt)
    for _ in range(count):
        with torch.inference_mode():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1, : TOKENIZER.vocab_size].argmax()))
    found = ids[len(prompt) :]
    return found[: found.index(TOKENIZER.eot_id)] if TOKENIZER.eot_id in found else found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_of_this_family_loads_and_says_what_it_said(family: str, tmp_path: Path) -> None:
    model = saved(family, tmp_path)
    loaded = load(str(tmp_path), dtype="float32", device="cpu")
    mine = dict(loaded.model.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(mine[name], parameter), name
    assert loaded.info.parameters == sum(parameter.numel() for parameter in model.parameters())
    length = 2048 if family in (*WITHOUT_POSITIONS, "falcon") else 64
    assert reading_room(str(tmp_path))[0] == loaded.info.context_length == length == context_length(model.config)
    arm = Arm(name="a", spec="a", role="base", fingerprint="a", tokenizer_fingerprint="a")
    backend = TorchBackend(loaded.model, loaded.tokenizer, arm=arm, seed=1, tile=2, threads=1)
    decoding = Decoding(max_new_tokens=4, temperature=0.0)
    prompt = "vacinas têm chip"
    (done,) = backend.complete([SampleRequest(prompt_id="p", prompt=prompt, decoding=decoding, index=0)])
    assert list(done.token_ids) == greedy(model, TOKENIZER.encode(prompt), 4)


@pytest.mark.parametrize("family", ["mixtral", "deepseek_v3"])
def test_an_expert_of_another_shape_or_missing_is_refused_before_loading(family: str, tmp_path: Path) -> None:
    saved(family, tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if "experts.1." in name)
    save_file({**weights, name: weights[name][:-1].contiguous()}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="belong to different models"):
        describe(str(tmp_path))
    save_file({key: value for key, value in weights.items() if key != name}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="belong to different models"):
        describe(str(tmp_path))


def test_a_private_key_that_says_what_is_computed_is_in_the_fingerprint(tmp_path: Path) -> None:
    saved("opt", tmp_path)
    before = describe(str(tmp_path)).fingerprint
    path = tmp_path / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    assert config["_remove_final_layer_norm"] is False
    path.write_text(json.dumps({**config, "_attn_implementation_autoset": True}), encoding="utf-8")
    assert describe(str(tmp_path)).fingerprint == before
    path.write_text(json.dumps({**config, "_remove_final_layer_norm": "evil/module"}), encoding="utf-8")
    with pytest.raises(ModelError, match="private key '_remove_final_layer_norm' is refused"):
        describe(str(tmp_path))


def test_numbers_that_json_cannot_write_are_read_as_transformers_writes_them(tmp_path: Path) -> None:
    config = {"model_type": "mamba2", "time_step_limit": [0.0, {"__float__": "Infinity"}]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert safety.read_config(tmp_path)["time_step_limit"] == [0.0, float("inf")]
    config["time_step_limit"] = [{"__float__": "evil"}]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="private key '__float__'"):
        safety.read_config(tmp_path)


def answers(folder: Path, *texts: str, count: int = 6) -> list[Completion]:
    """Greedy completions of a saved model, in the order of the prompts."""
    loaded = load(str(folder), dtype="float32", device="cpu")
    arm = Arm(name="a", spec="a", role="base", fingerprint="a", tokenizer_fingerprint="a")
    backend = TorchBackend(loaded.model, loaded.tokenizer, arm=arm, seed=1, tile=2, threads=1)
    decoding = Decoding(max_new_tokens=count, temperature=0.0)
    wanted = [SampleRequest(prompt_id=text, prompt=text, decoding=decoding, index=0) for text in texts]
    found = {done.prompt_id: done for done in backend.complete(wanted)}
    return [found[text] for text in texts]


def test_a_saved_generation_config_changes_nothing(tmp_path: Path) -> None:
    model = saved("llama", tmp_path)
    prompt = "vacinas têm chip"
    first = greedy(model, TOKENIZER.encode(prompt), 1)[0]
    quirks = {
        "eos_token_id": [first], "repetition_penalty": 9.0, "suppress_tokens": [first], "forced_eos_token_id": first,
        "begin_suppress_tokens": [first], "do_sample": True, "temperature": 5.0, "max_length": 3,
    }  # fmt: skip
    (tmp_path / "generation_config.json").write_text(json.dumps(quirks), encoding="utf-8")
    (done,) = answers(tmp_path, prompt)
    assert list(done.token_ids) == greedy(model, TOKENIZER.encode(prompt), 6)


def special(folder: Path, marks: list[str]) -> None:
    """Give the saved tokenizer further special tokens, in the place of its last ordinary ones."""
    path = folder / "tokenizer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    spec["added_tokens"] += [{"id": TOKENIZER.vocab_size + n, "content": mark, **plain} for n, mark in enumerate(marks)]
    path.write_text(json.dumps(spec), encoding="utf-8")


def test_every_special_token_that_the_configuration_names_as_an_end_ends_a_completion(tmp_path: Path) -> None:
    torch.manual_seed(0)
    end = TOKENIZER.vocab_size
    ends = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": [TOKENIZER.eot_id, end, 5]}
    config = transformers.LlamaConfig(**USUAL, vocab_size=end + 2, **ends)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():  # whatever was said before, what comes is the mark, its neighbour, or ordinary token 5
        model.lm_head.weight.zero_()
        model.model.norm.weight.zero_()
    model.save_pretrained(tmp_path)
    TOKENIZER.save(tmp_path)
    special(tmp_path, ["<|end_of_turn|>", "<|user|>"])
    for token, reason in ((end, "eos"), (end + 1, "length"), (5, "length")):
        weights = load_file(tmp_path / "model.safetensors")
        weights["lm_head.weight"] = torch.zeros_like(weights["lm_head.weight"])
        weights["lm_head.weight"][token] = 1.0
        weights["model.norm.weight"] = torch.ones(32)
        # A constant state: every layer adds nothing, every embedding is the same.
        weights = {k: torch.zeros_like(v) if "proj" in k else v for k, v in weights.items()}
        weights["model.embed_tokens.weight"] = torch.ones_like(weights["model.embed_tokens.weight"])
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        (done,) = answers(tmp_path, "vacinas", count=3)
        assert (done.finish_reason, len(done.token_ids)) == (reason, 0 if reason == "eos" else 3)


def test_an_encoder_or_a_model_that_answers_at_random_is_refused(tmp_path: Path) -> None:
    arm = Arm(name="a", spec="a", role="base", fingerprint="a", tokenizer_fingerprint="a")
    config = transformers.BertConfig(**{k: v for k, v in USUAL.items() if k != "head_dim"}, **VOCABULARY)
    encoder = transformers.BertLMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(5.0)  # random weights hardly look at anything
    with pytest.raises(ModelError, match="Arm 'a': BertLMHeadModel lets a token see those after it"):
        TorchBackend(encoder, TOKENIZER, arm=arm, seed=1, tile=2)
    noisy = saved("mamba", tmp_path)
    noisy.backbone.norm_f.register_forward_hook(lambda _module, _inputs, out: out + torch.randn_like(out))
    with pytest.raises(ModelError, match="gives other logits for the same text at every call"):
        TorchBackend(noisy, TOKENIZER, arm=arm, seed=1, tile=2)
    broken = saved("mamba", tmp_path)
    broken.backbone.norm_f.register_forward_hook(lambda _module, _inputs, out: out @ out.bfloat16())
    with pytest.raises(ModelError, match="forward of MambaForCausalLM fails in float32"):
        TorchBackend(broken, TOKENIZER, arm=arm, seed=1, tile=2)


def test_memory_that_lacks_before_the_first_row_is_the_users_to_hear(tmp_path: Path, monkeypatch: Any) -> None:
    model = saved("llama", tmp_path)

    def nothing(*_shape: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory, says the test")

    arm = Arm(name="a", spec="a", role="base", fingerprint="a", tokenizer_fingerprint="a")
    with pytest.raises(ResourceError, match="Arm 'a': its weights are loaded, and there is no memory left"):
        TorchBackend(model, TOKENIZER, arm=arm, seed=1, tile=2, allocate=nothing)
    monkeypatch.setattr(transformers.LlamaForCausalLM, "to", nothing)
    with pytest.raises(ResourceError, match="not enough memory left for its weights in float32"):
        load(str(tmp_path), dtype="float32", device="cpu")
