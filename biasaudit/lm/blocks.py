"""Token shards as training blocks, in an order that is a pure function of (seed, position).

An epoch is a permutation of non-overlapping blocks laid out from a random phase. Nothing is drawn while training
runs, so a resumed run reads exactly the blocks that an uninterrupted one would have read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biasaudit import identity
from biasaudit.errors import CorpusError

Tokens = npt.NDArray[Any]


def open_tokens(path: Path, dtype: str = "uint16") -> Tokens:
    """Token ids of a shard in nanoGPT's layout, memory-mapped.

    Args:
        path: `train.bin` or `val.bin`.
        dtype: `uint16` (vocabularies up to 65,536) or `uint32`, little endian.

    Raises:
        CorpusError: missing, or not a whole number of tokens.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    if not path.is_file():
        raise CorpusError(f"{path}: missing. Expected a corpus folder made by `biasaudit ingest`.")
    size = path.stat().st_size
    if size % kind.itemsize:
        raise CorpusError(f"{path}: {size} bytes are no whole number of {dtype} tokens; ingest the dump again.")
    return np.memmap(path, dtype=kind, mode="r") if size else np.zeros(0, dtype=kind)


def largest_token(tokens: Tokens) -> int:
    """Largest id in a shard, read in pieces; −1 when it is empty."""
    return max((int(tokens[i : i + (1 << 22)].max()) for i in range(0, len(tokens), 1 << 22)), default=-1)


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea & Flood 2014): a bijection on 64-bit words."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class BlockDataset(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """`items` blocks of `block` tokens; item k depends on (seed, k) and the shard alone."""

    def __init__(self, tokens: Tokens, *, block: int, items: int, seed: int) -> None:
        """Keep the shard; nothing is read yet.

        Raises:
            CorpusError: the shard is shorter than one block.
        """
        if len(tokens) < block:
            raise CorpusError(f"the training shard has {len(tokens)} tokens and a block {block}. Use a smaller block.")
        self.tokens, self.block, self.items, self.seed = tokens, block, items, seed
        self.per_epoch = max(1, (len(tokens) - block + 1) // block)
        self._epoch = -1
        self._order = np.zeros(0, dtype=np.int64)
        self._phase = 0

    def __len__(self) -> int:
        """Blocks in the whole training run."""
        return self.items

    def offset(self, k: int) -> int:
        """First token of item `k`."""
        epoch, position = divmod(k, self.per_epoch)
        if epoch != self._epoch:
            with np.errstate(over="ignore"):
                index = np.arange(self.per_epoch, dtype=np.uint64) + np.uint64(1)
                step = index * np.uint64(0x9E3779B97F4A7C15) + np.uint64(identity.key64("order", self.seed, epoch))
                self._order = np.argsort(_mix(step), kind="stable")
            room = min(self.block - 1, len(self.tokens) - self.per_epoch * self.block)
            self._phase = identity.key64("phase", self.seed, epoch) % (room + 1)
            self._epoch = epoch
        return self._phase + int(self._order[position]) * self.block

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        """Item `k`: `input_ids` and `labels`, both of shape (block,)."""
        start = self.offset(k)
        ids = torch.from_numpy(self.tokens[start : start + self.block].astype(np.int64))
        return {"input_ids": ids, "labels": ids}


def collate(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stack items into a batch of shape (batch, block)."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}
