"""The decode loop: one fixed tile of rows, refilled from the queue as completions finish.

The tile never changes its shape, so a row's arithmetic never depends on who its neighbours are: a completion is the
same, bit for bit, in any queue (CONTRACT §1). Prompts run once; their completions copy the cache. When memory runs out,
the completions in flight start again, in a tile of half the rows if it was no accident (`backoff`); what was finished
stays.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from biasaudit.errors import ResourceError
from biasaudit.records import FinishReason
from biasaudit.sampling import kernels, noise
from biasaudit.sampling.backoff import Backoff
from biasaudit.sampling.choose import Chooser, refuse_no_numbers
from biasaudit.sampling.decoders.base import Decoder, Narrows, out_of_memory
from biasaudit.sampling.queue import Job, Prompts, Window

VERSION = "10"
"""Raised with every change that may change a bit of a completion."""

_MARGIN = 16

_WORTH = 0.75
"""Rows move together when they leave fewer than this share of what is computed to be computed."""

WINDOW = 4
"""Jobs read ahead, in tiles: enough to batch the prefill of the next prompts, little enough to stay lazy."""


@dataclass(slots=True)
class Finished:
    """A completion before it is stored."""

    job: Job
    text: str
    tokens: list[int]
    logprobs: list[float]
    reason: FinishReason
    tile: int
    """The tile under which it was made."""


@dataclass(slots=True)
class _Row:
    """A completion in flight."""

    job: Job
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class Engine:
    """Runs jobs through a decoder."""

    def __init__(
        self, decoder: Decoder, decode: Callable[[list[int]], str], *, ends: Collection[int], tile: int, best: int
    ) -> None:
        """Prepare; memory is taken when a run starts.

        Args:
            decoder: runs the model.
            decode: token ids to text.
            ends: ids of the tokens that end a text.
            tile: rows.
            best: tokens with noise of their own when nothing is truncated.
        """
        self._decoder, self._decode, self._ends, self._best = decoder, decode, ends, best
        self._backoff = Backoff(tile)
        self._compiled = kernels.asked()
        self._running = False

    @property
    def tile(self) -> int:
        """Rows of the next tile: fewer once memory ran out."""
        return self._backoff.tile

    def run(self, jobs: Iterable[Job]) -> Iterator[Finished]:
        """Yield every job's completion, in the order of finishing.

        Raises:
            ResourceError: memory does not suffice for a tile of one row.
            RuntimeError: another run of this engine is not finished; they would share rows.
        """
        if self._running:
            raise RuntimeError("this engine is already running: exhaust or close the first iterator")
        self._running = True
        try:
            yield from self._run(Window(jobs, WINDOW * self.tile))
        finally:
            self._running = False

    def _run(self, window: Window) -> Iterator[Finished]:
        tile: _Tile | None = None
        while True:
            window.fill()
            length = window.next_class()
            if length is None and not (tile and tile.busy):
                return
            try:
                with torch.inference_mode(), kernels.held(self._compiled):
                    if tile is None:
                        tile = _Tile(self._decoder, self._decode, self._ends, self.tile, self._best)
                    if length is not None and not tile.busy:
                        tile.open(length)
                    tile.turn(window)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                if not self._backoff.failed():
                    raise ResourceError(
                        "There is not enough memory to run even one completion at a time. Close other programs, use "
                        "a smaller model, or half precision (--dtype bfloat16)."
                    ) from error
                yield from tile.drain() if tile else ()
                window.give_back(tile.in_flight() if tile else ())
                tile = None
            else:
                self._backoff.finished(tile.finished)
                yield from tile.drain()
                continue
            self._release()

    def _release(self) -> None:
        """Let go of the failed tile's memory before the next one asks for its own."""
        with contextlib.suppress(MemoryError, RuntimeError), torch.inference_mode(), kernels.held(self._compiled):
            self._decoder.open(1, self._decoder.length_class(1))
        if self._decoder.device.type == "cuda":
            torch.cuda.empty_cache()


class _Tile:
    """The rows of one run."""

    def __init__(
        self, decoder: Decoder, decode: Callable[[list[int]], str], ends: Collection[int], tile: int, best: int
    ) -> None:
        self._decoder, self._decode, self._ends, self._size = decoder, decode, ends, tile
        self._chooser = Chooser(tile, decoder.vocabulary, best=best, device=decoder.device)
        self._prompts = Prompts(decoder)
        self._rows: list[_Row | None] = [None] * tile
        self._taken: Job | None = None
        self._keys = torch.zeros(tile, dtype=torch.int64)
        self._done: deque[Finished] = deque()
        self._length: int | None = None

    @property
    def busy(self) -> bool:
        """Whether a completion is in flight."""
        return any(row is not None for row in self._rows)

    def open(self, length: int) -> None:
        """Start an empty tile for a length class, unless it is open already."""
        if length != self._length:
            self._length = None
            self._decoder.open(self._size, length)
            self._length = length

    @property
    def finished(self) -> int:
        """Completions that wait to be drained."""
        return len(self._done)

    def in_flight(self) -> list[Job]:
        """Jobs that are not finished."""
        jobs = [row.job for row in self._rows if row is not None]
        return [*jobs, self._taken] if self._taken is not None else jobs

    def drain(self) -> Iterator[Finished]:
        """What is finished, once."""
        while self._done:
            yield self._done.popleft()

    def turn(self, window: Window) -> None:
        """Refill, choose one token for every row, and feed them to the model."""
        self._refill(window)
        if not self.busy:
            return
        device = self._decoder.device
        computed = self._rows[: self._computed()]
        emitted = torch.tensor([len(row.tokens) if row else 0 for row in computed])
        keys = sent(noise.position_keys(self._keys[: len(computed)], emitted), device)
        tokens, logprobs = self._chooser.choose(self._decoder.logits(), keys)
        for row, token, logprob in zip(range(len(computed)), *fetched(tokens, logprobs), strict=True):
            if self._rows[row] is not None:
                refuse_no_numbers(math.isfinite(logprob))
                self._emit(row, token, logprob)
        if self.busy:
            now = self._rows[: len(computed)]  # some of these have finished
            positions = [len(row.job.prompt) + len(row.tokens) - 1 if row else 0 for row in now]
            self._decoder.step(tokens, sent(torch.tensor(positions), device), max(positions))

    def _computed(self) -> int:
        """How many rows of the tile are computed; at the end of a queue rows move together, and fewer are."""
        if not isinstance(self._decoder, Narrows):
            return self._size
        busy = [place for place, row in enumerate(self._rows) if row is not None]
        together = self._decoder.narrow(len(busy))
        computed = self._decoder.narrow(busy[-1] + 1)
        if together > _WORTH * computed:
            return computed
        for place in (place for place in range(len(busy)) if self._rows[place] is None):
            self._move(busy.pop(), place)
        return self._decoder.narrow(together)

    def _move(self, place: int, to: int) -> None:
        """Let a row go on in a place that is free."""
        row = self._rows[place]
        assert row is not None
        assert isinstance(self._decoder, Narrows)
        self._decoder.move(place, to)
        self._chooser.admit(to, row.job.request.decoding, [*row.job.prompt, *row.tokens])
        self._chooser.release(place)
        self._keys[to] = self._keys[place]
        self._rows[place], self._rows[to] = None, row

    def _refill(self, window: Window) -> None:
        assert self._length is not None
        for place in range(self._size):
            while self._rows[place] is None:
                self._taken = window.take(self._length)
                if self._taken is None:
                    return
                self._admit(place, self._taken, window)
                self._taken = None

    def _admit(self, place: int, job: Job, window: Window) -> None:
        if job.room == 0:
            self._done.append(Finished(job, "", [], [], "length", self._size))
            return
        state = self._prompts.get(job, window.waiting(job.length_class))
        self._decoder.admit(place, state, len(job.prompt) + job.room)
        self._chooser.admit(place, job.request.decoding, list(job.prompt))
        self._keys[place] = job.key
        self._rows[place] = _Row(job)

    def _emit(self, place: int, token: int, logprob: float) -> None:
        """Add a token to a row, and finish the row when it ends there."""
        row = self._rows[place]
        assert row is not None
        if token in self._ends:
            return self._finish(place, row, self._decode(row.tokens), "eos")
        row.tokens.append(token)
        row.logprobs.append(logprob)
        stops = row.job.request.decoding.stop
        if stops and self._may_end(row.tokens, stops):
            text = self._decode(row.tokens)
            cuts = [at for at in (text.find(stop) for stop in stops) if at >= 0]
            if cuts:
                return self._finish(place, row, text[: min(cuts)], "stop")
        if len(row.tokens) == row.job.room:
            return self._finish(place, row, self._decode(row.tokens), "length")
        return None

    def _may_end(self, tokens: list[int], stops: Sequence[str]) -> bool:
        """Whether a stop string is in the text's end, where one that the last token completes must be.

        A token is a byte of text at least, so a stop string spans no more tokens than it has bytes; the margin is for
        a character cut at the window's start and for tokens without text.
        """
        window = max(len(stop.encode()) for stop in stops) + _MARGIN
        if len(tokens) <= window:
            return True
        text = self._decode(tokens[-window:])
        return any(stop in text for stop in stops)

    def _finish(self, place: int, row: _Row, text: str, reason: FinishReason) -> None:
        self._done.append(Finished(row.job, text, row.tokens, row.logprobs, reason, self._size))
        self._rows[place] = None
        self._chooser.release(place)


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values of the CPU on `device`; a GPU takes them when its turn comes, and the host goes on."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def fetched(tokens: torch.Tensor, logprobs: torch.Tensor) -> tuple[list[int], list[float]]:
    """A step's choice as Python numbers, in one transfer; fp64 holds ids and fp32 exactly."""
    if tokens.device.type == "cpu":
        return tokens.tolist(), logprobs.tolist()
    both = torch.stack((tokens.double(), logprobs.double())).cpu()
    return both[0].long().tolist(), both[1].tolist()
