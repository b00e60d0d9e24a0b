"""Keyed noise: equal to a slow reference, uniform, Gumbel, and independent of everything but its key."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from biasaudit.sampling import noise

MASK = (1 << 64) - 1


def slow_mix(x: int) -> int:
    """SplitMix64's finaliser in Python's own integers."""
    x &= MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def slow_uniform(seed: int, tokenizer: str, prompt: str, salt: str, index: int, t: int, v: int) -> float:
    """The whole chain, from its description."""
    words = json.dumps(["noise", seed, tokenizer, prompt, salt, index], separators=(",", ":"), ensure_ascii=False)
    row = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "little")
    position = slow_mix(row + (t + 1) * 0x9E3779B97F4A7C15)
    bits = slow_mix(position ^ slow_mix((v + 1) * 0xD1B54A32D192ED03)) >> 12
    return (bits + 0.5) / 2**52


def uniforms(rows: int, positions: int, tokens: int, *, seed: int = 7, salt: str = "") -> np.ndarray:
    keys = torch.tensor([noise.row_key(seed, "tok", "prompt", salt, i) for i in range(rows)])
    table = noise.token_table(tokens)[:tokens]
    steps = [noise.uniform(noise.position_keys(keys, torch.full((rows,), t))[:, None], table) for t in range(positions)]
    return torch.stack(steps, 1).numpy()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**40),
    prompt=st.text(max_size=8),
    salt=st.text(max_size=3),
    index=st.integers(0, 2**31),
    t=st.integers(0, 4096),
    v=st.integers(0, 300),
)
def test_noise_equals_the_slow_reference(seed, prompt, salt, index, t, v):
    key = torch.tensor([noise.row_key(seed, "tok", prompt, salt, index)])
    got = noise.uniform(noise.position_keys(key, torch.tensor([t]))[:, None], noise.token_table(300)[v])
    assert float(got) == slow_uniform(seed, "tok", prompt, salt, index, t, v)


def test_uniforms_are_uniform():
    flat = uniforms(50, 20, 200).ravel()
    assert stats.kstest(flat, "uniform").pvalue > 1e-3
    counts = np.histogram(flat, bins=1000, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_uniforms_are_never_0_or_1():
    extremes = torch.tensor([0, -1, 2**63 - 1, -(2**63)])
    bits = noise._shift(extremes, 12).double().add(0.5).mul(2.0**-52)
    assert float(bits.min()) > 0.0
    assert float(bits.max()) < 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_in_index_position_and_token_are_independent(axis):
    cube = uniforms(60, 60, 60)
    left = np.moveaxis(cube, axis, 0)[:-1].ravel()
    right = np.moveaxis(cube, axis, 0)[1:].ravel()
    assert abs(np.corrcoef(left, right)[0, 1]) < 4 / math.sqrt(left.size)
    grid = np.histogram2d(left, right, bins=16, range=((0, 1), (0, 1)))[0]
    assert stats.chisquare(grid.ravel()).pvalue > 1e-3


def test_every_bit_of_the_key_flips_half_of_the_result():
    keys = torch.randint(-(2**62), 2**62, (2000,), generator=torch.Generator().manual_seed(1))
    for bit in (0, 1, 31, 62, 63):
        flipped = noise.mix(keys) ^ noise.mix(keys ^ noise._signed(1 << bit))
        ones = np.unpackbits(flipped.numpy().view(np.uint8)).mean()
        assert ones == pytest.approx(0.5, abs=0.01)


def test_gumbel_noise_has_the_law_of_gumbel():
    keys = noise.position_keys(torch.arange(300), torch.zeros(300, dtype=torch.int64))
    drawn = noise.gumbel(keys[:, None], noise.token_table(300)).numpy().ravel()
    assert stats.kstest(drawn, "gumbel_r").pvalue > 1e-3
    assert drawn.mean() == pytest.approx(np.euler_gamma, abs=0.02)
    assert drawn.var() == pytest.approx(math.pi**2 / 6, abs=0.05)


def test_a_salt_a_seed_and_a_prompt_give_other_noise():
    plain = uniforms(3, 3, 50).ravel()
    assert abs(np.corrcoef(plain, uniforms(3, 3, 50, salt="a").ravel())[0, 1]) < 0.2
    assert abs(np.corrcoef(plain, uniforms(3, 3, 50, seed=8).ravel())[0, 1]) < 0.2
    assert noise.row_key(1, "t", "p", "", 0) != noise.row_key(1, "t", "q", "", 0)
