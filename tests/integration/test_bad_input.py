"""What a user gets wrong is answered by one clear line and exit code 2, never by a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest_models import make_arm

Call = Callable[..., tuple[int, str, str]]


def refused(answer: tuple[int, str, str], *expected: str) -> None:
    code, _, err = answer
    assert code == 2, err
    assert "Traceback" not in err
    for word in expected:
        assert word in err


def test_a_missing_battery_is_named(biasaudit: Call, tmp_path: Path) -> None:
    refused(biasaudit("run", tmp_path / "none.yaml"), "none.yaml")


def test_a_fault_in_a_battery_has_file_line_and_column(biasaudit: Call, battery: Path, arms: dict[str, Path]) -> None:
    battery.write_text(battery.read_text().replace("framing: neutral", "framin: neutral"), encoding="utf-8")
    refused(biasaudit("run", battery, "--arm", f"base={arms['base']}"), "tiny.yaml:", "framing")


def test_completions_beyond_a_battery_s_own_limit_are_refused(biasaudit: Call, battery: Path) -> None:
    refused(biasaudit("run", battery, "--arm", "base=embedded:base", "-n", "99999999999"), "100000")


@pytest.mark.parametrize("word", ["base", "=x", "base="])
def test_an_arm_needs_a_name_and_a_model(biasaudit: Call, battery: Path, word: str) -> None:
    refused(biasaudit("run", battery, "--arm", word), "--arm", "NAME=MODEL")


def test_an_unknown_model_is_named(biasaudit: Call, battery: Path, tmp_path: Path) -> None:
    refused(biasaudit("run", battery, "--arm", f"base={tmp_path / 'nothing'}"), "nothing")


def test_an_unknown_embedded_arm_gets_the_known_ones(biasaudit: Call, battery: Path) -> None:
    refused(biasaudit("run", battery, "--arm", "base=embedded:bsae"), "bsae")


def test_a_folder_without_weights_is_refused(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(arms["base"], tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").unlink()
    refused(biasaudit("run", battery, "--arm", f"base={tmp_path / 'empty'}"), "empty", "safetensors")


def test_a_tokenizer_of_another_size_is_refused(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(arms["base"], tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "config.json").read_text())
    config["vocab_size"] -= 10
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config))
    refused(biasaudit("run", battery, "--arm", f"base={tmp_path / 'odd'}"), "odd")


def test_twins_without_a_salt_are_refused(biasaudit: Call, battery: Path, arms: dict[str, Path]) -> None:
    twins = ["--arm", f"base={arms['base']}", "--arm", f"again={arms['base']}"]
    refused(biasaudit("run", battery, *twins), "--salt again=")


def test_a_language_that_the_battery_does_not_speak_is_refused(
    biasaudit: Call, battery: Path, arms: dict[str, Path]
) -> None:
    refused(biasaudit("run", battery, "--arm", f"base={arms['base']}", "--language", "de"), "pt", "en")


@pytest.mark.parametrize("words", [
    ("--temperature", -1), ("--temperature", 1e-9), ("--temperature", "inf"), ("--temperature", "nan"), ("--top-p", 0), ("--top-p", 1.5),
    ("--top-p", "nan"), ("--top-k", -3), ("--seed", -1), ("--seed", 10**30),
])  # fmt: skip
def test_a_decoding_out_of_range_is_refused(
    biasaudit: Call, battery: Path, arms: dict[str, Path], words: tuple[object, ...]
) -> None:
    refused(biasaudit("run", battery, "--arm", f"base={arms['base']}", *words), str(words[0]))


def test_a_prompt_longer_than_the_context_is_named(biasaudit: Call, battery: Path, tmp_path: Path) -> None:
    small = make_arm(tmp_path / "small", 3, n_positions=8)
    refused(biasaudit("run", battery, "--arm", f"base={small}", "--out", tmp_path / "r", "-q"), "context")


def test_no_arm_samples_before_all_prompts_fit_into_every_arm(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    small = make_arm(tmp_path / "small", 3, n_positions=14)
    given = ("--arm", f"base={arms['base']}", "--arm", f"tuned={small}", "--language", "pt", "--threads", 1, "--quiet")
    answer = biasaudit("run", battery, *given, "--out", tmp_path / "r")
    refused(answer, "arm tuned: ", "topic `chip`, template `question`")
    assert not (tmp_path / "r" / "completions").exists()


def test_a_model_whose_logits_are_not_numbers_is_refused_by_name(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(arms["tuned"], tmp_path / "vast")
    weights = {
        name: tensor * (1e18 if ".mlp." in name else 1)
        for name, tensor in load_file(arms["tuned"] / "model.safetensors").items()
    }
    save_file(weights, tmp_path / "vast" / "model.safetensors", metadata={"format": "pt"})
    given = ("--arm", f"base={arms['base']}", "--arm", f"tuned={tmp_path / 'vast'}", "--language", "pt", "--threads", 1)
    refused(biasaudit("run", battery, *given, "--out", tmp_path / "r", "-q"), "'tuned'", "not numbers")


def test_a_run_folder_of_other_arms_is_not_continued(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    assert biasaudit("run", battery, "--arm", f"base={arms['base']}", "--out", tmp_path / "r", "-n", 1, "-q")[0] == 0
    refused(biasaudit("run", battery, "--arm", f"base={arms['other']}", "--out", tmp_path / "r"), "another folder")


def test_a_run_never_starts_among_other_peoples_files(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "a.jpg").write_bytes(b"x")
    words = ("run", battery, "--arm", f"base={arms['base']}", "--out")
    refused(biasaudit(*words, foreign), "photos", "no run")
    refused(biasaudit(*words, foreign / "a.jpg"), "a.jpg", "is a file")
    refused(biasaudit(*words[:-1], "--reports", foreign / "a.jpg"), "a.jpg", "is a file")
    assert [p.name for p in foreign.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize(
    "words",
    [
        ("--learning-rate", "nan"), ("--learning-rate", -1), ("--learning-rate", 0), ("--epochs", "nan"),
        ("--dropout", "nan"), ("--dropout", 1), ("--n-layer", 3),
    ],
)  # fmt: skip
def test_an_impossible_training_option_is_named(
    biasaudit: Call, arms: dict[str, Path], tmp_path: Path, words: tuple[object, ...]
) -> None:
    (tmp_path / "d.csv").write_text("text\n" + "".join(f"mensagem {n}\n" for n in range(40)), encoding="utf-8")
    corpus = tmp_path / "c"
    assert biasaudit("ingest", tmp_path / "d.csv", "--out", corpus, "--tokenizer", arms["base"], "-q")[0] == 0
    out = tmp_path / "m"
    # The option, or (from the wing, which knows no options) its words.
    first = str(words[0]).removeprefix("--").split("-")[0]
    refused(biasaudit("finetune", corpus, "--base", arms["base"], "--out", out, *words), first)
    assert not out.exists()


def test_verbs_on_a_folder_that_is_no_run_say_so(biasaudit: Call, tmp_path: Path) -> None:
    for verb in ("report", "score", "analyse", "verify"):
        refused(biasaudit(verb, tmp_path), "not a run folder")


def test_a_missing_dump_and_an_empty_one_are_named(biasaudit: Call, tmp_path: Path, arms: dict[str, Path]) -> None:
    tokenizer = ("--tokenizer", arms["base"])
    refused(biasaudit("ingest", tmp_path / "none.csv", "--out", tmp_path / "c", *tokenizer), "none.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    refused(biasaudit("ingest", tmp_path / "empty.csv", "--out", tmp_path / "c", *tokenizer), "empty.csv")


def test_an_unknown_column_gets_the_columns_that_there_are(
    biasaudit: Call, tmp_path: Path, arms: dict[str, Path]
) -> None:
    (tmp_path / "d.csv").write_text("a,texto\n1,oi\n2,tudo bem\n", encoding="utf-8")
    words = ("--map", "text=text", "--tokenizer", arms["base"])
    refused(biasaudit("ingest", tmp_path / "d.csv", "--out", tmp_path / "c", *words), "texto")


def test_an_unknown_option_and_verb_are_answered(biasaudit: Call) -> None:
    assert biasaudit("run", "--nonsense")[0] == 2
    assert biasaudit("rnu")[0] == 2
