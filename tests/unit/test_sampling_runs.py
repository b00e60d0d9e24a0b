"""Which groups of rows write and read together, and how far a block is read."""

import torch

from biasaudit.sampling.decoders import trials
from biasaudit.sampling.decoders.runs import reaching, writing
from biasaudit.sampling.decoders.scratch import GROUP, OWN


def test_a_block_is_read_by_the_groups_that_reach_it():
    furthest = [40, 3, 16, 17, 15, 31]
    assert reaching(furthest, 16, 3, some=True) == [
        [slice(0, 6)],
        [slice(0, 1), slice(2, 4), slice(5, 6)],
        [slice(0, 1)],
    ]
    assert reaching(furthest, 16, 3, some=False) == [[slice(0, 6)]] * 3
    assert reaching([-1, -1], 32, 0, some=True) == []
    assert reaching([-1, -1], 32, 1, some=True) == [[slice(0, 2)]], (
        "nobody reads anything, and the first block is all's"
    )


def test_each_row_writes_into_its_own_cells_once():
    make = torch.Generator().manual_seed(4)
    for rows, spread in ((4 * GROUP, 1), (5 * GROUP, 60), (2 * GROUP + 5, 1), (7, 40), (GROUP, 20)):
        for _ in range(20):
            heads, groups = 3, -(-rows // GROUP)
            own = torch.randint(spread, (groups,), generator=make).repeat_interleave(GROUP)[:rows]
            late = torch.rand(rows, generator=make) < 0.05
            own = torch.where(late, torch.randint(60, (rows,), generator=make), own)
            row = torch.arange(rows)
            first = ((row // GROUP * heads)[:, None] + torch.arange(heads)) * OWN * GROUP + (row % GROUP)[:, None]
            wanted = torch.full((60 // OWN + 1, groups * heads * OWN * GROUP), -1)
            wanted[(own // OWN)[:, None], first + (own % OWN)[:, None] * GROUP] = row[:, None].expand(-1, heads)
            found = torch.full_like(wanted, -1)
            in_step, by_row = writing(own, first)
            for block, run, position in in_step:
                cells = found[block].view(groups, heads, OWN, GROUP)[run, :, position]
                assert (cells == -1).all()
                cells.copy_(row[run.start * GROUP : run.stop * GROUP].view(-1, 1, GROUP).expand(cells.shape))
            for block, alone, flat in by_row:
                assert (found[block, flat] == -1).all()
                found[block, flat] = alone.repeat_interleave(heads)
            assert torch.equal(found, wanted)


def test_a_block_is_cut_only_where_no_bit_changes(monkeypatch):
    monkeypatch.setattr(trials, "_KNOWN", {})
    multiply = torch.bmm

    def otherwise(left, right, *, out=None):
        """Rounds a product of 48 cells in another way."""
        found = multiply(left, right) if out is None else multiply(left, right, out=out)
        return found.mul_(1.01) if 48 in left.shape[1:] else found

    honest = trials.cuts(2, 3, 1, 32, torch.float32)
    assert honest[-1] == OWN
    assert 3 in honest
    trials._KNOWN.clear()
    monkeypatch.setattr(torch, "bmm", otherwise)
    assert trials.cuts(2, 3, 1, 32, torch.float32) == tuple(count for count in honest if count != 3)
