"""The verb `plan` over real batteries and a real pilot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
VACCINES = Path(__file__).resolve().parents[2] / "prompts" / "vaccines.yaml"


def test_a_rate_is_planned_from_assumptions_with_its_table_and_its_cost(biasaudit: Call) -> None:
    words = ("plan", VACCINES, "--measure", "stance:endorse", "-n", 100, "--effect", 0.1, "--tokens-per-second", 5000)
    code, out, err = biasaudit(*words)
    assert code == 0, err
    for expected in ("12 topics, 48 prompts", "exactly these prompts", "add topics, not completions", "at most 3:04"):
        assert expected in out
    code, out, _ = biasaudit(*words, "--json")
    found = json.loads(out)
    here = found["here"]
    assert here["power"] == pytest.approx(0.83, abs=0.02)
    assert here["sampling_share"] <= 0.1
    assert found["enough_completions"] <= 100
    assert {row["topics"] for row in found["table"]} >= {6, 12, 24, 36}
    assert found["cost"]["completions"] == 48 * 100 * 3


def test_likelihoods_without_a_pilot_are_planned_in_their_own_spread(biasaudit: Call) -> None:
    code, out, _ = biasaudit("plan", VACCINES)
    assert code == 0
    assert "standard deviations of the effect between topics" in out
    assert "only more topics help" in out
    code, out, _ = biasaudit("plan", VACCINES, "--topic-sd", 0.05)
    assert "nats/byte" in out
    assert "80 % power against 0.020" in out


def test_a_pilot_gives_variances_arms_and_language(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "pilot"
    given = [word for name in ("base", "tuned") for word in ("--arm", f"{name}={arms[name]}")]
    assert biasaudit("run", battery, *given, "-n", 4, "--out", run, "-q")[0] == 0
    code, out, err = biasaudit("plan", battery, "--pilot", run, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert "estimated from" in found["source"]
    assert found["cost"]["arms"] == 2
    assert found["pilot_differs"] == []
    code, _, err = biasaudit("plan", battery, "--pilot", run, "--rate", 0.2)
    assert code == 2
    assert "give one or the other" in err


def test_a_pilot_of_another_battery_is_refused_and_of_an_older_version_named(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "pilot"
    given = [word for name in ("base", "tuned") for word in ("--arm", f"{name}={arms[name]}")]
    assert biasaudit("run", battery, *given, "-n", 1, "--out", run, "-q")[0] == 0
    text = battery.read_text(encoding="utf-8")
    code, _, err = biasaudit("plan", VACCINES, "--pilot", run)
    assert (code, "a run of battery 'tiny', and 'vaccines" in err) == (2, True), err
    code, _, err = biasaudit("plan", battery, "--pilot", run, "--language", "en")
    assert (code, "a run in 'pt', and 'en' is planned" in err) == (2, True), err
    battery.write_text(text.replace("claim_odds: {scorer: likelihood}", "claim_odds: {scorer: nexttoken, words: [a]}")
                       .replace("margin: 0.02 nats/byte", "margin: 0.02 probability"), encoding="utf-8")  # fmt: skip
    code, _, err = biasaudit("plan", battery, "--pilot", run)
    assert (code, "its measure 'claim_odds' is another one" in err) == (2, True), err
    longer = text.replace("version: 1", "version: 2").replace("max_new_tokens: 12", "max_new_tokens: 9")
    battery.write_text(longer, encoding="utf-8")
    code, out, err = biasaudit("plan", battery, "--pilot", run)
    assert code == 0, err
    assert "the battery changed since the pilot: version 1 → 2, longest completion 12 → 9" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--measure", "nope"), "has no such measure; it has claim_odds"),
        (("--measure", "stance:nope"), "has no label 'nope'"),
        (("--language", "fr"), "speaks pt, en"),
        (("--measure", "stance:endorse", "--rate", "1.5"), "expected a share"),
        (("--pilot", "nowhere"), "is not a run folder"),
        (("--measure", "stance:endorse", "--effect", "nan"), "not a finite number"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_line(biasaudit: Call, words: tuple[str, ...], said: str) -> None:
    code, _, err = biasaudit("plan", VACCINES, *words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
