"""How far a block of own cells may be cut."""

import pytest
import torch

from biasaudit.sampling.decoders import parts, trials
from biasaudit.sampling.decoders.scratch import GROUP, OWN

GROUPS, HEADS, WIDTH = 2, 3, 32


@pytest.mark.parametrize("side", ["keys", "shares"])
def test_a_block_is_cut_only_where_no_bit_changes(monkeypatch, side):
    monkeypatch.setattr(trials, "_KNOWN", {})
    honest = trials.cuts(GROUPS, HEADS, 1, WIDTH, torch.float32)
    assert honest[-1] == OWN
    if len(honest) < 4:
        pytest.skip("products of this machine give other bits for nearly every number of positions")
    changed, multiply = honest[-2], torch.bmm

    def otherwise(left, right, *, out=None):
        """Rounds what is cut to some positions in another way, on one side."""
        found = multiply(left, right) if out is None else multiply(left, right, out=out)
        return found.mul_(1.01) if left.shape[1 if side == "keys" else 2] == changed * GROUP else found

    trials._KNOWN.clear()
    monkeypatch.setattr(torch, "bmm", otherwise)
    assert trials.cuts(GROUPS, HEADS, 1, WIDTH, torch.float32) == (*honest[:-2], OWN)


def test_any_number_of_groups_is_refused_where_one_differs(monkeypatch):
    monkeypatch.setattr(parts, "_KNOWN", {})
    multiply = torch.bmm

    def otherwise(left, right):
        return multiply(left, right) * (1.01 if len(left) == HEADS else 1.0)

    monkeypatch.setattr(torch, "bmm", otherwise)
    assert not trials.any_number(GROUPS, HEADS, 1, WIDTH, torch.float32)
    assert trials.any_number(1, HEADS, 1, WIDTH, torch.float32), "the number that all are held against"
