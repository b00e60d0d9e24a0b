"""Memory that runs out at random steps, over a limit that no larger tile can keep (RELIABILITY B6)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from sampling_support import backend, by_key, gpt2, requests

from biasaudit.records import Decoding
from biasaudit.sampling.decoders import gpt2 as gpt2_path

FEASIBLE = 8


class Memory:
    """An allocator that has room for caches of FEASIBLE rows."""

    def __call__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        if len(shape) == 6 and shape[2] > FEASIBLE:
            raise torch.OutOfMemoryError("CUDA out of memory, says the test")
        return torch.zeros(tuple(shape), dtype=dtype, device=device)


def count_steps(ours: Any, failing: frozenset[int] = frozenset()) -> list[int]:
    """Count decode steps of a backend, and run out of memory at some of them."""
    decoder, steps = ours._engine._decoder, [0]
    plain = decoder.step

    def step(*args: Any) -> None:
        steps[0] += 1
        if steps[0] in failing:
            raise torch.OutOfMemoryError("CUDA out of memory, says the test")
        plain(*args)

    decoder.step = step
    return steps


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_memory_that_runs_out_at_20_random_steps_costs_a_fifth_at_most_and_no_completion(seed: int) -> None:
    wanted = requests(20, 40, Decoding(max_new_tokens=12))
    best = backend(gpt2(), tile=FEASIBLE)
    ideal = count_steps(best)
    plain = by_key(list(best.complete(wanted)))
    failing = frozenset(random.Random(seed).sample(range(1, ideal[0]), 20))
    ours = backend(gpt2(), tile=2 * FEASIBLE, allocate=Memory())
    steps = count_steps(ours, failing)
    found = by_key(list(ours.complete(wanted)))
    assert set(found) == set(plain)
    assert ours.numerics["tile"] == FEASIBLE
    assert {key: c.token_ids for key, c in found.items()} == {key: c.token_ids for key, c in plain.items()}
    assert {key: c.logprobs for key, c in found.items()} == {key: c.logprobs for key, c in plain.items()}
    assert set(ours.numerics_seen) == {best.numerics_id}
    assert ideal[0] / steps[0] >= 0.8


def test_completions_made_under_several_tiles_are_those_of_a_run_at_each() -> None:
    wanted = requests(6, 16)
    ours = backend(gpt2(), tile=8)
    decoder, plain = ours._engine._decoder, ours._engine._decoder.step
    steps = [0]

    def step(tokens: torch.Tensor, *rest: Any) -> None:
        steps[0] += 1
        if steps[0] > 60 and len(tokens) > 4:
            raise MemoryError
        plain(tokens, *rest)

    decoder.step = step
    found = list(ours.complete(wanted))
    tiles = {name: int(spelled["tile"]) for name, spelled in ours.numerics_seen.items()}
    assert sorted(tiles.values()) == [4, 8]
    whole = {tile: by_key(list(backend(gpt2(), tile=tile).complete(wanted))) for tile in tiles.values()}
    assert len(by_key(found)) == len(wanted)
    for completion in found:
        assert completion == whole[tiles[completion.numerics]][completion.key]


def test_memory_that_runs_out_while_a_tile_lets_go_leaves_no_half_opened_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, plain = requests(6, 16), gpt2_path.linear
    best = by_key(list(backend(gpt2(), tile=8).complete(wanted)))
    refused = []

    def linear(*args: Any, rows: int, **more: Any) -> Any:
        if rows == 1:
            refused.append(rows)
            raise MemoryError
        return plain(*args, rows=rows, **more)

    monkeypatch.setattr(gpt2_path, "linear", linear)
    ours = backend(gpt2(), tile=8)
    count_steps(ours, frozenset({5}))
    assert by_key(list(ours.complete(wanted))) == best
    assert refused
    assert ours.numerics["tile"] == 8
