"""What `GroupCache` must find out about its products: which may be smaller without another rounding."""

from __future__ import annotations

from collections.abc import Hashable

import torch

from biasaudit.sampling.decoders.parts import Rowwise, cancelling, sizes
from biasaudit.sampling.decoders.scratch import GROUP, OWN, SHARED

_FEW = OWN // 2
"""Fewer first positions of a block than these are multiplied by themselves; for more, the copy costs what is spared."""

_KNOWN: dict[Hashable, tuple[int, ...]] = {}
"""What was found by `cuts` in this process."""


def any_number(groups: int, heads: int, sharing: int, width: int, dtype: torch.dtype) -> bool:
    """Whether any number of groups comes out of all products as it does among `groups`."""
    rows = groups * GROUP

    def trial() -> tuple[Rowwise, torch.Tensor]:
        lanes = sharing * GROUP
        shapes = (
            (SHARED, width, lanes),
            (OWN * GROUP, width, lanes),
            (lanes, SHARED, width),
            (lanes, OWN * GROUP, width),
        )
        pairs = [cancelling(*shape, groups * heads, dtype=dtype) for shape in shapes]

        def run(rows: torch.Tensor) -> torch.Tensor:
            here = slice(int(rows[0]) // GROUP * heads, (int(rows[-1]) // GROUP + 1) * heads)
            products = [torch.bmm(left[here], right[here]).flatten(1) for left, right in pairs]
            return torch.cat(products, 1).view(len(rows), -1)

        return run, torch.arange(rows)

    return len(sizes(("groups", heads, sharing, width, dtype), trial, rows, rows)) == groups


def cuts(groups: int, heads: int, sharing: int, width: int, dtype: torch.dtype) -> tuple[int, ...]:
    """How many first positions of an own block may be multiplied without the others, rising; the last is all.

    They are those with which any number of groups has the bits that the whole block gives where the other positions
    have a share of 0.
    """
    key, shape = (groups, heads, sharing, width, dtype, torch.get_num_threads()), (sharing * GROUP, width)
    if key not in _KNOWN:
        few = [count for count in range(1, _FEW) if _may_cut(count * GROUP, groups, heads, shape, dtype)]
        _KNOWN[key] = (*few, OWN)
    return _KNOWN[key]


def _may_cut(cells: int, groups: int, heads: int, shape: tuple[int, int], dtype: torch.dtype) -> bool:
    """Whether the first cells of blocks may stand alone, in a product with queries and in one with shares."""
    batch, every, (lanes, width) = groups * heads, OWN * GROUP, shape
    keys, asked = cancelling(every, width, lanes, batch, dtype=dtype)
    shares, values = torch.zeros((batch, lanes, every), dtype=dtype), keys.clone()
    shares[:, :, :cells], values[:, :cells] = cancelling(lanes, cells, width, batch, dtype=dtype)
    scores, mixed = torch.bmm(keys, asked), torch.bmm(shares, values)
    table, part = torch.empty_like(scores), torch.empty_like(mixed)
    runs = (slice(*ends) for count in range(heads, batch + 1, heads) for ends in ((0, count), (batch - count, batch)))
    for run in runs:
        torch.bmm(keys[run, :cells], asked[run], out=table[run, :cells])
        torch.bmm(shares[run, :, :cells], values[run, :cells], out=part[run])
        if not torch.equal(part[run], mixed[run]) or not torch.equal(table[run, :cells], scores[run, :cells]):
            return False
    return True
