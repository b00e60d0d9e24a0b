"""The personal identifiers that a corpus holds, as hashes: where the privacy stage was off, what could leak again.

Two writings of one identifier are equal when their letters and digits are, after NFKC and case folding: the CPF
`529.982.247-25` is `52998224725`. Eight bytes an identifier are kept, and no text. Long ones are found inside longer
strings too: a model that repeats a number with one digit more gives it away, and no rule for such numbers sees it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
SHORTEST_INSIDE = 10
"""Letters and digits of an identifier that is looked for inside longer strings: shorter ones stand there by chance."""
_BASE = 0x9E3779B97F4A7C15
_ROWS = 4096
_HELD = 1 << 20


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What a corpus holds: length of the core -> keys, ascending, each once."""

    keys: Mapping[int, Keys] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(keys) for keys in self.keys.values())

    def hold(self, identifier: str) -> bool:
        """Whether an identifier is one of the corpus's."""
        core, _ = _core(identifier)
        return bool(len(core)) and bool(self._known(_windows(core, len(core)), len(core))[0])

    def inside(self, text: str) -> list[tuple[int, int]]:
        """Where identifiers of the corpus stand in `text`, also within longer strings; apart and in order."""
        core, places = _core(text)
        found: list[tuple[int, int]] = []
        for length in self.keys:
            if SHORTEST_INSIDE <= length <= len(core):
                starts = np.flatnonzero(self._known(_windows(core, length), length)).tolist()
                found += [(places[start], places[start + length - 1] + 1) for start in starts]
        apart: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if apart and start < apart[-1][1]:
                apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
            else:
                apart.append((start, end))
        return apart

    def _known(self, wanted: Keys, length: int) -> npt.NDArray[np.bool_]:
        keys = self.keys.get(length, np.zeros(0, np.uint64))
        if not len(keys):
            return np.zeros(len(wanted), np.bool_)
        there: npt.NDArray[np.bool_] = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
        return there


def found_in(text: str, masked: Masked) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, start, end) of every personal identifier in `text`, given what masking made of it."""
    for start, end, from_, to in masked.spans:
        kind = masked.text[start + 1 : end - 1]
        if kind not in NOT_PERSONAL:
            yield kind, from_, min(to, len(text))


def identifiers(corpus: Path, side: str = "train", progress: Callable[[int, int], None] | None = None) -> Identifiers:
    """All personal identifiers in one side of a corpus.

    Args:
        corpus: the folder.
        side: `train` or `val`.
        progress: called with (documents read, documents in all).

    Raises:
        CorpusError: no documents there, or a damaged file.
    """
    kept: dict[int, Keys] = {}
    found: dict[int, set[int]] = {}
    read = 0
    with open_documents(corpus) as file:
        total = file.metadata.num_rows
        try:
            for batch in file.iter_batches(batch_size=_ROWS, columns=["text", "split"]):
                texts = batch.filter(pc.equal(batch.column("split"), side)).column("text").to_pylist()
                for text, masked in zip(texts, mask_all(texts), strict=True):
                    for _, start, end in found_in(text, masked):
                        core, _ = _core(text[start:end])
                        if len(core):
                            found.setdefault(len(core), set()).add(int(_windows(core, len(core))[0]))
                if sum(map(len, found.values())) > _HELD:
                    kept, found = _merged(kept, found), {}
                read += batch.num_rows
                if progress is not None:
                    progress(read, total)
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(
                f"{corpus / DOCUMENTS}: is damaged ({type(error).__name__}). Ingest the dump again."
            ) from error
    return Identifiers(_merged(kept, found))


def _core(text: str) -> tuple[Keys, list[int]]:
    """Letters and digits of `text`, folded, as code points; and the place in `text` of each."""
    letters: list[int] = []
    places: list[int] = []
    for place, character in enumerate(text):
        plain = character if character.isascii() else unicodedata.normalize("NFKC", character)
        for one in plain.casefold():
            if one.isalnum():
                letters.append(ord(one))
                places.append(place)
    return np.array(letters, np.uint64), places


def _windows(core: Keys, length: int) -> Keys:
    """A 64-bit polynomial hash of every window of `length` code points; arithmetic is modulo 2^64."""
    mixed = (core + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(29)
    hashes = np.zeros(len(core) - length + 1, np.uint64)
    for step in range(length):
        hashes = hashes * np.uint64(_BASE) + mixed[step : step + len(hashes)]
    return hashes


def _merged(kept: Mapping[int, Keys], found: Mapping[int, set[int]]) -> dict[int, Keys]:
    none = np.zeros(0, np.uint64)
    return {
        length: np.union1d(kept.get(length, none), np.array(sorted(found.get(length, ())), np.uint64))
        for length in sorted({*kept, *found})
    }
