"""From spans of a dump to documents: filter, clean, mask, keep duplicates once, and count everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from biasaudit.corpus.clean import Cleaner
from biasaudit.corpus.dedup import Duplicates
from biasaudit.corpus.privacy import Masked
from biasaudit.corpus.reading import FILTERED, Gap, Item
from biasaudit.errors import BiasAuditError
from biasaudit.records import Document, Message, Reject


@dataclass(slots=True)
class Tally:
    """What happened to the bytes and records of a corpus."""

    bytes_in: int = 0
    bytes_records: int = 0
    bytes_rejects: int = 0
    bytes_separators: int = 0
    records: int = 0
    kept: int = 0
    duplicates: int = 0
    filtered: int = 0
    empty: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    personal_data: Counter[str] = field(default_factory=Counter)
    documents_masked: int = 0

    def check(self) -> None:
        """Raise when a byte or a record went missing.

        Raises:
            BiasAuditError: the sums do not agree; nothing may be written from such a run.
        """
        spans = self.bytes_records + self.bytes_rejects + self.bytes_separators
        if spans != self.bytes_in:
            raise BiasAuditError(
                f"Conservation law: {self.bytes_in} bytes in, {spans} accounted for. Nothing was written."
            )
        out = self.kept + self.duplicates + self.filtered + self.empty
        if out != self.records:
            raise BiasAuditError(
                f"Conservation law: {self.records} records in, {out} accounted for. Nothing was written."
            )


@dataclass(frozen=True, slots=True)
class Gathered:
    """A document that is kept, with where it came from."""

    document: Document
    offset: int
    flags: tuple[str, ...]


class Gatherer:
    """Turns items into documents, one source after another, and keeps the tally."""

    def __init__(self, cleaner: Cleaner, mask: Callable[[str], Masked], index: Duplicates) -> None:
        """Use `cleaner`, then `mask`, then `index`."""
        self.cleaner = cleaner
        self.mask = mask
        self.index = index
        self.tally = Tally()
        self._channels: dict[str, str] = {}

    def documents(self, items: Iterable[Item]) -> Iterator[Gathered | Reject]:
        """Yield kept documents and rejects, in the order of the file."""
        tally = self.tally
        for item in items:
            tally.bytes_in += item.length
            if isinstance(item, Gap):
                tally.bytes_separators += item.length
            elif isinstance(item, Reject):
                tally.bytes_rejects += item.length
                tally.rejects[item.reason] += 1
                yield item
            else:
                tally.bytes_records += item.length
                tally.records += 1
                kept = self._document(item)
                if kept is not None:
                    tally.kept += 1
                    yield kept

    def _document(self, message: Message) -> Gathered | None:
        tally = self.tally
        if FILTERED in message.flags:
            tally.filtered += 1
            return None
        tally.flags.update(message.flags)
        text = self._masked(self.cleaner(message.text))
        if not text:
            tally.empty += 1
            return None
        if not self.index.add(text):
            tally.duplicates += 1
            return None
        document = Document(
            text=text,
            message_id=message.message_id,
            channel_id=self._pseudonym(message.channel_id),
            date=message.date,
            source=message.source,
        )
        return Gathered(document=document, offset=message.offset, flags=message.flags)

    def _masked(self, text: str) -> str:
        masked = self.mask(text)
        if masked.counts:
            self.tally.documents_masked += 1
            self.tally.personal_data.update(masked.counts)
        return masked.text

    def _pseudonym(self, channel: str | None) -> str | None:
        """Channels by the order of their first sight: the number leads back only through the dump itself."""
        if not channel:
            return None
        return self._channels.setdefault(channel, f"channel-{len(self._channels) + 1}")
