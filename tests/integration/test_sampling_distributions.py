"""The laws of the next token beside one another: right numbers, one model at a time, only numbers stored."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sampling_support import VOCABULARY, Letters, backend, gpt2
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from biasaudit.errors import InputError
from biasaudit.records import NextToken
from biasaudit.sampling.backends.torch import TorchBackend
from biasaudit.sampling.distributions import Compared, Reference, compare

PROMPTS = ["A verdade", "b" * 40, ""]
SPREAD = """\
  spread: {scorer: kl}
  spread_back: {scorer: kl, direction: reverse}
  middle: {scorer: js}
  apart: {scorer: tv}
  doubt: {scorer: entropy}
  next: {scorer: nexttoken, words: {pt: [" elas", " chip"], en: [" they", " chip"]}}
  next_first: {scorer: nexttoken, event: first_token, words: {pt: [" elas", " chip"], en: [" they", " chip"]}}
"""


def arm(seed: int) -> TorchBackend:
    return backend(gpt2(seed=seed))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_numbers_are_those_of_scipy_over_a_plain_forward(prompt: str) -> None:
    ids = torch.tensor([Letters().encode(prompt) or [0]])
    with torch.no_grad():
        p, q = (torch.softmax(gpt2(seed=s)(ids).logits[0, -1].double(), 0).numpy() for s in (1, 0))
    found = Compared(arm(1), Reference(arm(0), PROMPTS)).next_token(prompt)
    assert found.entropy == pytest.approx(entropy(p), abs=1e-4)
    assert found.kl == pytest.approx(entropy(p, q), abs=1e-4)
    assert found.kl_reverse == pytest.approx(entropy(q, p), abs=1e-4)
    assert found.js == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-4)
    assert found.tv == pytest.approx(abs(p - q).sum() / 2, abs=1e-4)


def test_an_arm_beside_itself_is_at_distance_zero_exactly() -> None:
    found = Compared(arm(0), Reference(arm(0), PROMPTS)).next_token(PROMPTS[0])
    assert (found.kl, found.kl_reverse, found.js, found.tv) == (0.0, 0.0, 0.0, 0.0)


def test_disjoint_laws_are_ln_2_apart_and_an_infinite_divergence_is_no_number() -> None:
    one, other = (torch.tensor(row, dtype=torch.float64).log() for row in ([1.0, 0.0], [0.0, 1.0]))
    found = compare(one, other)
    assert found == NextToken(entropy=0.0, kl=None, kl_reverse=None, js=pytest.approx(math.log(2)), tv=1.0)


def test_without_a_reference_there_is_entropy_alone() -> None:
    found = Compared(arm(0), None).next_token("ab")
    assert 0 < found.entropy <= math.log(VOCABULARY)
    assert found.kl is None


def test_arms_with_different_tokenizers_are_refused() -> None:
    reference = Reference(arm(0), PROMPTS)
    reference.tokenizer_fingerprint = "another"
    with pytest.raises(InputError, match="only between arms that share a tokenizer"):
        Compared(arm(1), reference)


def test_a_reference_keeps_its_rows_on_disk_and_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    reference = Reference(arm(0), [*PROMPTS, *PROMPTS])
    assert reference._file.tell() == len(PROMPTS) * VOCABULARY * 4
    reference.close()
    assert list(tmp_path.iterdir()) == []


def test_first_tokens_are_counted_once_and_bound_the_words_from_above() -> None:
    ours = arm(0)
    mass = ours.first_token_mass("A verdade", ["abc", "abd", "x", ""])
    law = ours.next_token_logprobs("A verdade").exp()
    firsts = [Letters().encode(letter)[0] for letter in "ax"]
    assert mass == pytest.approx(float(law[firsts].sum()))
    words = sum(math.exp(found.total) for found in ours.continuations("A verdade", ["abc", "abd", "x"]))
    assert 0 < words < mass


def test_a_run_measures_next_tokens_against_its_base_and_stores_only_numbers(
    biasaudit: Callable[..., tuple[int, str, str]], arms: dict[str, Path], battery: Path, tmp_path: Path
) -> None:
    text = battery.read_text(encoding="utf-8").replace("  repetition:", SPREAD + "  repetition:")
    battery.write_text(text, encoding="utf-8")
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", f"tuned={arms['tuned']}", "--completions", 1]
    code, _, err = biasaudit(*words, "--dtype", "fp32", "--tile", 8, "-q", "--out", tmp_path / "r")
    assert code == 0, err
    assert biasaudit("verify", tmp_path / "r")[0] == 0
    analysis = json.loads((tmp_path / "r" / "analysis.json").read_text())
    value = {c["measure"]: c for c in analysis["contrasts"]}
    assert {"spread", "spread_back", "middle", "apart", "doubt", "next", "next_first"} <= set(value)
    assert value["spread"]["unit"] == "nats"
    assert sum(p.stat().st_size for p in (tmp_path / "r" / "likelihoods").iterdir()) < 200_000


def test_a_run_of_arms_with_two_tokenizers_is_refused_before_anything_is_sampled(
    biasaudit: Callable[..., tuple[int, str, str]], arms: dict[str, Path], battery: Path, tmp_path: Path
) -> None:
    text = battery.read_text(encoding="utf-8").replace("  repetition:", "  spread: {scorer: kl}\n  repetition:")
    battery.write_text(text, encoding="utf-8")
    words = ["run", battery, "--arm", f"base={arms['base']}", "--arm", "tuned=embedded:base", "-q"]
    code, _, err = biasaudit(*words, "--out", tmp_path / "r")
    assert code == 2
    assert "do not share a tokenizer" in err
