"""Linear layers of a decode step, whose number of rows is fixed."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

Linear = Callable[[torch.Tensor], torch.Tensor]
"""(rows, in) → (rows, out)."""


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None, *, rows: int) -> Linear:  # noqa: ARG001
    """A layer y = x · weightᵀ + bias for inputs of exactly `rows` rows.

    Args:
        weight: (out, in), as `torch.nn.Linear` keeps it; a transposed view of (in, out) will do.
        bias: (out,), or None.
        rows: the tile, known when it opens.
    """
    return lambda x: F.linear(x, weight, bias)
