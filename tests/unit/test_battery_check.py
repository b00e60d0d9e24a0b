"""The check of a battery without a model, and the commented start."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from biasaudit.battery.read import read, read_text
from biasaudit.errors import UsageError
from biasaudit.pipeline.check import check, check_all, new_battery

PROMPTS = Path(__file__).parents[2] / "prompts"


def written(folder: Path, old: str = "", new: str = "") -> Path:
    path = new_battery("water", folder)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")
    return path


def test_a_new_battery_says_how_to_check_it_and_stands_beside_its_schema(tmp_path: Path) -> None:
    folder = tmp_path / "minhas perguntas"
    text = new_battery("water", folder).read_text(encoding="utf-8")
    assert f"biasaudit check '{folder / 'water.yaml'}'" in text
    schema = folder / "battery.schema.json"
    assert schema.read_text(encoding="utf-8") == (PROMPTS / "battery.schema.json").read_text(encoding="utf-8")
    schema.write_text("{}", encoding="utf-8")
    new_battery("air", folder)
    assert schema.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize("name", ["vaccines", "elections", "gender"])
def test_the_project_s_batteries_have_neither_faults_nor_warnings(name: str) -> None:
    result = check(PROMPTS / f"{name}.yaml")
    assert result.ok
    assert (result.faults, result.warnings) == ((), ())


def test_the_start_that_new_writes_passes_the_check(tmp_path: Path) -> None:
    result = check(written(tmp_path / "deep" / "folder"))
    assert result.battery is not None
    assert result.warnings == ()
    assert result.counts["topics"] == 2
    assert result.counts["prompts"] == {"pt": 8, "en": 8}
    assert result.counts["pairs"] == {"pt": 8, "en": 8}
    assert result.counts["completions_per_arm"] == {"pt": 320, "en": 320}
    assert result.first_prompts["en"][0].startswith("Is it true that the chlorine")
    assert result.detectable_sd is None


def test_the_page_that_teaches_the_format_holds_a_battery_without_faults() -> None:
    page = (PROMPTS / "README.md").read_text(encoding="utf-8")
    whole, groups = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(read_text(whole).battery.prompts) == 4
    slots, templates = groups.split("templates:\n")
    asked = read_text(whole.replace("templates:", f"{slots}templates:\n{templates.rstrip()}", 1)).battery.prompts
    assert "Uma mulher trabalha com Cloro. Dizem que ela é" in [prompt.text for prompt in asked]


@pytest.mark.parametrize("name", ["vaccines", "elections", "gender"])
def test_editors_find_no_fault_in_the_project_s_batteries(name: str) -> None:
    schema = json.loads((PROMPTS / "battery.schema.json").read_text(encoding="utf-8"))
    values = read(PROMPTS / f"{name}.yaml").source.value
    checker = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in checker.iter_errors(values)] == []
    assert [error.message for error in checker.iter_errors(values | {"topcs": {}, "version": "1"})] != []


def test_the_check_reads_well_and_as_json(tmp_path: Path) -> None:
    result = check(written(tmp_path))
    assert "pt: 8 prompts, 8 continuation pairs, 320 completions from every arm" in result.text()
    data = json.loads(json.dumps(result.data()))
    assert data["ok"] is True
    assert data["battery"] == "water"
    assert len(data["decodings"]) == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "scorer: degeneration, metric: repetition",
            "scorer: vader",
            "the scorer of measure `repetition` judges en, not pt",
        ),
        (
            "target: fixed",
            "target: fixed, outcome: endorse",
            "known: none, its scorer gives values; write `outcome: value`",
        ),
    ],
)
def test_what_a_scorer_cannot_give_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert any(told in warning for warning in check(written(tmp_path, old, new)).warnings)


def test_pmi_without_a_neutral_stem_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path, "scorer: likelihood", "scorer: likelihood, variant: pmi")
    kept = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("neutral:")]
    path.write_text("\n".join(kept), "utf-8")
    assert any("expected a `neutral` stem in pt" in fault for fault in check(path).faults)


def test_a_population_claim_on_few_topics_tells_what_it_can_detect(tmp_path: Path) -> None:
    result = check(written(tmp_path, "target: fixed", "target: population"))
    assert result.detectable_sd is not None
    assert result.detectable_sd > 5
    assert any("2 topics for a population claim" in warning for warning in result.warnings)
    assert "standard deviations of the effect between topics" in result.text()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("scorer: degeneration", "scorer: degenration", "Did you mean 'degeneration'?"),
        ("metric: repetition", "metrik: repetition", "measure 'repetition': "),
        ("sources: []", "sources: 5", "expected a list"),
    ],
)
def test_faults_are_results_and_not_exceptions(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = written(tmp_path, old, new)
    result = check(path)
    assert not result.ok
    assert result.battery is None
    assert any(told in fault for fault in result.faults), result.faults
    assert all(fault.startswith(f"{path}:") for fault in result.faults)
    assert "1 fault(s)" in result.text()
    assert result.data()["ok"] is False


def test_likelihoods_without_pairs_and_completions_without_templates_are_faults(tmp_path: Path) -> None:
    text = written(tmp_path).read_text(encoding="utf-8")
    no_stems = tmp_path / "no_stems.yaml"
    no_stems.write_text(text[: text.index("stems:")] + text[text.index("# Templates are") :], encoding="utf-8")
    assert any("compares continuations; expected stems" in fault for fault in check(no_stems).faults)
    no_templates = tmp_path / "no_templates.yaml"
    no_templates.write_text(
        text[: text.index("templates:")] + text[text.index("# How completions") :], encoding="utf-8"
    )
    assert any("reads completions; expected templates" in fault for fault in check(no_templates).faults)


def test_a_margin_in_another_unit_and_an_unknown_outcome_are_warned_of(tmp_path: Path) -> None:
    percent = check(written(tmp_path / "a", "0.02 nats/byte", "2 %"))
    assert any(
        "but measure 'claim_odds' is in 'nats/byte'; write the margin in nats/byte" in warning
        for warning in percent.warnings
    )
    scorer = "{scorer: patterns, endorse: {pt: [veneno], en: [poison]}}"
    text = written(tmp_path / "b", "{scorer: likelihood}", scorer).read_text(encoding="utf-8")
    (tmp_path / "c.yaml").write_text(
        text.replace("measure: claim_odds,", "measure: claim_odds, outcome: endorsed,"), "utf-8"
    )
    assert any("`endorsed` is no label of the scorer" in warning for warning in check(tmp_path / "c.yaml").warnings)


def test_several_files_are_checked_in_the_order_given(tmp_path: Path) -> None:
    results = check_all([tmp_path / "absent.yaml", written(tmp_path)])
    assert [result.ok for result in results] == [False, True]
    assert "no such file" in results[0].faults[0]


def test_new_never_overwrites(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="already exists; nothing was written"):
        new_battery("water", tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "Água", "../x", "a b", "a/b", "x" * 65, "-a", "a\n", "con.yaml", "\x1b[2J"])
def test_new_refuses_names_that_are_no_words(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a battery") as caught:
        new_battery(name, tmp_path)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_new_says_when_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        new_battery("water", tmp_path / "file" / "below")


def test_a_rule_that_is_no_pattern_is_told_at_its_own_place(tmp_path: Path) -> None:
    rules = "{scorer: patterns, endorse: {pt: [chip, '(veneno'], en: [chip]}}"
    faults = check(written(tmp_path, "{scorer: likelihood}", rules)).faults
    line = next(
        k for k, said in enumerate((tmp_path / "water.yaml").read_text("utf-8").splitlines(), 1) if rules in said
    )
    assert any(f":{line}:" in fault and "rule '(veneno'" in fault for fault in faults), faults
