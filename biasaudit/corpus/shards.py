"""Token shards in nanoGPT's layout: documents one after another, each followed by end-of-text.

`uint16` little endian; `uint32` when the vocabulary has more than 65,536 tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_UINT16_TOKENS = 1 << 16

Numbers = npt.NDArray[np.unsignedinteger[Any]]


def dtype_for(vocab_size: int) -> str:
    """Name of the shard's number type: `uint16`, or `uint32` for large vocabularies."""
    return "uint16" if vocab_size <= _UINT16_TOKENS else "uint32"


def cut(
    ids: npt.NDArray[np.integer[Any]], counts: npt.NDArray[np.int64], held_out: npt.NDArray[np.bool_], dtype: str
) -> tuple[Numbers, Numbers]:
    """Deal out documents to the two shards.

    Args:
        ids: token ids of all documents, end-of-text behind each, shape (tokens,).
        counts: tokens of each document, end-of-text not counted, shape (documents,).
        held_out: which documents go to the validation shard, shape (documents,).
        dtype: number type of the shard, see `dtype_for`.

    Returns:
        Numbers to append to the training shard, and to the validation shard.

    Raises:
        ValueError: the counts do not add up to the ids, or an id does not fit the number type.
    """
    if len(counts) != len(held_out) or int(counts.sum()) + len(counts) != len(ids):
        raise ValueError(f"{len(ids)} ids are not {len(counts)} documents of the given counts")
    if len(ids) and int(ids.max()) > np.iinfo(dtype).max:
        raise ValueError(f"token id {int(ids.max())} does not fit {dtype}")
    numbers = ids.astype(np.dtype(dtype).newbyteorder("<"))
    if not held_out.any():
        return numbers, numbers[:0]
    side = np.repeat(held_out, counts + 1)
    return numbers[~side], numbers[side]
