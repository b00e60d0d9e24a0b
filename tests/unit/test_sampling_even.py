"""Activations whose bits do not depend on a row's place: what torch's own do not promise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import Gemma2Config, Gemma2ForCausalLM

from biasaudit.sampling.decoders.even import EvenActivations, even, gelu_tanh
from biasaudit.sampling.decoders.select import choose

WIDTHS = (64, 200, 777, 3072, 40_000)
ROWS = (1, 2, 7, 16, 128)
ACTIVATIONS = {"silu": even(F.silu), "gelu": even(F.gelu), "gelu_tanh": gelu_tanh}


@pytest.fixture(params=[1, 2, 3, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equal_rows_come_out_equal_at_every_place(name, threads):
    for dtype in (torch.float32, torch.bfloat16):
        for width in WIDTHS:
            row = torch.randn(1, width, generator=torch.Generator().manual_seed(width)).to(dtype)
            for rows in ROWS:
                found = ACTIVATIONS[name](row.expand(rows, width).contiguous())
                assert torch.equal(found, found[:1].expand(rows, width))


def test_values_are_those_of_torch():
    x = torch.randn(5, 200, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(ACTIVATIONS["silu"](x), F.silu(x), atol=1e-6)
    assert torch.allclose(gelu_tanh(x), F.gelu(x, approximate="tanh"), atol=1e-6)


@pytest.mark.parametrize("threads", [5], indirect=True)
def test_inside_a_model_of_transformers_equal_rows_come_out_equal_too(threads):
    row = torch.randn(1, 1, 3072, generator=torch.Generator().manual_seed(1))
    x = row.expand(128, 1, 3072).contiguous()
    plain = [F.silu, torch.sigmoid, torch.tanh, torch.nn.GELU("tanh"), lambda y: y.tanh(), lambda y: F.softplus(y, 2.0)]
    for function in plain:
        want = function(x)
        with EvenActivations():
            found = function(x)
        assert found.shape == x.shape
        assert torch.allclose(found, want, atol=1e-6)
        assert torch.equal(found, found[:1].expand_as(x))


@pytest.mark.parametrize("threads", [5], indirect=True)
def test_rows_of_the_general_path_do_not_depend_on_their_place(threads):
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 3072, "num_hidden_layers": 2, "head_dim": 8, "pad_token_id": 0}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "sliding_window": 8}
    model = Gemma2ForCausalLM(Gemma2Config(vocab_size=300, **sizes, **heads)).eval()
    decoder = choose(model, vocabulary=300)
    assert decoder.path == "general"
    with torch.inference_mode():
        decoder.open(128, 64)
        (state,) = decoder.prefill([[5, 6, 7]])
        for place in range(128):
            decoder.admit(place, state, 20)
        for step in range(3):
            decoder.step(torch.full((128,), 9), torch.full((128,), 3 + step), 3 + step)
            assert torch.equal(decoder.logits(), decoder.logits()[:1].expand(128, 300))
