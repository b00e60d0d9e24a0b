"""The manual of labelling says what is there: options, keys, files; and both languages say the same."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from biasaudit.cli_label import label
from biasaudit.report.words import table

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / f"labelling{name}.md" for name in ("", ".pt")]


def options() -> set[str]:
    return {
        name
        for command in label.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
        if name.startswith("--")
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_is_explained_and_none_is_invented(page: Path) -> None:
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text("utf-8")))
    assert said - options() == set()
    assert options() - said - {"--quiet", "--json", "--report-language"} == set()


def test_both_languages_show_the_same_commands() -> None:
    blocks = [re.findall(r"^```\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL) for page in PAGES]
    assert blocks[0] == blocks[1]


def test_the_page_uses_every_word_that_it_carries() -> None:
    words = {key.removeprefix("label_page.") for key in table("en") if key.startswith("label_page.")}
    folder = ROOT / "biasaudit" / "report"
    used = (folder / "assets" / "label.js").read_text("utf-8") + (folder / "templates" / "label.html").read_text(
        "utf-8"
    )
    assert {word for word in words if word not in used} == set()


@pytest.mark.parametrize("locale", ["pt", "en"])
def test_every_sentence_of_the_page_is_given_what_it_asks_for(locale: str) -> None:
    script = (ROOT / "biasaudit" / "report" / "assets" / "label.js").read_text("utf-8")
    given = dict(re.findall(r'fill\("(\w+)", \{([^}]*)\}\)', script))
    assert set(given) >= {"where", "claim", "given", "undone", "saved", "loaded", "reader_option"}
    for key, passed in given.items():
        asked = set(re.findall(r"\{(\w+)\}", table(locale)[f"label_page.{key}"]))
        assert asked == {part.split(":")[0].strip() for part in re.sub(r"\([^)]*\)", "", passed).split(",")}, key
