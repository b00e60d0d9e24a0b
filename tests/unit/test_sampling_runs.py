"""Which groups of rows write and read together."""

import torch

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
