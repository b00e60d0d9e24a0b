"""Small random models of every family, by the path that must run them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from sampling_support import ENDS, VOCABULARY, gpt2, sharpened

CONTEXT = 160
SHARP = 2.0
"""Weights so large that attention looks at few positions: a wrong angle or window changes what is said."""

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": CONTEXT,
    **ENDS,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
OLD_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 2,
    "n_positions": CONTEXT,
    **ENDS,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 40}
LLAMA3 = {**YARN, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def make(family: str, seed: int = 1, **options: Any) -> Any:
    """A model of `family`, e.g. 'Llama'; its biases and norms are random too, so that none can be left out unseen."""
    torch.manual_seed(seed)
    model = getattr(transformers, family + "ForCausalLM")(getattr(transformers, family + "Config")(**options))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                parameter.mul_(SHARP)
    return sharpened(model)


def neo(**options: Any) -> Any:
    kinds = [[["global", "local"], 2]]
    sizes = {"hidden_size": 32, "num_layers": 4, "num_heads": 2, "window_size": 9, "max_position_embeddings": CONTEXT}
    return make("GPTNeo", vocab_size=VOCABULARY, attention_types=kinds, **sizes, **ENDS, **options)


def recurrent() -> Any:
    return make("Mamba", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, **ENDS)


def longrope(original: int) -> Any:
    """Angles that change for the whole text once it is longer than `original`."""
    parameters = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
    lengths = {"original_max_position_embeddings": original, "pad_token_id": 0}
    return make("Phi3", rope_parameters=parameters, **lengths, **GROUPED)


Build = Callable[[], Any]

FAST: dict[str, tuple[str, Build]] = {
    "gpt2": ("gpt2", gpt2),
    "gpt-neo": ("neo", neo),
    "gpt-j": ("gptj", lambda: make("GPTJ", rotary_dim=8, **OLD_SIZES)),
    "gpt-neox": ("neox", lambda: make("GPTNeoX", **SIZES)),
    "gpt-neox-in-turn": ("neox", lambda: make("GPTNeoX", use_parallel_residual=False, rotary_pct=1.0, **SIZES)),
    "llama": ("llama", lambda: make("Llama", **GROUPED)),
    "llama-biases": ("llama", lambda: make("Llama", attention_bias=True, mlp_bias=True, **GROUPED)),
    "llama-llama3": ("llama", lambda: make("Llama", rope_parameters=LLAMA3, **GROUPED)),
    "llama-yarn": ("llama", lambda: make("Llama", rope_parameters=YARN, **GROUPED)),
    "mistral": ("llama", lambda: make("Mistral", sliding_window=None, head_dim=16, **GROUPED)),
    "mistral-window": ("llama", lambda: make("Mistral", sliding_window=8, **GROUPED)),
    "qwen2": ("llama", lambda: make("Qwen2", tie_word_embeddings=True, **GROUPED)),
    "qwen2-window": (
        "llama",
        lambda: make("Qwen2", use_sliding_window=True, sliding_window=33, max_window_layers=1, **GROUPED),
    ),
    "qwen3": ("llama", lambda: make("Qwen3", head_dim=16, **GROUPED)),
    "smollm3": ("llama", lambda: make("SmolLM3", no_rope_layer_interval=2, pad_token_id=0, **GROUPED)),
}
GENERAL: dict[str, tuple[str, Build]] = {
    "opt": (
        "general",
        lambda: make(
            "OPT",
            **{**SIZES, "num_attention_heads": 2},
            ffn_dim=64,
            word_embed_proj_dim=64,
            pad_token_id=1,
        ),
    ),
    "falcon": ("general", lambda: make("Falcon", **SIZES)),
    "gemma": ("general", lambda: make("Gemma", head_dim=8, pad_token_id=0, **GROUPED)),
    "gemma2-window": (
        "general",
        lambda: make("Gemma2", head_dim=8, sliding_window=8, pad_token_id=0, **GROUPED),
    ),
    "phi3-window": ("general", lambda: make("Phi3", sliding_window=9, pad_token_id=0, **GROUPED)),
}
LAST_RESORT: dict[str, tuple[str, Build]] = {
    "bloom": ("recompute", lambda: make("Bloom", vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=2, **ENDS)),
    "mamba": ("recompute", recurrent),
    "mixtral": ("recompute", lambda: make("Mixtral", num_local_experts=4, **GROUPED)),
}
FAMILIES = {**FAST, **GENERAL, **LAST_RESORT}
