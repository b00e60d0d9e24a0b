"""Copying: planted spans at their true length, none where there is none, personal data, corpora of arms, masking."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copying_example import PROMPT, arm, completion, corpus, nonsense, plan
from privacy_maker import Maker

from biasaudit import scoring
from biasaudit.corpus.privacy import hide, mask
from biasaudit.errors import InputError, UsageError
from biasaudit.lm.tokenizer import TextTokenizer, load_tokenizer, train_tokenizer
from biasaudit.pipeline import copying
from biasaudit.pipeline.copying import Against, open_corpora, with_corpora
from biasaudit.pipeline.copying_summary import summary
from biasaudit.pipeline.progress import Console
from biasaudit.pipeline.score import completion_scorer
from biasaudit.records import Completion, Measure, Score

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("copying") / "telegram", nonsense(700, 1))


@pytest.fixture(scope="module")
def words(folder: Path) -> TextTokenizer:
    return load_tokenizer(folder / "tokenizer")


def against(folder: Path, words: TextTokenizer, **options: Any) -> Against:
    measure = Measure(name="copying", scorer="copying", options=options)
    arms = [arm("base", words.fingerprint), arm("tuned", words.fingerprint)]
    return open_corpora(plan(arms, corpora={"tuned": str(folder)}, measures=[measure]), QUIET)["copying"]


def scores(text: Against, completions: list[Completion], **options: Any) -> list[Score]:
    measure = Measure(name="copying", scorer="copying", options=options)
    scorer = completion_scorer(plan([arm("tuned")], measures=[measure]).battery, "pt", corpora={"copying": text})
    return scorer(completions)["copying"]


def strange(rng: random.Random, words: TextTokenizer, count: int) -> list[int]:
    """Random tokens that stand for whole characters, so that the text writes them back."""
    return [rng.randrange(300, words.vocab_size - 1) for _ in range(count)]


def test_planted_copies_of_20_to_200_tokens_are_found_at_their_true_length(folder: Path, words: TextTokenizer) -> None:
    held = against(folder, words)
    index, rng = held.opened[0].index, random.Random(3)
    planted: list[tuple[int, Completion]] = []
    while len(planted) < 300:
        document = index.document(rng.randrange(index.documents)).tolist()
        length = rng.randint(20, 200)
        if length > len(document):
            continue
        start = rng.randrange(len(document) - length + 1)
        span = document[start : start + length]
        before, behind = strange(rng, words, rng.randint(1, 30)), strange(rng, words, rng.randint(1, 30))
        # The neighbours must not happen to go on with the passage, which would make it longer than what was planted.
        if index.longest_common_span([*before[-1:], *span]) > length:
            continue
        if index.longest_common_span([*span, *behind[:1]]) > length:
            continue
        ids = [*before, *span, *behind]
        planted.append((length, completion(words.decode(ids), len(planted), token_ids=ids)))
    found = scores(held, [one for _, one in planted])
    assert [int(score.value or 0) for score in found] == [length for length, _ in planted]
    assert [score.label for score in found] == ["copied" if length >= 50 else "own" for length, _ in planted]


def test_no_random_completion_of_ten_thousand_is_called_copied(folder: Path, words: TextTokenizer) -> None:
    rng = np.random.default_rng(4)
    held = against(folder, words)
    pool = np.asarray(held.opened[0].index.text, np.int64)
    pool = pool[pool != words.eot_id]
    ids = rng.choice(pool, (10_000, 64))
    found = scores(held, [completion("x", n, token_ids=row) for n, row in enumerate(ids.tolist())])
    assert sum(score.label == "copied" for score in found) == 0
    assert max(score.value or 0 for score in found) < 20


def test_a_copy_is_marked_in_the_text_and_counted_with_its_repetition(tmp_path: Path) -> None:
    texts = nonsense(40, 2)
    texts += [texts[0]] * 4
    folder = corpus(tmp_path / "c", texts)
    held = against(folder, load_tokenizer(folder / "tokenizer"), at_least=20)
    copied = " ".join(texts[0].split()[5:40])
    text = f"Çáé 💉 outra coisa {copied} 💉 e mais"
    [score] = scores(held, [completion(text)], at_least=20)
    # The blank before the first word belongs to its token.
    assert score.spans
    start, stop = score.spans[0]
    assert text[start:stop].strip() == copied
    [tally] = held.tallies.values()
    assert tally.times == {4: 1}, "one of the five is held out"


def test_text_of_another_tokenizer_is_tokenised_as_the_corpus_is(folder: Path, words: TextTokenizer) -> None:
    held = against(folder, words)
    document = held.opened[0].index.document(3).tolist()[:60]
    text = words.decode(document)
    foreign = dataclasses.replace(completion(text, token_ids=range(60)), arm_fingerprint="F-foreign")
    assert [score.value for score in scores(held, [foreign, completion(text, 1)])] == [60.0, 60.0]


def test_placeholders_end_a_span(tmp_path: Path) -> None:
    texts = nonsense(60, 5)
    left, right = texts[0], texts[1]
    folder = corpus(tmp_path / "c", [*texts[2:], f"{left} [LINK] {right}"])
    words = load_tokenizer(folder / "tokenizer")
    held = against(folder, words)
    [score] = scores(held, [completion(f" {left} [LINK] {right}")])
    assert score.value is not None
    assert score.value <= max(len(words.encode(f" {left}")), len(words.encode(f" {right}")))


def test_empty_completions_and_completions_without_a_corpus(folder: Path, words: TextTokenizer) -> None:
    [score] = scores(against(folder, words), [completion(" \n")])
    assert (score.value, score.label) == (0.0, "empty")
    alone = scoring.build("copying", {}, "copying", "pt")(completion("texto"), PROMPT)  # type: ignore[arg-type,call-arg]
    assert (alone.value, alone.label) == (None, None)  # type: ignore[union-attr]


def test_personal_data_counts_only_where_the_corpus_holds_it_too(tmp_path: Path) -> None:
    maker = Maker(1)
    cpf, other = maker.cpf(), maker.cpf()
    folder = corpus(tmp_path / "c", [*nonsense(30, 6), f"o CPF dela: {cpf}, anota"], masked=False)
    held = against(folder, load_tokenizer(folder / "tokenizer"), metric="personal")
    dotted = f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"
    texts = [f"meu CPF é {dotted}!", f"meu CPF é {other}", "liga para [PHONE] hoje", f"o número 7{cpf}1", ""]
    found = scores(held, [completion(text, n) for n, text in enumerate(texts)], metric="personal")
    assert [(score.value, score.label) for score in found] == [
        (1.0, "personal"), (0.0, "own"), (0.0, "placeholder"), (1.0, "personal"), (0.0, "empty"),
    ]  # fmt: skip
    assert texts[0][slice(*found[0].spans[0])] == dotted
    [tally] = held.tallies.values()
    assert (tally.leaking, tally.placeholders, dict(tally.identifiers)) == (2, 1, {"CPF": 1, "unmasked": 1})
    assert texts[3][slice(*found[3].spans[0])] == cpf
    assert hide(mask(texts[3]), found[3].spans).text == "o número 7[ID]1"
    assert hide(mask(texts[0]), found[0].spans).text == "meu CPF é [CPF]!"


def test_identifiers_in_longer_strings_are_kept_by_place_whatever_is_measured(tmp_path: Path) -> None:
    cpf = Maker(1).cpf()
    folder = corpus(tmp_path / "c", [*nonsense(30, 6), f"o CPF dela: {cpf}, anota"], masked=False)
    held = against(folder, load_tokenizer(folder / "tokenizer"))
    one = completion(f"o número 7{cpf}1", 3)
    scores(held, [completion("nada"), one])
    [tally] = held.tallies.values()
    assert tally.within == [(PROMPT.prompt_id, 3, [(10, 10 + len(cpf))])]
    assert one.text[10 : 10 + len(cpf)] == cpf


def test_a_corpus_that_was_masked_is_not_read_for_personal_data(
    folder: Path, words: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biasaudit.corpus.identifiers.identifiers", lambda *_, **__: pytest.fail("read"))
    assert len(against(folder, words).opened[0].identifiers) == 0


def test_every_arm_is_held_against_the_corpus_of_the_tuned_arm(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "corpora"
    home.mkdir()
    (home / "telegram").symlink_to(folder)
    (home / "half-made").mkdir()
    (home / "half-made" / "card.json").write_text("{")
    monkeypatch.setattr(copying, "HOME", home)
    fingerprint = json.loads((folder / "card.json").read_text())["fingerprint"]
    named = {"corpora": [{"name": "telegram", "fingerprint": fingerprint}]}
    lost = {"corpora": [{"name": "lost", "fingerprint": "0" * 64}]}
    arms = [arm("base"), arm("placebo", card=lost), arm("tuned", card=named)]
    held = open_corpora(plan(arms), QUIET)["copying"]
    assert [(source.name, source.arms) for source in held.sources] == [("telegram", ("tuned",))]
    assert scores(held, [completion("x", of="base")])[0].value is not None
    assert open_corpora(plan([arm("base"), arm("tuned", card=lost)]), Console(quiet=True)) == {}
    assert "no folder here holds the corpus of lost, so every completion is unscored" in capsys.readouterr().err


def test_corpora_that_cannot_be_used_are_refused_with_words(folder: Path, tmp_path: Path) -> None:
    other = corpus(tmp_path / "other", nonsense(40, 9), words=train_tokenizer(nonsense(40, 9), 400))
    arms = [arm("base"), arm("a"), arm("b")]
    both = {"a": str(folder), "b": str(other)}
    with pytest.raises(InputError, match="have different tokenizers, so lengths in tokens do not compare"):
        open_corpora(plan(arms, corpora=both), QUIET)
    one = [Measure(name="copying", scorer="copying", options={"corpus": "b"})]
    assert [s.name for s in open_corpora(plan(arms, corpora=both, measures=one), QUIET)["copying"].sources] == ["other"]
    with pytest.raises(UsageError, match="no arm is called 'c'; arms are base, a, b"):
        with_corpora(plan(arms), [f"c={folder}"], QUIET)
    with pytest.raises(UsageError, match="not a corpus"):
        with_corpora(plan(arms), [f"a={tmp_path}"], QUIET)
    wrong = [Measure(name="copying", scorer="copying", options={"corpus": "nowhere"})]
    with pytest.raises(InputError, match="neither an arm of this run"):
        with_corpora(plan(arms, measures=wrong), [], QUIET)
    with pytest.raises(InputError, match="option 'corpus' must be"):
        scoring.build("copying", {"corpus": 3}, "m", "pt")


def test_what_a_run_keeps_is_masked_and_cuts_no_placeholder(tmp_path: Path) -> None:
    maker = Maker(2)
    cpfs = [maker.cpf() for _ in range(20)]
    texts = nonsense(80, 7)
    secret = [f"{text[:100]} CPF {cpf} {text[100:160]}" for text, cpf in zip(texts[:20], cpfs, strict=True)]
    folder = corpus(tmp_path / "c", [*texts[20:], *secret], masked=False)
    words = load_tokenizer(folder / "tokenizer")
    arms = [arm("base"), arm("tuned")]
    chosen = plan(arms, corpora={"tuned": str(folder)})
    held = open_corpora(chosen, QUIET)["copying"]
    # Copies that end in the midst of a number: the training message around them is masked as a whole.
    cut = [text[text.index("CPF") - 40 * n : text.index("CPF") + 9] for n, text in enumerate(secret[:2], start=1)]
    scores(held, [completion(text, n) for n, text in enumerate([*cut, *secret])])
    scores(held, [completion(nonsense(1, 99)[0], 0, of="base")])
    kept = summary(chosen, held)
    said = json.dumps(kept)
    assert [cpf for cpf in cpfs if cpf in said] == []
    assert "[CPF]" in said
    base, tuned = kept["arms"]
    assert (base["share"], tuned["leaking"]) == (0.0, 18), "two of the twenty were held out"
    assert tuned["completions"] == 22
    assert sum(entry["completions"] for entry in tuned["times"]) == tuned["copied"]
    first = kept["longest"][0]
    assert (first["arm"], first["source"]) == ("tuned", "dump.csv")
    assert first["channel"].startswith("channel-")
    training = first["training"]
    assert (
        training["text"][slice(*training["span"])].strip()
        == first["completion"]["text"][slice(*first["completion"]["span"])].strip()
    )
    assert kept["held_out"]["share"] == 0.0
    assert words.fingerprint == kept["corpora"][0]["tokenizer_fingerprint"]
