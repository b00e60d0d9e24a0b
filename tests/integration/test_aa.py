"""A/A audits in small: a pool of completions under two salts, cut into audits that each go through the whole analysis.

`benchmarks/aa.py` does it with a model; here the pool is drawn from a rate that both arms share, prompt by prompt.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.aa import stretch, tally
from biasaudit.pipeline.analyse import analyse
from biasaudit.records import Arm, Battery, Decoding, Measure, Primary, Prompt, Topic
from biasaudit.results import Analysis
from biasaudit.stats.readings import ScoreColumns

AUDITS, N, TOPICS, A_TOPIC = 200, 8, 12, 2
PROMPTS = tuple(
    Prompt(text=f"{g} {j}", language="pt", topic=f"topic{g}", template=f"w{j}")
    for g in range(TOPICS)
    for j in range(A_TOPIC)
)
BATTERY = Battery(
    name="aa", version=1, title={}, languages=("pt",), topics=tuple(Topic(name=f"topic{g}") for g in range(TOPICS)),
    prompts=PROMPTS, pairs=(), completions=N,
    measures=(Measure(name="stance", scorer="patterns", options={"endorse": ["x"]}),),
    primary=Primary(measure="stance", margin=10.0, unit="points"),
)  # fmt: skip
ARMS = (
    Arm(name="base", spec="m", role="base", fingerprint="F", tokenizer_fingerprint="T", language="pt"),
    Arm(name="again", spec="m", role="tuned", fingerprint="F", tokenizer_fingerprint="T", language="pt", salt="aa"),
)


def pool(seed: int) -> ScoreColumns:
    """Both arms' scores: prompts have rates of their own, arms have the same."""
    rng = np.random.default_rng(seed)
    rates = 1 / (1 + np.exp(-rng.normal(-0.6, 1.0, len(PROMPTS))))
    arm, prompt, index = (part.ravel() for part in np.indices((2, len(PROMPTS), AUDITS * N)))
    value = (rng.random(arm.size) < rates[prompt]).astype(np.float64)
    none = np.zeros(arm.size, dtype=np.int64)
    return ScoreColumns(
        codes={
            "arm_fingerprint": none, "salt": arm, "decoding_id": none, "prompt_id": prompt, "topic": prompt // A_TOPIC,
            "item": none, "label": 1 - value.astype(np.int64),
        },
        words={
            "arm_fingerprint": ["F"], "salt": ["", "aa"], "decoding_id": [Decoding().decoding_id],
            "prompt_id": [p.prompt_id for p in PROMPTS], "topic": [t.name for t in BATTERY.topics], "item": [""],
            "label": ["endorse", "neutral"],
        },
        seed=none, index=index, value=value,
    )  # fmt: skip


def audits(columns: ScoreColumns) -> Iterator[Analysis]:
    for audit in range(AUDITS):
        cut = stretch(columns, audit * N, (audit + 1) * N)
        yield analyse(BATTERY, "pt", ARMS, {"stance": cut})


def test_two_samples_of_one_model_are_called_different_one_time_in_twenty() -> None:
    found = tally(audits(pool(11)), AUDITS)
    assert found["tests"] == {"stance fixed": AUDITS, "stance population": AUDITS}
    assert found["inside"], found
    assert found["no_change_said"] >= 0.9
