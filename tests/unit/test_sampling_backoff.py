"""How many rows run: from free memory, and after failures."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from click.testing import CliRunner
from transformers import (
    Gemma3Config,
    Gemma3nTextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
)

from biasaudit.cli import cli
from biasaudit.sampling.backoff import (
    LARGEST,
    UNKNOWN,
    Backoff,
    Shape,
    automatic_tile,
    row_bytes,
    shape_of,
    tile_for,
    usual_tile,
)
from biasaudit.sampling.kernels import held

GPT2 = Shape(layers=12, key_heads=12, head_width=64, width=768, inner=3072, vocabulary=50257, context=1024)


def test_a_model_that_also_sees_or_names_widths_layer_by_layer_has_a_shape() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300}
    shape = shape_of(Gemma3Config(text_config={**sizes, "intermediate_size": 48, "max_position_embeddings": 77}))
    assert (shape.inner, shape.context, shape.vocabulary) == (48, 77, 300)
    wide = Gemma3nTextConfig(**sizes, intermediate_size=[48, 96], layer_types=["full_attention"] * 2)
    assert shape_of(wide).inner == 96
    assert automatic_tile(object(), free=2**30, bytes_per_value=4, usual=None) == UNKNOWN


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


def test_shapes_of_families_are_read_from_their_configurations() -> None:
    gqa = LlamaConfig(
        num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8, hidden_size=2048, intermediate_size=8192,
        vocab_size=128256, max_position_embeddings=4096,
    )  # fmt: skip
    assert shape_of(GPT2Config()) == GPT2
    assert shape_of(gqa) == Shape(
        layers=16, key_heads=8, head_width=64, width=2048, inner=8192, vocabulary=128256, context=4096
    )
    for config in (GPTNeoXConfig(), GPTJConfig(), GPTNeoConfig()):
        assert shape_of(config).key_heads * shape_of(config).head_width == config.hidden_size


def test_the_automatic_tile_is_the_usual_one_where_it_fits_and_what_fits_elsewhere() -> None:
    config = GPT2Config()
    assert automatic_tile(config, free=2**36, bytes_per_value=2, usual=128) == 128
    assert automatic_tile(config, free=2**30, bytes_per_value=4, usual=128) < 128
    assert automatic_tile(config, free=2**36, bytes_per_value=2, usual=None) == LARGEST
    assert automatic_tile(config, free=None, bytes_per_value=2, usual=None) == 128


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


def test_the_help_names_the_tile_that_a_cpu_gets() -> None:
    with held(False):
        tile = usual_tile(torch.device("cpu"))
    assert f"default: {tile} on CPU" in " ".join(CliRunner().invoke(cli, ["run", "--help"]).output.split())
