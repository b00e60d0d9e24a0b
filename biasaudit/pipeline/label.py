"""The verb `label`: which completions people read, in which order, and the page that shows them without their arms."""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import InputError, UsageError
from biasaudit.labels import DEFAULT, Key, LabelSet, label_set
from biasaudit.pipeline.audit import open_run, refuse_too_early, stored_plan
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.stored import Stored, Stratum
from biasaudit.records import Battery, Completion, Measure

if TYPE_CHECKING:
    from biasaudit.store.labels import Batch
    from biasaudit.store.run import RunFolder

PER_ARM = 100
"""Labels that an arm gets by default: below, correction is not worth its name (METHODS §2.9)."""
GAP = 20
"""Texts between one and its repetition, where the list is long enough."""
DIVIDED = 0.25
"""Share of texts read by two on which they may disagree; such texts count for nobody, so as many more are chosen."""

Lists = tuple[tuple[tuple[str, int], ...], ...]


def label_command(
    *,
    run_folder: Path,
    per_prompt: int | None,
    share: float | None,
    measure: str,
    labels: str,
    raters: int,
    double: float,
    repeat: float,
    seed: int,
    every_decoding: bool,
    out: Path,
    report_language: str | None,
    quiet: bool,
) -> Outcome:
    """Choose completions, plan who reads them, store the plan in the run, write the page."""
    if per_prompt is not None and share is not None:
        raise UsageError("--per-prompt and --share both say how many completions are read; give one of them")
    folder = open_run(run_folder)
    target = _target(out, folder)
    with folder.lock():
        sealed = folder.sealed  # before the first page makes the key of the labels
        refuse_too_early(folder, "score")
        stored = Stored(folder, stored_plan(folder))
        asked = chosen_labels(stored.plan.battery, measure, labels)
        slots = _slots(stored, per_prompt, share, every_decoding, seed, double)
        settings = {"double": double, "repeat": repeat, "raters": raters, "seed": seed}
        batch, completions = plan_batch(stored, slots, asked, settings)
        if not all(batch.lists):
            raise UsageError(
                f"{len(batch.items)} texts are too few for {raters} readers; choose more, or fewer readers"
            )
        page = _page(stored, batch, completions, report_language or stored.plan.language)
        _store(folder, batch)
        if sealed:
            folder.seal()
    from biasaudit.store import files

    files.write_atomic(target, page.encode("utf-8"))
    Console(quiet=quiet).say(_said(batch))
    data = {
        "page": str(target),
        "batch": batch.batch_id,
        "items": len(batch.items),
        "lists": [len(x) for x in batch.lists],
    }
    return Outcome(text=str(target), data=data)


def _target(out: Path, folder: RunFolder) -> Path:
    """Where the page goes: outside the run, which holds the key, and over nothing but another such page.

    Raises:
        UsageError: it is elsewhere.
    """
    from biasaudit.report.label_page import MARKER

    if folder.path.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"{out} lies inside the run, which holds what the readers must not see; choose another place")
    if out.is_dir():
        raise UsageError(f"{out} is a folder; name a file: --out {out / 'labels.html'}")
    if out.exists() and MARKER.encode() not in out.read_bytes()[:4096]:
        raise UsageError(f"{out} is there already and is no labelling page; choose another name with --out")
    return out


def chosen_labels(battery: Battery, measure: str, words: str) -> LabelSet:
    """The labels that may be given: as told, else those of the battery's human measure, else T, F and H.

    Args:
        battery: of the run.
        measure: name of a human measure; the only one when empty.
        words: `T,F,H`, or `A=first answer,B=second answer`.

    Raises:
        UsageError: there is no such measure, or several could be meant.
        InputError: `words` is no list of labels.
    """
    if words:
        return chosen_label_words(words)
    human = human_measures(battery)
    if measure:
        human = [found for found in human if found.name == measure]
        if not human:
            raise UsageError(f"battery '{battery.name}' has no measure '{measure}' with the scorer human")
    sets = {found.set_id: found for own in human for found in [label_set(own.options.get("labels"), own.name)]}
    if len(sets) > 1:
        raise UsageError(f"say whose labels: --measure {' or --measure '.join(own.name for own in human)}")
    return next(iter(sets.values()), DEFAULT)


def human_measures(battery: Battery) -> list[Measure]:
    """The battery's measures whose scorer is `human`."""
    return [measure for measure in battery.measures if measure.scorer == "human"]


def chosen_label_words(words: str) -> LabelSet:
    """`T,F,H`, or `A=first answer,B=second answer`.

    Raises:
        InputError: it is no list of labels.
    """
    known = {label.key: label for label in DEFAULT.labels}
    pairs = [(key.strip(), title.strip()) for key, _, title in (word.partition("=") for word in words.split(","))]
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise InputError(f"--labels names '{twice}' twice; name every label once")
    checked = label_set({key: title or key for key, title in pairs}, "--labels")
    titles = dict(pairs)
    return LabelSet(
        labels=tuple(
            known[label.key] if label.key in known and not titles[label.key] else label for label in checked.labels
        )
    )


def _slots(
    stored: Stored, per_prompt: int | None, share: float | None, every_decoding: bool, seed: int, double: float
) -> dict[Stratum, list[int]]:
    """Stratum -> indices, the same for every arm, so that coupled completions stay pairs; drawn at random.

    Raises:
        UsageError: the run holds nothing to read.
    """
    from biasaudit.store.labels import secret

    first = stored.plan.decodings[0].decoding_id
    greedy = {decoding.decoding_id for decoding in stored.plan.decodings if decoding.temperature == 0}
    held = {stratum: counts for stratum, counts in stored.slots().items() if every_decoding or stratum[1] == first}
    if not held:
        raise UsageError(f"{stored.folder.path} holds no completions yet; sample first")
    wanted = per_prompt or math.ceil(PER_ARM / (1 - DIVIDED * double) / len(held))
    draw = random.Random(f"{secret(stored.folder).hex()} {seed}")
    found = {}
    for stratum in sorted(held):
        there = [index for index, arms in enumerate(held[stratum].tolist()) if arms]
        count = wanted if share is None else round(share * len(there))
        count = min(count, 1 if stratum[1] in greedy else len(there))
        found[stratum] = sorted(draw.sample(there, count))
    if not any(found.values()):
        raise UsageError("nothing was chosen; ask for a larger --share, or --per-prompt 1")
    return found


def plan_batch(
    stored: Stored, slots: Mapping[Stratum, Sequence[int]], labels: LabelSet, settings: Mapping[str, Any]
) -> tuple[Batch, dict[str, Completion]]:
    """Ids, lists and the completions behind them; the same again for the same run and settings."""
    from biasaudit.pipeline.stored import as_arrays
    from biasaudit.store.labels import Batch, keyed, secret
    from biasaudit.store.tables import completions_from_table

    only = as_arrays([(*stratum, index) for stratum, own in slots.items() for index in own])
    tables = stored.tables(tokens=False, only=only)
    completions = [row for table in tables for row in completions_from_table(table, tokens=False)]
    key = secret(stored.folder)
    keys = sorted(row.key for row in completions)
    batch_id = keyed(key, "batch", settings, keys, labels.keys)
    items = {keyed(key, "item", batch_id, row.key): row for row in completions}
    lists = read_lists(key, batch_id, {item: row.key for item, row in items.items()}, settings)
    batch = Batch(
        batch_id=batch_id,
        items={item: items[item].key for item in sorted(items)},
        lists=lists,
        labels=labels,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        settings=settings,
    )
    return batch, items


def read_lists(key: bytes, batch_id: str, items: Mapping[str, Key], settings: Mapping[str, Any]) -> Lists:
    """Who reads what, in which order.

    Every text has one reader. Of every arm the same share has a second one: another reader, or, where there is a
    single one, the reader of a list of its own. Of every list a share comes again, `GAP` texts later at least.
    """
    from biasaudit.store.labels import keyed

    readers = int(settings["raters"])
    lists: list[list[str]] = [[] for _ in range(readers if readers > 1 or not settings["double"] else 2)]
    by_arm: dict[tuple[str, str], list[str]] = {}
    for item, own in items.items():
        by_arm.setdefault((own[0], own[4]), []).append(item)
    for arm in sorted(by_arm):
        order = sorted(by_arm[arm], key=lambda item: keyed(key, "reader", batch_id, item))
        own_reader = {item: place % readers for place, item in enumerate(order)}
        for item, reader in own_reader.items():
            lists[reader].append(item)
        twice = sorted(order, key=lambda item: keyed(key, "double", batch_id, item))
        for item in twice[: math.ceil(float(settings["double"]) * len(order))]:
            lists[(own_reader[item] + 1) % len(lists)].append(item)
    return tuple(
        _with_repeats(
            sorted(own, key=lambda item: keyed(key, "order", batch_id, reader, item)),
            float(settings["repeat"]),
            random.Random(keyed(key, "repeat", batch_id, reader)),
        )
        for reader, own in enumerate(lists)
    )


def _with_repeats(order: Sequence[str], share: float, draw: random.Random) -> tuple[tuple[str, int], ...]:
    """A list with some of its texts a second time, after a gap."""
    gap = min(GAP, len(order) // 2)
    early = range(max(0, len(order) - gap))
    again = draw.sample(early, min(len(early), round(share * len(order))))
    places = [(float(place), item, 1) for place, item in enumerate(order)]
    places += [(draw.uniform(place + gap, len(order)), order[place], 2) for place in again]
    return tuple((item, turn) for _, item, turn in sorted(places))


def _page(stored: Stored, batch: Batch, completions: Mapping[str, Completion], locale: str) -> str:
    """The page; every text in it is masked."""
    from biasaudit.corpus.privacy import hide, mask_all
    from biasaudit.pipeline.copying_summary import within_strings
    from biasaudit.report.label_page import Item, render_label_page
    from biasaudit.report.view import LOCALES, localised

    plan, within = stored.plan, within_strings(stored.folder)
    prompts = {prompt.prompt_id: prompt for prompt in plan.prompts}
    claims = {topic.name: topic.claim.get(plan.language, "") for topic in plan.battery.topics}
    ids = sorted(completions)
    own = [prompts[completions[item].prompt_id] for item in ids]
    places = [(c.arm_fingerprint, c.salt, (c.prompt_id, c.decoding_id, c.index)) for c in (completions[i] for i in ids)]
    masked = mask_all([completions[item].text for item in ids])
    texts = [hide(text, set(within.get(place, ()))) for text, place in zip(masked, places, strict=True)]
    asked = mask_all([prompt.text for prompt in own])
    items = [
        Item(item=item, prompt=before.text, claim=claims.get(prompt.topic, ""), text=after.text)
        for item, prompt, before, after in zip(ids, own, asked, texts, strict=True)
    ]
    locale = locale if locale in LOCALES else "en"
    title = localised(plan.battery.title, locale) or plan.battery.name
    return render_label_page(batch.batch_id, title, plan.language, items, batch.lists, batch.labels, locale)


def _store(folder: RunFolder, batch: Batch) -> None:
    """Keep the plan; the same page made again is the same plan."""
    from biasaudit.store.labels import batches, write_batch

    if batch.batch_id not in batches(folder):
        write_batch(folder, batch)


def _said(batch: Batch) -> str:
    arms = len({(key[0], key[4]) for key in batch.items.values()})
    readers = ", ".join(f"list {place} has {len(own)} texts" for place, own in enumerate(batch.lists, start=1))
    said = f"{len(batch.items)} completions of {arms} arms, labels {', '.join(batch.labels.keys)}; {readers}"
    if batch.settings["raters"] == 1 and len(batch.lists) == 2:
        said += " (list 2 is for a second person, so that agreement can be measured)"
    if len(batch.items) < PER_ARM * arms:
        said += f"; fewer than {PER_ARM} texts an arm: intervals will be wide"
    return f"{said}. What tells the arms stays in the run: send readers the page alone"
