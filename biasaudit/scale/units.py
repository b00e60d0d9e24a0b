"""Work units: which completions are wanted, cut into pieces that never depend on when a run was killed.

The full wanted set is laid out in one order (arm, decoding, prompt as given, index) and cut at fixed places; what is
stored already is taken away afterwards. So a killed and resumed run makes the same pieces as an uninterrupted one, and
more completions, prompts or arms add only what is new. Only ranges are held, never ten million keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from biasaudit import identity
from biasaudit.records import Arm, Decoding, Prompt

Held = Mapping[tuple[str, str, str, int, str], Sequence[tuple[int, int]]]
"""(arm fingerprint, prompt id, decoding id, seed, salt) -> sorted disjoint ranges [start, stop) of stored indices."""


@dataclass(frozen=True, kw_only=True)
class WorkUnit:
    """Completions of one arm under one decoding that are made and committed together."""

    arm_fingerprint: str
    decoding_id: str
    seed: int
    salt: str
    items: tuple[tuple[str, int, int], ...]
    """(prompt id, start, stop): indices start ≤ i < stop; a prompt may stand here more than once."""

    @cached_property
    def unit_id(self) -> str:
        """Hash of the keys that the unit covers."""
        parts = [self.arm_fingerprint, self.decoding_id, self.seed, self.salt, self.items]
        return identity.content_hash(["unit", parts])[: identity.ID_HEX]

    @property
    def count(self) -> int:
        """How many completions the unit holds."""
        return sum(stop - start for _, start, stop in self.items)

    def stretches(self) -> Iterator[tuple[tuple[str, str, str, int, str], int, int]]:
        """Yield (first five fields of the key, start, stop) of what the unit holds."""
        for prompt_id, start, stop in self.items:
            yield (self.arm_fingerprint, prompt_id, self.decoding_id, self.seed, self.salt), start, stop

    def indices(self) -> Iterator[tuple[str, int]]:
        """Yield every (prompt id, index) in order."""
        for prompt_id, start, stop in self.items:
            for index in range(start, stop):
                yield prompt_id, index


def plan_units(
    arms: Sequence[Arm],
    prompts: Sequence[Prompt],
    decodings: Sequence[Decoding],
    completions: int | Mapping[str, int],
    seed: int,
    *,
    unit_size: int = 512,
    have: Held | None = None,
) -> list[WorkUnit]:
    """Return the units that are still to be done, in canonical order.

    Args:
        arms: models; two with the same fingerprint and salt are one.
        prompts: in the order of the battery; two with the same id are one.
        decodings: each is a set of completions of its own.
        completions: how many a prompt, or prompt id -> how many.
        seed: the run's seed, part of every key.
        unit_size: completions between two cuts; part of what must stay the same between a run and its resume.
        have: what is stored already (`store.tables.held_ranges`).
    """
    if unit_size < 1:
        raise ValueError(f"unit_size is {unit_size}, expected at least 1")
    held = have or {}
    prompt_ids = list(dict.fromkeys(prompt.prompt_id for prompt in prompts))
    wanted = [(key, completions if isinstance(completions, int) else completions.get(key, 0)) for key in prompt_ids]
    owners = dict.fromkeys((arm.fingerprint, arm.salt) for arm in arms)
    decoding_ids = list(dict.fromkeys(decoding.decoding_id for decoding in decodings))
    units: list[WorkUnit] = []
    for fingerprint, salt in owners:
        for decoding_id in decoding_ids:
            for chunk in _chunks(wanted, unit_size):
                items = tuple(
                    (prompt_id, first, last)
                    for prompt_id, start, stop in chunk
                    for first, last in _without(
                        start, stop, held.get((fingerprint, prompt_id, decoding_id, seed, salt), ())
                    )
                )
                if items:
                    units.append(
                        WorkUnit(
                            arm_fingerprint=fingerprint, decoding_id=decoding_id, seed=seed, salt=salt, items=items
                        )
                    )
    return units


def _chunks(wanted: Sequence[tuple[str, int]], unit_size: int) -> Iterator[list[tuple[str, int, int]]]:
    """Cut (prompt id, count)… after every `unit_size` completions."""
    chunk: list[tuple[str, int, int]] = []
    room = unit_size
    for prompt_id, count in wanted:
        start = 0
        while start < count:
            stop = min(count, start + room)
            chunk.append((prompt_id, start, stop))
            room -= stop - start
            start = stop
            if room == 0:
                yield chunk
                chunk, room = [], unit_size
    if chunk:
        yield chunk


def _without(start: int, stop: int, taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what is left of [start, stop) without the sorted ranges `taken`."""
    for low, high in taken:
        if high <= start:
            continue
        if low >= stop:
            break
        if low > start:
            yield start, low
        start = max(start, high)
    if start < stop:
        yield start, stop
