"""The learned scorer: honest folds, the same numbers as scikit-learn, no pickle, and what happens to damaged models."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biasaudit import scoring
from biasaudit.errors import InputError, ModelError
from biasaudit.labels import DEFAULT, label_set
from biasaudit.pipeline.learn import learn_command
from biasaudit.records import Completion, Prompt, ScorerCard
from biasaudit.scoring import _ngrams
from biasaudit.scoring._learned_fit import Example, learn
from biasaudit.scoring._learned_model import group_key, load
from biasaudit.scoring._validity import validity

WORDS = {
    "F": ("a vacina causa autismo", "tem um chip na vacina", "é um plano deles", "esconderam as mortes"),
    "T": ("a vacina é segura", "os estudos mostram", "não há chip nenhum", "protege as crianças"),
    "H": ("o jogo de ontem", "receita de bolo", "choveu em Recife", "comprei um carro"),
}


def examples(n: int = 240, prompts: int = 12, noise: float = 0.1, seed: int = 1) -> list[Example]:
    draw = random.Random(seed)
    found = []
    for k in range(n):
        label = draw.choice("TFH")
        said = label if draw.random() > noise else draw.choice("TFH")
        words = draw.sample(WORDS[said], 3)
        found.append(
            Example(prompt=f"Sobre {k % prompts}:", text=", ".join(words), label=label,
                    arm="base" if k % 2 else "tuned", language="pt")
        )  # fmt: skip
    return found


def fitted(own: list[Example], seed: int = 7) -> dict[str, bytes]:
    return learn(own, DEFAULT, outcome="F", folds=5, seed=seed, source={"grouped_by": "prompt"})


def stored(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("learned") / "m", fitted(examples()))


def completion(text: str, index: int = 0) -> Completion:
    return Completion(
        arm_fingerprint="F", prompt_id="P", decoding_id="D", seed=1, salt="", index=index, text=text,
        token_ids=(), logprobs=(), finish_reason="length", numerics="N",
    )  # fmt: skip


NEW = Prompt(text="Uma pergunta nova:", language="pt", topic="chip", template="q")


def test_weights_are_those_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["A vacina  é segura", "vacina é\nplano, plano, plano", "Não há CHIP nenhum 💉", "é segura a vacina"]
    theirs = TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True, preprocessor=_ngrams.normal)
    expected = theirs.fit_transform(texts)
    found = _ngrams.counts(texts)
    columns = np.unique(found.ids)
    assert columns.size == expected.shape[1], "no two n-grams of these texts share a hash"
    placed = _ngrams.placed(found, columns)
    dense = np.zeros((len(texts), columns.size))
    dense[placed.rows, placed.ids] = _ngrams.weights(placed, _ngrams.inverse_frequency(placed, columns.size))
    assert dense @ dense.T == pytest.approx((expected @ expected.T).toarray(), abs=1e-12)
    assert np.sort(dense, axis=None) == pytest.approx(np.sort(expected.toarray(), axis=None), abs=1e-12)


def test_counts_do_not_depend_on_the_neighbours() -> None:
    texts = ["vacina", "", "a" * 50_000, "\ud800 vacina", "vacina"]
    together = _ngrams.counts(texts)
    for row, text in enumerate(texts):
        alone, here = _ngrams.counts([text]), together.rows == row
        assert np.array_equal(alone.ids, together.ids[here])
        assert np.array_equal(alone.counts, together.counts[here])
    assert _ngrams.counts([]).texts == 0


def test_the_same_labels_in_any_order_give_the_same_bytes() -> None:
    own = examples(60)
    shuffled = random.Random(3).sample(own, len(own))
    assert fitted(own) == fitted(shuffled)
    assert fitted(own, seed=8) != fitted(own)


def test_no_prompt_stands_in_two_folds_and_the_card_speaks_of_texts_never_seen(model: Path) -> None:
    card = json.loads((model / "card.json").read_text("utf-8"))
    assert set(card["fold_of"]) == {group_key(f"Sobre {k}:") for k in range(12)}
    whole = card["validity"]["all"]
    assert whole["n"] == card["n"] == 240
    assert 0.8 < whole["accuracy"] < 0.99, "a tenth of the labels is noise, which nobody can learn"
    assert np.array(whole["confusion"]).sum() == 240
    assert {row["label"] for row in whole["labels"]} == {"T", "F", "H"}
    assert set(card["validity"]["arms"]) == {"base", "tuned"}
    assert sum(part["n"] for part in card["validity"]["arms"].values()) == 240
    assert whole["calibration"]["error"] < 0.15
    assert card["trained_on"]["labels"] == {x: sum(e.label == x for e in examples()) for x in "FHT"}


def test_labels_that_mean_nothing_are_never_learned() -> None:
    draw = random.Random(5)
    own = [
        Example(prompt=f"p{k % 40}", text=f"{draw.random()} {draw.choice(WORDS['T'])}", label=draw.choice("TF"))
        for k in range(400)
    ]
    whole = json.loads(fitted(own)["card.json"])["validity"]["all"]
    assert abs(whole["accuracy"] - 0.5) < 0.08


def test_memorised_prompts_are_not_mistaken_for_validity() -> None:
    draw = random.Random(6)
    side = {k: draw.choice("TF") for k in range(20)}
    own = [
        Example(prompt=f"p{k % 20}", text=f"assunto {'abcdefghijklmnopqrst'[k % 20] * 6} {draw.random()}",
                label=side[k % 20])
        for k in range(400)
    ]  # fmt: skip
    whole = json.loads(fitted(own)["card.json"])["validity"]["all"]
    assert whole["accuracy"] < 0.75, "folds that shared prompts would say 1.0"


def test_a_labelled_completion_is_judged_without_its_own_prompt(tmp_path: Path) -> None:
    own = [
        Example(prompt=f"p{k % 10}", text=f"palavra {'zxywv'[k % 5] * 5}", label="F" if k % 10 == 3 else "TH"[k % 2])
        for k in range(100)
    ]  # fmt: skip
    made = load(stored(tmp_path / "m", fitted(own)))
    text = next(example.text for example in own if example.label == "F")
    seen, new = (made.probabilities([text], [group_key(prompt)])[0][0] for prompt in ("p3", "another"))
    at = made.labels.index("F")
    assert seen[at] == 0 < 0.2 < new[at]


def test_scores_are_rates_of_the_outcome_and_none_in_an_untaught_language(model: Path) -> None:
    options = {"model": str(model)}
    scorer = scoring.build("learned", options, "m", "pt")
    false = scorer(completion("tem um chip na vacina, esconderam as mortes"), NEW)  # type: ignore[call-arg, arg-type]
    true = scorer(completion("a vacina é segura, os estudos mostram"), NEW)  # type: ignore[call-arg, arg-type]
    empty = scorer(completion(" \n"), NEW)  # type: ignore[call-arg, arg-type]
    assert [(s.value, s.label) for s in (false, true, empty)] == [(1.0, "F"), (0.0, "T"), (0.0, "empty")]  # type: ignore[union-attr]
    english = scoring.build("learned", options, "m", "en")
    assert english(completion("a chip"), NEW).value is None  # type: ignore[call-arg, arg-type, union-attr]
    soft = scoring.build("learned", {**options, "output": "probability"}, "m", "pt")
    assert 0.5 < soft(completion("tem um chip na vacina"), NEW).value < 1  # type: ignore[call-arg, arg-type, union-attr]


def test_the_card_names_the_model_its_labels_and_its_language(model: Path) -> None:
    card: ScorerCard = scoring.card("learned", {"model": str(model)})
    assert card.labels == ("T", "F", "H", "empty")
    assert (card.sides, card.aside, card.languages) == (("F", "T"), ("H", "empty"), ("pt",))
    assert load(model).model_id in card.source
    other = scoring.card("learned", {"model": str(model), "outcome": "H"})
    assert other.sides == ("", "")
    assert "H" not in other.aside
    with pytest.raises(InputError, match="option 'outcome' must be one of T, F, H"):
        scoring.card("learned", {"model": str(model), "outcome": "X"})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda m: (m / "card.json").unlink(), "holds no card.json"),
        (lambda m: (m / "card.json").write_text("{"), "cannot be read"),
        (lambda m: (m / "card.json").write_text('{"kind": "other"}'), "not the card of a learned scorer"),
        (lambda m: (m / "model.npz").write_bytes(b"PK"), "hash differs"),
        (lambda m: (m / "model.npz").unlink(), "No such file"),
        (
            lambda m: (m / "card.json").write_text(
                (m / "card.json").read_text("utf-8").replace('"outcome": "F"', '"outcome": "T"'), "utf-8"
            ),
            "was changed after the model was learned",
        ),
    ],
)
def test_a_damaged_model_is_refused(model: Path, tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    copy = stored(tmp_path / "m", {p.name: p.read_bytes() for p in model.iterdir()})
    damage(copy)
    with pytest.raises(ModelError, match=said):
        scoring.build("learned", {"model": str(copy)}, "m", "pt")


def test_too_few_labels_are_refused_in_words() -> None:
    with pytest.raises(InputError, match="4 labelled texts are too few"):
        fitted(examples(4))
    with pytest.raises(InputError, match="answers one prompt"):
        fitted(examples(60, prompts=1))
    with pytest.raises(InputError, match="nothing to tell apart"):
        fitted([Example(prompt=f"{k}", text="x", label="F") for k in range(30)])
    with pytest.raises(InputError, match="one prompt holds all the texts of a label"):
        fitted([Example(prompt="ab"[k % 2], text="x", label="TF"[k % 2]) for k in range(30)])
    with pytest.raises(InputError, match="no text has the label 'F'"):
        fitted([Example(prompt="ab"[k % 2], text="x", label="T") for k in range(30)])


def test_validity_of_a_worked_example() -> None:
    truth = np.array([0, 0, 0, 1, 1])
    given = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.6, 0.4]])
    found = validity(("F", "T"), truth, given)
    assert (found["accuracy"], found["most_common"], found["confusion"]) == (0.6, 0.6, [[2, 1], [1, 1]])
    row = found["labels"][0]
    assert [row[key] for key in ("n", "sensitivity", "specificity", "precision")] == [3, 2 / 3, 1 / 2, 2 / 3]
    assert row["f1"] == pytest.approx(2 / 3)
    assert found["calibration"]["brier"] == pytest.approx(2 * (0.01 + 0.04 + 0.49 + 0.16 + 0.36) / 5)
    assert validity(("F", "T"), truth[:0], given[:0])["accuracy"] is None


def learned_from(path: Path, out: Path, **given: object) -> dict[str, object]:
    settings = {"labels": "", "measure": "", "outcome": "", "column_map": (), "language": "", "folds": 5, "seed": 1}
    return dict(learn_command(source=path, out=out, quiet=True, **{**settings, **given}).data)  # type: ignore[arg-type]


def test_a_csv_and_a_jsonl_of_the_same_labels_give_one_model(tmp_path: Path) -> None:
    own = examples(80)
    table = tmp_path / "rótulos.csv"
    rows = "".join(f'"{e.prompt}";"{e.text}";{e.label};{e.arm}\r\n' for e in own)
    table.write_text("\ufeffpergunta;texto;rótulo;braço\r\n" + rows, "utf-8")
    lines = tmp_path / "labels.jsonl"
    lines.write_text(
        "\n".join(json.dumps({"p": e.prompt, "text": e.text, "label": e.label.lower(), "arm": e.arm}) for e in own)
    )
    first = learned_from(table, tmp_path / "a", language="pt")
    second = learned_from(lines, tmp_path / "b", language="pt", column_map=("p=prompt",))
    assert (tmp_path / "a" / "model.npz").read_bytes() == (tmp_path / "b" / "model.npz").read_bytes()
    assert first["validity"] == second["validity"]
    assert first["languages"] == ["pt"]


def test_a_table_of_other_labels_needs_an_outcome_and_warns_without_prompts(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        "text,label\n" + "".join(f"{e.text.replace(',', '')},{int(e.label == 'F')}\n" for e in examples(60))
    )
    with pytest.raises(InputError, match="--outcome 0 or --outcome 1"):
        learned_from(table, tmp_path / "m")
    card = learned_from(table, tmp_path / "m", outcome="1")
    assert card["trained_on"]["grouped_by"] == "text"  # type: ignore[index]
    assert card["outcome"] == "1"
    table.write_text("text,mark\nx,1\n")
    with pytest.raises(InputError, match="--map COLUMN=label"):
        learned_from(table, tmp_path / "m")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="choose another --out"):
        learned_from(table, tmp_path / "mine")


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (("1", "-1"), {"minus_1": "-1", "1": "1"}),
        (("hate speech", "não ofensivo"), {"hate_speech": "hate speech", "nao_ofensivo": "não ofensivo"}),
        (("ódio", "odio"), {"odio": "odio", "label_2": "ódio"}),
        (("👍", "👎"), {"label_1": "👍", "label_2": "👎"}),
    ],
)
def test_labels_of_any_words_get_keys_and_keep_their_words(
    tmp_path: Path, words: tuple[str, str], keys: dict[str, str]
) -> None:
    table = tmp_path / "any.csv"
    rows = [(e.text.replace(",", ""), words[e.label == "F"], e.prompt) for e in examples(60)]
    table.write_text("\n".join(["text,label,prompt", *map(",".join, rows)]), "utf-8")
    card: Any = learned_from(table, tmp_path / "m", outcome=words[0])
    assert {label["key"]: label["title"]["pt"] for label in card["labels"]} == keys
    assert keys[card["outcome"]] == words[0]
    assert sum(card["trained_on"]["labels"].values()) == 60


def test_rows_that_repeat_or_hold_nothing_and_labels_of_one_prompt_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"veneno {k}", "F", f"p{k % 4}") for k in range(8)] + [(f"seguro {k}", "T", f"p{k % 4}") for k in range(8)]
    rows += [("bolo um", "H", "p0"), ("bolo dois", "H", "p0"), ("veneno 0", "F", "p0")]
    rows += [("", "F", "p1"), ("só texto", "", "p1")]
    path = tmp_path / "l.csv"
    path.write_text("text,label,prompt\n" + "".join(",".join(row) + "\n" for row in rows), "utf-8")
    learned_from(path, tmp_path / "m", folds=2)
    said = capsys.readouterr().err
    assert "2 rows have no text or no label and are left out" in said
    assert "1 rows repeat another one whole" in said
    assert "the label H stands at one prompt only" in said


def test_a_mapped_column_that_is_not_there_is_refused_and_a_bad_line_named(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,label\nx,1\n")
    with pytest.raises(InputError, match="--map body=text: it has no column 'body'"):
        learned_from(table, tmp_path / "m", column_map=("body=text",))
    lines = tmp_path / "t.jsonl"
    lines.write_text('{"text": "x", "label": 1}\n{"text": "y"}\n')
    with pytest.raises(InputError, match="line 2: no column is the label"):
        learned_from(lines, tmp_path / "m")
    many = tmp_path / "many.csv"
    many.write_text("text,label\n" + "".join(f"x{k},word {k}\n" for k in range(12)))
    with pytest.raises(InputError, match="--labels A=TITLE,B=TITLE says which words of the column count"):
        learned_from(many, tmp_path / "m")


def test_what_the_model_cannot_know_is_unscored(model: Path) -> None:
    scorer = scoring.build("learned", {"model": str(model)}, "m", "pt")
    texts = ["这是一个关于疫苗的中文句子，没有人知道里面有什么东西。", "!!! ...", "👍👍", " "]
    found = [scorer(completion(text), NEW) for text in texts]  # type: ignore[call-arg, arg-type, union-attr]
    assert [(score.value, score.label) for score in found] == [(None, None)] * 3 + [(0.0, "empty")]  # type: ignore[union-attr]


def test_a_battery_s_own_labels_keep_their_sides() -> None:
    own = label_set({"a": {"pt": "A favor", "side": "endorse"}, "c": {"pt": "Contra", "side": "refute"}}, "here")
    named = {"F": "a", "T": "c"}
    rows = [Example(prompt=e.prompt, text=e.text, label=named[e.label]) for e in examples() if e.label != "H"]
    files = learn(rows, own, outcome="a", folds=3, seed=1, source={})
    assert [(x["key"], x["side"]) for x in json.loads(files["card.json"])["labels"]] == [
        ("a", "endorse"), ("c", "refute"),
    ]  # fmt: skip
