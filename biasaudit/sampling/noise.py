"""Counter-based noise: every random number of a completion is a hash of where it is used, so no generator has a state.

    row key      = SHA-256(seed, tokenizer fingerprint, prompt id, salt, completion index), 64 bits
    position key = mix(row key + (t + 1) · γ)                  t: generated position, from 0
    noise of v   = mix(position key ⊕ table[v])                v: token id; table[v] = mix((v + 1) · δ)

`mix` is the finaliser of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), a bijection of 64 bits;
γ is its odd constant. The arm and the decoding are in none of the keys: arms that share a tokenizer, and decodings of
one prompt, are coupled (CONTRACT §1). Everything is int64 arithmetic modulo 2⁶⁴, hence equal on CPU and GPU.

Not for: secrets. The hash is fast, not one-way.
"""

from __future__ import annotations

import torch

from biasaudit.identity import key64

_GAMMA = 0x9E3779B97F4A7C15
_DELTA = 0xD1B54A32D192ED03
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB

RESERVED = 2
"""Ids after the vocabulary V that carry noise of their own: V for the lumped rest, V + 1 for the draw inside it."""


def _signed(value: int) -> int:
    """The int64 that has the bits of an unsigned 64-bit `value`."""
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if value >> 63 else value


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical right shift: int64's own is arithmetic, so the copies of the sign are masked away."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def mix(x: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser of int64 `x`, any shape; `x` itself is not changed."""
    x = (x ^ _shift(x, 30)) * _signed(_MIX1)
    x = x.bitwise_xor_(_shift(x, 27)).mul_(_signed(_MIX2))
    return x.bitwise_xor_(_shift(x, 31))


def row_key(seed: int, tokenizer_fingerprint: str, prompt_id: str, salt: str, index: int) -> int:
    """Key of one completion's noise, as a signed 64-bit integer."""
    return _signed(key64("noise", seed, tokenizer_fingerprint, prompt_id, salt, index))


def position_keys(row_keys: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Key of each row's generated position: int64 (B,) from int64 (B,) row keys and 0-based positions."""
    return mix(row_keys + (positions + 1) * _signed(_GAMMA))


def token_table(vocabulary: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """int64 (V + 2,): the hashed token ids, with the reserved ids V and V + 1 at the end."""
    ids = torch.arange(1, vocabulary + RESERVED + 1, dtype=torch.int64, device=device)
    return mix(ids * _signed(_DELTA))


def uniform(keys: torch.Tensor, hashed_ids: torch.Tensor) -> torch.Tensor:
    """Uniforms in (0, 1), never 0 nor 1: fp64 with 52 random bits at the middle of their cells.

    Args:
        keys: int64 (B, 1) or (B,), position keys.
        hashed_ids: int64, rows of `token_table`, broadcastable against `keys`.
    """
    bits = _shift(mix(keys ^ hashed_ids), 12)
    return bits.to(torch.float64).add_(0.5).mul_(2.0**-52)


def gumbel(keys: torch.Tensor, hashed_ids: torch.Tensor) -> torch.Tensor:
    """Standard Gumbel noise −log(−log u), fp64, of the shape that `uniform` gives."""
    return uniform(keys, hashed_ids).log_().neg_().log_().neg_()
