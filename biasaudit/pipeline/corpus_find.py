"""`biasaudit corpus find`: which documents of a corpus hold a text, and which share most with it.

Text is shown masked and safe for a terminal (CONTRACT §4), also when the corpus was made with the privacy stage off.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import CorpusError, StoreError, UsageError
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.progress import Console, visible

if TYPE_CHECKING:
    from biasaudit.corpus.find import Found, Row
    from biasaudit.corpus.index import SpanIndex
    from biasaudit.corpus.index_build import Progress
    from biasaudit.lm.tokenizer import TextTokenizer

CONTEXT = 80
"""Characters shown on both sides of a hit."""
WHOLE = 300
"""Characters shown of a document that is near."""
NEAR_SPAN = 4
"""Tokens in a row that a document must share to be shown where nobody asked for near ones."""
NAMES = 8
"""Channels and months that are listed."""


def corpus_index(
    corpus: Path, *, side: str = "train", block: int | None = None, make: bool = True, progress: Progress | None = None
) -> tuple[SpanIndex, TextTokenizer]:
    """The span index of one shard of a corpus folder, made when it is not there, and the corpus's tokenizer.

    The copying scorer asks it about completions of arms whose tokenizer has the same fingerprint.

    Args:
        corpus: the folder.
        side: `train` or `val`.
        block: tokens sorted at a time; see `biasaudit.corpus.index_build.BLOCK`.
        make: make an index that is missing or stale.
        progress: called with (tokens indexed, tokens in all).

    Raises:
        CorpusError: no corpus folder, or a damaged one.
        UsageError: the extra `search` is not installed.
        RunLockedError: another process is making the index.
        StoreError: there is no index of this shard and `make` is False, or it cannot be written.
    """
    from biasaudit.corpus.index import BLOCK, open_index
    from biasaudit.corpus.index_placeholders import Placeholders
    from biasaudit.corpus.shards import dtype_for
    from biasaudit.lm.tokenizer import load_tokenizer

    try:
        described = json.loads((corpus / "card.json").read_text("utf-8"))["tokenizer"]
        dtype, eot_id = dtype_for(int(described["vocab_size"])), int(described["eot_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{corpus / 'card.json'}: cannot be read ({type(error).__name__}). Give a folder that ingest wrote."
        ) from error
    words = load_tokenizer(corpus / "tokenizer")
    index = open_index(
        corpus, side, dtype=dtype, eot_id=eot_id, barred=Placeholders(words.decode), block=block or BLOCK,
        make=make, progress=progress,
    )  # fmt: skip
    return index, words


def find(
    corpus: Path,
    query: str,
    *,
    regex: bool = False,
    ignore_case: bool = True,
    accents: bool = False,
    limit: int = 20,
    nearest: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Search a corpus folder and show the first hits around their place.

    Args:
        corpus: the folder.
        query: a literal text, or an RE2 expression with `regex`.
        regex: which of the two.
        ignore_case: `vacina` finds `VACINA`.
        accents: accents count; folded otherwise.
        limit: hits, or near documents, that are shown.
        nearest: show the training documents that share the most tokens with the query too, making the index when it
            is missing. Without a hit they are shown anyway when the index is there.
        quiet: no progress.

    Raises:
        CorpusError: no corpus folder, one without documents, or a damaged file.
        UsageError: an empty query, a bad expression, `nearest` with an expression.
    """
    from biasaudit.corpus import find as finding
    from biasaudit.corpus.index import has_index

    if not _is_corpus(corpus) and _is_corpus(Path(query)):  # the folder first, as in other verbs
        corpus, query = Path(query), str(corpus)
    if limit < 0:
        raise UsageError(f"--limit {limit}: give 0 or more.")
    if nearest and regex:
        raise UsageError("--nearest looks for a text, --regex for an expression: give one of them.")
    expression = finding.pattern(query, regex=regex, ignore_case=ignore_case, accents=accents)
    console = Console(quiet=quiet)
    with console.task("searching", None, "documents") as task:
        found = finding.search(corpus, expression, limit=limit, progress=task.update)
    near = None
    if nearest or (not regex and not found.documents and has_index(corpus)):
        # A search without a hit is an answer: only --nearest waits for an index, or hears why there is none.
        with contextlib.nullcontext() if nearest else contextlib.suppress(StoreError):
            near = _nearest(corpus, query, limit, console, make=nearest)
    rows = [_hit(row) for row in found.rows]
    data: dict[str, Any] = {
        "corpus": str(corpus), "query": query, "searched": found.searched, "documents": found.documents,
        "messages": found.messages, "splits": _counted(found.splits), "channels": _counted(found.channels),
        "months": _counted(found.months), "hits": rows,
    }  # fmt: skip
    if near is not None:
        data["nearest"] = near
    return Outcome(text=visible("\n".join(_show(data, found, regex=regex))), data=data)


def _is_corpus(path: Path) -> bool:
    return bool(path.name) and (path / "documents.parquet").is_file()


def _nearest(corpus: Path, query: str, limit: int, console: Console, *, make: bool) -> list[dict[str, Any]]:
    """Training documents that share most with the query, which may stand at their start or in their midst."""
    from biasaudit.corpus.find import texts_of
    from biasaudit.corpus.index_nearest import Near
    from biasaudit.corpus.index_nearest import nearest as near_documents
    from biasaudit.corpus.privacy import mask

    with console.task("indexing", None, "tokens") as task:
        index, words = corpus_index(corpus, make=make, progress=task.update)
    # The corpus was masked before it became tokens, and a word in a text's midst is another token than at its start.
    masked = mask(query).text
    best: dict[int, tuple[Near, int]] = {}
    for text in (masked, " " + masked):
        ids = words.encode(text)
        for one in near_documents(index, ids, limit):
            if one.document not in best or _rank(one) > _rank(best[one.document][0]):
                best[one.document] = (one, len(ids))
    close = [pair for pair in best.values() if make or pair[0].span >= NEAR_SPAN]
    order = sorted(close, key=lambda pair: (-pair[0].span, -pair[0].covered, pair[0].document))[:limit]
    rows = texts_of(corpus, "train", [one.document for one, _ in order])
    shown = []
    for one, size in order:
        row = rows[one.document]
        about = _about(row)
        whole = " ".join(mask(row.text).text.split())
        about["text"] = whole if len(whole) <= WHOLE else whole[:WHOLE] + "…"
        shown.append({**about, "shared_tokens": one.covered, "longest_span": one.span, "query_tokens": size})
    return shown


def _rank(near: Any) -> tuple[int, int]:
    return (near.span, near.covered)


def _about(row: Row) -> dict[str, Any]:
    """Where a document comes from."""
    return {
        "document": row.document, "split": row.split, "channel_id": row.channel_id, "message_id": row.message_id,
        "date": row.date, "source": row.source, "offset": row.offset, "copies": row.copies,
    }  # fmt: skip


def _hit(row: Row) -> dict[str, Any]:
    """A hit with its context, masked; a hit within personal data counts as its placeholder."""
    from biasaudit.corpus.privacy import mask

    masked = mask(row.text)
    start, end = masked.masked(row.start, row.end)
    return {
        **_about(row),
        "start": row.start,
        "end": row.end,
        "before": ("…" if start > CONTEXT else "") + masked.text[max(0, start - CONTEXT) : start],
        "hit": masked.text[start:end],
        "after": masked.text[end : end + CONTEXT] + ("…" if len(masked.text) > end + CONTEXT else ""),
    }


def _counted(counts: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    return {name: {"documents": documents, "messages": messages} for name, (documents, messages) in counts.items()}


def _show(data: Mapping[str, Any], found: Found, *, regex: bool) -> Iterator[str]:
    if found.documents:
        yield (
            f"{found.documents:,} of {found.searched:,} documents match ({found.messages:,} messages with their copies)"
        )
        for name, counts in (("split", found.splits), ("channel", found.channels), ("month", found.months)):
            yield f"  by {name}: {_listed(counts, by_name=name == 'month')}"
    else:
        yield f"no hit in {found.searched:,} documents"
    for row in data["hits"]:
        yield ""
        yield _place(row)
        yield "  " + " ".join(f"{row['before']}«{row['hit']}»{row['after']}".split())
    hidden = found.documents - len(data["hits"])
    if found.documents and hidden:
        yield f"\n… and {hidden:,} documents more; --limit shows more of them"
    if "nearest" in data:
        yield (
            "\ntraining documents that share the most tokens with it:"
            if data["nearest"]
            else f"\nno training document shares {NEAR_SPAN} tokens in a row with it"
        )
        for row in data["nearest"]:
            yield ""
            yield _place(row)
            shared = f"{row['shared_tokens']} of {row['query_tokens']} tokens shared"
            yield f"  {shared}, the longest span {row['longest_span']}"
            yield f"  {row['text']}"
    elif not found.documents and not regex:
        yield "--nearest shows the training documents that share the most tokens with it"


def _listed(counts: Mapping[str, tuple[int, int]], *, by_name: bool) -> str:
    """The most frequent names; months in their order."""
    top = sorted(counts, key=lambda name: (-counts[name][0], name))[:NAMES]
    words = [f"{name or 'unknown'} {counts[name][0]:,}" for name in (sorted(top) if by_name else top)]
    return ", ".join(words) + (f", {len(counts) - len(top):,} more" if len(counts) > len(top) else "")


def _place(row: Mapping[str, Any]) -> str:
    parts = [f"document {row['document']:,}", str(row["split"])]
    parts += [f"channel {row['channel_id']}"] if row["channel_id"] else []
    parts += [f"message {row['message_id']}"] if row["message_id"] else []
    parts += [str(row["date"])] if row["date"] else []
    parts += [f"{row['copies']:,} copies"] if row["copies"] > 1 else []
    return " · ".join([*parts, f"{row['source']} byte {row['offset']}"] if row["source"] else parts)
