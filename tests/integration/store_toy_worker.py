"""Workers that invent completions; light to import, since every worker process does."""

from __future__ import annotations

import itertools
import time

from biasaudit.records import Completion
from biasaudit.scale.units import WorkUnit


def completion(unit: WorkUnit, prompt_id: str, index: int) -> Completion:
    ids = tuple((index * 7 + len(prompt_id) + k) % 500 for k in range(index % 6))
    return Completion(
        arm_fingerprint=unit.arm_fingerprint,
        prompt_id=prompt_id,
        decoding_id=unit.decoding_id,
        seed=unit.seed,
        salt=unit.salt,
        index=index,
        text=f"vacina nº {index} {prompt_id[:5]}",
        token_ids=ids,
        logprobs=tuple(-0.25 * k for k in ids),
        finish_reason="length",
        numerics="toy",
    )


def complete(unit: WorkUnit) -> list[Completion]:
    return [completion(unit, *key) for key in unit.indices()]


def factory():
    return complete


def slow_factory():
    """A worker that does a few units and is still at work whenever somebody looks at it."""
    begun = itertools.count()

    def work(unit: WorkUnit) -> list[Completion]:
        time.sleep(0.05 if next(begun) < 4 else 60)
        return complete(unit)

    return work
