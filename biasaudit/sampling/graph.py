"""A decoder's step recorded once and replayed: a GPU launches its hundreds of kernels slower than it runs them.

A recording is bound to addresses and shapes, so tokens, positions and logits live in fixed buffers, the cache has a
capacity that seldom changes (a power of two; when it grows, recordings are made again), and there is one recording for
every number of cache blocks that a step reads. The choice of tokens stays outside: which kinds of decoding it serves
changes as rows come and go. It waits for the GPU once a step, when the tokens are fetched (`engine.fetched`).

A recording is proven before it is used: replayed on the inputs that it was made from, it must give the plain step's
logits bit for bit. When it does not, or when recording fails, steps stay plain. Nothing here was run on a GPU yet; the
tests run this code on a CPU, where a recording is the step itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from biasaudit.sampling.decoders.base import Decoder, PromptState, SharesPrompts, bucket_length
from biasaudit.sampling.decoders.blocks import BLOCK
from biasaudit.sampling.decoders.gpt2 import Gpt2Decoder
from biasaudit.sampling.decoders.transformer import TransformerDecoder

_LOG = logging.getLogger(__name__)

Run = Callable[[], None]
Record = Callable[[Run], Run]
"""From work on fixed buffers to what repeats it."""


def as_it_is(run: Run) -> Run:
    """Record nothing: to repeat is to run again."""
    return run


def cuda_graph(stream: torch.cuda.Stream) -> Record:
    """Record CUDA graphs on `stream` that share one pool of memory.

    The pool lives as long as a graph of it: once all are dropped, torch refuses its handle, so whoever drops them asks
    for a new recorder. The stream stays the same, for cuBLAS keeps memory of its own for every stream that it met. Work
    on a GPU other than the current one would not be captured, so the stream's is made the current one.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(run: Run) -> Run:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(stream.device):
            torch.cuda.synchronize()
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                run()
        replay: Run = graph.replay
        return replay

    return record


class GraphedDecoder:
    """A decoder whose steps are recorded; the same interface."""

    def __init__(self, decoder: Decoder, recorder: Callable[[], Record]) -> None:
        """Stand before `decoder`.

        Args:
            decoder: has `head` (`SharesPrompts`), and a cache that reads whole blocks of BLOCK positions.
            recorder: makes what records, `cuda_graph(stream)` or `as_it_is`, anew whenever all recordings are dropped.
        """
        assert isinstance(decoder, SharesPrompts)
        self._decoder, self._head, self._recorder = decoder, decoder.head, recorder
        self.path, self.context, self.vocabulary = f"{decoder.path}-graph", decoder.context, decoder.vocabulary
        self.device, self.dtype = decoder.device, decoder.dtype
        self.length_class, self.prefill = decoder.length_class, decoder.prefill
        self.all_logits, self.read, self.extend, self.head = (
            decoder.all_logits, decoder.read, decoder.extend, decoder.head,
        )  # fmt: skip
        self.recording = True
        """Whether steps are recorded; False once a recording failed."""
        self._forget(1)

    def _drop(self) -> None:
        """Drop recordings, and the memory that they share."""
        self._replays: dict[int, Run] = {}
        self._record: Record | None = None

    def _forget(self, tile: int) -> None:
        """Drop recordings and buffers."""
        self._drop()
        self._capacity = 0
        self._tokens = torch.zeros(tile, dtype=torch.int64, device=self.device)
        self._positions = torch.zeros(tile, dtype=torch.int64, device=self.device)
        self._logits = torch.zeros((tile, self.vocabulary), device=self.device)

    def open(self, tile: int, length: int) -> None:
        """Forget all rows and prepare `tile` of them."""
        self._forget(tile)
        self._decoder.open(tile, length)

    def admit(self, row: int, state: PromptState, tokens: int) -> None:
        """Put a prompt into `row`; a cache that grows moves, and recordings with it."""
        if tokens > self._capacity:
            self._capacity = bucket_length(tokens, self.context)
            self._drop()
        self._decoder.admit(row, state, self._capacity)
        self._logits[row] = self._head(state.output[None])[0]

    def logits(self) -> torch.Tensor:
        """fp32 (B, V): the next token of every row."""
        return self._logits

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, longest: int) -> None:
        """Feed one token a row, by a recording where there is one for as many blocks."""
        self._tokens.copy_(tokens)
        self._positions.copy_(positions)
        blocks = longest // BLOCK + 1
        replay = self._replays.get(blocks)
        if replay is not None:
            return replay()
        last = min(blocks * BLOCK, self.context) - 1

        def run() -> None:
            self._decoder.step(self._tokens, self._positions, last)
            self._logits.copy_(self._decoder.logits())

        run()
        if self.recording:
            self._keep(blocks, run)
        return None

    def _keep(self, blocks: int, run: Run) -> None:
        """Record a step that was just run plainly, and prove the recording on the same inputs."""
        plain, wrong = self._logits.clone(), "a recording gives other logits than the step itself"
        try:
            self._record = self._record or self._recorder()
            replay = self._record(run)
            self._logits.zero_()
            replay()
            proven = torch.equal(plain, self._logits)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            proven, wrong = False, str(error)
        if proven:
            self._replays[blocks] = replay
            return
        _LOG.warning("steps of the %s path cannot be recorded (%s); going on without", self._decoder.path, wrong)
        self.recording = False
        self._drop()
        run()


def graphed(decoder: Decoder) -> Decoder:
    """`decoder` behind recorded steps where that can pay: on a GPU, on a path with a block cache."""
    if decoder.device.type != "cuda" or not isinstance(decoder, (Gpt2Decoder, TransformerDecoder)):
        return decoder
    stream = torch.cuda.Stream(decoder.device)  # type: ignore[no-untyped-call]
    return GraphedDecoder(decoder, lambda: cuda_graph(stream))
