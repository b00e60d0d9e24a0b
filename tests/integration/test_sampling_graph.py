"""Recorded steps, with a recorder that runs on a CPU: the same completions, and plain steps when recording fails."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sampling_support import VOCABULARY, backend, by_key, gpt2, llama, requests

from biasaudit.records import Decoding
from biasaudit.sampling.backends.torch import TorchBackend
from biasaudit.sampling.decoders import select
from biasaudit.sampling.graph import GraphedDecoder, Record, Run, as_it_is, graphed

FAMILIES: dict[str, Callable[[], Any]] = {"gpt2": gpt2, "llama": llama}


def recorded(family: str, record: Record, tile: int = 16) -> tuple[TorchBackend, GraphedDecoder]:
    ours = backend(FAMILIES[family](), tile=tile)
    decoder = GraphedDecoder(ours._decoder, lambda: record)
    ours._decoder = ours._engine._decoder = decoder
    return ours, decoder


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_steps_make_the_same_completions_as_plain_ones(family: str) -> None:
    calls = []

    def record(run: Run) -> Run:
        calls.append(run)
        return run

    wanted = requests(8, 6, Decoding(max_new_tokens=40))
    ours, decoder = recorded(family, record)
    found = by_key(list(ours.complete(wanted)))
    plain = by_key(list(backend(FAMILIES[family]()).complete(wanted)))
    assert decoder.recording
    assert 2 <= len(calls) <= 10, "one recording for every number of blocks, again when the cache grows"
    assert {k: c.token_ids for k, c in found.items()} == {k: c.token_ids for k, c in plain.items()}
    for key, completion in found.items():
        assert completion.logprobs == pytest.approx(plain[key].logprobs, abs=1e-4)
    assert ours.numerics["path"].split("+")[0].endswith("-graph")


def test_recorded_steps_keep_completions_independent_of_the_queue() -> None:
    wanted = requests(6, 6)
    found = by_key(list(recorded("gpt2", as_it_is)[0].complete(wanted)))
    random.Random(4).shuffle(wanted)
    assert by_key(list(recorded("gpt2", as_it_is)[0].complete(wanted))) == found


def test_recordings_of_another_cache_or_tile_share_no_memory_with_those_that_are_gone() -> None:
    """Once all graphs of a pool are gone, torch refuses to record into it again."""
    alive: dict[int, weakref.WeakSet[Kept]] = {}

    class Kept:
        def __init__(self, run: Run) -> None:
            self.replay = run

    def recorder() -> Record:
        pool: weakref.WeakSet[Kept] = weakref.WeakSet()
        alive[len(alive)] = pool
        begun = False

        def record(run: Run) -> Run:
            nonlocal begun
            if begun and not pool:
                raise RuntimeError("use_count > 0 INTERNAL ASSERT FAILED")
            begun, kept = True, Kept(run)
            pool.add(kept)

            def repeat() -> None:
                kept.replay()

            return repeat

        return record

    ours = backend(gpt2(), tile=4)
    decoder = GraphedDecoder(ours._decoder, recorder)
    ours._decoder = ours._engine._decoder = decoder
    for new in (4, 90):
        list(ours.complete(requests(4, 2, Decoding(max_new_tokens=new))))
    assert decoder.recording
    assert len(alive) >= 2, "a pool for every run"


def refuses(_run: Run) -> Run:
    raise RuntimeError("operation not permitted when stream is capturing")


def does_nothing(_run: Run) -> Run:
    return lambda: None


@pytest.mark.parametrize("record", [refuses, does_nothing])
def test_a_recording_that_fails_or_is_wrong_is_not_used(record: Record, caplog: pytest.LogCaptureFixture) -> None:
    wanted = requests(4, 4)
    ours, decoder = recorded("gpt2", record)
    found = by_key(list(ours.complete(wanted)))
    assert not decoder.recording
    assert "steps of the gpt2 path cannot be recorded" in caplog.text
    assert found == by_key(list(recorded("gpt2", as_it_is)[0].complete(wanted)))


def test_memory_that_runs_out_in_a_recording_is_not_taken_for_a_refusal() -> None:
    def record(_run: Run) -> Run:
        raise torch.OutOfMemoryError("CUDA out of memory, says the test")

    ours, decoder = recorded("gpt2", record, tile=1)
    with pytest.raises(Exception, match="not enough memory"):
        list(ours.complete(requests(1, 1)))
    assert decoder.recording


def test_on_a_cpu_nothing_is_recorded() -> None:
    decoder = select.choose(gpt2(), vocabulary=VOCABULARY)
    assert graphed(decoder) is decoder
