"""The verb `learn`: a scorer fitted on human labels, with its validity card."""

from __future__ import annotations

from typing import Any

import click

from biasaudit.cli_label import LABELS, MEASURE
from biasaudit.terminal import JSON, PATH, QUIET, SEED, show


@click.command()
@click.argument("source", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder to make: the model and its card.")
@LABELS
@MEASURE
@click.option("--outcome", default="", metavar="LABEL",
              help="The label whose share is the scorer's value (default: the one that endorses).")  # fmt: skip
@click.option("--map", "column_map", multiple=True, metavar="COLUMN=FIELD",
              help="Which column of a table is text, label, prompt, arm or language. Repeat it.")  # fmt: skip
@click.option("--language", default="", metavar="CODE", help="Language of a table's texts, where no column says it.")
@click.option("--folds", type=click.IntRange(2, 20), default=5, show_default=True, help="Folds, each of whole prompts.")
@click.option("--seed", type=SEED, default=1337, show_default=True, help="Of the division into folds.")
@QUIET
@JSON
def learn(**given: Any) -> None:
    """Fit a scorer on human labels: of a run, or of a CSV, TSV or JSONL file with text, label and prompt.

    The folder that it makes is the option `model` of the scorer `learned`. The manual: docs/learn.md.
    """
    from biasaudit.pipeline.learn import learn_command

    as_json = given.pop("as_json")
    show(learn_command(**given), as_json)
