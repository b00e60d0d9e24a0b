"""The backend of vLLM: without vLLM it says so; with it, what is asked and how answers are read (a stand-in answers)."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from biasaudit.errors import InputError, ResourceError, UsageError
from biasaudit.records import Arm, Decoding, SampleRequest
from biasaudit.sampling.backends import build, read_spec

ARM = Arm(name="v", spec="vllm:x", role="tuned", fingerprint="f", tokenizer_fingerprint="t", salt="vllm")
SAMPLING = {"n", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_tokens", "stop",
            "stop_token_ids", "ignore_eos", "skip_special_tokens", "spaces_between_special_tokens", "seed", "logprobs",
            "prompt_logprobs"}  # fmt: skip
"""Fields of vLLM 0.32's SamplingParams that we use."""
ENGINE = {"model", "tokenizer", "trust_remote_code", "seed", "max_model_len", "tensor_parallel_size",
          "gpu_memory_utilization", "dtype", "enable_chunked_prefill"}  # fmt: skip


class Letters:
    eot_id = 0

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


class LLM:
    made: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        assert set(options) <= ENGINE
        LLM.made = options

    def generate(self, prompts: list[Any], params: Any, *, use_tqdm: bool) -> list[Any]:
        each = params if isinstance(params, list) else [params] * len(prompts)
        return [self._one(prompt["prompt_token_ids"], p) for prompt, p in zip(prompts, each, strict=True)]

    def _one(self, ids: list[int], params: Any) -> Any:
        said = [ord("s"), ord("i"), ord("m")][: params.max_tokens]
        ended = params.max_tokens > 3
        tokens = [*said, 0] if ended else said
        out = SimpleNamespace(
            text="sim", token_ids=tokens, finish_reason="stop" if ended else "length", stop_reason=0 if ended else None,
            logprobs=[{token: SimpleNamespace(logprob=-0.5)} for token in tokens],
        )  # fmt: skip
        told = [None, *({token: SimpleNamespace(logprob=-1.0)} for token in ids[1:])]
        return SimpleNamespace(outputs=[out], prompt_logprobs=told)


def params(**options: Any) -> Any:
    assert set(options) <= SAMPLING
    return SimpleNamespace(**options)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams, module.__version__ = LLM, params, "0.32.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    return make()


def make(spec: str = "vllm:x,gpus=2,memory=0.5", context: int = 16) -> Any:
    return build(
        "vllm", spec=read_spec(spec), arm=ARM, seed=3, folder="/x", tokenizer=Letters(), context=context, dtype="bf16"
    )


def request(prompt: str = "oi", index: int = 0, **decoding: Any) -> SampleRequest:
    return SampleRequest(prompt_id="p", prompt=prompt, decoding=Decoding(**decoding), index=index)


def test_without_vllm_the_user_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UsageError, match="vLLM"):
        make()


def test_completions_end_before_the_end_token_and_carry_their_log_probabilities(engine: Any) -> None:
    ended, cut = engine.complete([request(), request(index=1, max_new_tokens=2)])
    assert (ended.text, ended.token_ids, ended.logprobs, ended.finish_reason) == (
        "sim", (115, 105, 109), (-0.5,) * 3, "eos",
    )  # fmt: skip
    assert (cut.text, cut.finish_reason, len(cut.logprobs)) == ("si", "length", 2)
    assert LLM.made["tensor_parallel_size"] == 2
    assert LLM.made["dtype"] == "bfloat16"
    assert engine.numerics_seen[ended.numerics]["vllm"] == "0.32.0"


def test_a_continuation_is_read_from_the_log_probabilities_of_the_prompt(engine: Any) -> None:
    first, second, none = engine.continuations("É", [" não", " sim!", ""])
    assert (first.total, first.tokens, first.bytes) == (-4.0, 4, 5)
    assert (second.total, none.total, none.tokens) == (-5.0, 0.0, 0)


def test_what_does_not_fit_the_context_is_refused(engine: Any) -> None:
    with pytest.raises(InputError, match="context is 16"):
        list(engine.complete([request("x" * 16)]))
    with pytest.raises(InputError, match="context is 16"):
        engine.continuations("x" * 10, ["y" * 8])
    (short,) = engine.complete([request("x" * 14)])
    assert len(short.token_ids) == 2


def test_a_part_of_vllm_that_cannot_be_imported_is_no_fault_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ModuleType("vllm")

    def late(name: str) -> Any:  # vLLM imports most of itself here
        raise RuntimeError(f"operator torchvision::nms does not exist ({name})")

    broken.__getattr__ = late  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "vllm", broken)
    with pytest.raises(UsageError, match="importing it failed: operator torchvision::nms"):
        make()


def test_an_engine_that_does_not_start_names_what_to_ask_less_of(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise RuntimeError("Engine core initialization failed. See root cause above.\nmore")

    monkeypatch.setattr(LLM, "__init__", start)
    with pytest.raises(ResourceError, match=r"did not start: Engine core.*,memory=0\.5.*,context=2048"):
        make()


def test_an_engine_that_dies_loses_nothing_and_says_so(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class EngineDeadError(Exception):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise EngineDeadError("EngineCore encountered an issue.")

    monkeypatch.setattr(LLM, "generate", die)
    with pytest.raises(ResourceError, match=r"arm v: vLLM's engine died.*the same command goes on"):
        list(engine.complete([request()]))


def test_prompts_are_read_in_one_piece_on_a_cpu(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "enable_chunked_prefill" not in LLM.made
    platforms = ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(is_cpu=lambda: True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    assert make().numerics["device"] == "cpu"
    assert LLM.made["enable_chunked_prefill"] is False


def test_an_engine_is_let_go_when_its_arm_is_done(engine: Any) -> None:
    engine.close()  # of an engine without processes of its own
    ended: list[bool] = []
    engine._llm.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=lambda: ended.append(True)))
    engine.close()
    assert ended == [True]


def test_a_text_ends_where_our_engine_ends_it(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    params = engine._params(request(), 5)
    assert (params.ignore_eos, params.stop_token_ids, params.skip_special_tokens) == (True, [0], False)
    config = SimpleNamespace(eos_token_id=[0, 7, 9])
    config.get_text_config = lambda: config
    monkeypatch.setattr(LLM, "model_config", SimpleNamespace(hf_config=config), raising=False)
    monkeypatch.setattr(Letters, "special_ids", frozenset({0, 7}), raising=False)
    assert make()._params(request(), 5).stop_token_ids == [0, 7]


def test_less_context_may_be_reserved(engine: Any) -> None:
    make("vllm:x,context=12")
    assert LLM.made["max_model_len"] == 12
    make("vllm:x,context=4000")
    assert LLM.made["max_model_len"] == 16


@pytest.mark.parametrize(
    "option", ["context=0", "context=1.5", "gpus=0", "gpus=1.5", "memory=2", "dtype=int3", "gpus=x"]
)
def test_an_option_out_of_range_is_refused(engine: Any, option: str) -> None:
    with pytest.raises(UsageError, match=option.split("=")[0]):
        make(f"vllm:x,{option}")
