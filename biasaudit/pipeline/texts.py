"""The completions that tests on texts read: the first decoding, as many a prompt as those tests look at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from biasaudit.pipeline.stored import Stored

MOST = 40_000
"""Completions read in all; every prompt and arm gives equally many, the first ones."""
MOST_PER_PROMPT = 200
FEWEST_PER_PROMPT = 4

Texts = Mapping[str, Mapping[str, Mapping[int, str]]]
"""Arm name -> prompt id -> index -> completion."""


def texts_of(stored: Stored) -> Texts:
    """Completions under the first decoding; empty without one that is sampled."""
    plan = stored.plan
    if not plan.decodings or plan.decodings[0].temperature == 0 or not plan.prompts:
        return {}
    share = MOST // (len(plan.prompts) * max(1, len(plan.arms)))
    most = np.arange(min(MOST_PER_PROMPT, max(FEWEST_PER_PROMPT, share)))
    decoding = plan.decodings[0].decoding_id
    names = {(arm.fingerprint, arm.salt): arm.name for arm in plan.arms}
    found: dict[str, dict[str, dict[int, str]]] = {}
    for table in stored.tables(tokens=False, only={(prompt.prompt_id, decoding): most for prompt in plan.prompts}):
        if not table.num_rows:
            continue
        arm, salt, prompt = (table.column(name)[0].as_py() for name in ("arm_fingerprint", "salt", "prompt_id"))
        held = found.setdefault(names[arm, salt], {}).setdefault(prompt, {})
        indices, texts = table.column("index").to_pylist(), table.column("text").to_pylist()
        held.update(zip(indices, texts, strict=True))
    return found
