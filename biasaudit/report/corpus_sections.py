"""The sections of a data card's page, as plain blocks that the template draws."""

from __future__ import annotations

from typing import Any

from biasaudit.report.corpus_blocks import Block, Page
from biasaudit.report.corpus_view import CardView, as_count, cut, timeline
from biasaudit.report.corpus_warnings import CALM, codes, warning_sentences
from biasaudit.report.numbers import Numbers
from biasaudit.report.words import Words

MAX_SOURCES = 100
MAX_DIALECTS = 20
TOP = 20
INCOMPLETE = frozenset({"source_cut_off", "rejects", "members_left_out"})
"""Warnings after which nobody may say that nothing is missing."""


def title(view: CardView, words: Words, numbers: Numbers) -> str:
    """What the corpus was made of, in few words."""
    names = [source.text("name") for source in view.rows("sources")]
    if not names:
        return words("corpus.title_none")
    if len(names) == 1:
        return words("corpus.title_one", name=cut(names[0], 80))
    return words("corpus.title_more", name=cut(names[0], 80), n=numbers.integer(len(names) - 1))


def everything(view: CardView, words: Words, numbers: Numbers) -> list[dict[str, Any]]:
    """(name, title, blocks) of every section that has something to show."""
    page = Page(view, words, numbers)
    made = (
        ("overview", _overview), ("dates", _dates), ("channels", _channels), ("languages", _languages),
        ("lengths", _lengths), ("copies", _copies), ("privacy", _privacy), ("cleaning", _cleaning),
        ("ngrams", _ngrams), ("sources", _sources), ("making", _making), ("limits", _limits),
    )  # fmt: skip
    found = [{"name": name, "title": words(f"corpus.{name}"), "blocks": make(page)} for name, make in made]
    return [section for section in found if section["blocks"]]


def _overview(page: Page) -> list[Block]:
    view, numbers = page.view, page.numbers
    documents = _sum(view.count("train_documents"), view.count("val_documents"))
    tokens = _sum(view.count("train_tokens"), view.count("val_tokens"))
    sentence = page.fill(
        "sentence", documents=page.amount("documents", documents), tokens=page.amount("tokens", tokens),
        records=page.amount("records", view.count("records", "in") or 0),
        sources=page.amount("sources", len(view.rows("sources"))),
    )  # fmt: skip
    first, last = _ends(view)
    channels = view.count("channels", "count") or 0
    if first:
        sentence += " " + page.fill("sentence_dates", first=first, last=last)
    if channels:
        sentence += " " + page.fill("sentence_channels", n=channels)
    per_byte = view.number("tokens_per_byte")
    blocks: list[Block] = [{"kind": "text", "tone": "sentence", "text": sentence}]
    warnings = [("good" if code in CALM else "warn", line) for code, line in warning_sentences(page)]
    if warnings:
        blocks += [{"kind": "heading", "text": page.fill("warnings")}, {"kind": "warnings", "lines": warnings}]
    rows, parts = _flow(page)
    blocks.append(page.bars("flow", ("record_fate", "records"), rows, total=page.fill("fate_in")))
    if parts:
        blocks.append({"kind": "text", "tone": "sum", "text": parts})
    blocks += _bytes(page)
    sides = [
        (page.fill(f"side_{side}"), numbers.integer(view.count(f"{side}_documents")),
         numbers.integer(view.count(f"{side}_tokens")), numbers.integer(view.count(f"{side}_bytes")))
        for side in ("train", "val")
    ]  # fmt: skip
    blocks.append(page.table("split", ("side", "documents", "tokens", "bytes"), sides))
    if per_byte:
        blocks.append(
            page.say("per_byte", share=numbers.decimal(per_byte, 3), inverse=numbers.decimal(1 / per_byte, 2))
        )
    return blocks


def _flow(page: Page) -> tuple[list[tuple[str, int]], str]:
    """Where every record went, and the conservation sum in one line."""
    records = page.view
    near = records.count("records", "near_duplicates_among_them") or 0
    duplicates = records.count("records", "duplicates") or 0
    aside = records.counts("records", "set_aside") or [
        (name, n) for name, n in records.counts("records") if name in ("filtered", "empty_after_cleaning")
    ]
    going = [("exact", max(0, duplicates - near)), ("near", near), *aside]
    given, kept = records.count("records", "in"), records.count("records", "kept")
    if given is None or kept is None:
        return [], ""
    rows = [(page.fill("fate_in"), given)]
    rows += [(page.word("fate", name), n) for name, n in going if n or name == "exact"]
    rows.append((page.fill("fate_kept"), kept))
    documents = records.count("records", "documents")
    if documents is not None and documents != kept:
        rows.append((page.fill("fate_documents"), documents))
    out = kept + sum(n for _, n in going)
    shown = " + ".join(page.numbers.integer(n) for _, n in [*going, ("", kept)] if n) or "0"
    key = "imbalance" if out != given else "balance_part" if INCOMPLETE & codes(page.view) else "balance"
    return rows, page.fill(key, given=given, parts=shown, out=out)


def _bytes(page: Page) -> list[Block]:
    given = page.view.count("bytes", "in")
    parts = [page.view.count("bytes", name) for name in ("records", "rejects", "separators")]
    if given is None or None in parts:
        return []
    records, rejects, separators = (part or 0 for part in parts)
    unit = page.view.text("bytes", "unit")
    unit = unit if unit in ("rows", "mixed") else "bytes"
    # Rows have nothing between them, so a sum of rows alone says nothing of it.
    rows = "_rows" if unit == "rows" and not separators else ""
    key = f"spans_balance{rows}" if records + rejects + separators == given else "spans_imbalance"
    told = page.say(
        key, tone="sum", given=page.amount(unit, given), records=records, rejects=rejects, separators=separators
    )  # fmt: skip
    if unit != "mixed":
        return [told]
    return [told, page.say("mixed_units", rows=page.amount("rows", page.view.count("bytes", "rows") or 0))]


def _dates(page: Page) -> list[Block]:
    grain, periods = timeline(page.view)
    blocks: list[Block] = []
    if periods:
        blocks.append(_timeline(page, grain, periods))
    gaps = page.view.rows("dates", "gaps", "longest")
    count = page.view.count("dates", "gaps", "count")
    if count is not None and periods:
        blocks.append(
            page.say("gaps_found", n=count, whole=page.word("whole", grain))
            if count
            else page.say("gaps_none", every=page.word("every", grain))
        )
    if gaps:
        rows = [(g.text("from"), g.text("to"), page.numbers.integer(g.count("periods"))) for g in gaps[:TOP]]
        blocks.append(page.table("gaps", ("from", "to", "periods"), rows))
    silence = page.view.count("dates", "longest_silence_days")
    if silence:
        blocks.append(page.say("silence", n=silence))
    undated, odd = page.view.count("dates", "undated"), page.view.count("dates", "implausible")
    if undated or odd:
        blocks.append(page.say("undated", n=undated or 0, odd=odd or 0))
    return blocks


def _timeline(page: Page, grain: str, periods: list[tuple[str, int]]) -> Block:
    most = max(n for _, n in periods)
    holes, start = [], 0
    for i, (_, n) in enumerate([*periods, ("", 1)]):
        if n:
            if i > start:
                holes.append((start, i - start))
            start = i + 1
    rows = [(label, page.numbers.integer(n)) for label, n in periods]
    unit = page.word("grain", grain)
    return {
        "kind": "timeline",
        "width": len(periods),
        "bars": [(i, max(1, round(100 * n / most))) for i, (_, n) in enumerate(periods) if n],
        "holes": holes,
        "first": periods[0][0],
        "last": periods[-1][0],
        "alt": page.fill(
            "timeline_alt",
            grain=unit,
            one=page.word("one", grain),
            first=periods[0][0],
            last=periods[-1][0],
            most=most,
            n=len(holes),
        ),
        "caption": page.fill("timeline", grain=unit, most=most),
        "hole": page.fill("timeline_hole"),
        "table": page.table("timeline_table", ("period", "documents"), rows),
    }


def _channels(page: Page) -> list[Block]:
    count = page.view.count("channels", "count")
    if not count:
        return []
    key = "channel_count_about" if page.view.raw("channels", "count_is_estimate") is True else "channel_count"
    rows = page.view.counts("channels", "most_frequent")[:TOP]
    without = page.view.count("channels", "documents_without")
    blocks = [page.say(key, n=count)]
    if without:
        blocks.append(page.say("channel_without", n=without))
    return [*blocks, page.bars("channels_top", ("channel", "documents"), rows)]


def _languages(page: Page) -> list[Block]:
    said = page.view.text("language")
    blocks = [page.say("language_said", language=page.words.fixed("language", said))] if said else []
    counts = page.view.counts("languages", "documents")[:TOP]
    if counts:
        blocks.append(page.say("language_sample", n=page.view.count("languages", "sample") or 0))
        rows = [(page.words.fixed("language", name), n) for name, n in counts]
        blocks.append(page.bars("languages_top", ("language", "documents"), rows))
    else:
        blocks.append(page.say("language_unknown"))
    return blocks


def _lengths(page: Page) -> list[Block]:
    names = ("min", "p25", "median", "p75", "p95", "max", "mean")
    found = {name: page.view.number("lengths_tokens", name) for name in names}
    if found["median"] is None:
        return []
    parts = [(page.word("quantile", name), _short(page.numbers, found[name])) for name in names]
    bins = [
        (_span(page.numbers, row.count("from"), row.count("to")), row.count("documents") or 0)
        for row in page.view.rows("lengths_histogram")[:64]
    ]
    blocks: list[Block] = [page.table("quantiles", ("quantile_name", "tokens"), parts)]
    if bins:
        blocks.append(page.bars("lengths_bins", ("tokens", "documents"), bins))
    return blocks


def _copies(page: Page) -> list[Block]:
    most = page.view.count("copies", "most_copies")
    if most is None:
        return []
    with_copies = page.view.count("copies", "documents_with_copies") or 0
    blocks = [page.say("copies_most" if with_copies else "copies_none", n=with_copies, most=most)]
    exact, near = page.view.count("copies", "exact"), page.view.count("copies", "near")
    if exact is not None and near is not None:
        blocks.append(page.say("copies_dropped", exact=exact, near=near))
    rows = [
        (_span(page.numbers, row.count("from"), row.count("to")), row.count("documents") or 0)
        for row in page.view.rows("copies", "multiplicity")[:16]
    ]
    return [*blocks, page.bars("multiplicity", ("times", "documents"), rows)] if rows else blocks


def _privacy(page: Page) -> list[Block]:
    masked = page.view.count("personal_data", "documents_masked")
    if masked is None:
        return []
    rows = sorted(page.view.counts("personal_data", "replaced"), key=lambda row: (-row[1], row[0]))[:40]
    blocks = [page.say("masked", n=masked)]
    if rows:
        blocks.append(page.bars("kinds", ("kind", "replaced"), [(f"[{name}]", n) for name, n in rows]))
    return [*blocks, page.say("privacy_limits")]


def _cleaning(page: Page) -> list[Block]:
    rules = [(page.word("rule", name), n) for name, n in page.view.counts("cleaning")[:40]]
    flags = [(page.word("flag", name), n) for name, n in page.view.counts("records", "flags")[:40]]
    reasons = [
        (page.words.phrase("corpus.reason_of", name), n) for name, n in page.view.counts("rejects", "reasons")[:40]
    ]
    blocks = [page.bars("rules", ("rule_name", "texts_changed"), rules)] if rules else []
    if flags:
        blocks.append(page.bars("flags", ("flag_name", "records"), flags))
    return [*blocks, page.bars("rejects", ("reason", "records"), reasons)] if reasons else blocks


def _ngrams(page: Page) -> list[Block]:
    tables = []
    for length in ("1", "2", "3", "4", "5"):
        rows = [(r.text("text"), r.count("documents") or 0) for r in page.view.rows("ngrams", "top", length)[:TOP]]
        if rows:
            tables.append(page.bars(f"ngrams_{length}", ("phrase", "documents"), rows))
    if page.view.raw("ngrams") is None:
        return []
    sample = CardView(page.view.raw("ngrams", "sample"))
    text = page.say(
        "ngrams_sample", n=sample.count("documents") or 0, bytes=sample.count("bytes") or 0,
        share=page.numbers.percent(sample.number("share_of_documents") or 0.0),
        least=page.view.count("ngrams", "min_documents") or 0,
    )  # fmt: skip
    return [text, {"kind": "grid", "blocks": tables}] if tables else [text, page.say("ngrams_none")]


def _sources(page: Page) -> list[Block]:
    sources = page.view.rows("sources")
    documents = dict(page.view.counts("documents_per_source"))
    if not sources:
        return []
    rows = [
        (s.text("name"), _size(page, s),
         page.numbers.integer(sum(documents.get(part.text("name"), 0) for part in _parts(s))), s.text("sha256"))
        for s in sources[:MAX_SOURCES]
    ]  # fmt: skip
    blocks: list[Block] = [page.table("sources_table", ("source", "size", "documents", "sha256"), rows)]
    if len(sources) > MAX_SOURCES:
        blocks.append(page.say("sources_more", n=len(sources) - MAX_SOURCES))
    blocks.append(page.say("dialects"))
    read = [part for s in sources for part in ([s, *_parts(s)] if s.rows("members") else [s])]
    for source in read[:MAX_DIALECTS]:
        rows_of = page.labelled("dialect", source.raw("dialect"))
        if rows_of:
            name = page.fill("dialect_of", name=source.text("name"))
            blocks.append({"kind": "details", "title": name, "rows": rows_of})
    return blocks


def _making(page: Page) -> list[Block]:
    view = page.view
    blocks: list[Block] = []
    if isinstance(view.raw("command"), str) and view.raw("command"):
        blocks += [page.say("command"), {"kind": "command", "text": cut(view.raw("command"), 8000)}]
    known = [(page.fill("fingerprint"), view.text("fingerprint"))] if view.text("fingerprint") else []
    known += page.labelled("tokenizer", view.raw("tokenizer"))
    for name in ("train.bin", "val.bin"):
        if view.text("shards", name, "sha256"):
            known.append((page.fill("shard", name=name), view.text("shards", name, "sha256")))
    if known:
        blocks.append({"kind": "entries", "rows": known})
    settings = page.labelled("setting", view.raw("settings"))
    return [*blocks, {"kind": "details", "title": page.fill("settings"), "rows": settings}] if settings else blocks


def _limits(page: Page) -> list[Block]:
    limits = page.labelled("limit", page.view.raw("limits"))
    blocks = [page.say("limits_text")]
    return [*blocks, {"kind": "entries", "rows": limits}] if limits else blocks


def _parts(source: CardView) -> list[CardView]:
    """What documents name as their source: the members of an archive, else the file itself."""
    return source.rows("members") or [source]


def _size(page: Page, source: CardView) -> str:
    rows = source.count("rows")
    return page.amount("bytes", source.count("bytes") or 0) if rows is None else page.amount("rows", rows)


def _ends(view: CardView) -> tuple[str, str]:
    _, periods = timeline(view)
    first, last = view.text("dates", "first"), view.text("dates", "last")
    return (first, last) if (first and last) or not periods else (periods[0][0], periods[-1][0])


def _sum(*counts: int | None) -> int:
    return sum(as_count(n) or 0 for n in counts)


def _span(numbers: Numbers, low: int | None, high: int | None) -> str:
    if high is None:
        return f"≥ {numbers.integer(low)}"
    return numbers.integer(low) if low == high else f"{numbers.integer(low)}–{numbers.integer(high)}"


def _short(numbers: Numbers, value: float | None) -> str:
    return numbers.decimal(value, 0 if value is None or value == int(value) else 1)
