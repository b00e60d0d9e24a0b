"""Writing the span index of a token shard: suffix arrays of bounded blocks, one after another, resumable.

    FOLDER/00000.sa, .keys    block 0: where its suffixes start, in sorted order; the first tokens of every 32nd of them
    FOLDER/00000.json         hashes of the two; written last, so that a block is there or is not
    FOLDER/ends.bin           where documents end
    FOLDER/index.json         what the index was made from, and every file's hash; written last of all

Every block sorts the suffixes that *start* in it by the text that goes on `limit` tokens behind its end, so that a
span of up to `limit` tokens is found wherever the shard was cut. Suffix arrays are libdivsufsort's (Yuta Mori; MIT),
through pydivsufsort; tokens are given to it as big-endian bytes, whose order is that of the tokens. Memory: about 16
bytes a token of one block (uint16), whatever the size of the shard.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biasaudit import identity
from biasaudit.errors import CorpusError, RunLockedError, StoreError, UsageError

FORMAT = 1
BLOCK = 1 << 23
"""Tokens a block: about 200 MB while it is sorted."""
LIMIT = 4096
"""Longest span that is measured, in tokens: several times what a model is asked to write."""
STRIDE = 32
"""Every so many-th suffix has its first tokens in memory order, which spares five sixths of a search's steps."""
LARGEST_BLOCK = 1 << 28
"""The sorter counts bytes in 32 bits, and a token has up to four."""
_PIECE = 1 << 22

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an index is made from; another value of any field is another index."""

    shard_sha256: str
    tokens: int
    dtype: str
    """`uint16` or `uint32`, little endian."""
    eot_id: int
    block: int
    limit: int

    @property
    def name(self) -> str:
        """A word for the folder: equal for equal indexes only."""
        return identity.content_hash([FORMAT, asdict(self)])[:16]

    def blocks(self) -> list[tuple[int, int]]:
        """(start, stop) of every block, in tokens."""
        return [(start, min(start + self.block, self.tokens)) for start in range(0, self.tokens, self.block)]


def describe(shard: Path, *, dtype: str, eot_id: int, block: int = BLOCK, limit: int = LIMIT) -> Made:
    """Read the shard once for its hash, and check that it can be indexed.

    Raises:
        CorpusError: no such shard, or one that is no whole number of tokens.
        UsageError: a block or limit that cannot work.
    """
    if dtype not in ("uint16", "uint32"):
        raise UsageError(f"dtype {dtype}: token shards are uint16 or uint32.")
    if not 1 <= block <= LARGEST_BLOCK:
        raise UsageError(f"block {block}: give 1 to {LARGEST_BLOCK:,} tokens; {BLOCK:,} is the default.")
    if not 1 <= limit <= LARGEST_BLOCK:
        raise UsageError(f"limit {limit}: give 1 to {LARGEST_BLOCK:,} tokens; {LIMIT:,} is the default.")
    try:
        size, sha256 = shard.stat().st_size, identity.file_hash(shard)
    except OSError as error:
        raise CorpusError(f"{shard}: cannot be read ({error.strerror}). Give a folder that ingest wrote.") from error
    itemsize = np.dtype(dtype).itemsize
    if size % itemsize:
        raise CorpusError(f"{shard}: {size:,} bytes are no whole number of {dtype} tokens; the shard is damaged.")
    return Made(shard_sha256=sha256, tokens=size // itemsize, dtype=dtype, eot_id=eot_id, block=block, limit=limit)


def mapped(path: Path, dtype: str) -> npt.NDArray[Any]:
    """A file of little-endian numbers, read as it is needed; an empty file is an empty array."""
    kind = np.dtype(dtype).newbyteorder("<")
    if path.stat().st_size == 0:
        return np.empty(0, kind)
    return np.asarray(np.memmap(path, dtype=kind, mode="r"))


def build(shard: Path, made: Made, folder: Path, progress: Progress | None = None) -> None:
    """Write the index of `shard` into `folder`, going on behind the last block that is there.

    Args:
        shard: the tokens.
        made: what `describe` said of it.
        folder: made when missing; one writer at a time, which the caller sees to.
        progress: called with (tokens indexed, tokens in all).

    Raises:
        UsageError: the extra `search` is not installed.
        StoreError: the folder cannot be written.
        CorpusError: the shard was changed meanwhile.
    """
    blocks = made.blocks()
    stamp = shard.stat()
    text = mapped(shard, made.dtype)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (start, stop) in enumerate(blocks):
            if not _block_done(folder, number, stop - start):
                _write_block(folder, number, text, start, stop, made)
            if progress is not None:
                progress(stop, made.tokens)
        files = {f"{n:05}.{part}": sha for n in range(len(blocks)) for part, sha in _block_files(folder, n).items()}
        files["ends.bin"] = _write(folder / "ends.bin", _ends(text, made))
        after = shard.stat()
        if (after.st_size, after.st_mtime_ns, after.st_ino) != (stamp.st_size, stamp.st_mtime_ns, stamp.st_ino):
            raise CorpusError(f"{shard}: was changed while it was indexed. Run again when it is at rest.")
        whole = {"format": FORMAT, "stride": STRIDE, "made_from": asdict(made), "files": files}
        _write(folder / "index.json", (json.dumps(whole, sort_keys=True, indent=1) + "\n").encode())
    except OSError as error:
        raise StoreError(
            f"{folder}: the index cannot be written ({error.strerror}). Free space or allow writing, and run again; "
            "it goes on behind the last finished block."
        ) from error


def keys_at(text: npt.NDArray[Any], places: npt.NDArray[np.int64], eot_id: int) -> npt.NDArray[np.uint64]:
    """The tokens that stand at each place, as many as 64 bits hold, the first one in the highest bits.

    Behind the shard's last token stands end-of-text, for ever.
    """
    count = 8 // text.dtype.itemsize
    bits = np.uint64(8 * text.dtype.itemsize)
    last = len(text) - 1
    beyond = len(places) > 0 and int(places.max()) + count > len(text)
    keys = np.zeros(len(places), np.uint64)
    for step in range(count):
        at = places + step
        tokens = (text[np.minimum(at, last)] if beyond else text[at]).astype(np.uint64)
        if beyond:
            tokens[at > last] = eot_id
        keys = (keys << bits) | tokens
    return keys


def _write_block(folder: Path, number: int, text: npt.NDArray[Any], start: int, stop: int, made: Made) -> None:
    """Sort one block and put its files down, the marker last."""
    order = _suffixes(_window(text, start, stop, made), stop - start)
    sampled = order[::STRIDE].astype(np.int64) + start
    hashes = {
        "sa": _write(folder / f"{number:05}.sa", order),
        "keys": _write(folder / f"{number:05}.keys", keys_at(text, sampled, made.eot_id).astype("<u8")),
    }
    _write(folder / f"{number:05}.json", json.dumps(hashes).encode())


def _window(text: npt.NDArray[Any], start: int, stop: int, made: Made) -> npt.NDArray[Any]:
    """The block's tokens and those behind it that its longest spans reach into."""
    window = np.array(text[start : min(stop + made.limit, len(text))])
    if stop + made.limit > len(text):
        window = np.append(window, np.array([made.eot_id], window.dtype))
    return window


def _suffixes(window: npt.NDArray[Any], starts: int) -> npt.NDArray[np.uint32]:
    """Where the suffixes that start below `starts` stand, in the order of their tokens."""
    try:
        from pydivsufsort import divsufsort
    except ImportError as error:
        raise UsageError(
            "The index of a corpus needs the extra 'search', which is not installed: pip install 'biasaudit[search]'."
        ) from error
    size = window.dtype.itemsize
    used = max(1, (int(window.max()).bit_length() + 7) // 8)
    columns = window.astype(window.dtype.newbyteorder(">")).view(np.uint8).reshape(-1, size)
    order = divsufsort(np.ascontiguousarray(columns[:, size - used :]).reshape(-1))
    pieces = []
    for piece in np.array_split(order, len(order) // _PIECE + 1):
        places = piece[piece % used == 0] // used
        pieces.append(places[places < starts].astype("<u4"))
    return np.concatenate(pieces)


def _ends(text: npt.NDArray[Any], made: Made) -> npt.NDArray[np.int64]:
    """Places of end-of-text, ascending."""
    found = [
        np.flatnonzero(text[start : start + _PIECE] == made.eot_id) + start for start in range(0, made.tokens, _PIECE)
    ]
    return np.concatenate([*found, np.empty(0, np.int64)]).astype("<i8")


def _block_files(folder: Path, number: int) -> dict[str, str]:
    """Hashes of a finished block's files by their suffix, empty when it is not finished."""
    try:
        hashes: dict[str, str] = json.loads((folder / f"{number:05}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return hashes


def _block_done(folder: Path, number: int, starts: int) -> bool:
    """Whether a block's marker and both its files are there, whole."""
    sizes = {"sa": 4 * starts, "keys": 8 * -(-starts // STRIDE)}
    files = {folder / f"{number:05}.{part}": size for part, size in sizes.items()}
    there = all(path.is_file() and path.stat().st_size == size for path, size in files.items())
    return there and _block_files(folder, number).keys() == sizes.keys()


def _write(path: Path, content: bytes | npt.NDArray[Any]) -> str:
    """Put `content` at `path`, whole or not at all; its SHA-256.

    The folder is not synced: a name that a power cut loses is found missing, and the index can be made again.
    """
    data = content if isinstance(content, bytes) else np.ascontiguousarray(content).view(np.uint8).data
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
    return hashlib.sha256(data).hexdigest()


@contextmanager
def single_writer(home: Path) -> Iterator[None]:
    """Hold the right to write indexes under `home` for as long as the block runs.

    Raises:
        RunLockedError: another process has it.
        StoreError: the folder cannot be written.
    """
    try:
        home.mkdir(exist_ok=True)
        handle = (home / ".lock").open("a")
    except OSError as error:
        raise StoreError(f"{home}: cannot be written ({error.strerror}), so the index cannot be made.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLockedError(f"{home}: another process is making an index. Wait for it, or stop it.") from None
        except OSError:
            # Some mounted drives know no locks. Two writers would write the same bytes, and every file appears whole.
            pass
        yield
