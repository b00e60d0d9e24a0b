"""The personal identifiers that a corpus holds, as hashes: where the privacy stage was off, what could leak again.

Two writings of one identifier are equal when their letters and digits are, after NFKC and case folding: the CPF
`529.982.247-25` is `52998224725`. Eight bytes an identifier are kept, and no text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.find import DOCUMENTS, open_documents
from biasaudit.corpus.privacy import Masked, mask_all
from biasaudit.errors import CorpusError

Keys = npt.NDArray[np.uint64]

NOT_PERSONAL = frozenset({"LINK"})
"""Masked before training, but a link to a page is no identifier of a person."""
_NOT_CORE = re.compile(r"[\W_]+")
_ROWS = 4096
_HELD = 1 << 20


def found_in(text: str, masked: Masked) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, start, end) of every personal identifier in `text`, given what masking made of it."""
    for start, end, from_, to in masked.spans:
        kind = masked.text[start + 1 : end - 1]
        if kind not in NOT_PERSONAL:
            yield kind, from_, min(to, len(text))


def key(identifier: str) -> int:
    """64 bits that equal writings of one identifier share."""
    core = _NOT_CORE.sub("", unicodedata.normalize("NFKC", identifier)).casefold()
    return int.from_bytes(hashlib.blake2b(core.encode("utf-8", "replace"), digest_size=8).digest())


def identifiers(corpus: Path, side: str = "train", progress: Callable[[int, int], None] | None = None) -> Keys:
    """Keys of all personal identifiers in one side of a corpus, ascending, each once.

    Args:
        corpus: the folder.
        side: `train` or `val`.
        progress: called with (documents read, documents in all).

    Raises:
        CorpusError: no documents there, or a damaged file.
    """
    found: set[int] = set()
    kept = np.zeros(0, np.uint64)
    read = 0
    with open_documents(corpus) as file:
        total = file.metadata.num_rows
        try:
            for batch in file.iter_batches(batch_size=_ROWS, columns=["text", "split"]):
                texts = batch.filter(pc.equal(batch.column("split"), side)).column("text").to_pylist()
                for text, masked in zip(texts, mask_all(texts), strict=True):
                    found.update(key(text[start:end]) for _, start, end in found_in(text, masked))
                if len(found) > _HELD:
                    kept, found = _merged(kept, found), set()
                read += batch.num_rows
                if progress is not None:
                    progress(read, total)
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(
                f"{corpus / DOCUMENTS}: is damaged ({type(error).__name__}). Ingest the dump again."
            ) from error
    return _merged(kept, found)


def holds(keys: Keys, identifier: str) -> bool:
    """Whether an identifier is among the keys of a corpus."""
    wanted = np.uint64(key(identifier))
    place = int(np.searchsorted(keys, wanted))
    return place < len(keys) and bool(keys[place] == wanted)


def _merged(kept: Keys, found: set[int]) -> Keys:
    return np.union1d(kept, np.fromiter(found, np.uint64, len(found)))
