"""The column form of masking is the plain one, element by element; both stop where nothing more is found."""

from __future__ import annotations

from collections import Counter

import privacy_example as example
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.corpus.privacy import KINDS, LINKS, mask, mask_all, mask_batch
from biasaudit.errors import UnknownNameError

FORMS = sorted({case.text for case in example.cases(7, 6)})
PIECES = st.one_of(
    st.sampled_from(FORMS),
    st.sampled_from(
        [
            "\n",
            " ",
            ", ",
            "-",
            ".",
            "/",
            "(",
            "55",
            "11",
            "9",
            "@",
            "\u200b",
            "ação",
            "https://",
            "[LINK]",
            "\x1c",
            "\u2028",
            "\u212a",
        ]
    ),
    st.sampled_from([f"[{kind}]" for kind in KINDS]),
    st.text(max_size=6),
)
TEXTS = st.lists(PIECES, max_size=6).map("".join).filter(lambda text: text.isprintable() or "\ud800" not in text)


def encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


@given(st.lists(TEXTS.map(encodable), max_size=5), st.booleans())
def test_a_column_is_masked_as_each_of_its_texts(texts: list[str], names: bool) -> None:
    batch = mask_batch(pa.array(texts, pa.string()), names=names)
    single = [mask(text, names=names) for text in texts]
    assert batch.text.to_pylist() == [masked.text for masked in single]
    assert batch.counts == sum((masked.counts for masked in single), Counter())
    assert batch.documents == sum(bool(masked.counts) for masked in single)


@given(TEXTS.map(encodable), st.sampled_from([None, LINKS, frozenset({"CPF"}), frozenset({"PHONE", "USER"})]))
def test_masking_a_masked_column_changes_nothing(text: str, kinds: frozenset[str] | None) -> None:
    once = mask_batch(pa.array([text], pa.string()), kinds)
    again = mask_batch(once.text, kinds)
    assert again.text == once.text
    assert not again.counts
    assert once.text.to_pylist() == [mask(text, kinds).text]


def test_every_form_is_masked_alike_in_a_column_and_alone() -> None:
    batch = mask_batch(pa.array(FORMS, pa.string()))
    assert batch.text.to_pylist() == [mask(text).text for text in FORMS]


def test_long_texts_are_looked_through_by_another_engine_with_the_same_result() -> None:
    filler = "Nada de novo na cidade, e ninguém disse por quê. " * 100
    for text in FORMS[::7]:
        assert mask(filler + text).text == filler + mask("quê. " + text).text.removeprefix("quê. ")


def test_an_empty_column_stays_empty_and_unknown_kinds_are_refused() -> None:
    assert len(mask_batch(pa.array([], pa.string())).text) == 0
    with pytest.raises(UnknownNameError, match="Did you mean 'PHONE'"):
        mask_batch(pa.array(["x"]), ["FONE"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("meu nome é Maria da Silva e moro aqui", "meu nome é [NAME] e moro aqui"),
        ("me chamo João, prazer", "me chamo [NAME], prazer"),
        ("Olá, sou o Carlos Souza, de Recife", "Olá, sou o [NAME], de Recife"),
        ("my name is John Smith.", "my name is [NAME]."),
        ("assinado: Ana Paula Lima", "assinado: [NAME]"),
        ("sou a favor da vacina", "sou a favor da vacina"),
    ],
)
def test_names_after_their_announcement_go_only_on_request(text: str, shown: str) -> None:
    assert mask(text, names=True).text == shown
    assert mask_batch(pa.array([text], pa.string()), names=True).text.to_pylist() == [shown]
    assert mask(text).text == text
    assert mask(shown, names=True).text == shown


def test_a_list_of_texts_is_masked_as_each_of_them() -> None:
    texts = ["", "Fale com maria@gmail.com", "nada aqui", "CPF 529.982.247-25, tel. (11) 91234-5678", "t.me/canal"] * 3
    assert mask_all(texts) == [mask(text) for text in texts]
    assert mask_all([]) == []
