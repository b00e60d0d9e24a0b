"""Activations whose last bit does not depend on where a row stands in its tile.

torch computes SiLU, GELU and their like 64 values at a time and the few that are left over with other code, which may
round differently. What is left over stands at the end of the tensor and, with several threads, at the end of each one's
share: measured with 5 threads on 128 × 3072 values, equal rows came out unequal. So the work is cut where nothing is
left over. Products, norms, softmax and `exp` showed no such places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_VECTOR = 64
"""A multiple of the values that one step of a vectorised loop takes, whatever the instruction set and dtype."""

_SHARE = 32768
"""Fewest values that torch gives to a thread (at::internal::GRAIN_SIZE)."""

_ALONE = 16384
"""So many values are always one thread's (GELU shares more among all threads, whatever `_SHARE` says)."""


def even(activation: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """`activation` of (rows, width), each row as if it stood first; rows of equal bits give equal bits."""

    def apply(x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu" or _is_even(x.numel(), x.shape[1]):
            return activation(x)
        rows = max(1, _ALONE // x.shape[1]) if x.shape[1] % _VECTOR == 0 else 1
        return torch.cat([activation(piece) for piece in torch.split(x, rows)])

    return apply


def _is_even(values: int, width: int) -> bool:
    """Whether every thread's share of so many values, and every row, is a whole number of vectors."""
    most = torch.get_num_threads()
    shares = {1} if values <= _ALONE else {most, min(most, -(-values // _SHARE))}
    return width % _VECTOR == 0 and all(values % (share * _VECTOR) == 0 for share in shares)


_UNEVEN = frozenset(
    getattr(home, name)
    for home in (F, torch._C._nn, torch, torch.Tensor)
    for name in ("gelu", "silu", "mish", "softplus", "sigmoid", "logsigmoid", "tanh", "erf", "quick_gelu")
    if hasattr(home, name)
)
"""Functions of one tensor, element by element, that may have such places."""


class EvenActivations(TorchFunctionMode):
    """While open, activations inside a model of transformers are even: every row of (…, width) as if it stood first."""

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        x, more = args[0] if args else None, dict(kwargs or {})
        if func not in _UNEVEN or not isinstance(x, torch.Tensor) or x.ndim < 2 or more.get("inplace"):
            return func(*args, **more)
        rows = x.reshape(-1, x.shape[-1])
        return even(lambda part: func(part, *args[1:], **more))(rows).view(x.shape)


gelu_tanh = even(lambda x: F.gelu(x, approximate="tanh"))
"""GELU in its tanh form, (rows, width)."""
