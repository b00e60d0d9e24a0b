"""The backend of recorded completions: what somebody else sampled, matched to prompts by their exact NFC text.

A file is an arm like any other, except that it cannot be asked for more. Its rows are matched, numbered and counted
column-wise, so that a million take seconds; `account` says of every row where it went.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.errors import UsageError
from biasaudit.identity import content_hash
from biasaudit.records import Arm, Completion, Decoding, FinishReason, Prompt, SampleRequest
from biasaudit.sampling.recorded.read import Recording

VERSION = 1
REASONS: Mapping[str, FinishReason] = {
    "eos": "eos", "end_turn": "eos", "end_of_text": "eos", "stop": "stop", "stop_sequence": "stop", "length": "length",
    "max_tokens": "length", "content_filter": "filtered", "filtered": "filtered",
}  # fmt: skip
"""What files say of how a completion ended; anything else is unknown."""
_DECODED = ("temperature", "top_k", "top_p")
_ANY = (None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where every row of a file went; `rows` is the sum of the six after it."""

    rows: int
    used: int
    other_arms: int
    unmatched: int
    """Rows whose prompt the battery does not have, or that have no prompt or no text."""
    other_decodings: int
    surplus: int
    """Rows beyond the number of completions that the run asks for."""
    duplicates: int
    """Rows whose prompt and index an earlier row has."""
    missing: int
    """Completions that the run asks for and the file does not have."""
    blanks: int = 0
    """Of the unmatched, those whose prompt differs from one of the battery in nothing but blanks."""
    from_one: bool = False
    """Whether the file counts its completions from 1; ours count from 0."""
    first_unmatched: tuple[int, ...] = ()
    """Lines or rows of the first that did not match."""


class ReplayBackend:
    """Completions of one arm from a file."""

    def __init__(self, recording: Recording, *, arm: Arm, seed: int, choose: str = "") -> None:
        """Group the rows by prompt and decoding, and number them in the order of the file where it does not.

        Args:
            recording: from `read_recording`.
            arm: gives name, fingerprint and salt.
            seed: of the run; part of every key, though nothing is drawn.
            choose: value of the file's column of arms; by default the arm's name, or the only value there is.

        Raises:
            UsageError: the file holds several arms and none of this name, or an index below 0.
        """
        self._arm, self._seed = arm, seed
        mine = _rows_of(recording, choose, arm.name)
        self._total, self._others = recording.table.num_rows, recording.table.num_rows - mine.num_rows
        texts = pc.is_valid(mine.column("completion"))
        self._keyed = "prompt" if mine.column("prompt").null_count < mine.num_rows else "prompt_id"
        keys, codes = _coded(mine.column(self._keyed))
        settings, which = _settings(mine)
        usable = np.asarray(texts.combine_chunks()) & (codes >= 0)
        lost = mine.column("row").to_numpy()[~usable]
        self._lost = lost[:5].tolist()
        self._unusable = int(lost.size)
        groups = codes.astype(np.int64) * max(1, len(settings)) + which
        order, index, repeated = _numbered(mine, groups, usable)
        self._duplicates: dict[int, int] = dict(zip(*_counts(groups[repeated]), strict=True))
        group = groups[order]
        starts = np.flatnonzero(np.diff(group, prepend=-1)) if group.size else np.array([], dtype=np.int64)
        stops = np.append(starts, group.size)[1:]
        self._index = index
        self._table = mine.take(pa.array(order)).combine_chunks()
        self._places: dict[tuple[str, tuple[Any, ...]], tuple[int, int, int]] = {
            (keys[int(group[a]) // max(1, len(settings))], settings[int(group[a]) % max(1, len(settings))]): (
                int(group[a]),
                int(a),
                int(b),
            )
            for a, b in zip(starts, stops, strict=True)
        }
        self._settings = tuple(settings)
        self._recording = replace(recording, table=None)  # the rows live on in the order of their prompts
        self._plain: str | None = None

    @property
    def recording(self) -> Recording:
        """The file, without its rows."""
        return self._recording

    @property
    def numerics(self) -> Mapping[str, Any]:
        """What is known of how the completions came to be: the file's kind, and nothing else."""
        return {"engine": f"replay {VERSION}", "path": "replay", "kind": self._recording.kind, "verifiable": False}

    @property
    def numerics_id(self) -> str:
        """16 hex digits: `Completion.numerics` of every completion."""
        return content_hash(self.numerics)[:16]

    @property
    def numerics_seen(self) -> Mapping[str, Mapping[str, Any]]:
        """The one fingerprint, by id."""
        return {self.numerics_id: self.numerics}

    def answer_for(self, decoding: Decoding) -> None:
        """Say which decoding rows belong to that do not name theirs: the run's first."""
        self._plain = decoding.decoding_id

    def complete(self, requests: Iterable[SampleRequest]) -> Iterator[Completion]:
        """Yield the completions that the file has, in the order asked; requests that it cannot answer give none."""
        for request in requests:
            index = request.index
            low, high = self._span(request.prompt, request.prompt_id, request.decoding, index, index + 1)
            if low == high:
                continue
            row = self._table.slice(low, 1).to_pylist()[0]
            yield Completion(
                arm_fingerprint=self._arm.fingerprint,
                prompt_id=request.prompt_id,
                decoding_id=request.decoding.decoding_id,
                seed=self._seed,
                salt=self._arm.salt,
                index=index,
                text=row["completion"],
                token_ids=tuple(row["token_ids"] or ()),
                logprobs=tuple(row["logprobs"] or ()),
                finish_reason=REASONS.get((row["finish_reason"] or "").lower(), "unknown"),
                numerics=self.numerics_id,
            )

    def take(
        self, items: Sequence[tuple[Prompt, int, int]], decoding: Decoding
    ) -> tuple[tuple[tuple[str, int, int], ...], Any]:
        """What the file has of (prompt, start, stop)…: the ranges of indices, and their rows in that order.

        Returns:
            (prompt id, start, stop) of every run of indices that is there; a table of the columns of
            `store.tables.COMPLETIONS` and, beside them, `label` and `row`.
        """
        found: list[tuple[str, int, int]] = []
        pieces, ids, numbers = [], [], []
        for prompt, start, stop in items:
            low, high = self._span(prompt.text, prompt.prompt_id, decoding, start, stop)
            if low == high:
                continue
            index = self._index[low:high]
            breaks = np.flatnonzero(np.diff(index) != 1) + 1
            found += [(prompt.prompt_id, int(run[0]), int(run[-1]) + 1) for run in np.split(index, breaks)]
            pieces.append(self._table.slice(low, high - low))
            ids += [prompt.prompt_id] * (high - low)
            numbers.append(index)
        if not pieces:
            return (), None
        return tuple(found), self._rows(pa.concat_tables(pieces), ids, np.concatenate(numbers), decoding)

    def _rows(self, table: Any, ids: list[str], index: Any, decoding: Decoding) -> Any:
        count = table.num_rows
        reasons = pc.utf8_lower(pc.fill_null(table.column("finish_reason"), "")).combine_chunks().dictionary_encode()
        names = pa.array([REASONS.get(word, "unknown") for word in reasons.dictionary.to_pylist()], pa.string())
        same = {
            "arm_fingerprint": self._arm.fingerprint,
            "decoding_id": decoding.decoding_id,
            "salt": self._arm.salt,
            "numerics": self.numerics_id,
        }
        columns = {name: pa.repeat(pa.scalar(value, pa.string()), count) for name, value in same.items()}
        columns |= {
            "prompt_id": pa.array(ids, pa.string()),
            "seed": pa.repeat(pa.scalar(self._seed, pa.int64()), count),
            "index": pa.array(index, pa.int32()),
            "text": table.column("completion"),
            "token_ids": _filled(table.column("token_ids")),
            "logprobs": _filled(table.column("logprobs")),
            "finish_reason": names.take(reasons.indices),
            "label": table.column("label"),
            "row": table.column("row"),
        }
        return pa.table(columns)

    def _span(self, text: str, prompt_id: str, decoding: Decoding, start: int, stop: int) -> tuple[int, int]:
        """Rows of the sorted table that hold indices [start, stop) of a prompt."""
        place = self._place(text, prompt_id, decoding)
        if place is None:
            return 0, 0
        _, low, high = place
        index = self._index[low:high]
        return low + int(np.searchsorted(index, start)), low + int(np.searchsorted(index, stop))

    def _place(self, text: str, prompt_id: str, decoding: Decoding) -> tuple[int, int, int] | None:
        key = unicodedata.normalize("NFC", text) if self._keyed == "prompt" else prompt_id
        for setting in self._settings:
            if self._answers(setting, decoding) and (key, setting) in self._places:
                return self._places[key, setting]
        return None

    def _answers(self, setting: tuple[Any, ...], decoding: Decoding) -> bool:
        """Whether rows of this setting were sampled, or may pass as sampled, under `decoding`."""
        if setting == _ANY:
            return self._plain is None or self._plain == decoding.decoding_id
        return all(
            told is None or told == getattr(decoding, name) for name, told in zip(_DECODED, setting, strict=True)
        )

    def account(self, prompts: Sequence[Prompt], wanted: Mapping[Decoding, int]) -> Account:
        """Where every row went, for a run of these prompts and so many completions a prompt under each decoding."""
        asked = {unicodedata.normalize("NFC", p.text) if self._keyed == "prompt" else p.prompt_id for p in prompts}
        used = surplus = elsewhere = unmatched = duplicates = missing = 0
        bare = {" ".join(text.split()) for text in asked} if self._keyed == "prompt" else set()
        blanks = 0
        first = list(self._lost)
        rows = self._table.column("row").to_numpy()
        for (key, setting), (group, low, high) in self._places.items():
            count, again = high - low, self._duplicates.get(group, 0)
            serving = [limit for decoding, limit in wanted.items() if self._answers(setting, decoding)]
            if key not in asked:
                unmatched += count + again
                blanks += count + again if " ".join(key.split()) in bare else 0
                first.append(int(rows[low:high].min()))
                continue
            duplicates += again
            if not serving:
                elsewhere += count
                continue
            fits = int(np.searchsorted(self._index[low:high], max(serving)))
            used += fits
            surplus += count - fits
        for prompt in {p.prompt_id: p for p in prompts}.values():
            for decoding, limit in wanted.items():
                low, high = self._span(prompt.text, prompt.prompt_id, decoding, 0, limit)
                missing += limit - (high - low)
        return Account(
            rows=self._total, used=used, other_arms=self._others, unmatched=unmatched + self._unusable,
            other_decodings=elsewhere, surplus=surplus, duplicates=duplicates, missing=missing,
            blanks=blanks, from_one=bool(self._index.size) and int(self._index.min()) == 1,
            first_unmatched=tuple(sorted(first)[:5]),
        )  # fmt: skip


def _rows_of(recording: Recording, choose: str, name: str) -> Any:
    """The rows of one arm."""
    column = recording.table.column("arms")
    values = [value for value in column.unique().to_pylist() if value is not None]
    if not values and not choose:
        return recording.table
    wanted = choose or (values[0] if len(values) == 1 else name)
    if wanted not in values:
        listed = ", ".join(sorted(values)[:12]) or "no arm"
        none = f"it has no rows of '{choose}'" if choose else "it is not said whose rows these are"
        raise UsageError(f"replay:{recording.path}: {none}; its rows are of {listed}: ,arm=VALUE says whose")
    return recording.table.filter(pc.equal(column, wanted))


def _coded(column: Any) -> tuple[list[str], Any]:
    """Every different NFC text, and each row's place among them (−1 for null)."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    places: dict[str, int] = {}
    of = [places.setdefault(unicodedata.normalize("NFC", text), len(places)) for text in encoded.dictionary.to_pylist()]
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return list(places), np.array([*of, -1], dtype=np.int64)[indices]


def _settings(table: Any) -> tuple[list[tuple[Any, ...]], Any]:
    """The different (temperature, top_k, top_p) that rows name, and each row's place among them."""
    if all(table.column(name).null_count == table.num_rows for name in _DECODED):
        return [_ANY], np.zeros(table.num_rows, dtype=np.int64)
    combined = np.zeros(table.num_rows, dtype=np.int64)
    values: list[list[Any]] = []
    for name in _DECODED:
        encoded = pc.dictionary_encode(table.column(name).combine_chunks(), null_encoding="encode")
        values.append(encoded.dictionary.to_pylist())
        combined = combined * len(values[-1]) + encoded.indices.to_numpy()
    codes, which = np.unique(combined, return_inverse=True)
    settings = []
    for code in codes.tolist():
        setting: list[Any] = []
        for column in reversed(values):
            code, place = divmod(code, len(column))
            setting.insert(0, column[place])
        settings.append(tuple(setting))
    return settings, which


def _numbered(table: Any, groups: Any, usable: Any) -> tuple[Any, Any, Any]:
    """Usable rows by group and index: their places in the table, their indices, and the rows left out as repeated.

    Raises:
        UsageError: an index is below 0.
    """
    rows = np.flatnonzero(usable)
    group = groups[rows]
    given = table.column("index")
    if given.null_count == table.num_rows:
        order = np.argsort(group, kind="stable")
        group = group[order]
        starts = np.flatnonzero(np.diff(group, prepend=-1)) if group.size else np.array([], dtype=np.int64)
        sizes = np.diff(np.append(starts, group.size))
        return rows[order], np.arange(group.size) - np.repeat(starts, sizes), rows[:0]
    numbers = pc.fill_null(given, -1).to_numpy()[rows]
    if numbers.size and numbers.min() < 0:
        raise UsageError("replay: an index is empty or below 0; expected 0, 1, 2 … in every row, or no such column.")
    order = np.lexsort((rows, numbers, group))
    group, numbers = group[order], numbers[order]
    again = np.zeros(group.size, dtype=bool)
    again[1:] = (np.diff(group) == 0) & (np.diff(numbers) == 0)
    return rows[order][~again], numbers[~again], rows[order][again]


def _counts(groups: Any) -> tuple[list[int], list[int]]:
    values, counts = np.unique(groups, return_counts=True)
    return values.tolist(), counts.tolist()


def _filled(column: Any) -> Any:
    """Lists with none in place of null."""
    return pc.fill_null(column, pa.scalar([], column.type))


def build(**options: Any) -> ReplayBackend:
    """The door of this backend: see `ReplayBackend` for the options."""
    return ReplayBackend(**options)
