"""Specs of arms on the command line, in YAML and in the manual: one reading of all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biasaudit.errors import InputError, UsageError
from biasaudit.pipeline.arms import answers_likelihoods, describe_arm, read_arm_files
from biasaudit.records import Arm
from biasaudit.sampling.backends import OPTIONS, names
from biasaudit.sampling.recorded.read import KINDS, NAMES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_a_file_of_arms_stands_for_their_words(tmp_path: Path) -> None:
    path = tmp_path / "arms.yaml"
    path.write_text(
        "arms:\n"
        "  base: embedded:base\n"
        '  served: {model: "openai:m@http://127.0.0.1:1/v1", api: chat, requests: 5, salt: aa}\n',
        encoding="utf-8",
    )
    arms, salts = read_arm_files([f"@{path}", "x=gpt2"], ["x=bb"])
    assert arms == ["base=embedded:base", "served=openai:m@http://127.0.0.1:1/v1,api=chat,requests=5", "x=gpt2"]
    assert salts == ["x=bb", "served=aa"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: {a: b}\n", "expected one entry `arms`"),
        ("arms: {}\n", "expected one entry `arms`"),
        ("arms:\n  a: [b]\n", r"arms.yaml:2:6: arm `a`: expected MODEL"),
        ("arms:\n  a: {api: chat}\n", "arm `a`: expected MODEL"),
        ("arms: [\n", "arms.yaml:"),
    ],
)
def test_a_faulty_file_of_arms_is_explained(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "arms.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_arm_files([f"@{tmp_path / 'arms.yaml'}"], [])
    with pytest.raises(UsageError, match="no such file"):
        read_arm_files(["@nothing.yaml"], [])


def test_a_remote_arm_is_its_address_model_and_declared_revision() -> None:
    def fingerprint(spec: str) -> str:
        return describe_arm(spec).fingerprint

    plain = describe_arm("openai:m@http://127.0.0.1:8000/v1")
    assert plain.card["verifiable"] is False
    assert plain.fingerprint == fingerprint("openai:m@http://127.0.0.1:8000/v1/completions,rate=5,key=K")
    different = {
        fingerprint(f"openai:{model}@http://127.0.0.1:{port}/v1{more}")
        for model in "mn"
        for port in (8000, 8001)
        for more in ("", ",revision=2")
    }
    assert len(different) == 8
    assert describe_arm("openai:n@http://127.0.0.1:8000/v1").tokenizer_fingerprint != plain.tokenizer_fingerprint


def test_a_recorded_arm_is_its_bytes_and_how_they_are_read(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("prompt,text\na,b\n")
    second.write_text("prompt,text\na,b\n")
    assert describe_arm(f"replay:{first}").fingerprint == describe_arm(f"replay:{second},language=pt").fingerprint
    assert describe_arm(f"replay:{second},language=pt").language == "pt"
    assert describe_arm(f"replay:{first},arm=x").fingerprint != describe_arm(f"replay:{first},arm=y").fingerprint
    second.write_text("prompt,text\na,c\n")
    assert describe_arm(f"replay:{first}").fingerprint != describe_arm(f"replay:{second}").fingerprint


def test_an_arm_of_vllm_is_never_coupled_with_ours() -> None:
    ours, theirs = describe_arm("embedded:base"), describe_arm("vllm:embedded:base")
    assert ours.tokenizer_fingerprint == theirs.tokenizer_fingerprint
    assert ours.fingerprint != theirs.fingerprint
    assert (ours.salt, theirs.salt) == ("", "vllm")


@pytest.mark.parametrize(
    ("spec", "can"), [("gpt2", True), ("vllm:x", True), ("replay:a", False), ("openai:m@u", False)]
)
def test_likelihoods_are_asked_of_weights_only(spec: str, can: bool) -> None:
    arm = Arm(name="a", spec=spec, role="base", fingerprint="f", tokenizer_fingerprint="t")
    assert answers_likelihoods(arm) is can


def test_the_doctor_looks_at_arms_without_asking_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from biasaudit.pipeline.doctor import examine

    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "text": "b", "model": "m", "note": 1}\n')
    monkeypatch.delenv("NO_KEY", raising=False)
    served = "openai:m@http://127.0.0.1:1/v1"
    found = examine([f"r={'replay:' + str(path)}", f"s={served}", f"t={served},key=NO_KEY", "b=embedded:base"])
    assert found.exit_code == 2
    told = {arm["name"]: arm["what"] or arm["fault"] for arm in found.data["arms"]}
    assert "completions only: 1 rows (jsonl) of m; columns that are not read: note" in told["r"]
    assert "m at http://127.0.0.1:1/v1 (completions), no key; not asked" in told["s"]
    assert "NO_KEY holds no key" in told["t"]
    assert "completions and likelihoods" in told["b"]
    assert "arm r: replay" in found.text


@pytest.mark.parametrize("page", ["arms.md", "arms.pt.md"])
def test_the_manual_names_every_backend_option_column_and_ending(page: str) -> None:
    said = (DOCS / page).read_text(encoding="utf-8")
    assert set(names()) == {"torch", *OPTIONS}
    assert [name for name in OPTIONS if f"`{name}:" not in said] == []
    for backend, options in OPTIONS.items():
        part = said.partition(f"`{backend}:`\n")[2].partition("\n## ")[0]
        assert [option for option in options if not re.search(rf"\b{option}\b", part)] == [], backend
    assert [name for found in NAMES.values() for name in found if f"`{name}`" not in said] == []
    assert all(kind in said for kind in KINDS.values())
