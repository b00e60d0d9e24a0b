"""What a run keeps of its copying: shares, quantiles, repetition, the held-out level and the longest copies, masked."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biasaudit.errors import CorpusError, InputError
from biasaudit.pipeline.copying import (
    HOME,
    Against,
    Longest,
    Opened,
    Source,
    Tally,
    find_sources,
    measures_of,
    open_corpora,
)
from biasaudit.pipeline.plan import RunPlan
from biasaudit.pipeline.progress import Console

if TYPE_CHECKING:
    from biasaudit.store.run import RunFolder

FILE = "copying.json"
QUANTILES = (0.5, 0.9, 0.99, 1.0)
TIMES = ((1, 1), (2, 9), (10, 99), (100, None))
"""Classes of how many times a passage stands in the corpus (Carlini et al. 2022 find more copying with each)."""
HELD_OUT = 2000
"""Held-out documents whose spans are measured beside the arms'."""
AROUND = 120
"""Characters shown on both sides of a copied span."""


def write_summary(folder: RunFolder, plan: RunPlan, corpora: Mapping[str, Against]) -> None:
    """Write `copying.json` where the battery has measures of copying.

    Args:
        folder: of the run, under its lock.
        plan: of the run.
        corpora: measure -> what its completions were held against, after the scoring.
    """
    if not measures_of(plan.battery):
        return
    folder.write_json(FILE, {"measures": {name: summary(plan, against) for name, against in corpora.items()}})


def read_summary(folder: RunFolder) -> Mapping[str, Any]:
    """Measure -> summary; empty for a run without measures of copying, or scored before there were any."""
    found: Mapping[str, Any] = folder.read_json(FILE)["measures"] if folder.has(FILE) else {}
    return found


def within_strings(folder: RunFolder) -> dict[tuple[str, str, tuple[str, str, int]], list[tuple[int, int]]]:
    """(arm fingerprint, salt, (prompt id, decoding id, index)) -> what no rule masks there.

    Identifiers of a training corpus that stand in longer strings, in characters of the completion.
    """
    found: dict[tuple[str, str, tuple[str, str, int]], list[tuple[int, int]]] = {}
    for summary_of in read_summary(folder).values():
        for arm, salt, decoding, prompt, index, spans in summary_of.get("within", ()):
            found.setdefault((arm, salt, (prompt, decoding, index)), []).extend((a, b) for a, b in spans)
    return found


def as_before(folder: RunFolder, plan: RunPlan, console: Console) -> tuple[dict[str, Against], dict[str, str]]:
    """The corpora that stored scores were made with, opened again; and measure -> why its scores cannot be made anew.

    A corpus that has come since is left out: the scores were made without it.
    """
    before = read_summary(folder)
    lost, wanted = {}, []
    for measure in measures_of(plan.battery):
        used = {corpus["fingerprint"]: corpus["name"] for corpus in before.get(measure.name, {}).get("corpora", ())}
        here: set[str] = set()
        if used:
            with contextlib.suppress(InputError):  # a folder that --corpus named is gone
                here = {source.fingerprint for source in find_sources(plan, measure)[0]}
        if here == set(used):
            wanted += [measure] if used else []
            continue
        names = ", ".join(used.values())
        lost[measure.name] = (
            f"scores of '{measure.name}' were not made anew: they were held against {names}, and what is here now is "
            f"not the same; put it under {HOME}/ or where --corpus said that it lies"
        )
    return open_corpora(plan, console, wanted), lost


def summary(plan: RunPlan, against: Against) -> dict[str, Any]:
    """One measure's numbers, as plain values; every text in them is masked."""
    arms = [
        (arm, decoding, against.tallies[arm.fingerprint, arm.salt, decoding.decoding_id])
        for decoding in plan.decodings
        for arm in plan.arms
        if (arm.fingerprint, arm.salt, decoding.decoding_id) in against.tallies
    ]
    longest = max((decoding.max_new_tokens for decoding in plan.decodings), default=1)
    worst = [(arm.name, decoding.decoding_id, one) for arm, decoding, tally in arms for one in tally.longest]
    return {
        "at_least": against.at_least,
        "corpora": [_about(*pair) for pair in zip(against.sources, against.opened, strict=True)],
        "missing": against.missing,
        "arms": [
            {"arm": arm.name, "decoding_id": decoding.decoding_id, **_counts(tally, against.at_least)}
            for arm, decoding, tally in arms
        ],
        "held_out": _held_out(against, longest),
        "longest": _shown(against, worst),
        "within": [[*place, *one] for place, tally in sorted(against.tallies.items()) for one in sorted(tally.within)],
    }


def _about(source: Source, opened: Opened) -> dict[str, Any]:
    return {
        "name": source.name, "fingerprint": source.fingerprint, "arms": list(source.arms), "masked": source.masked,
        "documents": opened.index.documents, "tokens": opened.index.made.tokens,
        "tokenizer_fingerprint": opened.words.fingerprint,
    }  # fmt: skip


def _counts(tally: Tally, at_least: int) -> dict[str, Any]:
    return {
        **_spread(tally.lengths, at_least),
        "times": [
            {"low": low, "high": high, "completions": _between(tally.times, low, high)} for low, high in TIMES
        ],
        "identifiers": dict(sorted(tally.identifiers.items())),
        "leaking": tally.leaking,
        "placeholders": tally.placeholders,
    }  # fmt: skip


def _between(counts: Counter[int], low: int, high: int | None) -> int:
    return sum(number for value, number in counts.items() if low <= value and (high is None or value <= high))


def _spread(lengths: Counter[int], at_least: int) -> dict[str, Any]:
    """Share of spans of `at_least` tokens or more, quantiles (the least length that so many do not exceed), counts."""
    order = sorted(lengths)
    number = sum(lengths.values())
    below = np.cumsum([lengths[value] for value in order])
    quantiles = [order[int(np.searchsorted(below, share * number - 1e-9))] if number else None for share in QUANTILES]
    copied = _between(lengths, at_least, None)
    return {
        "completions": number,
        "copied": copied,
        "share": copied / number if number else None,
        "quantiles": [{"at": at, "tokens": tokens} for at, tokens in zip(QUANTILES, quantiles, strict=True)],
        "lengths": [[value, lengths[value]] for value in order],
    }


def _held_out(against: Against, most: int) -> dict[str, Any] | None:
    """The same numbers of texts that people of the same corpora wrote and no arm was trained on; None without any.

    Args:
        against: the corpora.
        most: tokens of a text that are looked at: as many as a completion may have.
    """
    lengths: Counter[int] = Counter()
    for source, opened in zip(against.sources, against.opened, strict=True):
        texts = _documents(source, opened, most)
        own: Iterable[int] = opened.index.longest_common_spans(texts).lengths.tolist() if texts else ()
        lengths.update(own)
    return {**_spread(lengths, against.at_least), "tokens": most} if lengths else None


def _documents(source: Source, opened: Opened, most: int) -> list[Any]:
    """The first tokens of held-out documents, spread evenly over the shard."""
    path = source.folder / "val.bin"
    if not path.is_file() or not path.stat().st_size:
        return []
    text = np.memmap(path, np.dtype(opened.index.made.dtype).newbyteorder("<"), "r")
    ends = np.flatnonzero(text == opened.index.made.eot_id)
    if not len(ends):
        return []
    starts = np.concatenate(([0], ends[:-1] + 1))
    chosen = np.unique(np.linspace(0, len(ends) - 1, min(HELD_OUT, len(ends))).astype(int))
    return [np.asarray(text[starts[n] : min(ends[n], starts[n] + most)], np.int64) for n in chosen]


def _shown(against: Against, worst: Sequence[tuple[str, str, Longest]]) -> list[dict[str, Any]]:
    """The longest copies with their place in the corpus, longest first; both texts masked."""
    numbers = [int(against.opened[one.source].index.document_at(np.array([one.place]))[0]) for _, _, one in worst]
    rows = [
        _rows(source, [n for n, (_, _, one) in zip(numbers, worst, strict=True) if one.source == place])
        for place, source in enumerate(against.sources)
    ]
    shown = []
    for number, (arm, decoding_id, one) in zip(numbers, worst, strict=True):
        row = rows[one.source].get(number)
        shown.append(
            {
                "arm": arm, "decoding_id": decoding_id, "prompt_id": one.completion.prompt_id,
                "index": one.completion.index, "tokens": one.tokens, "times": one.times,
                "corpus": against.sources[one.source].name, "document": number,
                "channel": row.channel_id if row else None, "source": row.source if row else None,
                "offset": row.offset if row else None, "copies": row.copies if row else None,
                "completion": _masked(against, one.completion.text, *one.span),
                "training": _training(against, number, one, row.text if row else None),
            }
        )  # fmt: skip
    return sorted(shown, key=lambda entry: -entry["tokens"])


def _rows(source: Source, numbers: Sequence[int]) -> Mapping[int, Any]:
    """Documents by their number; none where the corpus has no table of them."""
    from biasaudit.corpus.find import texts_of

    try:
        return texts_of(source.folder, "train", numbers)
    except CorpusError:
        return {}


def _training(against: Against, number: int, one: Longest, text: str | None) -> dict[str, Any]:
    """The copied span in its training message."""
    index, words = against.opened[one.source].index, against.opened[one.source].words
    tokens = index.document(number)
    before = one.place - (int(index.ends[number - 1]) + 1 if number else 0)
    start = len(words.decode(tokens[:before].tolist()).rstrip("\ufffd"))
    stop = len(words.decode(tokens[: before + one.tokens].tolist()).rstrip("\ufffd"))
    return _masked(against, words.decode(tokens.tolist()) if text is None else text, start, stop)


def _masked(against: Against, text: str, start: int, stop: int) -> dict[str, Any]:
    """`text` masked as a whole, then cut around the span: what is cut first could hide what has to be masked."""
    from biasaudit.corpus.privacy import hide, mask

    masked = hide(mask(text), [span for opened in against.opened for span in opened.identifiers.inside(text)])
    start, stop = masked.masked(start, stop)
    low, high = _outward(masked.spans, max(0, start - AROUND), min(len(masked.text), stop + AROUND))
    return {"text": masked.text[low:high], "span": [start - low, stop - low], "cut": [low > 0, high < len(masked.text)]}


def _outward(spans: Sequence[tuple[int, int, int, int]], low: int, high: int) -> tuple[int, int]:
    """The range, widened so that it cuts no placeholder."""
    for start, end, _, _ in spans:
        low = start if start < low < end else low
        high = end if start < high < end else high
    return low, high
