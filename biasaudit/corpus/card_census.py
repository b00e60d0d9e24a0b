"""Counts over kept documents, fed by columns and merged: what the data card says of a corpus's shape.

A census of parts, merged in any order, equals the census of the whole, however the corpus was cut. Memory is bounded:
days between two fixed years, lengths as counts (binned above `EXACT_LENGTH`), at most `MAX_CHANNELS` channels, and as
many sources' tokens, by name.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.errors import BiasAuditError

MAX_CHANNELS = 100_000
"""Channels counted by name. Of more, those whose names have the smallest hashes: a sample that no cut changes."""
EXACT_LENGTH = 4096
"""Tokens up to which every length has its own count; above, lengths are rounded down to seven leading bits (1.6 %)."""
FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Years whose days are counted; other dates are counted as implausible."""

SIDES = ("train", "val")

Int64s = npt.NDArray[np.int64]
Text: TypeAlias = Any
"""`pa.StringArray`, or a `pa.ChunkedArray` of strings."""


@dataclass(slots=True)
class Written:
    """What was written to one side of the split."""

    documents: int = 0
    tokens: int = 0
    """End-of-text included."""
    bytes: int = 0
    """UTF-8 bytes of the documents' texts."""


TokensBySide: TypeAlias = "dict[str, Counter[str]]"
"""Side of the split -> name -> tokens, end-of-text included."""


def _no_tokens() -> TokensBySide:
    return {side: Counter() for side in SIDES}


@dataclass(slots=True)
class Census:
    """Counts over kept documents."""

    sides: dict[str, Written] = field(default_factory=lambda: {side: Written() for side in SIDES})
    channels: Counter[str] = field(default_factory=Counter)
    """Documents by channel; call `settled` before reading it."""
    in_channels: int = 0
    """Documents that have a channel, counted by name or not."""
    more_channels: bool = False
    """Whether there were more channels than are counted by name."""
    days: Counter[str] = field(default_factory=Counter)
    """ISO day -> documents."""
    undated: int = 0
    implausible_dates: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    """Tokens without end-of-text -> documents."""
    longest: int = 0
    """Tokens of the longest document, exact."""
    copies: Counter[int] = field(default_factory=Counter)
    """Times that a document's text occurred -> documents."""
    sources: Counter[str] = field(default_factory=Counter)
    source_tokens: TokensBySide = field(default_factory=_no_tokens)
    channel_tokens: TokensBySide = field(default_factory=_no_tokens)
    """Of the channels that are counted by name."""
    channel_limit: int = MAX_CHANNELS

    def add(
        self, *, side: npt.NDArray[np.bool_], tokens: Int64s, size: Int64s, copies: Int64s, channel: Text, date: Text,
        source: Text | str,
    ) -> None:  # fmt: skip
        """Count documents; the n-th entry of every column, shape (documents,), belongs to the n-th.

        Args:
            side: whether it is held out.
            tokens: without end-of-text.
            size: UTF-8 bytes.
            copies: times that its text occurred, at least 1.
            channel: pseudonym, null when there is none.
            date: ISO, null when there is none.
            source: label of the source, one for all or one each.

        Raises:
            BiasAuditError: the columns disagree in length.
        """
        columns = [side, tokens, size, copies, channel, date, *([] if isinstance(source, str) else [source])]
        if len({len(column) for column in columns}) != 1:
            raise BiasAuditError("Census: the columns have different lengths. This is a bug in biasaudit.")
        held = np.asarray(side, bool)
        for name, mask in zip(SIDES, (~held, held), strict=True):
            written, documents = self.sides[name], int(mask.sum())
            written.documents += documents
            written.tokens += int(tokens[mask].sum()) + documents
            written.bytes += int(size[mask].sum())
        if len(tokens):
            self.longest = max(self.longest, int(tokens.max()))
        _add(self.lengths, binned(tokens))
        _add(self.copies, copies)
        if not isinstance(channel, pa.ChunkedArray | pa.DictionaryArray):
            channel = channel.dictionary_encode()  # three of the counts below begin with that
        self.channels.update(_counted(channel))
        self.in_channels += len(channel) - channel.null_count
        self._dates(date)
        if isinstance(source, str):
            source = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(tokens), np.int32)), pa.array([source]))
        self.sources.update(_counted(source))
        _add_tokens(self.source_tokens, source, held, tokens)
        _add_tokens(self.channel_tokens, channel, held, tokens)
        if max(len(self.channels), *map(len, self.source_tokens.values())) > 2 * self.channel_limit:
            self.settled()

    def _dates(self, date: Text) -> None:
        for day, documents in _counted(pc.utf8_slice_codeunits(pc.fill_null(date, ""), 0, 10)).items():
            if not day:
                self.undated += documents
            elif _is_day(day):
                self.days[day] += documents
            else:
                self.implausible_dates += documents

    def merge(self, other: Census) -> None:
        """Add what another part counted."""
        for name, written in other.sides.items():
            own = self.sides[name]
            own.documents += written.documents
            own.tokens += written.tokens
            own.bytes += written.bytes
        for name in ("channels", "days", "lengths", "copies", "sources"):
            getattr(self, name).update(getattr(other, name))
        for side in SIDES:
            self.source_tokens[side].update(other.source_tokens[side])
            self.channel_tokens[side].update(other.channel_tokens[side])
        self.in_channels += other.in_channels
        self.more_channels |= other.more_channels
        self.undated += other.undated
        self.implausible_dates += other.implausible_dates
        self.longest = max(self.longest, other.longest)
        self.settled()

    def settled(self) -> Census:
        """Keep what is counted by name, and return the census itself."""
        if len(self.channels) > self.channel_limit:
            kept = sorted(self.channels, key=_rank)[: self.channel_limit]
            self.channels = Counter({name: self.channels[name] for name in kept})
            self.channel_tokens = _only(self.channel_tokens, kept)
            self.more_channels = True
        names = set().union(*self.source_tokens.values())
        if len(names) > self.channel_limit:
            self.source_tokens = _only(self.source_tokens, sorted(names, key=_rank)[: self.channel_limit])
        return self

    @property
    def distinct_channels(self) -> int:
        """Channels seen; an estimate (to about 0.3 %) when there were more than are counted by name."""
        self.settled()
        if not self.more_channels:
            return len(self.channels)
        # The k-th smallest of n uniform numbers lies near k/(n + 1).
        largest = max(_rank(name) for name in self.channels)
        return round((len(self.channels) - 1) * 2**64 / max(1, largest))

    def to_json(self) -> dict[str, Any]:
        """The census as JSON values."""
        self.settled()
        return {
            "sides": {n: [w.documents, w.tokens, w.bytes] for n, w in self.sides.items()},
            "channels": dict(sorted(self.channels.items())),
            "in_channels": self.in_channels,
            "more_channels": self.more_channels,
            "days": dict(sorted(self.days.items())),
            "undated": self.undated,
            "implausible_dates": self.implausible_dates,
            "lengths": {str(k): n for k, n in sorted(self.lengths.items())},
            "longest": self.longest,
            "copies": {str(k): n for k, n in sorted(self.copies.items())},
            "sources": dict(sorted(self.sources.items())),
            "source_tokens": {side: dict(sorted(counts.items())) for side, counts in self.source_tokens.items()},
            "channel_tokens": {side: dict(sorted(counts.items())) for side, counts in self.channel_tokens.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Census:
        """What `to_json` gave, as a census again."""
        return cls(
            sides={name: Written(*numbers) for name, numbers in value["sides"].items()},
            channels=Counter(value["channels"]),
            in_channels=value["in_channels"],
            more_channels=value["more_channels"],
            days=Counter(value["days"]),
            undated=value["undated"],
            implausible_dates=value["implausible_dates"],
            lengths=Counter({int(k): n for k, n in value["lengths"].items()}),
            longest=value["longest"],
            copies=Counter({int(k): n for k, n in value["copies"].items()}),
            sources=Counter(value["sources"]),
            source_tokens={side: Counter(value["source_tokens"][side]) for side in SIDES},
            channel_tokens={side: Counter(value["channel_tokens"][side]) for side in SIDES},
        )


def binned(lengths: Int64s) -> Int64s:
    """Lengths rounded down to seven leading bits above `EXACT_LENGTH`, shape as given."""
    found = np.array(lengths, np.int64)
    large = found > EXACT_LENGTH
    shift = np.floor(np.log2(found[large].astype(np.float64))).astype(np.int64) - 6
    found[large] = found[large] >> shift << shift
    return found


def _add(counts: Counter[int], values: Int64s) -> None:
    if len(values) and values.max() < len(values):  # without a sort
        found = np.bincount(values)
        unique = np.flatnonzero(found)
        times = found[unique]
    else:
        unique, times = np.unique(values, return_counts=True)
    counts.update(dict(zip(unique.tolist(), times.tolist(), strict=True)))


def _counted(texts: Text) -> dict[str, int]:
    """Distinct texts and how often each occurs; nulls are left out."""
    found = pc.value_counts(pc.drop_null(texts))
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    return dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))


def _add_tokens(counts: TokensBySide, names: Text, held: npt.NDArray[np.bool_], tokens: Int64s) -> None:
    """Add the tokens of documents, end-of-text included, to those of their name and side; nulls are left out."""
    if isinstance(names, pa.ChunkedArray):
        names = names.combine_chunks()
    coded = names if isinstance(names, pa.DictionaryArray) else names.dictionary_encode()
    named = np.asarray(coded.is_valid())
    codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    for side, mask in zip(SIDES, (~held & named, held & named), strict=True):
        sums = np.zeros(len(coded.dictionary), np.int64)
        np.add.at(sums, codes[mask], tokens[mask] + 1)
        present = np.flatnonzero(sums)
        counts[side].update(dict(zip(coded.dictionary.take(pa.array(present)).to_pylist(), sums[present].tolist(),
                                     strict=True)))  # fmt: skip


def _only(counts: TokensBySide, names: Iterable[str]) -> TokensBySide:
    kept = set(names)
    return {side: Counter({name: n for name, n in own.items() if name in kept}) for side, own in counts.items()}


def _is_day(text: str) -> bool:
    try:
        return len(text) == 10 and FIRST_YEAR <= datetime.date.fromisoformat(text).year <= LAST_YEAR
    except ValueError:
        return False


def _rank(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
