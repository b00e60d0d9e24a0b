"""What the fast path knows of each family: GPT-Neo, GPT-J, GPT-NeoX (Pythia) and the Llama-like models.

Each function here reads a model of transformers and returns its `Stack`, or None when the model is of another family or
has an option that the loop does not know. Formulas are those of the model's own file in transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from biasaudit.sampling.decoders.base import context_length
from biasaudit.sampling.decoders.even import even
from biasaudit.sampling.decoders.transformer import Layer, Make, Map, Rotary, Stack

_ROPE = {"default", "linear", "llama3", "yarn", "dynamic"}
"""Kinds of rotary scaling whose angles depend on the position alone, within the context; longrope's do not."""

_LLAMA_LIKE = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "SmolLM3ForCausalLM"}


def describe(model: Any) -> Stack | None:
    """The `Stack` of `model`, or None when no family here knows it with all its options."""
    readers: dict[str, Callable[[Any], Stack | None]] = {
        "GPTNeoForCausalLM": _neo,
        "GPTJForCausalLM": _gptj,
        "GPTNeoXForCausalLM": _neox,
        **dict.fromkeys(_LLAMA_LIKE, _llama),
    }
    read = readers.get(type(model).__name__)
    return read(model) if read and is_plain(model) else None


def is_plain(model: Any) -> bool:
    """Whether every module of `model` is what transformers made it, with weights of one dtype on one device.

    Adapters, quantised layers, patched or hooked modules compute something else than their names say.
    """
    homes = (type(model).__module__, "torch.nn.modules.", "transformers.activations", "transformers.pytorch_utils")
    if not homes[0].startswith("transformers.models."):
        return False
    for module in model.modules():
        hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
        if hooked or not type(module).__module__.startswith(homes):
            return False
        if isinstance(module, torch.nn.Linear) and type(module) is not torch.nn.Linear:
            return False
    kinds = {(p.dtype, p.device) for p in model.parameters()}
    return len(kinds) == 1 and next(iter(kinds))[0].is_floating_point


def _children(module: torch.nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _feed(make: Make, up: torch.nn.Linear, activation: Any, down: torch.nn.Linear) -> Map:
    """The feed-forward part; transformers' own form of the tanh GELU takes many operations, so it is replaced."""
    outer = make(down)
    if type(activation).__name__ == "NewGELUActivation":
        activated = make(up, gelu=True)
        return lambda x: outer(activated(x))
    inner, act = make(up), even(activation)
    return lambda x: outer(act(inner(x)))


def _heads(query: Map, key: Map, value: Map, width: int) -> Callable[[torch.Tensor], Any]:
    """A projection by three layers."""

    def project(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(layer(x).view(x.shape[0], -1, width) for layer in (query, key, value))

    return project


def _neo(model: Any) -> Stack | None:
    core, config = model.transformer, model.config
    kinds = list(config.attention_layers)
    if set(kinds) - {"global", "local"}:
        return None
    width = config.hidden_size // config.num_heads

    def layers(make: Make) -> Iterator[Layer]:
        for block, kind in zip(core.h, kinds, strict=True):
            inner = block.attn.attention
            yield Layer(
                before=block.ln_1,
                project=_heads(make(inner.q_proj), make(inner.k_proj), make(inner.v_proj), width),
                merge=make(inner.out_proj),
                between=block.ln_2,
                feed=_feed(make, block.mlp.c_fc, block.mlp.act, block.mlp.c_proj),
                window=config.window_size if kind == "local" else None,
            )

    return Stack(
        path="neo",
        context=context_length(config),
        embed=lambda ids, positions: core.wte.weight[ids] + core.wpe.weight[positions],
        layers=lambda make: list(layers(make)),
        norm=core.ln_f,
        head=model.lm_head,
        heads=config.num_heads,
        key_heads=config.num_heads,
        width=width,
        scale=1.0,
    )


def _gptj(model: Any) -> Stack | None:
    core, config = model.transformer, model.config
    width = config.n_embd // config.n_head
    if not config.rotary_dim or config.rotary_dim > width:
        return None
    table = core.h[0].attn.embed_positions

    def angles(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sines, cosines = table.to(model.dtype)[positions].chunk(2, dim=-1)
        return cosines, sines

    def layers(make: Make) -> Iterator[Layer]:
        for block in core.h:
            inner = block.attn
            yield Layer(
                before=block.ln_1,
                project=_heads(make(inner.q_proj), make(inner.k_proj), make(inner.v_proj), width),
                merge=make(inner.out_proj),
                between=None,
                feed=_feed(make, block.mlp.fc_in, block.mlp.act, block.mlp.fc_out),
            )

    return Stack(
        path="gptj",
        context=context_length(config),
        embed=lambda ids, _positions: core.wte.weight[ids],
        layers=lambda make: list(layers(make)),
        norm=core.ln_f,
        head=model.lm_head,
        heads=config.n_head,
        key_heads=config.n_head,
        width=width,
        scale=width**-0.5,
        parallel=True,
        rotary=Rotary(angles, interleaved=True),
    )


def _neox(model: Any) -> Stack | None:
    core, config = model.gpt_neox, model.config
    rotary = _rotary(core.rotary_emb, model.dtype)
    if rotary is None:
        return None
    width = config.hidden_size // config.num_attention_heads

    def split(fused: Map) -> Callable[[torch.Tensor], Any]:
        return lambda x: fused(x).view(x.shape[0], -1, 3 * width).chunk(3, dim=-1)

    def layers(make: Make) -> Iterator[Layer]:
        for block in core.layers:
            yield Layer(
                before=block.input_layernorm,
                project=split(make(block.attention.query_key_value)),
                merge=make(block.attention.dense),
                between=block.post_attention_layernorm,
                feed=_feed(make, block.mlp.dense_h_to_4h, block.mlp.act, block.mlp.dense_4h_to_h),
            )

    return Stack(
        path="neox",
        context=context_length(config),
        embed=lambda ids, _positions: core.embed_in.weight[ids],
        layers=lambda make: list(layers(make)),
        norm=core.final_layer_norm,
        head=model.lm_head,
        heads=config.num_attention_heads,
        key_heads=config.num_attention_heads,
        width=width,
        scale=width**-0.5,
        parallel=bool(config.use_parallel_residual),
        rotary=rotary,
    )


def _llama(model: Any) -> Stack | None:
    core, config = model.model, model.config
    blocks = list(core.layers)[: config.num_hidden_layers]
    rotary = _rotary(core.rotary_emb, model.dtype)
    plain = {"q_proj", "k_proj", "v_proj", "o_proj"}
    known = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
    if rotary is None or any(_children(b) != known for b in blocks):
        return None
    if any(_children(b.self_attn) not in (plain, plain | {"q_norm", "k_norm"}) for b in blocks):
        return None
    windows = _windows(config, len(blocks))
    width = blocks[0].self_attn.head_dim

    def layers(make: Make) -> Iterator[Layer]:
        for block, window in zip(blocks, windows, strict=True):
            yield Layer(
                before=block.input_layernorm,
                project=_grouped(block.self_attn, make, width),
                merge=make(block.self_attn.o_proj),
                between=block.post_attention_layernorm,
                feed=_gated(block.mlp, make),
                window=window,
                rotates=bool(getattr(block.self_attn, "use_rope", True)),
            )

    return Stack(
        path="llama",
        context=context_length(config),
        embed=lambda ids, _positions: core.embed_tokens.weight[ids],
        layers=lambda make: list(layers(make)),
        norm=core.norm,
        head=model.lm_head,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads,
        width=width,
        scale=blocks[0].self_attn.scaling,
        rotary=rotary,
    )


def _grouped(attention: Any, make: Make, width: int) -> Callable[[torch.Tensor], Any]:
    """Projection of a Llama-like layer; Qwen3 normalises queries and keys head by head."""
    project = _heads(make(attention.q_proj), make(attention.k_proj), make(attention.v_proj), width)
    if not hasattr(attention, "q_norm"):
        return project

    def normed(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, key, value = project(x)
        return attention.q_norm(query), attention.k_norm(key), value

    return normed


def _gated(mlp: Any, make: Make) -> Map:
    """The feed-forward part of a Llama-like layer (SwiGLU)."""
    gate, up, down = make(mlp.gate_proj), make(mlp.up_proj), make(mlp.down_proj)
    activation = even(mlp.act_fn)
    return lambda x: down(activation(gate(x)) * up(x))


def _windows(config: Any, layers: int) -> list[int | None]:
    """The window of every layer: Mistral has one for all, the others name the layers that have one."""
    window = getattr(config, "sliding_window", None)
    if config.model_type == "mistral":
        return [window] * layers
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * layers
    return [window if kind == "sliding_attention" else None for kind in kinds[:layers]]


def _rotary(module: Any, dtype: torch.dtype) -> Rotary | None:
    """Rotary positions by transformers' own module, whatever its scaling, as long as it depends on positions alone."""
    if module.rope_type not in _ROPE:
        return None

    def angles(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        example = torch.empty(0, dtype=dtype, device=positions.device)
        cosines, sines = module(example, positions[None])
        half = cosines.shape[-1] // 2
        return cosines[0, :, :half].contiguous(), sines[0, :, :half].contiguous()

    return Rotary(angles, interleaved=False)
