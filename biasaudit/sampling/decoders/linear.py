"""Linear layers of a decode step, whose number of rows is fixed.

Weights in bf16 on a CPU are packed once into the layout that oneDNN wants for that number of rows; torch's own call
packs them at every step, which costs about as much as the product. The packing is a private call of torch, so it is
tried on the real weights and given up for the plain call where torch, the build or the processor will not have it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import Allocate
from biasaudit.sampling.decoders.even import gelu_tanh

_ALIGNED = 64

_ROWS = 256
"""Rows of the vocabulary's product: more take longer a row."""

Linear = Callable[[torch.Tensor], torch.Tensor]
"""(rows, in) → (rows, out)."""


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None, *, rows: int, gelu: bool = False) -> Linear:
    """A layer y = x · weightᵀ + bias for inputs of exactly `rows` rows.

    Args:
        weight: (out, in), as `torch.nn.Linear` keeps it; a transposed view of (in, out) will do.
        bias: (out,), or None.
        rows: the tile, known when it opens.
        gelu: apply GELU in its tanh form to y, inside the product where that can be.
    """
    packed = _packed(weight, bias, rows, gelu)
    if packed is not None:
        return packed
    if gelu:
        return lambda x: gelu_tanh(F.linear(x, weight, bias))
    return lambda x: F.linear(x, weight, bias)


def packs() -> bool:
    """Whether this processor multiplies bf16 itself and torch can keep weights packed for it."""
    return bool(
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _packed(weight: torch.Tensor, bias: torch.Tensor | None, rows: int, gelu: bool) -> Linear | None:
    """The layer with packed weights; None where they cannot be had."""
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16 or not packs():
        return None
    run = torch.ops.mkldnn._linear_pointwise
    after: tuple[str, list[float], str] = ("gelu", [], "tanh") if gelu else ("none", [], "")
    try:
        kept = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)
        run(torch.zeros((rows, weight.shape[1]), dtype=weight.dtype), kept, bias, *after)
    except (RuntimeError, TypeError):
        return None
    return lambda x: run(x, kept, bias, *after)


class Head:
    """The vocabulary's logits in fp32, of hidden states of a fixed number of rows.

    bf16 weights and bf16 states are multiplied exactly and summed in fp32: nothing is rounded to bf16 on the way out,
    where near logits would become equal. oneDNN does that when it may convert fp32 factors to bf16; ours hold bf16
    values already, so the conversion loses nothing.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        """Keep an fp32 copy.

        Args:
            weight: (V, C), in the model's dtype.
            bias: (V,), or None.
        """
        # Rows of a whole number of cache lines are written a sixth faster.
        self._columns = -(-len(weight) // _ALIGNED) * _ALIGNED
        self._weight = F.pad(weight.detach().float(), (0, 0, 0, self._columns - len(weight)))
        self.weight = self._weight[: len(weight)]
        self.bias = None if bias is None else bias.detach().float()
        self._kernel = kernels.head(weight.device, weight)
        self._packed = None if self._kernel is None else self._kernel.pack(weight.detach().contiguous())
        self._halves = weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and packs()

    def room(self, rows: int, allocate: Allocate) -> torch.Tensor:
        """fp32 (B, V) for `__call__` to write into."""
        columns = self._columns if self._kernel is None else len(self.weight)
        return allocate((rows, columns), torch.float32, self.weight.device)[:, : len(self.weight)]

    @staticmethod
    def together(rows: int) -> int:
        """How many of `rows` rows are multiplied at a time: equal parts or all, so that no row's place shapes it."""
        parts = -(-rows // _ROWS)
        return rows if rows % parts else rows // parts

    def __call__(self, states: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """fp32 logits (B, V) of (B, C) states of the model's dtype, into `out`, which `room` made."""
        if self._kernel is not None:
            self._kernel.head(states.contiguous(), self._packed, out)
        else:
            whole = out.as_strided((len(out), self._columns), out.stride())
            with _products_in_bf16() if self._halves else nullcontext():
                each = self.together(len(whole))
                for part, into in zip(torch.split(states.float(), each), torch.split(whole, each), strict=True):
                    torch.mm(part, self._weight.t(), out=into)
        return out if self.bias is None else out.add_(self.bias)


_ONE = threading.Lock()
"""torch keeps the setting below for the whole process: two threads must not restore each other's."""


@contextmanager
def _products_in_bf16() -> Iterator[None]:
    """While open, oneDNN may convert the factors of fp32 products to bf16; afterwards all is as it was."""
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    with _ONE:
        before = setting.fp32_precision
        setting.fp32_precision = "bf16"
        try:
            yield
        finally:
            setting.fp32_precision = before
