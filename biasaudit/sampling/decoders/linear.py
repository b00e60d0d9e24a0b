"""Linear layers of a decode step, in which a row has the same bits however many there are.

Weights in bf16 on a CPU are packed once into the layout that oneDNN wants; torch's own call packs them at every step,
which costs about as much as the product. The packing is a private call of torch, so it is tried on the real weights and
given up for the plain call where torch, the build or the processor will not have it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import Allocate, out_of_memory
from biasaudit.sampling.decoders.even import gelu_tanh
from biasaudit.sampling.decoders.parts import InParts, Rowwise, cancelling, fewest

_ALIGNED = 64

_ROWS = 256
"""Rows of the vocabulary's product: more take longer a row."""

_TOGETHER = 128
"""Rows of a layer's product: with more, fewer numbers of rows are summed alike."""

_MANY = 384
"""The same of a layer that has more inputs than outputs, where the tile is a multiple of it: oneDNN divides their long
sums by the number of rows, so no number far from this has its bits; and in smaller parts they take a fifth longer."""


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None, *, rows: int, gelu: bool = False) -> Rowwise:
    """A layer y = x · weightᵀ + bias for inputs of at most `rows` rows; on a GPU of exactly so many.

    Args:
        weight: (out, in), as `torch.nn.Linear` keeps it; a transposed view of (in, out) will do.
        bias: (out,), or None.
        rows: the tile, known when it opens.
        gelu: apply GELU in its tanh form to y, inside the product where that can be.
    """
    long = weight.shape[1] > weight.shape[0]
    whole = _MANY if long and rows % _MANY == 0 else _TOGETHER
    run = _packed(weight, bias, whole, gelu=gelu)
    if run is None and weight.device.type != "cpu":
        return _plain(weight, bias, gelu)
    most = -(-rows // whole) * whole

    def trial() -> tuple[Rowwise, torch.Tensor]:
        x, columns = cancelling(most, weight.shape[1], weight.shape[0], dtype=weight.dtype)
        x[::2] = x[::2].abs()  # half of the sums do not cancel, and meet all of GELU
        like = columns.t() if weight.stride(0) == 1 else columns.t().contiguous()
        little = None if bias is None else columns[0] * 2**-20  # about what rounding leaves, so both show
        return (_packed(like, little, whole, gelu=gelu) if run else None) or _plain(like, little, gelu), x

    key = ("linear", run is None, tuple(weight.shape), weight.stride(), bias is None, weight.dtype, gelu)
    return InParts(run or _plain(weight, bias, gelu), whole, most=most, key=key, trial=trial)


def _plain(weight: torch.Tensor, bias: torch.Tensor | None, gelu: bool) -> Rowwise:
    """The layer with weights as they are."""
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


def _packed(weight: torch.Tensor, bias: torch.Tensor | None, rows: int, *, gelu: bool) -> Rowwise | None:
    """The layer with weights packed for so many rows at a time; None where they cannot be had.

    Raises:
        RuntimeError: memory does not suffice; as another arithmetic, the plain layer must not stand in then.
    """
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16 or not packs():
        return None
    run = torch.ops.mkldnn._linear_pointwise
    after: tuple[str, list[float], str] = ("gelu", [], "tanh") if gelu else ("none", [], "")
    try:
        kept = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)
        run(torch.zeros((rows, weight.shape[1]), dtype=weight.dtype), kept, bias, *after)
    except (RuntimeError, TypeError) as error:
        if out_of_memory(error):
            raise
        return None
    return lambda x: run(x, kept, bias, *after)


class Head:
    """The vocabulary's logits in fp32; a row has the same bits however many there are.

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
        self._key = ("head", tuple(self._weight.shape), weight.dtype)
        self._halves = weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and packs()

    def room(self, rows: int, allocate: Allocate) -> torch.Tensor:
        """fp32 (B, V) for `__call__` to write into."""
        columns = self._columns if self._kernel is None else len(self.weight)
        return allocate((rows, columns), torch.float32, self.weight.device)[:, : len(self.weight)]

    def __call__(self, states: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """fp32 logits (B, V) of (B, C) states of the model's dtype, in `out`, which `room` made for the tile."""
        found = out[: len(states)]
        if self._kernel is not None:
            self._kernel.head(states.contiguous(), self._packed, found)
        elif states.device.type == "cpu":
            self._in_parts(states.float(), out)
        else:
            torch.mm(states.float(), self._weight.t(), out=out.as_strided((len(out), self._columns), out.stride()))
        return found if self.bias is None else found.add_(self.bias)

    def _in_parts(self, states: torch.Tensor, out: torch.Tensor) -> None:
        """Multiply equal parts of the tile, or all at once, so that no row's place shapes it; the last may be fewer."""
        tile = len(out)
        cells = out.as_strided((tile, self._columns), out.stride())
        count = -(-tile // _ROWS)
        each = tile if tile % count else tile // count
        with _products_in_bf16() if self._halves else nullcontext():
            for start in range(0, len(states), each):
                part = states[start : start + each]
                size = fewest(self._key, lambda: self._trial(each), each, len(part))
                if size > len(part):
                    part = F.pad(part, (0, 0, 0, size - len(part)))
                torch.mm(part, self._weight.t(), out=cells[start : start + size])

    def _trial(self, rows: int) -> tuple[Rowwise, torch.Tensor]:
        states = cancelling(rows, self._weight.shape[1], 1, dtype=torch.bfloat16)[0].float()
        return lambda x: torch.mm(x, self._weight.t()), states


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
