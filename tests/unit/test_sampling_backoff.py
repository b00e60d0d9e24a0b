"""How many rows run: from free memory, and after failures."""

from __future__ import annotations

import dataclasses

import pytest

from biasaudit.sampling.backoff import LARGEST, Backoff, Shape, row_bytes, tile_for

GPT2 = Shape(layers=12, key_heads=12, head_width=64, width=768, inner=3072, vocabulary=50257, context=1024)


@pytest.mark.parametrize("free", [2**20, 2**27, 2**30, 2**32, 2**37])
@pytest.mark.parametrize("size", [2, 4])
def test_a_tile_is_the_largest_power_of_two_that_fits_into_its_share(free: int, size: int) -> None:
    tile = tile_for(free, GPT2, size, 104)
    need = row_bytes(GPT2, size, 104)
    assert tile.bit_count() == 1
    assert tile == 1 or tile * need <= 0.6 * free
    assert tile == LARGEST or 2 * tile * need > 0.6 * free


def test_more_memory_never_gives_fewer_rows_and_a_larger_model_never_more() -> None:
    tiles = [tile_for(free, GPT2, 2, 104) for free in range(0, 2**32, 2**26)]
    assert tiles == sorted(tiles)
    larger = dataclasses.replace(GPT2, layers=48, key_heads=25, width=1600, inner=6400)
    assert tile_for(2**31, larger, 2, 104) < tile_for(2**31, GPT2, 2, 104)
    assert tile_for(2**31, GPT2, 4, 1024) < tile_for(2**31, GPT2, 2, 104)
    assert row_bytes(GPT2, 2, 5000) == row_bytes(GPT2, 2, 1024)


def test_a_limit_is_met_three_times_and_then_remembered() -> None:
    backoff, attempts = Backoff(128), 0
    while backoff.tile > 32:
        attempts += 1
        assert backoff.failed()
    assert attempts == 2 * Backoff.PATIENCE
    backoff.finished(10_000)
    assert backoff.tile == 32


def test_failures_between_finished_tiles_are_accidents() -> None:
    backoff = Backoff(16)
    for _ in range(20):
        assert backoff.failed()
        backoff.finished(16)
    assert backoff.tile == 16


def test_one_row_that_keeps_failing_is_the_end() -> None:
    backoff = Backoff(1)
    assert [backoff.failed() for _ in range(3)] == [True, True, False]
