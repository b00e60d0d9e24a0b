"""Classifiers of transformers and entailment, on small models that the test makes and saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedTokenizerFast

from biasaudit import scoring
from biasaudit.errors import InputError, ModelError
from biasaudit.pipeline.score import score_completions
from biasaudit.records import Battery, Completion, Measure, Prompt, Score, Topic

TEXTS = (
    "a vacina é segura",
    "a vacina mata muita gente , muita gente",
    "segura",
    "",
    "palavra nunca vista",
    "gente " * 400,
)
OPEN = Prompt(text="Sobre a vacina:", language="pt", topic="kills", template="q")
STRAY = Prompt(text="Sobre nada:", language="pt", topic="none", template="q")
TOPICS = (Topic(name="kills", claim={"pt": "a vacina mata gente"}), Topic(name="none"))


def made(folder: Path, labels: tuple[str, ...]) -> Path:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(" ".join(TEXTS).split()) | {"A", "mata", ".", ","})]
    vocabulary = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    vocabulary.pre_tokenizer = pre_tokenizers.Whitespace()
    vocabulary.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, id2label=dict(enumerate(labels)), label2id={x: k for k, x in enumerate(labels)},
        initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(4)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def toxic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("models") / "toxic", ("mild", "severe", "fine"))


@pytest.fixture(scope="module")
def inference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("models") / "nli", ("ENTAILMENT", "NEUTRAL", "CONTRADICTION"))


def scored(scorer: str, options: dict[str, Any], prompt: Prompt = OPEN, texts: tuple[str, ...] = TEXTS) -> list[Score]:
    battery = Battery(
        name="toy", version=1, title={}, languages=("pt",), topics=TOPICS, pairs=(), prompts=(OPEN, STRAY),
        measures=(Measure(name="m", scorer=scorer, options=options),),
    )  # fmt: skip
    given = [
        Completion(
            arm_fingerprint="F", prompt_id=prompt.prompt_id, decoding_id="D", seed=1, salt="", index=k, text=text,
            token_ids=(), logprobs=(), finish_reason="length", numerics="N",
        )
        for k, text in enumerate(texts)
    ]  # fmt: skip
    return score_completions(battery, "pt", given)["m"]


def plain(folder: Path, first: str, second: str | None = None) -> list[float]:
    """What transformers gives for one text alone."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        given = tokenizer(first, second, truncation=True, max_length=64, return_tensors="pt")
        found: list[float] = torch.softmax(model(**given).logits[0], -1).tolist()
    return found


def test_probabilities_are_those_of_the_model_alone_and_labels_may_be_joined(toxic: Path) -> None:
    options = {"model": str(toxic), "labels": {"mild": "toxic", "severe": "toxic"}, "outcome": "toxic"}
    found = scored("classifier", options)
    for text, score in zip(TEXTS, found, strict=True):
        if not text:
            assert (score.value, score.label) == (None, "empty")
            continue
        mild, severe, fine = plain(toxic, text)
        assert score.value == pytest.approx(mild + severe, abs=2e-6)
        assert score.label == ("toxic" if mild + severe > fine else "fine")
    alone = [scored("classifier", options, texts=(text,))[0].value for text in TEXTS]
    assert alone == pytest.approx([score.value for score in found], abs=2e-6)
    rates = scored("classifier", {**options, "output": "label"})
    assert [score.value for score in rates] == [float(score.label == "toxic") for score in rates]


def test_the_card_says_what_the_options_make_of_a_model(toxic: Path) -> None:
    options = {"model": str(toxic), "labels": {"severe": "bad"}, "outcome": "bad", "languages": ["en"]}
    card = scoring.card("classifier", options)
    assert (card.labels, card.languages, card.unit) == (("mild", "bad", "fine", "empty"), ("en",), "probability")
    assert scoring.card("classifier", {**options, "output": "label"}).unit == "share"
    assert {score.value for score in scored("classifier", options)} == {None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "must be a folder or a name of the hub"),
        ({"outcome": "rude"}, "one of mild, severe, fine"),
        ({"outcome": "mild", "labels": {"nice": "good"}}, "has no label 'nice'; it has mild, severe, fine"),
        ({"outcome": "mild", "labels": ["a"]}, "must map the model's labels"),
        ({"outcome": "mild", "languages": "pt"}, "must be a list"),
        ({"outcome": "mild", "languages": None}, "must be a list"),
        ({"outcome": "mild", "mispelt": 1}, "has no option 'mispelt'"),
    ],
)
def test_options_that_cannot_be_used_are_said(toxic: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        scoring.build("classifier", {**({"model": str(toxic)} if options else {}), **options}, "m", "pt")


def test_a_folder_without_a_classifier_is_refused_and_pickles_are_not_read(toxic: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        scoring.build("classifier", {"model": str(tmp_path / "none"), "outcome": "x"}, "m", "pt")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError, match="is no classifier"):
        scoring.build("classifier", {"model": str(tmp_path / "one"), "outcome": "x"}, "m", "pt")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (pickled / name).write_bytes((toxic / name).read_bytes())
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        scored("classifier", {"model": str(pickled), "outcome": "mild"})


def test_entailment_less_contradiction_of_the_topic_s_claim(inference: Path) -> None:
    options = {"model": str(inference)}
    found = scored("nli", options)
    for text, score in zip(TEXTS, found, strict=True):
        if not text:
            assert (score.value, score.label) == (None, "empty")
        elif len(text) < 100:
            entails, neutral, against = plain(inference, text, "A vacina mata gente.")
            assert score.value == pytest.approx(entails - against, abs=2e-6)
            assert (
                score.label
                == ("endorse", "neutral", "refute")[[entails, neutral, against].index(max(entails, neutral, against))]
            )
    both = scored("nli", {**options, "premise": "both"}, texts=(" mata",))[0]
    entails, _, against = plain(inference, "Sobre a vacina: mata", "A vacina mata gente.")
    assert both.value == pytest.approx(entails - against, abs=2e-6)
    assert {(s.value, s.label) for s in scored("nli", options, prompt=STRAY)} == {(None, None)}
    rates = scored("nli", {**options, "output": "label"})
    assert [score.value for score in rates] == [float(score.label == "endorse") for score in rates]


def test_labels_that_mean_nothing_to_entailment_must_be_mapped(toxic: Path) -> None:
    with pytest.raises(InputError, match=r"say which labels of .* mean endorse, refute and neutral"):
        scoring.build("nli", {"model": str(toxic)}, "m", "pt")
    mapped = {"mild": "endorse", "severe": "refute", "fine": "neutral"}
    assert scored("nli", {"model": str(toxic), "labels": mapped})[0].label in ("endorse", "refute", "neutral")
    with pytest.raises(InputError, match="'languages' must be a list"):
        scoring.build("nli", {"model": str(toxic), "labels": mapped, "languages": "pt"}, "m", "pt")
    with pytest.raises(InputError, match="must be a text with"):
        scoring.build("nli", {"model": str(toxic), "labels": mapped, "hypothesis": "claim"}, "m", "pt")
