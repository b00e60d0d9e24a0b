"""Labels stored in a real run correct its analysis, its table, its report and what verify recomputes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from biasaudit.labels import HumanLabel
from biasaudit.pipeline.audit import open_run, stored_plan
from biasaudit.pipeline.stored import Stored
from biasaudit.store.labels import write_labels
from biasaudit.store.tables import completions_from_table

Call = Callable[..., tuple[int, str, str]]


def label(run: Path, most: int) -> int:
    """Say F of every text with a letter `a` near its start, of the first `most` completions of every prompt."""
    folder = open_run(run)
    stored = Stored(folder, stored_plan(folder))
    said = [
        HumanLabel(key=row.key, label="F" if "a" in row.text[:12] else "T", rater="ana")
        for table in stored.tables(tokens=False)
        for row in completions_from_table(table, tokens=False)
        if row.index < most
    ]
    with folder.lock():
        write_labels(folder, said)
    return len(said)


def test_a_labelled_run_is_corrected_wherever_its_numbers_stand(
    biasaudit: Call, battery: Path, arms: dict[str, Path], tmp_path: Path
) -> None:
    asked = battery.read_text(encoding="utf-8").replace(
        "primary: {measure: claim_odds, target: population, margin: 0.02 nats/byte}",
        "primary: {measure: stance, outcome: endorse, target: fixed, margin: 10 points}",
    )
    battery.write_text(asked.replace("endorse: {pt: [chip, DNA]", 'endorse: {pt: ["\\\\w*a\\\\w*"]'), encoding="utf-8")
    run = tmp_path / "run"
    given = [word for name in ("base", "tuned") for word in ("--arm", f"{name}={arms[name]}")]
    code, _, err = biasaudit("run", battery, *given, "-n", 40, "--max-new-tokens", 8, "--out", run, "-q")
    assert code == 0, err
    before = json.loads((run / "analysis.json").read_text(encoding="utf-8"))
    assert before["badges"]["scorer_corrected"] is False
    assert "uncorrected-scorer" in before["verdict"]["caveats"]

    assert label(run, 30) == 2 * 6 * 30
    code, _, err = biasaudit("analyse", run, "-q", "--report-language", "en")
    assert code == 0, err
    after = json.loads((run / "analysis.json").read_text(encoding="utf-8"))
    rows = {(f["name"], f["target"], f["outcome"]): f for f in after["findings"] if f["design"] == "correction"}
    corrected = rows["ppi", "fixed", "endorse"]
    assert corrected["n"]["labels_tuned"] == corrected["n"]["labels_reference"] == 180
    lead = after["contrasts"][after["verdict"]["contrast"]]
    assert lead["corrected"] == "ppi"
    assert lead["difference"] == corrected["estimate"]
    assert after["badges"]["scorer_corrected"] is True
    assert "uncorrected-scorer" not in after["verdict"]["caveats"]

    with (run / "tables" / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        table = [row for row in csv.DictReader(file) if row["design"] == "correction"]
    assert {row["name"] for row in table} >= {"raw", "ppi", "human-only", "agreement"}
    assert all(row["source"] and row["estimand"] and row["target"] for row in table)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Correction by human labels" in page
    assert "scorer corrected by human labels" in page
    code, out, _ = biasaudit("verify", run)
    assert code == 0, out
