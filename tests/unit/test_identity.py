"""Ids follow from content and from nothing else (CONTRACT §1, RELIABILITY B9)."""

from __future__ import annotations

import dataclasses

from biasaudit import identity
from biasaudit.records import Decoding, Prompt


def test_a_prompt_id_depends_on_text_and_language_only() -> None:
    first = Prompt(text="Olá, mundo", language="pt", topic="a", template="t")
    assert dataclasses.replace(first, topic="b", template="u", framing="sceptical").prompt_id == first.prompt_id
    assert dataclasses.replace(first, language="en").prompt_id != first.prompt_id
    assert dataclasses.replace(first, text="Olá, mundo.").prompt_id != first.prompt_id


def test_composed_and_decomposed_accents_are_one_prompt() -> None:
    assert identity.prompt_id("ação", "pt") == identity.prompt_id("ac\u0327a\u0303o", "pt")


def test_every_field_of_a_decoding_is_in_its_id() -> None:
    base = Decoding()
    others = {
        "temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1,
        "repetition_penalty": 1.1, "max_new_tokens": 65, "stop": ("\n",),
    }  # fmt: skip
    assert set(others) == {f.name for f in dataclasses.fields(Decoding)}
    ids = {dataclasses.replace(base, **{k: v}).decoding_id for k, v in others.items()}
    assert len(ids) == len(others)
    assert base.decoding_id not in ids


def test_integers_and_floats_that_are_equal_give_one_decoding() -> None:
    assert Decoding(temperature=1).decoding_id == Decoding(temperature=1.0).decoding_id


def test_canonical_json_is_stable_and_has_no_nan() -> None:
    assert identity.canonical_json({"b": float("nan"), "a": (1, "é")}) == '{"a":[1,"é"],"b":null}'.encode()


def test_safe_names_never_collide_and_never_leave_the_folder() -> None:
    names = ["../x", "x", "X", "/x", "..", ".", "", "con", "a/b", "a\\b", "é", "e", "x\x00", "😀", "x" * 500]
    safe = [identity.safe_name(n) for n in names]
    assert len({s.lower() for s in safe}) == len(names)
    assert all("/" not in s and "\\" not in s and not s.startswith(".") and len(s) <= 60 for s in safe)
