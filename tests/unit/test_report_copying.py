"""The section on copying: nothing without it, both languages, hostile texts inert, spans marked."""

from __future__ import annotations

from typing import Any

import pytest
import report_example

from biasaudit.report.sections import copying
from biasaudit.report.view import LOCALES


def found(**changes: Any) -> dict[str, Any]:
    """A summary as a run keeps it."""
    decoding_id = report_example.battery().decodings[0].decoding_id

    def row(lengths: list[list[int]], at_least: int = 50) -> dict[str, Any]:
        total = sum(count for _, count in lengths)
        copied = sum(count for length, count in lengths if length >= at_least)
        quantiles = [{"at": at, "tokens": lengths[-1][0]} for at in (0.5, 0.9, 0.99, 1.0)]
        return {"completions": total, "copied": copied, "share": copied / total, "quantiles": quantiles,
                "lengths": lengths}  # fmt: skip

    def arm(name: str, lengths: list[list[int]]) -> dict[str, Any]:
        counts = row(lengths)
        times = [{"low": low, "high": None, "completions": counts["copied"] * (low == 1)} for low in (1, 2, 10, 100)]
        return {"arm": name, "decoding_id": decoding_id, **counts, "times": times, "identifiers": {}, "leaking": 0,
                "placeholders": 3}  # fmt: skip

    part = {"text": "antes <script>x</script> copiado [CPF] depois", "span": [25, 38], "cut": [True, False]}
    entry = {"arm": "telegram", "decoding_id": decoding_id, "prompt_id": "p", "index": 0, "tokens": 61, "times": 1,
             "corpus": "telegram", "document": 3, "channel": "c-\u202e9f", "source": "dump.csv", "offset": 12,
             "copies": 1, "completion": part, "training": part}  # fmt: skip
    corpus = {"name": "telegram", "fingerprint": "f" * 64, "arms": ["telegram"], "masked": True, "documents": 10_000,
              "tokens": 365_000, "tokenizer_fingerprint": "t"}  # fmt: skip
    return {"at_least": 50, "corpora": [corpus], "missing": [],
            "arms": [arm("base", [[4, 90], [9, 10]]), arm("telegram", [[5, 80], [30, 15], [61, 5]])],
            "held_out": {**row([[6, 50], [40, 2]]), "tokens": 64}, "longest": [entry], **changes}  # fmt: skip


def shown(locale: str, **changes: Any) -> str:
    view = report_example.make(2).view(copying={"copying": found(**changes)})
    return str(copying.render(view, locale))


def test_a_run_without_copying_has_no_such_section() -> None:
    assert str(copying.render(report_example.make(2).view(), "pt")) == ""


@pytest.mark.parametrize("locale", LOCALES)
def test_every_arm_stands_beside_the_level_of_held_out_messages(locale: str) -> None:
    page = shown(locale)
    assert {"en": "held-out messages", "pt": "mensagens reservadas"}[locale] in page
    assert {"en": "telegram 5.00%", "pt": "telegram, 5,00%"}[locale] in page
    assert page.count("<svg") == 2
    assert {"en": "Personal data was masked before training.", "pt": "Os dados pessoais foram mascarados"}[
        locale
    ] in page


def test_copies_are_marked_and_inert() -> None:
    page = shown("en")
    assert "<script>" not in page
    assert "<mark>" in page
    assert "copiado [CPF]" in page.replace("</mark>", "").replace("<mark>", "")
    assert "\u202e" not in page
    assert "c-[U+202E]9f · dump.csv · byte 12" in page


def test_corpora_that_are_not_here_are_named() -> None:
    assert "the corpus of neutral" in shown("en", missing=["neutral"])


def test_a_run_whose_arms_wrote_nothing_has_no_figure() -> None:
    page = shown("en", arms=[], held_out=None, longest=[])
    assert "<svg" not in page
