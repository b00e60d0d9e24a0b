"""The verb `label import`: labels from files into the run, then what rests on them anew."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from biasaudit.labels import HumanLabel, Key, decided
from biasaudit.pipeline import audit
from biasaudit.pipeline.label import PER_ARM, chosen_labels, human_measures
from biasaudit.pipeline.label_files import read_file
from biasaudit.pipeline.label_lookup import Options, refuse
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.stored import Stored

if TYPE_CHECKING:
    pass

NOTES = 20
"""Sentences of a file that are shown."""

Said = tuple[str, Key, str, int, str]
"""Rater, completion, set of labels, pass, page."""


def import_command(
    *,
    run_folder: Path,
    files: Sequence[Path],
    rater: str,
    arm: str,
    measure: str,
    labels: str,
    partial: bool,
    edited: bool,
    replace: bool,
    report_language: str | None,
    quiet: bool,
) -> Outcome:
    """Check every file, store all or nothing, then score, analyse and report what the run already had."""
    from biasaudit.store.labels import read_labels, write_labels

    folder = audit.open_run(run_folder)
    console = Console(quiet=quiet)
    with folder.lock():
        audit.refuse_too_early(folder, "score")
        stored = Stored(folder, audit.stored_plan(folder))
        asked = chosen_labels(stored.plan.battery, measure, labels)
        options = Options(rater=rater, arm=arm, labels=asked, partial=partial, edited=edited)
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        before = read_labels(folder)
        known, new = before, 0
        odd: list[str] = []
        for path in files:
            read = read_file(path, stored, options)
            for note in read.notes[:NOTES]:
                console.say(f"{path}: {note}")
            if len(read.notes) > NOTES:
                console.say(f"{path}: {len(read.notes) - NOTES} more such lines")
            if quiet and read.notes:
                odd.append(f"{path}: {len(read.notes)} remarks; repeat without --quiet to read them")
            given = [dataclasses.replace(label, imported=moment) for label in read.labels]
            known, added = merged(path, known, given, replace=replace)
            new += added
        if known != before:
            sealed = folder.sealed
            write_labels(folder, known)
            told = _anew(stored, console, report_language, sealed)
        else:
            told = []
    return _outcome(stored, known, new, [*odd, *told])


def merged(
    path: Path, known: Sequence[HumanLabel], given: Sequence[HumanLabel], *, replace: bool
) -> tuple[list[HumanLabel], int]:
    """Old and new labels together, and how many are new; the same answer again changes nothing.

    Raises:
        InputError: somebody said another thing of the same text in the same pass.
    """
    found = {_who(label): label for label in known}
    faults, new, fresh = [], 0, set()
    for label in given:
        who = _who(label)
        old = found.get(who)
        same = old is not None and (old.label, old.on_topic, old.note) == (label.label, label.on_topic, label.note)
        if old is not None and old.label != label.label and (who in fresh or not replace):
            faults.append(
                f"{label.rater} gave {label.label} to index {label.key[5]} of prompt {label.key[1][:8]}, and "
                f"{old.label} {'in the same file' if who in fresh else 'before'}"
            )
        elif not same:
            found[who], new = label, new + 1
        fresh.add(who)
    if faults and not replace:
        faults.append("conflicts with what is stored; --replace lets the new labels count")
    refuse(path, faults)
    return list(found.values()), new


def _who(label: HumanLabel) -> Said:
    """What may be said once: pages number their own passes, other files share theirs."""
    page = "" if "." in label.batch else label.batch
    return (label.rater, label.key, label.set_id, label.pass_number, page)


def _anew(stored: Stored, console: Console, report_language: str | None, sealed: bool) -> list[str]:
    """Score by people again, analyse and report, as far as the run had come."""
    folder = stored.folder
    if not folder.has("analysis.json"):
        if sealed:
            folder.seal()
        return []
    human = human_measures(stored.plan.battery)
    if human:
        for name, pieces in audit.scored_pieces(stored, console, human).items():
            folder.write_bytes(audit.score_file(name), pieces.finish())
    audit.analyse(stored, console)
    locale = report_language or folder.manifest.get("report_language") or stored.plan.language
    return [audit.report(stored, locale).text]


def _outcome(stored: Stored, labels: Sequence[HumanLabel], new: int, told: Sequence[str]) -> Outcome:
    """How many labels each person and each arm has."""
    names = {(arm.fingerprint, arm.salt): arm.name for arm in stored.plan.arms}
    raters = Counter(label.rater for label in labels)
    arms = Counter(names.get((key[0], key[4]), "?") for key in {label.key for label in labels})
    lines = [f"{new} labels stored, {len(labels)} in all"]
    lines.append("by " + ", ".join(f"{rater} {count}" for rater, count in sorted(raters.items())))
    lines.append("completions labelled: " + ", ".join(f"{arm} {count}" for arm, count in sorted(arms.items())))
    lines += _settled(labels, names)
    if not human_measures(stored.plan.battery):
        lines.append("no measure of the battery has the scorer human: the report shows agreement, but no contrast")
    data = {"stored": new, "labels": len(labels), "raters": dict(raters), "arms": dict(arms)}
    return Outcome(text="\n".join([*lines, *told]), data=data)


def _settled(labels: Sequence[HumanLabel], names: Mapping[tuple[str, str], str]) -> list[str]:
    """How many completions count for nobody because people were evenly divided on them, and what that means."""
    common = Counter(label.set_id for label in labels).most_common(1)
    found = decided(labels, common[0][0] if common else "")
    divided = Counter(names.get((key[0], key[4]), "?") for key, word in found.items() if word is None)
    counted = Counter(dict.fromkeys(names.values(), 0))
    counted.update(names.get((key[0], key[4]), "?") for key, word in found.items() if word is not None)
    said = []
    if divided:
        told = ", ".join(f"{arm} {count}" for arm, count in sorted(divided.items()))
        said.append(f"evenly divided, so unscored: {told}; one more reader settles such texts")
    few = [arm for arm, count in sorted(counted.items()) if 0 < count < PER_ARM]
    if few:
        told = ", ".join(f"{arm} {counted[arm]}" for arm in few)
        said.append(f"labels that count: {told}; below {PER_ARM} in an arm no corrected rate carries the verdict")
    return said
