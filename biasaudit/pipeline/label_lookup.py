"""What the readers of label files share: what the user said, what a file gave, and the run's completions by name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit.errors import InputError
from biasaudit.labels import HumanLabel, Key, LabelSet
from biasaudit.pipeline.stored import Stored

if TYPE_CHECKING:
    from biasaudit.store.labels import Batch

SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user says of the files."""

    rater: str = ""
    arm: str = ""
    labels: LabelSet
    partial: bool = False
    edited: bool = False


@dataclass(slots=True)
class Read:
    """What one file gave."""

    labels: list[HumanLabel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def refuse(path: Path, faults: Sequence[str]) -> None:
    """Raise one error for all faults of a file, where there are any.

    Raises:
        InputError: there are.
    """
    if faults:
        more = f"\n{path}: and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise InputError("\n".join(f"{path}: {fault}" for fault in faults[:SHOWN]) + more)


def rater_name(value: Any, where: str) -> str:
    """A rater's name as it is stored.

    Raises:
        InputError: it is none.
    """
    name = " ".join(unicodedata.normalize("NFC", value).split()) if isinstance(value, str) else ""
    if not 0 < len(name) <= 60 or any(unicodedata.category(letter)[0] == "C" for letter in name):
        raise InputError(f"{where}: {value!r} cannot be a rater's name; give 1 to 60 letters.")
    return name


def utf8(path: Path) -> str:
    """A file's text, without a byte order mark.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)."
        ) from error


def folded(text: str) -> str:
    """What two printings of one text share: letters in one form, blanks as one."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """The run's completions by everything that a file may name them by."""

    stored: Stored
    arm: str
    ranges: Mapping[tuple[str, str, str, str], int]
    """(arm fingerprint, salt, prompt id, decoding id) -> completions held, from index 0."""
    batch_of: Mapping[str, Batch]
    """Item id -> its page."""

    @classmethod
    def of(cls, stored: Stored, arm: str) -> Lookup:
        """Everything that the run holds; `arm` narrows it.

        Raises:
            InputError: there is no such arm.
        """
        from biasaudit.store.labels import batches

        names = [known.name for known in stored.plan.arms]
        if arm and arm not in names:
            raise InputError(f"this run has no arm '{arm}'; it has {', '.join(names)}")
        ranges: dict[tuple[str, str, str, str], int] = {}
        for stretch in stored.stretches:
            fingerprint, prompt, decoding, _, salt = stretch.key
            place = (fingerprint, salt, prompt, decoding)
            ranges[place] = max(ranges.get(place, 0), stretch.stop)
        pages = {item: batch for batch in batches(stored.folder).values() for item in batch.items}
        return cls(stored=stored, arm=arm, ranges=ranges, batch_of=pages)

    def key(self, row: Mapping[str, str]) -> Key:
        """The completion that a row of a table means.

        Raises:
            InputError: there is none.
        """
        item = row.get("item", "").strip()
        if item:
            if item not in self.batch_of:
                raise InputError(f"item '{item[:40]}' is not of a page of this run")
            return self.batch_of[item].items[item]
        plan = self.stored.plan
        name = row.get("arm", "").strip() or self.arm
        arm = next((known for known in plan.arms if known.name == name), None)
        if arm is None:
            raise InputError(f"arm '{name[:40]}' is none of {', '.join(known.name for known in plan.arms)}")
        prompt = row.get("prompt_id", "").strip() or self._prompt(row.get("prompt", ""))
        decoding = row.get("decoding_id", "").strip() or plan.decodings[0].decoding_id
        index = row.get("index", "").strip()
        held = self.ranges.get((arm.fingerprint, arm.salt, prompt, decoding), 0)
        if not re.fullmatch(r"\d{1,9}", index, re.ASCII) or int(index) >= held:
            raise InputError(f"arm '{name}' has {held} completions of this prompt; there is no index '{index[:20]}'")
        return (arm.fingerprint, prompt, decoding, plan.seed, arm.salt, int(index))

    def _prompt(self, text: str) -> str:
        wanted = folded(text)
        found = [prompt.prompt_id for prompt in self.stored.plan.prompts if folded(prompt.text) == wanted]
        if not found:
            raise InputError(f"no prompt of the run is '{text[:60]}'")
        return found[0]

    def by_text(self) -> dict[tuple[str, str], list[Key]]:
        """(prompt, text), folded -> completions, by key."""
        from biasaudit.store.tables import completions_from_table

        prompts = {prompt.prompt_id: folded(prompt.text) for prompt in self.stored.plan.prompts}
        wanted = {(a.fingerprint, a.salt) for a in self.stored.plan.arms if not self.arm or a.name == self.arm}
        found: dict[tuple[str, str], list[Key]] = {}
        for table in self.stored.tables(tokens=False):
            for row in completions_from_table(table, tokens=False):
                if (row.arm_fingerprint, row.salt) in wanted:
                    found.setdefault((prompts[row.prompt_id], folded(row.text)), []).append(row.key)
        return found
