"""The cache for matrix units: the attention of torch, whatever stands beside a row, wherever it stands."""

import pytest
import torch

from biasaudit.sampling.decoders import grouped
from biasaudit.sampling.decoders.base import allocate_zeros

pytestmark = pytest.mark.skipif(not torch.cpu._is_amx_tile_supported(), reason="this processor has no matrix unit")

LAYERS, HEADS, WIDTH, CPU = 2, 3, 64, torch.device("cpu")
STEPS = 20
"""More than a block of own positions."""


class Story:
    """One row's life: a prompt's keys and values, and then a query, key and value a step and layer."""

    def __init__(self, length: int, seed: int, sharing: int, prompt: "Story | None" = None) -> None:
        make = torch.Generator().manual_seed(seed)
        self.steps = STEPS
        self.keys, self.values = (
            (prompt.keys, prompt.values)
            if prompt
            else torch.randn(2, LAYERS, HEADS, length, WIDTH, generator=make).bfloat16()
        )
        self.length = length
        self.queries = torch.randn(self.steps, LAYERS, HEADS * sharing, WIDTH, generator=make).bfloat16()
        self.new = torch.randn(2, self.steps, LAYERS, HEADS, WIDTH, generator=make).bfloat16()


def told(stories: dict[int, Story], rows: int, *, window: int | None = None, ages: dict[int, int] | None = None):
    """Each row's outputs, (steps, layers, ·); a row whose age is not 0 went some steps ahead of the others."""
    sharing = next(iter(stories.values())).queries.shape[2] // HEADS
    make = {"rows": rows, "heads": HEADS, "sharing": sharing, "width": WIDTH, "dtype": torch.bfloat16, "device": CPU}
    cache = grouped.GroupCache(layers=LAYERS, allocate=allocate_zeros, **make)
    for row, story in stories.items():
        cache.place(row, story.keys, story.values)
    ages, out = ages or {}, {row: [] for row in stories}
    lanes = next(iter(stories.values())).queries.shape[2]
    for turn in range(STEPS + max(ages.values(), default=0)):
        ages_now = {row: turn - ages.get(row, 0) for row in stories}
        live = {row: age for row, age in ages_now.items() if 0 <= age < STEPS}
        positions = torch.zeros(rows, dtype=torch.int64)
        query = torch.zeros(LAYERS, rows, lanes, WIDTH, dtype=torch.bfloat16)
        key, value = torch.zeros(2, LAYERS, rows, HEADS, WIDTH, dtype=torch.bfloat16)
        for row, age in live.items():
            story = stories[row]
            positions[row] = story.length + age
            query[:, row], key[:, row], value[:, row] = story.queries[age], story.new[0, age], story.new[1, age]
        for row, age in ages_now.items():
            if age < 0:
                positions[row] = stories[row].length
        cache.aim(positions, int(positions.max()))
        mixed = [cache.attend(i, query[i], key[i], value[i], 0.125, window) for i in range(LAYERS)]
        for row in live:
            out[row].append(torch.stack([each[row] for each in mixed]))
    return {row: torch.stack(each) for row, each in out.items()}


@pytest.mark.parametrize(("sharing", "window"), [(1, None), (2, None), (1, 9)])
def test_it_is_the_attention_of_torch(sharing, window):
    stories = {0: Story(5, 1, sharing), 7: Story(40, 2, sharing), 19: Story(33, 3, sharing)}
    stories[8] = Story(40, 4, sharing, stories[7])
    for row, got in told(stories, 21, window=window).items():
        story = stories[row]
        for layer in range(LAYERS):
            keys, values = (
                torch.cat((old[layer].float(), new[:, layer].transpose(0, 1).float()), 1)
                for old, new in zip((story.keys, story.values), story.new, strict=True)
            )
            at, here = torch.arange(keys.shape[1]), story.length + torch.arange(STEPS)[:, None]
            seen = (at <= here) & (at > here - (window or 1000))
            want = torch.nn.functional.scaled_dot_product_attention(
                story.queries[:, layer].float().transpose(0, 1)[None], keys[None], values[None],
                attn_mask=seen, scale=0.125, enable_gqa=True,
            )[0].transpose(0, 1).flatten(1)  # fmt: skip
            assert (got[:, layer].float() - want).abs().max() < 0.04


@pytest.mark.parametrize(("sharing", "window"), [(1, None), (2, None), (1, 9)])
def test_a_row_never_depends_on_its_place_or_company(sharing, window):
    watched = Story(35, 10, sharing)
    alone = told({0: watched}, 16, window=window)[0]
    shared = {row: Story(35, 20 + row, sharing, watched) for row in range(32)}
    mixed = {row: Story(1 + 7 * (row % 12), 90 + row, sharing) for row in range(32)}
    for place, company in ((3, shared), (16, mixed), (31, mixed)):
        for ages in ({}, {place: 23}, {row: row % 5 for row in range(32)}):
            got = told(company | {place: watched}, 32, window=window, ages=ages)[place]
            assert torch.equal(got, alone), (place, ages)
    assert torch.equal(told(mixed | {5: watched}, 90, window=window)[5], alone)


@pytest.mark.parametrize("sharing", [1, 2])
def test_whole_products_give_the_same_bits_as_smaller_ones(sharing, monkeypatch):
    rows = {row: Story(1 + 5 * (row % 14), 50 + row, sharing) for row in range(40)}
    ages = {row: 3 * (row % 9) if row < 20 else 0 for row in rows}
    smaller = told(rows, 40, ages=ages)
    monkeypatch.setattr(grouped, "any_number", lambda *_: False)
    monkeypatch.setattr(grouped, "cuts", lambda *_: (grouped.OWN,))
    whole = told(rows, 40, ages=ages)
    assert all(torch.equal(whole[row], smaller[row]) for row in rows)


def test_a_row_goes_on_in_another_place():
    stories = {row: Story(6 + row, 70 + row, 1) for row in (0, 20, 37)}
    cache = grouped.GroupCache(
        layers=LAYERS, rows=48, heads=HEADS, width=WIDTH, dtype=torch.bfloat16, device=CPU, allocate=allocate_zeros
    )
    for row, story in stories.items():
        cache.place(row, story.keys, story.values)
    places, got, wanted = {row: row for row in stories}, [], told({37: stories[37]}, 48)[37]
    for age in range(STEPS):
        if age == STEPS - 3:
            cache.move(37, 5)
            places = {37: 5, 0: 0}
        rows = 48 if age < STEPS - 3 else cache.narrow(6)
        positions = torch.zeros(rows, dtype=torch.int64)
        query, key, value = torch.zeros(3, LAYERS, rows, HEADS, WIDTH, dtype=torch.bfloat16)
        for row, place in places.items():
            story = stories[row]
            positions[place] = story.length + age
            query[:, place], key[:, place], value[:, place] = story.queries[age], *story.new[:, age]
        cache.aim(positions, int(positions.max()))
        mixed = [cache.attend(i, query[i], key[i], value[i], 0.125) for i in range(LAYERS)]
        got.append(torch.stack([each[places[37]] for each in mixed]))
    assert torch.equal(torch.stack(got), wanted)


def test_a_prompts_place_is_used_again_when_its_rows_are_gone():
    cache = grouped.GroupCache(
        layers=1, rows=16, heads=1, width=WIDTH, dtype=torch.bfloat16, device=CPU, allocate=allocate_zeros
    )
    for row in range(16 * 20):
        prompt = torch.randn(1, 1, 4, WIDTH).bfloat16()
        cache.place(row % 16, prompt, prompt)
    assert cache._prompts[0].shape[2] <= 16
