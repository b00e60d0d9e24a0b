"""Products of fewer rows: only numbers of rows that come out alike are used, and each row keeps its bits."""

from __future__ import annotations

import pytest
import torch

from biasaudit.sampling.decoders import parts
from biasaudit.sampling.decoders.linear import Head, linear
from biasaudit.sampling.decoders.parts import InParts, cancelling, sizes

DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(parts, "_KNOWN", {})


def summed(x: torch.Tensor) -> torch.Tensor:
    """Row sums whose order is another for some numbers of rows, as a library's may be."""
    lanes = 2 if len(x) in (48, 64, 256) else 16
    return x.view(len(x), lanes, -1).sum(2).sum(1, keepdim=True)


def trial():
    return summed, cancelling(384, 64, 1, dtype=torch.float32)[0]


def test_numbers_of_rows_that_are_summed_otherwise_are_found():
    assert sizes("some", trial, 128, 384) == (16, 32, 80, 96, 112, 128, 192, 320, 384)
    assert sizes("some", trial, 64, 64) == (48, 64)
    assert sizes("some", trial, 128, 128, 32) == (32, 96, 128)


@pytest.mark.parametrize("dtype", DTYPES)
def test_factors_cancel_so_that_nothing_but_rounding_is_left(dtype):
    left, right = cancelling(8, 96, 4, 3, dtype=dtype)
    assert left.shape == (3, 8, 96)
    assert right.shape == (3, 96, 4)
    assert (left.double() @ right.double()).abs().max() < 1e-12
    halves = [part.float() @ other.float() for part, other in zip(left.split(48, -1), right.split(48, -2), strict=True)]
    assert (sum(halves) != 0).float().mean() > 0.1


def test_every_row_keeps_the_bits_of_a_whole_part():
    x = torch.randn(400, 64, generator=torch.Generator().manual_seed(3))
    wanted = torch.cat([summed(part) for part in torch.split(x[:384], 128)])
    product = InParts(summed, 128, most=384, key="some", trial=trial)
    for rows in (1, 2, 16, 33, 48, 50, 64, 100, 127, 128, 129, 176, 192, 200, 256, 300, 383, 384):
        assert torch.equal(product(x[:rows]), wanted[:rows]), rows


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize(("width", "out"), [(96, 64), (768, 768), (768, 2304), (3072, 768)])
def test_a_layers_rows_have_the_same_bits_however_many_there_are(dtype, gelu, width, out):
    make = torch.Generator().manual_seed(8)
    weight, bias, x = (torch.randn(*s, generator=make).to(dtype) for s in ((out, width), (out,), (384, width)))
    with torch.inference_mode():
        small = linear(weight / 8, bias, rows=40, gelu=gelu)
        for tile in (256, 384):
            product = linear(weight / 8, bias, rows=tile, gelu=gelu)
            whole = product(x[:tile])
            for rows in (1, 17, 40, 64, 100, 128, 160, 256, 300):
                assert torch.equal(product(x[: min(rows, tile)]), whole[:rows]), rows
                assert torch.equal(product(x[max(tile - rows, 0) : tile]), whole[-rows:]), rows
            if tile < 384 or width <= out:  # long sums are divided by the number of rows
                assert torch.equal(small(x[:40]), whole[:40])
                assert torch.equal(small(x[tile - 33 : tile]), whole[-33:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_have_the_same_bits_however_many_rows_there_are(dtype):
    make = torch.Generator().manual_seed(8)
    weight, x = torch.randn(5003, 256, generator=make).to(dtype), torch.randn(384, 256, generator=make).to(dtype)
    with torch.inference_mode():
        head = Head(weight)
        room = head.room(384, lambda shape, dtype, device: torch.zeros(shape, dtype=dtype, device=device))
        whole = head(x, room).clone()
        for rows in (1, 17, 40, 64, 100, 192, 193, 256, 383):
            assert torch.equal(head(x[:rows], room), whole[:rows]), rows
