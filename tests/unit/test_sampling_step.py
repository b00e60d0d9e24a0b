"""The parts of a decode step: packed layers, exact logits from half weights, attention that no neighbour can change."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from biasaudit.sampling.decoders.base import allocate_zeros
from biasaudit.sampling.decoders.blocks import BLOCK, BlockCache
from biasaudit.sampling.decoders.linear import Head, linear

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.bfloat16]


def some(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 5) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_a_packed_layer_computes_what_the_plain_one_does(dtype, gelu, biased):
    weight, x = some(48, 64, dtype=dtype) / 8, some(16, 64, dtype=dtype, seed=6)
    bias = some(48, dtype=dtype, seed=7) if biased else None
    wanted = F.linear(x.float(), weight.float(), None if bias is None else bias.float())
    wanted = F.gelu(wanted, approximate="tanh") if gelu else wanted
    with torch.inference_mode():
        got = linear(weight, bias, rows=16, gelu=gelu)(x)
        transposed = linear(weight.t().contiguous().t(), bias, rows=16, gelu=gelu)(x)
    assert got.dtype == dtype
    assert torch.allclose(got.float(), wanted, atol=1e-5 if dtype == torch.float32 else 0.03)
    assert torch.equal(got, transposed)


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_of_half_weights_are_not_rounded_to_halves(dtype):
    weight, states = some(300, 256, dtype=dtype), some(8, 256, dtype=dtype, seed=6)
    setting = torch.backends.mkldnn.matmul.fp32_precision
    with torch.inference_mode():
        head = Head(weight)
        got = head(states, head.room(8, allocate_zeros))
    assert torch.allclose(got.double(), states.double() @ weight.double().t(), rtol=1e-5, atol=1e-4)
    assert torch.backends.mkldnn.matmul.fp32_precision == setting


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_attends_alike_however_long_the_others_are(dtype):
    rows, heads, width = 32, 4, 64
    start = torch.randint(0, 20, (rows,), generator=torch.Generator().manual_seed(2))
    prompt = some(2, heads, 20, width, dtype=dtype)
    query, key, value = (some(rows, heads, width, dtype=dtype, seed=seed) for seed in (1, 2, 3))
    found = []
    for longest in (21, 2 * BLOCK - 1, 2 * BLOCK, 5 * BLOCK + 3, 700):
        cache = BlockCache(
            layers=1, rows=rows, heads=heads, width=width, dtype=dtype, device=CPU, allocate=allocate_zeros
        )
        cache.reserve(longest + 1)
        for row in range(rows):
            cache.place(row, prompt[:1], prompt[1:])
        positions = start.clone()
        positions[-1] = longest
        cache.aim(positions, longest)
        found.append(cache.attend(0, query, key, value, 0.125)[:-1])
    assert all(torch.equal(other, found[0]) for other in found)
