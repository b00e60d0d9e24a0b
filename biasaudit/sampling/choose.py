"""One step's choice: logits of a whole tile to one token a row, by an exact race with keyed noise.

A race: the token with the largest logit + Gumbel noise is a draw from the softmax (Gumbel 1954). Without truncation
the K best tokens run by themselves and all others as one rival: the maximum of their perturbed logits is Gumbel around
the log of their summed weights, and independent of which of them attains it (top-down construction, Maddison, Tarlow &
Minka 2014, arXiv:1411.0030). Only when the rival wins is a token drawn inside it, by inverse CDF in order of ids.

Every tensor has one row a tile row, and every operation runs at the shape of the tile or on rows by themselves; so a
choice never depends on the neighbours.
"""

from __future__ import annotations

import torch

from biasaudit.errors import BiasAuditError
from biasaudit.records import Decoding
from biasaudit.sampling import noise, truncate
from biasaudit.sampling.survey import RUN, Survey, Surveyor

BEST = 1024
"""How many tokens carry noise of their own when nothing is truncated (CONTRACT §1)."""

_GREEDY = -1
_FREE = 0
_IDLE = -2


class Chooser:
    """The decodings of a tile's rows, and the race between tokens under them."""

    def __init__(
        self,
        rows: int,
        vocabulary: int,
        *,
        best: int = BEST,
        device: torch.device | str = "cpu",
        asking: bool | None = None,
    ) -> None:
        """Prepare `rows` idle rows.

        Args:
            rows: the tile.
            vocabulary: V, the tokens that may be chosen.
            best: how many tokens carry noise of their own without truncation.
            device: where the logits will be.
            asking: whether the host may ask for values of tensors while it chooses, which spares work on a CPU and
                halts a GPU; None is a CPU's yes. Without asking, logits that are not numbers give log-probabilities
                that are none, and whoever reads these refuses them.
        """
        self._vocabulary = vocabulary
        self._best = min(best, vocabulary)
        self._device = torch.device(device)
        self._asking = self._device.type == "cpu" if asking is None else asking
        self._table = noise.token_table(vocabulary, device)
        self._kinds = [_IDLE] * rows
        self._adjusted = [False] * rows
        self._may_widen = [False] * rows
        column = (rows, 1)
        self._kind = torch.full(column, _IDLE, dtype=torch.int64, device=device)
        self._temperature = torch.ones(column, device=device)
        self._penalty = torch.ones(column, device=device)
        self._top_k = torch.zeros(column, dtype=torch.int64, device=device)
        self._top_p = torch.ones(column, dtype=torch.float64, device=device)
        self._min_p = torch.zeros(column, dtype=torch.float64, device=device)
        self._seen: torch.Tensor | None = None
        self._survey = Surveyor(rows, vocabulary, self._device)

    def admit(self, row: int, decoding: Decoding, prompt: list[int]) -> None:
        """Give `row` to a completion of `prompt` under `decoding`."""
        greedy = decoding.temperature <= 0.0
        kind = truncate.candidates(
            top_k=decoding.top_k,
            top_p=decoding.top_p,
            min_p=decoding.min_p,
            most=self._best,
            vocabulary=self._vocabulary,
        )
        self._kinds[row] = _GREEDY if greedy else kind
        self._kind[row] = self._kinds[row]
        self._may_widen[row] = not greedy and 0 < kind < self._vocabulary and decoding.top_k == 0
        self._temperature[row] = 1.0 if greedy else decoding.temperature
        self._penalty[row] = decoding.repetition_penalty
        self._top_k[row] = 0 if decoding.top_k >= self._vocabulary else decoding.top_k
        self._top_p[row] = decoding.top_p
        self._min_p[row] = decoding.min_p
        penalised = decoding.repetition_penalty != 1.0
        self._adjusted[row] = penalised or (not greedy and decoding.temperature != 1.0)
        if penalised and self._seen is None:
            self._seen = torch.zeros((len(self._kinds), self._vocabulary), dtype=torch.bool, device=self._device)
        if self._seen is not None:
            self._seen[row] = False
            known = [token for token in prompt if token < self._vocabulary]
            self._seen[row, torch.tensor(known, dtype=torch.int64, device=self._device)] = True

    def release(self, row: int) -> None:
        """The completion of `row` is finished; until the next one its choices mean nothing."""
        self._kinds[row] = _IDLE
        self._kind[row] = _IDLE
        self._adjusted[row] = False
        self._may_widen[row] = False
        self._temperature[row] = 1.0
        self._penalty[row] = 1.0

    def choose(self, raw: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose a token for every row.

        Args:
            raw: fp32 (B, V), the model's logits, of all rows or of the first ones.
            keys: int64 (B,), position keys of the same.

        Returns:
            tokens int64 (B,), and log P of each under the softmax of `raw` itself (temperature 1, nothing truncated),
            fp32 (B,), in nats. Idle rows get token 0.

        Raises:
            BiasAuditError: a logit of an active row is not a number.
        """
        rows = len(raw)
        kinds = sorted(set(self._kinds[:rows]) - {_IDLE}) or [_GREEDY]
        adjusted = any(self._adjusted)
        logits = self._adjust(raw) if adjusted else raw
        of_rows = self._kind[:rows]
        tokens = torch.zeros_like(of_rows)
        seen = self._survey(raw, 0) if adjusted else None
        for kind in kinds:
            found = self._survey(logits, self._count(kind), rest=kind == _FREE)
            if seen is None:
                seen = found
            if self._asking:
                refuse_no_numbers(torch.isfinite(seen.total) | (of_rows == _IDLE))
            if kind == _GREEDY:
                chosen = _first_largest(logits, found.top)
            elif kind == _FREE:
                chosen = self._race_of_all(found, keys)
            else:
                chosen = self._race_of_few(found, keys, kind)
            tokens = torch.where(of_rows == kind, chosen, tokens)
        if self._seen is not None:
            self._seen[:rows].scatter_(1, tokens, True)
        assert seen is not None
        return tokens.squeeze(1), (raw.gather(1, tokens) - seen.top - seen.total.log()).squeeze(1)

    def _count(self, kind: int) -> int:
        """How many of the best a kind of decoding looks at."""
        return {_GREEDY: 0, _FREE: self._best}.get(kind, kind)

    def _adjust(self, raw: torch.Tensor) -> torch.Tensor:
        """Repetition penalty as transformers defines it (prompt and completion alike), then temperature."""
        if self._seen is not None:
            penalty = self._penalty[: len(raw)]
            penalised = torch.where(raw < 0, raw * penalty, raw / penalty)
            raw = torch.where(self._seen[: len(raw)], penalised, raw)
        return raw / self._temperature[: len(raw)]

    def _race_of_all(self, found: Survey, keys: torch.Tensor) -> torch.Tensor:
        """(B, 1): the winner among the K best and the lumped rest."""
        chosen, score = self._survey.race(found, keys, self._table)
        if self._best == self._vocabulary:
            return chosen
        rival = found.rest.sum(1, keepdim=True).log()
        rival += noise.gumbel(keys[:, None], self._table[self._vocabulary])
        beaten = (rival > score) & (self._kind[: len(keys)] == _FREE)
        if not self._asking:
            return torch.where(
                beaten, self._draw_inside(found, torch.arange(len(keys), device=keys.device), keys), chosen
            )
        lost = beaten.squeeze(1).nonzero().squeeze(1)
        if lost.numel():
            chosen[lost] = self._draw_inside(found, lost, keys[lost])
        return chosen

    def _draw_inside(self, found: Survey, rows: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """(n, 1): ids drawn in proportion to the weights of the rest, by inverse CDF in order of ids.

        First the run of ids, then the id inside it: both in order of ids, so it is one inverse CDF.
        """
        runs = found.rest[rows]
        until = runs.cumsum(1)
        at = noise.uniform(keys[:, None], self._table[self._vocabulary + 1]) * until[:, -1:]
        run = _first_above(until, at)
        mass = runs.gather(1, run)
        share = (at - (until.gather(1, run) - mass)) / mass
        until = found.weights(rows, run).cumsum(1)
        return run * RUN + _first_above(until, share * until[:, -1:])

    def _race_of_few(self, found: Survey, keys: torch.Tensor, kind: int) -> torch.Tensor:
        """(B, 1): the winner among what truncation leaves of the `kind` best."""
        everything = torch.arange(len(keys), device=self._device)
        ranked = truncate.ranked(found.values, found.ids)
        chosen, full = self._race_of_ranked(*ranked, found.top, found.total, keys, everything)
        if any(may and own == kind for may, own in zip(self._may_widen, self._kinds, strict=True)):
            here = slice(len(keys))
            wide = (full & (self._kind[here] == kind) & (self._top_k[here] == 0)).squeeze(1).nonzero().squeeze(1)
            if wide.numel():
                ranked = truncate.ranked(*truncate.best(found.logits[wide], self._vocabulary))
                chosen[wide] = self._race_of_ranked(*ranked, found.top[wide], found.total[wide], keys[wide], wide)[0]
        return chosen

    def _race_of_ranked(
        self,
        values: torch.Tensor,
        ids: torch.Tensor,
        top: torch.Tensor,
        total: torch.Tensor,
        keys: torch.Tensor,
        rows: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Winners (n, 1) among ranked candidates, and whether all of these survived truncation, bool (n, 1)."""
        stays = truncate.keep(
            values,
            top=top,
            total=total,
            top_k=self._top_k[rows],
            top_p=self._top_p[rows],
            min_p=self._min_p[rows],
        )
        race = (values - top).double() + noise.gumbel(keys[:, None], self._table[ids])
        place = race.masked_fill(~stays, -torch.inf).argmax(1, keepdim=True)
        return ids.gather(1, place), stays[:, -1:]


def refuse_no_numbers(are: torch.Tensor | bool) -> None:
    """Refuse logits that are not numbers: a sample of them would look like text.

    Raises:
        BiasAuditError: not all of `are` are true.
    """
    if not (are if isinstance(are, bool) else bool(are.all())):
        raise BiasAuditError(
            "The model's logits are not numbers (NaN or infinite). Its weights may be damaged, or its values may "
            "not fit half precision: try --dtype fp32."
        )


def _first_above(cumulative: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """(n, 1): the first cell of each rising row (n, m) above `at` (n, 1), and none after the last that has mass."""
    place = torch.searchsorted(cumulative, at, right=True)
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(place, last).clamp_(max=cumulative.shape[1] - 1)  # beyond only where nothing is a number


def _first_largest(logits: torch.Tensor, top: torch.Tensor) -> torch.Tensor:
    """(B, 1): the lowest id whose logit is the largest, which numpy's `argmax` promises and torch's does not."""
    if logits.device.type == "cpu":
        return torch.from_numpy(logits.numpy().argmax(1, keepdims=True))
    ids = torch.arange(logits.shape[1], device=logits.device)
    return torch.where(logits == top, ids, logits.shape[1]).amin(1, keepdim=True).clamp_(max=logits.shape[1] - 1)
