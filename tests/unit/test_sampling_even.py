"""Activations whose bits do not depend on a row's place: what torch's own do not promise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from biasaudit.sampling.decoders.even import even, gelu_tanh

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
