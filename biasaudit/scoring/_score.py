"""A score carries the key of its completion; every completion scorer makes it here."""

from __future__ import annotations

from biasaudit.records import Completion, Prompt, Score


def score_of(
    completion: Completion,
    prompt: Prompt,
    measure: str,
    value: float | None,
    label: str | None = None,
    spans: tuple[tuple[int, int], ...] = (),
) -> Score:
    """The score of `completion`, which answers `prompt`."""
    return Score(
        measure=measure,
        arm_fingerprint=completion.arm_fingerprint,
        prompt_id=completion.prompt_id,
        topic=prompt.topic,
        decoding_id=completion.decoding_id,
        seed=completion.seed,
        salt=completion.salt,
        index=completion.index,
        value=value,
        label=label,
        spans=spans,
    )
