"""Plans against the slow truth: sets of keys."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from biasaudit.records import Arm, Decoding, Prompt
from biasaudit.scale.units import WorkUnit, plan_units

ARMS = [
    Arm(name=n, spec=n, role="base", fingerprint=n, tokenizer_fingerprint="t", salt=s)
    for n, s in (("a", ""), ("b", ""), ("b", "again"))
]
PROMPTS = [Prompt(text=f"p{i}", language="pt", topic="t", template="q") for i in range(6)]
DECODINGS = [Decoding(), Decoding(temperature=0.7)]

SHAPES = st.fixed_dictionaries(
    {
        "arms": st.lists(st.sampled_from(ARMS), max_size=3),
        "prompts": st.lists(st.sampled_from(PROMPTS), max_size=6),
        "decodings": st.lists(st.sampled_from(DECODINGS), max_size=2),
        "completions": st.integers(0, 25),
    }
)
Key = tuple[str, str, str, int, str, int]


def keys(units: list[WorkUnit]) -> Counter[Key]:
    return Counter((u.arm_fingerprint, p, u.decoding_id, u.seed, u.salt, i) for u in units for p, i in u.indices())


def wanted(shape: dict) -> set[Key]:
    return {
        (arm.fingerprint, prompt.prompt_id, decoding.decoding_id, 1, arm.salt, index)
        for arm in shape["arms"]
        for prompt in shape["prompts"]
        for decoding in shape["decodings"]
        for index in range(shape["completions"])
    }


def ranges(had: set[Key]) -> dict:
    held: dict = {}
    for *key, index in sorted(had):
        spans = held.setdefault(tuple(key), [])
        if spans and spans[-1][1] == index:
            spans[-1] = (spans[-1][0], index + 1)
        else:
            spans.append((index, index + 1))
    return held


def planned(shape: dict, size: int, had: set[Key]) -> list[WorkUnit]:
    return plan_units(**shape, seed=1, unit_size=size, have=ranges(had))


@given(SHAPES, st.integers(1, 12), st.randoms(use_true_random=False), st.floats(0, 1))
def test_units_are_what_is_wanted_without_what_is_had_each_once(shape, size, rng, share) -> None:
    everything = wanted(shape)
    had = {key for key in sorted(everything) if rng.random() < share}
    units = planned(shape, size, had)
    assert keys(units) == Counter(everything - had)
    assert all(0 < unit.count <= size for unit in units)
    assert len({unit.unit_id for unit in units}) == len(units)


@given(SHAPES, SHAPES, st.integers(1, 12), st.randoms(use_true_random=False))
def test_a_killed_and_resumed_extension_makes_the_same_units(before, after, size, rng) -> None:
    had = wanted(before)
    whole = planned(after, size, had)
    todo, made = whole, []
    while todo:
        done = rng.sample(todo, rng.randint(1, len(todo)))
        made += done
        had |= set(keys(done))
        todo = planned(after, size, had)
    assert {unit.unit_id for unit in made} == {unit.unit_id for unit in whole}
    assert len(made) == len(whole)


@given(SHAPES, st.integers(1, 12))
def test_the_full_plan_is_cut_after_every_unit_size(shape, size) -> None:
    units = planned(shape, size, set())
    by_owner: dict = {}
    for unit in units:
        by_owner.setdefault((unit.arm_fingerprint, unit.salt, unit.decoding_id), []).append(unit.count)
    assert all(count == size for counts in by_owner.values() for count in counts[:-1])
