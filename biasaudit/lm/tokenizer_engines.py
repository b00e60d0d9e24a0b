"""The engines behind a tokenizer: one text at a time, or documents in bulk, the same ids from every engine.

    tokenizers   the reference: any fast tokenizer, one text after another (1–2 MB/s)
    tiktoken     GPT-2-like byte-level BPE, documents joined by end-of-text (17 MB/s a core)
    gigatoken    the same, an extra (over 200 MB/s a core)

Every engine but the first knows the slower one that it must agree with.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tiktoken

from biasaudit.errors import ModelError, UsageError

EOT = "<|endoftext|>"
"""The one special token of our own tokenizers and of GPT-2; it stands between documents."""

CHUNK_BYTES = 1 << 20
"""Text that is joined and encoded at once; more is no faster, and costs memory."""

CACHE_BYTES = 64 << 20
"""Growth of this process after which gigatoken is built anew (0.1 s): its table of words that it has met has no bound
in 0.10 (https://github.com/marcelroed/gigatoken/issues/36); real text adds 1 byte a byte at first, nonsense 7."""

LOOK_BYTES = 4 << 20
"""Text between two looks at that growth, which the system takes 0.1 ms to tell."""

LONG = 1 << 16
"""Characters above which a text is encoded in parts: tiktoken's regular expression engine gives up (it panics) at a run
of a million blanks that ends in a word, because it keeps a place to go back to for each of them."""

Ids = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]
Documents = tuple[Ids, Counts]
"""Ids of all documents, each followed by end-of-text, and the number of ids of each, end-of-text not counted."""

# White_Space of Unicode, which is `\s` in tiktoken's pattern (Python's own `\s` also holds U+001C to U+001F).
_BLANK = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SEAM = re.compile(f"[{_BLANK}](?=[^{_BLANK}])")


class Engine(Protocol):
    """One way to make ids."""

    @property
    def name(self) -> str:
        """What records call it."""
        ...

    @property
    def slower(self) -> Engine | None:
        """The engine that it must agree with; None for the reference."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of one text, nothing in it special."""
        ...

    def encode_documents(self, texts: pa.StringArray) -> Documents:
        """Ids of many texts."""
        ...


class OneByOne:
    """The reference: a function that encodes one text."""

    name = "tokenizers"
    slower = None

    def __init__(self, encode: Callable[[str], list[int]], eot_id: int) -> None:
        """Use `encode` for every text."""
        self.encode = encode
        self._eot = eot_id

    def encode_documents(self, texts: pa.StringArray) -> Documents:
        """See `Engine`."""
        each = [np.array([*self.encode(text.as_py()), self._eot], np.uint32) for text in texts]
        counts = np.array([len(ids) - 1 for ids in each], np.int64)
        return np.concatenate([*each, np.empty(0, np.uint32)]), counts


class Tiktoken:
    """A byte-level BPE with GPT-2's pattern, by tiktoken."""

    name = "tiktoken"

    def __init__(self, encoding: tiktoken.Encoding, eot_id: int, slower: Engine) -> None:
        """Use `encoding`, which knows end-of-text as its special token."""
        self.slower = slower
        self._encoding = encoding
        self._eot = eot_id

    def encode(self, text: str) -> list[int]:
        """See `Engine`."""
        if len(text) <= LONG:
            return self._encoding.encode_ordinary(text)
        ids: list[int] = self._long(text).tolist()
        return ids

    def encode_documents(self, texts: pa.StringArray) -> Documents:
        """See `Engine`."""
        return _in_chunks(texts, self._joined, lambda part: _bounds(part)[1:] - _bounds(part)[:-1] > LONG, self)

    def _joined(self, text: pa.Buffer) -> Ids:
        whole = str(text, "utf-8")
        return self._encoding.encode_to_numpy(whole, allowed_special={EOT})

    def _long(self, text: str) -> Ids:
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # as `encode_ordinary` does
        # Without `disallowed_special` tiktoken would refuse a text that holds the special token's name.
        parts = [self._encoding.encode_to_numpy(part, disallowed_special=()) for part in parts_of(whole)]
        return np.concatenate(parts)

    @property
    def eot_id(self) -> int:
        """Id of end-of-text."""
        return self._eot


class Gigatoken:
    """The same by the gigatoken library, except where its tables of characters may be newer than tiktoken's."""

    name = "gigatoken"

    def __init__(self, tokenizer_json: str, slower: Tiktoken) -> None:
        """Build it from a `tokenizer.json` whose one added token is end-of-text.

        Raises:
            UsageError: the extra is not installed.
        """
        try:
            import gigatoken
        except ImportError as error:
            raise UsageError(
                f"The fast tokenizer needs gigatoken, which cannot be imported ({error}). "
                "Install biasaudit[fast], or go without it: the token ids are the same."
            ) from None
        self.slower = slower
        self.encode = slower.encode
        self._build: Callable[[str], Any] = gigatoken.Tokenizer.from_json
        self._json = tokenizer_json
        self._tokenizer: Any = None
        self._met = self._look = self._start = 0
        self._renew()
        self._doubtful = doubtful_characters()
        self._leads = _leads(self._doubtful)

    @property
    def eot_id(self) -> int:
        """Id of end-of-text."""
        return self.slower.eot_id

    def encode_documents(self, texts: pa.StringArray) -> Documents:
        """See `Engine`."""
        return _in_chunks(texts, self._joined, self._odd, self)

    def _joined(self, text: pa.Buffer) -> Ids:
        if self._met >= self._look:
            self._look = self._met + LOOK_BYTES
            if (_held() or self._met) > self._start + CACHE_BYTES:
                self._renew()
        self._met += text.size
        ids: Ids = self._tokenizer.encode(text.to_pybytes())
        return ids

    def _renew(self) -> None:
        self._tokenizer = None  # so that the old one goes before the new one comes
        self._tokenizer = self._build(self._json)
        self._met = 0
        self._look = 0
        self._start = _held()

    def _odd(self, texts: pa.StringArray) -> npt.NDArray[np.bool_]:
        bounds = _bounds(texts)
        data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[bounds[0] : bounds[-1]]
        places = _places(data, self._doubtful, self._leads)
        odd = np.zeros(len(texts), bool)
        odd[np.searchsorted(bounds, places + bounds[0], side="right") - 1] = True
        return odd


def parts_of(text: str) -> Iterator[str]:
    r"""Cut a long text where its ids cannot change: before the last blank of a run of blanks that a word follows.

    GPT-2's pattern looks back at nothing, ends a word before any blank, and takes a run of blanks up to its last one
    (`\s+(?!\S)`), which belongs to what follows. So a match ends at every such place, and the part before the cut
    ends in blanks that `\s+$` takes as a whole.
    """
    start = 0
    while start < len(text):
        seam = _SEAM.search(text, start + LONG)
        stop = seam.start() if seam else len(text)
        yield text[start:stop]
        start = stop


def doubtful_characters() -> npt.NDArray[np.bool_]:
    """Code points that tables of different Unicode versions may class differently, shape (0x110000,).

    Both libraries split text by the classes letter, number and blank, each with the tables of its own Unicode version:
    gigatoken 0.10 knows 4,658 letters and numbers of Unicode 17 that tiktoken 0.14 takes for symbols. Out of doubt is
    what was assigned in Unicode 3.2 and is still in the same class; and blocks of symbols and emoji, where nothing
    but symbols is added.
    """
    doubtful = np.zeros(0x110000, bool)
    characters = [chr(code) for code in range(0x80, 0x20000)]
    old = [*map(unicodedata.ucd_3_2_0.category, characters)]
    new = [*map(unicodedata.category, characters)]
    doubtful[0x80:0x20000] = [a == "Cn" or (a != b and _class(a) != _class(b)) for a, b in zip(old, new, strict=True)]
    doubtful[0x2A6D7:] = True
    for first, last in ((0x2000, 0x2BFF), (0xFE00, 0xFE0F), (0x1F000, 0x1FAFF)):
        doubtful[first : last + 1] = False
    return doubtful


def _places(
    data: npt.NDArray[np.uint8], wanted: npt.NDArray[np.bool_], leads_of_wanted: npt.NDArray[np.bool_]
) -> Counts:
    """Where in UTF-8 text the characters begin whose code points are wanted."""
    found = [np.empty(0, np.int64)]
    # The letters of Latin languages begin with smaller bytes than anything wanted.
    starts = np.flatnonzero(data >= max(0xC0, int(leads_of_wanted.argmax())))
    starts = starts[leads_of_wanted[data[starts]]]
    leads = data[starts]
    for size, low, high in ((2, 0xC0, 0xE0), (3, 0xE0, 0xF0), (4, 0xF0, 0x100)):
        at = starts[(leads >= low) & (leads < high)]
        codes = (data[at] & (0x7F >> size)).astype(np.int64)
        for step in range(1, size):
            codes = codes << 6 | data[at + step] & 0x3F
        found.append(at[wanted[codes]])
    return np.concatenate(found)


def _leads(wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which first bytes some wanted character has, shape (256,): most text has none of them."""
    found = np.zeros(256, bool)
    for low, high, shift, lead in ((0x80, 0x800, 6, 0xC0), (0x800, 0x10000, 12, 0xE0), (0x10000, 0x110000, 18, 0xF0)):
        found[lead + np.unique(np.flatnonzero(wanted[low:high]) + low >> shift)] = True
    return found


def _held() -> int:
    """Memory that this process holds besides mapped files, bytes; 0 where the system does not say."""
    try:
        _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _class(category: str) -> str:
    return category[0] if category[0] in "LNZ" else ""


def trusted(engine: Engine, sample: Sequence[str]) -> tuple[Engine, str]:
    """The fastest of `engine` and its slower ones that agrees with all slower than itself on every text of `sample`.

    Returns:
        The engine, and a sentence on the one that did not agree; empty when `engine` itself is trusted.
    """
    engines = [engine]
    while (slower := engines[-1].slower) is not None:
        engines.append(slower)
    texts = pa.array(sample, pa.string())
    best = engines.pop()
    expected = best.encode_documents(texts)
    while engines:
        found = engines[-1].encode_documents(texts)
        if not (np.array_equal(expected[0], found[0]) and np.array_equal(expected[1], found[1])):
            doubt = f"{engines[-1].name} gave other ids than {best.name} on a sample of {len(sample)} documents"
            return best, f"{doubt}; {best.name} was used."
        best = engines.pop()
    return best, ""


# ---------------------------------------------------------------------------- documents in chunks


def _in_chunks(
    texts: pa.StringArray, joined: Callable[[pa.Buffer], Ids], odd: Callable[[pa.StringArray], npt.NDArray[np.bool_]],
    engine: Tiktoken | Gigatoken,
) -> Documents:  # fmt: skip
    """Encode consecutive documents of about `CHUNK_BYTES` at a time."""
    bounds = _bounds(texts)
    ids, counts, first = [np.empty(0, np.uint32)], [np.empty(0, np.int64)], 0
    while first < len(texts):
        last = max(first + 1, int(np.searchsorted(bounds, int(bounds[first]) + CHUNK_BYTES)))
        part = texts.slice(first, last - first)
        some, of_each = _chunk(part, joined, odd(part), engine)
        ids += some
        counts.append(of_each)
        first = last
    return np.concatenate(ids), np.concatenate(counts)


def _chunk(
    texts: pa.StringArray, joined: Callable[[pa.Buffer], Ids], odd: npt.NDArray[np.bool_], engine: Tiktoken | Gigatoken
) -> tuple[list[Ids], Counts]:
    """Encode documents joined by end-of-text; the odd ones stay out, are encoded alone, and are put in their places.

    Returns:
        Pieces that make the ids one behind another, and the number of ids of each document.
    """
    ids, ends = _encode_joined(texts, joined, odd, engine.eot_id)
    if len(ends) != len(texts):
        # More ends than documents: a document holds the name of the special token, which must stay ordinary text.
        odd = odd | _flags(pc.match_substring(texts, EOT))
        ids, ends = _encode_joined(texts, joined, odd, engine.eot_id)
    if len(ends) != len(texts):
        raise ModelError(f"{engine.name}: {len(texts)} documents gave {len(ends)} ends of text. Use another tokenizer.")
    counts = np.diff(ends, prepend=-1) - 1
    alone = [np.array(engine.encode(texts[int(i)].as_py()), np.uint32) for i in np.flatnonzero(odd)]
    counts[odd] = [len(some) for some in alone]
    last = np.array([engine.eot_id], np.uint32)
    between = np.split(ids, ends[odd])
    return [piece for pair in zip(between, [*alone, last], strict=True) for piece in pair], counts


def _encode_joined(
    texts: pa.StringArray, joined: Callable[[pa.Buffer], Ids], odd: npt.NDArray[np.bool_], eot_id: int
) -> tuple[Ids, Counts]:
    """Ids of the documents, the odd ones as empty, with end-of-text between them; and where each ends."""
    if odd.any():
        texts = pc.if_else(pa.array(odd), "", texts)
    whole = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts), EOT)
    ids = joined(whole[0].as_buffer())
    return ids, np.append(np.flatnonzero(ids == eot_id), len(ids))


def _bounds(texts: pa.StringArray) -> npt.NDArray[np.int32]:
    """Where each text begins and the last one ends in the array's own bytes."""
    if not len(texts):
        return np.zeros(1, np.int32)
    bounds: npt.NDArray[np.int32] = np.frombuffer(texts.buffers()[1], np.int32)
    return bounds[texts.offset : texts.offset + len(texts) + 1]


def _flags(mask: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = mask.to_numpy(zero_copy_only=False)
    return flags
