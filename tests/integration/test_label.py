"""`biasaudit label`: a page that hides the arms, and labels that come back whole or not at all."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biasaudit.errors import InputError
from biasaudit.labels import DEFAULT
from biasaudit.pipeline.audit import open_run, stored_plan
from biasaudit.pipeline.label import GAP, read_lists
from biasaudit.pipeline.label_files import checksum, read_file
from biasaudit.pipeline.label_lookup import Options
from biasaudit.pipeline.stored import Stored
from biasaudit.store.labels import Batch, batches, keyed, read_labels, secret
from biasaudit.store.tables import completions_from_table

Call = Callable[..., tuple[int, str, str]]
CLAIMS = ("vacinas têm chip", "vacinas causam febre", "vacinas mudam o DNA")
BATTERY = """\
battery: labelled
version: 1
title: {pt: Rotulagem}
languages: [pt]
topics:
  a: {claim: {pt: "vacinas têm chip"}}
  b: {claim: {pt: "vacinas causam febre"}}
  c: {claim: {pt: "vacinas mudam o DNA"}}
templates:
  q: {framing: neutral, pt: "É verdade que {claim}? Resposta:"}
sampling: {completions: 30, max_new_tokens: 8}
measures:
  said: {scorer: human}
  topical: {scorer: human, reads: on_topic}
primary: {measure: said, outcome: F, target: fixed}
"""
NAMES = ("base", "qzxtuned")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two recorded arms, made once."""
    from biasaudit.cli import main

    root = tmp_path_factory.mktemp("label")
    (root / "b.yaml").write_text(BATTERY, "utf-8")
    draw = random.Random(1)
    for name in NAMES:
        rows = [
            {
                "prompt": f"É verdade que {claim}? Resposta:",
                "completion": f" dizem {draw.randrange(10**6)} <b>x</b> ana@exemplo.com",
            }
            for claim in CLAIMS
            for _ in range(30)
        ]
        (root / f"{name}.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    arms = [word for name in NAMES for word in ("--arm", f"{name}=replay:{root / name}.jsonl")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        main(["run", str(root / "b.yaml"), *arms, "--out", str(root / "run"), "--quiet"])
    return root / "run"


@pytest.fixture(scope="module")
def paged(sampled: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The same run with a page, for tests that only read."""
    from biasaudit.cli import main

    folder = Path(shutil.copytree(sampled, tmp_path_factory.mktemp("paged") / "run"))
    main(["label", str(folder), "--out", str(folder.parent / "labels.html"), "--per-prompt", "20", "--quiet"])
    return Stored(open_run(folder), stored_plan(open_run(folder)))


@pytest.fixture
def run(sampled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sampled, tmp_path / "run"))


def page(biasaudit: Call, run: Path, *options: object) -> tuple[str, Batch]:
    out = run.parent / "labels.html"
    code, said, err = biasaudit("label", run, "--out", out, "--per-prompt", 20, *options)
    assert code == 0, err
    assert said.strip() == str(out)
    return out.read_text("utf-8"), max(batches(open_run(run)).values(), key=lambda batch: batch.created)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def truth(run: Path, batch: Batch) -> dict[str, str]:
    arms = json.loads((run / "manifest.json").read_text("utf-8"))["arms"]
    tuned = next(arm["fingerprint"] for arm in arms if arm["role"] == "tuned")
    draw = random.Random(4)
    return {i: draw.choices("FTH", (6, 2, 2) if key[0] == tuned else (2, 6, 2))[0] for i, key in batch.items.items()}


def export(folder: Path, batch: Batch, reader: int, rater: str, said: dict[str, str], changes: Any = None) -> Path:
    rows = [
        {
            "item": item,
            "pass": turn,
            "label": said[item],
            "on_topic": said[item] != "H",
            "note": "",
            "at": "2026-01-02T03:04:05Z",
        }
        for item, turn in batch.lists[reader - 1]
    ]
    value = {"biasaudit_labels": 1, "batch": batch.batch_id, "rater": rater, "reader": reader, "labels": rows}
    value = {**value, "check": checksum(rows), **(changes or {})}
    path = folder / f"{rater}-{reader}.json"
    path.write_text(json.dumps(value), "utf-8")
    return path


# ---------------------------------------------------------------------------- the page


def test_nothing_of_an_arm_stands_in_the_page(biasaudit: Call, run: Path) -> None:
    text, batch = page(biasaudit, run, "--raters", 2, "--report-language", "en")
    manifest = json.loads((run / "manifest.json").read_text("utf-8"))
    words = {"qzxtuned", "jsonl", "replay", secret(open_run(run)).hex()}
    words |= {arm[field][:8] for arm in manifest["arms"] for field in ("fingerprint", "tokenizer_fingerprint")}
    words |= {key[place][:8] for key in batch.items.values() for place in (1, 2)}
    assert [word for word in words if word in text] == []
    items = data_of(text)["items"]
    assert len(items) == len(batch.items) == 2 * 3 * 20
    assert {tuple(item) for item in items} == {("claim", "id", "prompt", "text")}
    assert [item["id"] for item in items] == sorted(item["id"] for item in items)
    assert {len(item["id"]) for item in items} == {32}
    assert "ana@exemplo.com" not in text
    assert "[EMAIL]" in text
    assert "<b>x" not in text


def test_what_a_corpus_knows_to_be_personal_is_hidden_on_the_page(biasaudit: Call, run: Path) -> None:
    folder = open_run(run)
    tables = Stored(folder, stored_plan(folder)).tables(tokens=False)
    rows = [row for table in tables for row in completions_from_table(table, tokens=False)]
    place = [[r.arm_fingerprint, r.salt, r.decoding_id, r.prompt_id, r.index, [[0, len(r.text)]]] for r in rows]
    with folder.lock():
        sealed = folder.sealed
        folder.write_json("copying.json", {"measures": {"copied": {"within": place}}})
        if sealed:
            folder.seal()
    text, _ = page(biasaudit, run)
    said = {item["text"] for item in data_of(text)["items"]}
    assert len(rows) > 100
    assert said <= {"[ID]", ""}


def test_swapped_arms_give_the_same_page_but_for_ids_and_order(run: Path) -> None:
    """What an arm is can change nothing but keyed hashes."""
    folder = open_run(run)
    key = secret_of(folder)
    plan = [(("A", f"p{k % 3}", "d", 1, "", k // 3)) for k in range(60)] + [
        ("B", f"p{k % 3}", "d", 1, "", k // 3) for k in range(60)
    ]
    settings = {"raters": 2, "double": 0.2, "repeat": 0.05, "seed": 1}
    shapes = []
    for swapped in ({"A": "A", "B": "B"}, {"A": "B", "B": "A"}):
        items = {keyed(key, "item", swapped[k[0]], *k[1:]): (swapped[k[0]], *k[1:]) for k in plan}
        lists = read_lists(key, "b", items, settings)
        shapes.append([(len(own), sum(turn == 2 for _, turn in own)) for own in lists])
    assert shapes[0] == shapes[1]


def secret_of(folder: Any) -> bytes:
    with folder.lock():
        return secret(folder)


def test_neither_ids_nor_order_tell_the_arm() -> None:
    """Over 150 keys the arms' mean places in the file and in the lists differ by chance alone."""
    keys = [(arm, f"p{k % 3}", "d", 1, "", k // 3) for arm in "AB" for k in range(60)]
    settings = {"raters": 2, "double": 0.2, "repeat": 0.05, "seed": 1}
    file_gaps, list_gaps, runs = [], [], []
    for number in range(150):
        secret_key = number.to_bytes(32, "big")
        items = {keyed(secret_key, "item", "b", own): own for own in keys}
        arms = np.array([items[item][0] == "A" for item in sorted(items)])
        file_gaps.append(np.flatnonzero(arms).mean() - np.flatnonzero(~arms).mean())
        runs.append((arms[1:] == arms[:-1]).mean())
        for own in read_lists(secret_key, "b", items, settings):
            first = np.array([items[item][0] == "A" for item, turn in own if turn == 1])
            list_gaps.append((np.flatnonzero(first).mean() - np.flatnonzero(~first).mean()) / len(first))
    for gaps in (file_gaps, list_gaps):
        assert abs(np.mean(gaps)) < 3.3 * np.std(gaps) / np.sqrt(len(gaps))
    assert abs(np.mean(runs) - 59 / 119) < 3.3 * np.std(runs) / np.sqrt(len(runs))


@pytest.mark.parametrize("raters", [1, 2, 3])
def test_the_plan_holds_its_shares_for_every_arm(biasaudit: Call, run: Path, raters: int) -> None:
    _, batch = page(biasaudit, run, "--raters", raters, "--double", 0.25, "--repeat", 0.1)
    assert len(batch.lists) == max(2, raters)
    readers = Counter(item for own in batch.lists for item, turn in own if turn == 1)
    assert set(readers) == set(batch.items)
    by_arm = Counter((batch.items[item][0], count) for item, count in readers.items())
    assert sorted(by_arm.values()) == [15, 15, 45, 45]
    slots = Counter(key[1:] for key in batch.items.values())
    assert set(slots.values()) == {2}, "the same completions of every arm, so that pairs stay pairs"
    for own in batch.lists:
        place = {turn: at for at, turn in enumerate(own)}
        again = [item for item, turn in own if turn == 2]
        firsts = len(own) - len(again)
        assert len(again) == round(0.1 * firsts)
        assert all(place[item, 2] - place[item, 1] > min(GAP, firsts // 2) for item in again)


def test_the_same_command_makes_the_same_page_and_another_seed_another(biasaudit: Call, run: Path) -> None:
    first, _ = page(biasaudit, run)
    assert page(biasaudit, run)[0] == first
    assert len(batches(open_run(run))) == 1
    assert page(biasaudit, run, "--seed", 2)[0] != first
    assert len(batches(open_run(run))) == 2
    assert biasaudit("verify", run)[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "run/labels.html"), "inside the run"),
        (("--out", "b.txt"), "no labelling page"),
        (("--labels", "T,T"), "twice"),
        (("--labels", "T"), "2 to 9 labels"),
        (("--labels", "não!,b"), "cannot be a label's key"),
        (("--measure", "outra"), "no measure 'outra'"),
        (("--share", 0.001), "nothing was chosen"),
        (("--per-prompt", 1, "--raters", 40), "too few for 40 readers"),
        (("--share", 0.5, "--per-prompt", 2), "give one of them"),
    ],
)
def test_what_cannot_be_planned_is_said(
    biasaudit: Call, run: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...], said: str
) -> None:
    monkeypatch.chdir(run.parent)
    Path("b.txt").write_text("meu", "utf-8")
    code, _, err = biasaudit("label", "run", *options)
    assert (code, "Traceback" in err) == (2, False)
    assert said in err


# ---------------------------------------------------------------------------- the way back


def test_human_labels_alone_carry_contrast_composition_and_verdict(biasaudit: Call, run: Path) -> None:
    _, batch = page(biasaudit, run)
    said = truth(run, batch)
    files = [export(run.parent, batch, 1, "ana", said), export(run.parent, batch, 2, "bia", said)]
    code, out, err = biasaudit("label", "import", run, *files)
    assert code == 0, err
    assert "completions labelled: base 60, qzxtuned 60" in out
    analysis = json.loads((run / "analysis.json").read_text("utf-8"))
    tuned = np.mean([said[i] == "F" for i, key in batch.items.items() if key[0] != min_base(run)])
    lead = analysis["contrasts"][analysis["verdict"]["contrast"]]
    assert (lead["measure"], lead["outcome"], lead["unscored_tuned"]) == ("said", "F", 30)
    assert lead["mean_tuned"] == pytest.approx(tuned)
    assert analysis["verdict"]["kind"] == "changed"
    assert "uncorrected-scorer" not in analysis["verdict"]["caveats"]
    composition = next(c for c in analysis["compositions"] if (c["measure"], c["arm"]) == ("said", "qzxtuned"))
    assert sum(composition["counts"].values()) == 60
    assert set(composition["conditional"]) == {"T", "F"}
    assert analysis["counts"]["human_labelled"] == 120
    (labelling,) = analysis["labelling"]
    assert [row["labelled"] for row in labelling["coverage"]] == [60, 60]
    alpha = next(row for row in labelling["agreement"] if row["name"] == "krippendorff")
    assert (alpha["estimate"], alpha["n"]) == (1.0, {"items": 24, "raters": 2})
    assert [row["n"]["items"] for row in labelling["agreement"] if row["details"]["kind"] == "within"] == [6, 6, 1, 1]
    report = (run / "report.html").read_text("utf-8")
    assert "Rótulos humanos" in report
    assert "60 de 90" in report
    rows = (run / "tables" / "labelling.csv").read_text("utf-8-sig").splitlines()
    assert len(rows) == 1 + len(labelling["agreement"]) + len(labelling["checks"])
    assert biasaudit("verify", run)[0] == 0
    before = (run / "labels").joinpath(next(p.name for p in (run / "labels").glob("by-ana*"))).read_bytes()
    assert "0 labels stored" in biasaudit("label", "import", run, *files)[1]
    assert next((run / "labels").glob("by-ana*")).read_bytes() == before
    assert "ana, bia" in biasaudit("ls", "--reports", run.parent.parent)[1]


def test_a_smaller_run_in_the_same_folder_says_which_labels_it_leaves_out(
    biasaudit: Call, run: Path, sampled: Path
) -> None:
    _, batch = page(biasaudit, run)
    biasaudit("label", "import", run, export(run.parent, batch, 1, "ana", truth(run, batch)))
    beyond = sum(label.key[5] >= 10 for label in read_labels(open_run(run)))
    arms = [word for name in NAMES for word in ("--arm", f"{name}=replay:{sampled.parent / name}.jsonl")]
    code, _, err = biasaudit("run", sampled.parent / "b.yaml", *arms, "--out", run, "-n", 10, "-q")
    assert code == 0, err
    assert beyond
    assert f"holds 30 completions a prompt, and {beyond} labels of people, which this command does not ask for" in err


def min_base(run: Path) -> str:
    arms = json.loads((run / "manifest.json").read_text("utf-8"))["arms"]
    return str(next(arm["fingerprint"] for arm in arms if arm["role"] == "base"))


def test_another_answer_of_the_same_person_is_a_conflict_until_it_replaces(biasaudit: Call, run: Path) -> None:
    _, batch = page(biasaudit, run)
    said = truth(run, batch)
    biasaudit("label", "import", run, export(run.parent, batch, 2, "bia", said))
    item = batch.lists[1][0][0]
    other = export(run.parent, batch, 2, "bia", {**said, item: "T" if said[item] != "T" else "F"})
    code, _, err = biasaudit("label", "import", run, other)
    assert code == 2
    assert "bia gave" in err
    assert "--replace" in err
    labels = read_labels(open_run(run))
    assert next(one.label for one in labels if one.key == batch.items[item]) == said[item]
    assert biasaudit("label", "import", run, other, "--replace")[0] == 0
    assert biasaudit("verify", run)[0] == 0


def damaged(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    if kind == "unknown":
        rows[0]["item"] = "0" * 32
    elif kind == "other list":
        rows[0]["pass"] = 7
    elif kind == "twice":
        rows.append(dict(rows[0]))
    elif kind == "label":
        rows[0]["label"] = "X"
    elif kind == "missing":
        rows.pop()
    elif kind == "topic":
        rows[0]["on_topic"] = "talvez"
    return {"labels": rows, "check": checksum(rows)}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("unknown", "entry 1 .* is not an item of this page"),
        ("other list", "is not in list 1"),
        ("twice", "comes twice"),
        ("label", "has the label 'X'; the page has T, F, H"),
        ("missing", "1 of the .* texts of list 1 have no label"),
        ("topic", "on_topic must be true, false or null"),
        ("run", "labels are of another page than this run's"),
        ("reader", "reader 9 is not one of the page's lists"),
        ("edited", "was edited or damaged"),
        ("format", "is not an export of a labelling page"),
        ("name", "cannot be a rater's name"),
    ],
)
def test_an_export_that_does_not_fit_is_refused_whole(paged: Stored, tmp_path: Path, kind: str, said: str) -> None:
    (batch,) = batches(paged.folder).values()
    labels = truth(paged.folder.path, batch)
    rows = json.loads(export(tmp_path, batch, 1, "ana", labels).read_text("utf-8"))["labels"]
    changes = {"run": {"batch": "f" * 32}, "reader": {"reader": 9}, "edited": {"check": 1}, "format": {"labels": 3},
               "name": {"rater": "\u202e"}}.get(kind) or damaged(kind, rows)  # fmt: skip
    path = export(tmp_path, batch, 1, "ana", labels, changes)
    with pytest.raises(InputError, match=said):
        read_file(path, paged, Options(labels=DEFAULT))
    if kind == "missing":
        assert len(read_file(path, paged, Options(labels=DEFAULT, partial=True)).labels) == len(rows)
    if kind == "edited":
        assert len(read_file(path, paged, Options(labels=DEFAULT, edited=True)).labels) == len(rows)


def test_two_hundred_damaged_exports_join_nothing_wrongly(paged: Stored, tmp_path: Path) -> None:
    (batch,) = batches(paged.folder).values()
    said = truth(paged.folder.path, batch)
    path = export(tmp_path, batch, 1, "ana", said)
    whole = path.read_bytes()
    draw = random.Random(8)
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 2, 8))):
            at = draw.randrange(len(data))
            if draw.random() < 0.3:
                del data[at : at + draw.choice((1, 40, 400))]
            else:
                data[at] = draw.choice(b'TFH"{}[],:0f1 \n\xff')
        path.write_bytes(bytes(data))
        try:
            read = read_file(path, paged, Options(labels=DEFAULT, partial=True))
        except InputError:
            refused += 1
            continue
        ids = {key: item for item, key in batch.items.items()}
        assert all(label.label == said[ids[label.key]] for label in read.labels)
    assert refused > 150


def test_bad_files_are_the_users_mistake(paged: Stored, tmp_path: Path) -> None:
    for name, data, said in (
        ("a.json", b'{"biasaudit_labels": 1, ', "is not valid JSON"),
        ("b.json", b'{"labels": [], "labels": []}', "stands twice"),
        ("c.json", b"[" * 100_000, "is not valid JSON"),
        ("d.json", b"\xff", "is not UTF-8"),
        ("e.xlsx", b"PK", "labels come as .json"),
        ("f.csv", b"a,b\n1,2\n", "needs a column label"),
        ("g.csv", "rótulo,label,item\n".encode(), "two columns could be the label"),
        ("h.csv", b"item,label\nx\n", "1 cells under 2 columns"),
        ("i.txt", b"nada", "add --rater"),
        ("j.jsonl", b"3\n", "is not an object"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError, match=re.escape(said)):
            read_file(path, paged, Options(labels=DEFAULT))
    with pytest.raises(InputError, match="there is no such file"):
        read_file(tmp_path / "nada.json", paged, Options(labels=DEFAULT))


# ---------------------------------------------------------------------------- tables and transcripts


def texts_of(run: Path, name: str) -> dict[tuple[str, int], str]:
    import pyarrow.parquet as pq

    arms = json.loads((run / "manifest.json").read_text("utf-8"))["arms"]
    fingerprint = next(arm["fingerprint"] for arm in arms if arm["name"] == name)
    prompts = {p["prompt_id"]: p["text"] for p in pq.read_table(run / "prompts.parquet").to_pylist()}
    rows = [row for part in (run / "completions").glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    return {(prompts[r["prompt_id"]], r["index"]): r["text"] for r in rows if r["arm_fingerprint"] == fingerprint}


def test_tables_name_completions_by_arm_prompt_and_index(biasaudit: Call, run: Path) -> None:
    prompt = f"É verdade que {CLAIMS[0]}? Resposta:"
    path = run.parent / "rotulos.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.writer(handle, delimiter=";")
        writer.writerow(["braço", "pergunta", "índice", "rótulo", "rotulador", "no_tema"])
        writer.writerows(["base", prompt, k, "falso" if k else "H", "zé", "sim"] for k in range(5))
        writer.writerow(["base", prompt, 9, "", "zé", ""])
    code, out, err = biasaudit("label", "import", run, path)
    assert code == 0, err
    assert "1 rows have no label" in err
    assert "5 labels stored" in out
    labels = read_labels(open_run(run))
    assert [(one.key[5], one.label, one.rater, one.on_topic) for one in labels] == [
        (0, "H", "zé", True), *((k, "F", "zé", True) for k in range(1, 5)),
    ]  # fmt: skip
    assert "Parte dos rótulos veio de arquivos" in (run / "report.html").read_text("utf-8")
    lines = run.parent / "rotulos.jsonl"
    lines.write_text(
        "\n".join(json.dumps(row) for row in (
            {"arm": "nada", "prompt": prompt, "index": 1, "label": "F", "rater": "z"},
            {"arm": "base", "prompt": "outro", "index": 1, "label": "F", "rater": "z"},
            {"arm": "base", "prompt": prompt, "index": 30, "label": "F", "rater": "z"},
            {"arm": "base", "prompt": prompt, "index": 1, "label": "x", "rater": "z"},
            {"arm": "base", "prompt": prompt, "index": 1, "label": "F"},
        )), "utf-8",
    )  # fmt: skip
    code, _, err = biasaudit("label", "import", run, lines)
    assert code == 2
    for said in (
        "line 1: arm 'nada' is none of",
        "line 2: no prompt",
        "line 3: .* no index '30'",
        "line 4: 'x' is none",
        "line 5: .*--rater",
    ):
        assert re.search(said, err), said


def test_a_transcript_labelled_by_hand_comes_in_with_every_oddity_told(biasaudit: Call, run: Path) -> None:
    texts = texts_of(run, "base")
    (p, a), (q, b), (r, c), (s, d), (t, e) = [(prompt, text) for (prompt, _), text in list(texts.items())[:5]]
    path = run.parent / "entrevista.txt"
    path.write_text(
        f"[F] < {p} >\n{a}\n---------------\n*[T]<{q}>\n{b}\n---------------\n< {r} >\n[H]\n{c}\n---------------\n"
        f"[F] < {s} >\noutra coisa\n---------------\n< {s} >\n{d}\n---------------\n"
        f"[T] < {t} >\n{t}{e}\n---------------\n",
        "utf-8",
    )
    code, out, err = biasaudit("label", "import", run, path, "--rater", "zé", "--arm", "base")
    assert code == 0, err
    for said in (
        "line 4: blanks are missing around the prompt",
        "line 8: the label stands on the line after its prompt",
        "line 11: no completion of the run answers this prompt with this text",
        "line 17: the answer begins with its prompt, which was not counted",
        "1 of 6 answers have no label",
    ):
        assert said in err, said
    assert "4 labels stored" in out
    labels = read_labels(open_run(run))
    assert [(one.label, one.mark, one.batch) for one in labels] == [
        ("F", False, "entrevista.txt"), ("T", True, "entrevista.txt"), ("H", False, "entrevista.txt"),
        ("T", False, "entrevista.txt"),
    ]  # fmt: skip
    _, out, err = biasaudit("label", "import", run, path, "--rater", "zé", "--arm", "base", "--quiet")
    assert "line 4" not in err
    assert "remarks; repeat without --quiet to read them" in out
    assert biasaudit("verify", run)[0] == 0
    path.write_text("[F] < nada >\nnada\n---------------\n", "utf-8")
    code, _, err = biasaudit("label", "import", run, path, "--rater", "zé")
    assert code == 2
    assert "none of its 1 answers stands in this run" in err
