"""What the pages for people say is there: links, options, rules, placeholders; and both languages say the same."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from biasaudit.cli import cli
from biasaudit.corpus import clean, language, privacy
from biasaudit.corpus import sources as door
from biasaudit.corpus.archives import SUFFIXES
from biasaudit.corpus.sources import csv, jsonl, parquet, telegram, text

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".", "docs", "corpora", "corpora/sample", "prompts", "reports")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
MANUAL = {name: ROOT / "docs" / f"corpus{name}.md" for name in ("", ".pt")}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Blocks of code, one after another."""
    return [body for _, body in FENCE.findall(page.read_text("utf-8"))]


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", MANUAL.values(), ids=MANUAL)
def test_every_option_that_the_manual_names_exists(page: Path) -> None:
    known = options(cli.commands["ingest"]) | options(cli.commands["corpus"].commands["find"])  # type: ignore[attr-defined]
    known |= {"--megabytes", "--messages"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text("utf-8"))) - known == set()


@pytest.mark.parametrize("page", MANUAL.values(), ids=MANUAL)
def test_the_manual_names_every_option_of_ingest_that_decides_what_a_corpus_holds(page: Path) -> None:
    wanted = options(cli.commands["ingest"]) - {"--help", "-h", "--quiet", "-q", "--json"}
    assert sorted(name for name in wanted if name not in page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", MANUAL.values(), ids=MANUAL)
def test_the_manual_names_every_rule_placeholder_source_and_ending(page: Path) -> None:
    said = page.read_text("utf-8")
    endings = {suffix for kind in (csv, jsonl, parquet, telegram, text) for suffix in kind.SUFFIXES} | set(SUFFIXES)
    wanted = [f"`{rule}`" for rule in clean.names() if rule != "legacy"]
    wanted += [f"`[{kind}]`" for kind in privacy.KINDS]
    wanted += [f"`{name}`" for name in door.names() if name != "hf"]
    wanted += [f"`{ending}`" for ending in endings]
    assert [name for name in wanted if name not in said] == []


@pytest.mark.parametrize("page", MANUAL.values(), ids=MANUAL)
def test_the_rules_that_the_manual_calls_on_are_the_default_ones(page: Path) -> None:
    rows = re.findall(r"^\| (`[a-z` -]+`) \| (on|off|ligada|desligadas?) \|", page.read_text("utf-8"), re.MULTILINE)
    on = [rule for names, state in rows for rule in re.findall(r"`([a-z-]+)`", names) if state in ("on", "ligada")]
    assert tuple(on) == clean.DEFAULT


def test_both_languages_show_the_same_commands() -> None:
    assert commands(MANUAL[""]) == commands(MANUAL[".pt"])
    plain = [re.sub(r" +#.*", "", block) for block in commands(ROOT / "README.md")]
    assert [re.sub(r" +#.*", "", block) for block in commands(ROOT / "README.pt.md")] == plain


def test_the_manual_gives_the_language_filter_its_own_numbers() -> None:
    for page in MANUAL.values():
        said = page.read_text("utf-8")
        assert f"{language._CERTAINTY:.0%}".replace("%", " %") in said
        assert str(language._FEWEST_LETTERS) in said


def helped(*words: str) -> str:
    """What `--help` prints, wide enough to break no line."""
    return CliRunner().invoke(cli, [*words, "--help"], terminal_width=1000, max_content_width=1000).output


def test_help_names_every_rule_and_kind_and_where_to_read_on() -> None:
    of = {
        option.opts[0]: str(option.help) for option in cli.commands["ingest"].params if isinstance(option, click.Option)
    }
    off, on = (of[name].split(":")[1] for name in ("--disable", "--enable"))
    assert tuple(re.findall(r"[a-z-]+", off.split(".")[0])) == clean.DEFAULT
    others = [rule for rule in clean.names() if rule not in (*clean.DEFAULT, "legacy")]
    assert re.findall(r"[a-z-]+", on.split(".")[0]) == others
    assert [name for name in door.names() if name != "hf" and name not in of["--source"]] == []
    said = helped("ingest")
    wanted = [*SUFFIXES, "hf:NAME[/CONFIG][@SPLIT]", "docs/corpus.md", "folders"]
    assert [word for word in wanted if word not in said] == []


def test_help_gives_the_validation_its_own_number() -> None:
    from biasaudit.lm.validate import VALIDATION_TOKENS

    assert f"(default: {VALIDATION_TOKENS};" in helped("finetune")


def test_help_shows_its_examples_a_line_each() -> None:
    lines = [line.strip() for line in helped().splitlines()]
    assert len([line for line in lines if line.startswith("biasaudit ")]) == 4
    verbs = [(name,) for name in cli.commands] + [("corpus", "find")]
    assert [verb for verb in [(), *verbs] if re.search(r"\\b|\x08", helped(*verb))] == []


@pytest.mark.parametrize("name", ["designs.md", "designs.pt.md"])
def test_every_design_has_its_row_and_the_page_names_real_options(name: str) -> None:
    from biasaudit.stats.designs import DESIGNS

    page = ROOT / "docs" / name
    said = page.read_text("utf-8")
    assert tuple(re.findall(r"^\| `([a-z]+)` \|", said, re.MULTILINE)) == DESIGNS
    known = {option for verb in ("run", "analyse", "finetune", "sample") for option in options(cli.commands[verb])}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said)) - known == set()
    assert commands(page) == commands(ROOT / "docs" / "designs.md")
    assert {"--dose", "--condition"} <= set(re.findall(r"--[a-z]+", (ROOT / "docs" / "arms.md").read_text("utf-8")))
