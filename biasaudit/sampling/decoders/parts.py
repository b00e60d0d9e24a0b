"""Work on fewer rows than the tile has, where they come out with the same bits.

Libraries choose how to sum a product by its shape, so the same row may round otherwise among fewer rows. Which numbers
of rows are summed alike differs between processors, threads and shapes; so it is tried out when it is first asked, on
factors whose sums cancel: nothing but rounding is left of them, and any other order of summation shows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
import torch.nn.functional as F

STEP = 16
"""Numbers of rows that are tried are multiples of these, the rows of a matrix unit."""

_TRIED = 8
"""About so many numbers are tried of a part's rows: each trial takes as long as the product itself."""

Rowwise = Callable[[torch.Tensor], torch.Tensor]
"""(rows, …) to (rows, …), row by row."""

_KNOWN: dict[Hashable, tuple[int, ...]] = {}
"""What was tried out in this process: by the work's key, the threads and the rows of a part, the sizes that will do."""


def cancelling(
    rows: int, inner: int, columns: int, *batch: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors (…, rows, inner) and (…, inner, columns) whose product is 0 but for what is rounded.

    The terms of the second half are those of the first with the other sign, in another order: were it the same, halves
    that are summed by themselves would cancel whatever order each is summed in.
    """
    make = torch.Generator().manual_seed(22)
    half = -(-inner // 2)
    left = torch.randn((*batch, rows, half), generator=make).to(dtype)
    right = torch.randn((*batch, half, columns), generator=make).to(dtype)
    other = torch.randperm(half, generator=make)[: inner - half]
    return torch.cat((left, -left[..., other]), -1), torch.cat((right, right[..., other, :]), -2)


Trial = Callable[[], tuple[Rowwise, torch.Tensor]]
"""Makes work of some kind, and rows to try it on."""


def sizes(key: Hashable, trial: Trial, whole: int, most: int, step: int = STEP) -> tuple[int, ...]:
    """Numbers of rows, rising, that have the bits that they have in parts of `whole` rows; `whole` is one.

    Args:
        key: says what kind of work it is; a kind is tried once.
        trial: makes such work, and at least `most` rows.
        whole: how many rows the bits are taken from.
        most: the largest number that may be wanted, a multiple of `whole`; above this, multiples of its half are tried.
        step: up to `whole`, multiples of this are tried.
    """
    asked = (key, torch.get_num_threads(), whole, most, step)
    if asked not in _KNOWN:
        run, x = trial()
        x, half = x[:most], whole // 2
        full = torch.cat([run(part) for part in torch.split(x, whole)])
        tried = (*range(step, whole, step), *range(whole + half, len(x) + 1, half))
        alike = [size for size in tried if _alike(run, x[: max(size, whole)], full, size)]
        _KNOWN[asked] = tuple(sorted((*alike, whole)))
    return _KNOWN[asked]


def _alike(run: Rowwise, x: torch.Tensor, full: torch.Tensor, size: int) -> bool:
    """Whether `size` rows of x give the bits of `full`, at the start of x and at its end."""
    parts = (slice(size), slice(len(x) - size, len(x)))
    return all(torch.equal(run(x[part]), full[part]) for part in parts)


def fewest(key: Hashable, trial: Trial, whole: int, rows: int) -> int:
    """How many rows are run for `rows` of `whole`: the fewest that have the bits that they have among `whole`."""
    return whole if rows == whole else next(size for size in sizes(key, trial, whole, whole) if size >= rows)


class InParts:
    """A product of any number of rows, each with the bits that it has among `whole` of them."""

    def __init__(self, run: Rowwise, whole: int, *, most: int, key: Hashable, trial: Trial) -> None:
        """Try out nothing yet.

        Args:
            run: the product, of any number of rows at a time.
            whole: rows of a part.
            most: the largest number of rows.
            key: see `sizes`.
            trial: see `sizes`.
        """
        self._run, self._whole, self._most, self._key, self._trial = run, whole, most, key, trial

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, out) of (rows, in)."""
        rows = len(x)
        if rows == self._whole:
            return self._run(x)
        step = max(STEP, self._whole // _TRIED)
        known, parts, at = sizes(self._key, self._trial, self._whole, self._most, step), [], 0
        while at < rows:
            size = max((size for size in known if size <= rows - at and size >= self._whole), default=0)
            size = size or next(size for size in known if size >= rows - at)
            empty = max(0, at + size - rows)
            part = x[at:] if at + size >= rows else x[at : at + size]
            parts.append(self._run(F.pad(part, (0, 0, 0, empty)))[: size - empty] if empty else self._run(part))
            at += size
        return parts[0] if len(parts) == 1 else torch.cat(parts)
