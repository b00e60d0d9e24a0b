"""Attention of new tokens to a prompt that ran before them: positions, mask, keys and values.

Every fast path whose `PromptState.memory` is (keys, values), each (layers, H, length, D), can use these as they are.
"""

from __future__ import annotations

import torch

from biasaudit.sampling.decoders.base import PromptState


def after(past: PromptState | None, length: int, device: torch.device) -> torch.Tensor:
    """int64 (T,): positions of `length` tokens after `past`."""
    start = past.length if past is not None else 0
    return torch.arange(start, start + length, device=device)


def sees(past: PromptState | None, length: int, device: torch.device) -> torch.Tensor | None:
    """Which cells each new token may see, bool (T, P + T); None without a past, where plain causality will do."""
    if past is None:
        return None
    cells = torch.arange(past.length + length, device=device)
    return cells <= (past.length + torch.arange(length, device=device))[:, None]


def joined(
    past: PromptState | None, layer: int, keys: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values (R, H, P + T, D) of one layer: the prompt's own before the new ones, (R, H, T, D) each."""
    if past is None:
        return keys, values
    rows = keys.shape[0]
    old_keys, old_values = (part[layer].expand(rows, -1, -1, -1) for part in past.memory)
    return torch.cat((old_keys, keys), 2), torch.cat((old_values, values), 2)
