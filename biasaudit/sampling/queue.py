"""Requests waiting for a row: a bounded window over any stream of requests, and the prompts already run.

A row of the tile takes only jobs of its length class, so the window keeps one line a class; the class of the oldest job
is served next. Nothing here changes what a completion says, only when it is made.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from biasaudit.records import SampleRequest
from biasaudit.sampling.decoders.base import Decoder, PromptState, bucket_length, prefill_rows

STATES_BYTES = 256 * 2**20
"""Most memory that prompts after prefill may hold beside the tile."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request after tokenisation."""

    number: int
    request: SampleRequest
    prompt: tuple[int, ...]
    room: int
    """Most tokens that may be emitted: the decoding's limit, or what the context leaves."""
    key: int
    """The completion's noise."""
    length_class: int


class Window:
    """At most `size` jobs read ahead of the tile."""

    def __init__(self, jobs: Iterable[Job], size: int) -> None:
        """Read nothing yet."""
        self._source: Iterator[Job] = iter(jobs)
        self._size = size
        self._held = 0
        self._lines: dict[int, deque[Job]] = {}

    def fill(self) -> None:
        """Read until the window is full or the source is dry."""
        while self._held < self._size:
            job = next(self._source, None)
            if job is None:
                return
            self._lines.setdefault(job.length_class, deque()).append(job)
            self._held += 1

    def give_back(self, jobs: Iterable[Job]) -> None:
        """Put jobs of an interrupted tile in front again, oldest first."""
        for job in sorted(jobs, key=lambda j: -j.number):
            self._lines.setdefault(job.length_class, deque()).appendleft(job)
            self._held += 1

    def next_class(self) -> int | None:
        """Class of the oldest job; None when nothing waits."""
        heads = [line[0] for line in self._lines.values() if line]
        return min(heads, key=lambda j: j.number).length_class if heads else None

    def take(self, length_class: int) -> Job | None:
        """The oldest job of a class."""
        line = self._lines.get(length_class)
        if not line:
            return None
        self._held -= 1
        return line.popleft()

    def waiting(self, length_class: int) -> Iterator[Job]:
        """Jobs of a class in the window, oldest first."""
        return iter(self._lines.get(length_class, ()))


class Prompts:
    """States of prompts that completions still need, the longest unused dropped first."""

    def __init__(self, decoder: Decoder) -> None:
        """Hold nothing yet."""
        self._decoder = decoder
        self._states: OrderedDict[tuple[int, ...], PromptState] = OrderedDict()
        self._bytes = 0

    def get(self, job: Job, ahead: Iterable[Job]) -> PromptState:
        """The state of `job`'s prompt; a miss also runs prompts of `ahead` that fit into the same batch."""
        state = self._states.get(job.prompt)
        if state is not None:
            self._states.move_to_end(job.prompt)
            return state
        length = bucket_length(len(job.prompt), self._decoder.context)
        batch = [job.prompt]
        for other in ahead:
            if len(batch) == prefill_rows(length):
                break
            same = bucket_length(len(other.prompt), self._decoder.context) == length
            if same and other.prompt not in batch and other.prompt not in self._states:
                batch.append(other.prompt)
        states = self._decoder.prefill(batch)
        for prompt, new in zip(batch, states, strict=True):
            self._states[prompt] = new
            self._bytes += new.bytes
        while self._bytes > STATES_BYTES and len(self._states) > 1:
            self._bytes -= self._states.popitem(last=False)[1].bytes
        return states[0]
