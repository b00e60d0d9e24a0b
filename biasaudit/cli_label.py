"""The verb `label`: a blind labelling page, and the way of its labels back into the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biasaudit.terminal import JSON, PATH, QUIET, REPORT_LANGUAGE, SEED, show

MEASURE = click.option("--measure", default="", help="The battery's human measure whose labels are given, where it "
                       "has several.")  # fmt: skip
LABELS = click.option("--labels", default="", metavar="T,F,H",
                      help="The labels: keys, or KEY=title (default: those of the battery's human measure, else "
                      "T,F,H).")  # fmt: skip


class PageFirst(click.Group):
    """A group whose first word may be a run: then a page is made of it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `page` before what is no verb of the group."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["page", *args]
        return super().parse_args(ctx, args)


@click.group(cls=PageFirst)
def label() -> None:
    """Let people label completions blind, and bring their labels home.

    `biasaudit label RUN` makes the page, `biasaudit label import RUN FILE...` stores what was exported. The manual:
    docs/labelling.md.
    """


@label.command()
@click.argument("run_folder", type=PATH)
@click.option("--per-prompt", type=click.IntRange(1), default=None, metavar="N",
              help="Completions read of every prompt and arm (default: 100 an arm that count).")  # fmt: skip
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=None,
              help="Share of the completions that is read, instead of --per-prompt.")  # fmt: skip
@LABELS
@MEASURE
@click.option("--raters", type=click.IntRange(1, 50), default=1, show_default=True, help="People who share the work.")
@click.option("--double", type=click.FloatRange(0, 1), default=0.2, show_default=True,
              help="Share of the texts that a second person reads.")  # fmt: skip
@click.option("--repeat", type=click.FloatRange(0, 1), default=0.05, show_default=True,
              help="Share of a list that comes again, so that people can be held against themselves.")  # fmt: skip
@click.option("--seed", type=SEED, default=1, show_default=True, help="Another seed chooses other completions.")
@click.option("--every-decoding", is_flag=True, help="Not only the run's first decoding.")
@click.option("--out", type=PATH, default=Path("labels.html"), show_default=True, help="The page.")
@REPORT_LANGUAGE
@QUIET
@JSON
def page(as_json: bool, **given: Any) -> None:
    """Write one offline HTML page with completions of all arms, shuffled, arms hidden."""
    from biasaudit.pipeline.label import label_command

    show(label_command(**given), as_json)


@label.command("import")
@click.argument("run_folder", type=PATH)
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option("--rater", default="", help="Who labelled, where the file does not say (or says it wrong).")
@click.option("--arm", default="", help="Which arm a table or transcript is of, where it does not say.")
@LABELS
@MEASURE
@click.option("--partial", is_flag=True, help="Store an export whose list is not finished.")
@click.option("--edited", is_flag=True, help="Take an export that was changed after it was exported.")
@click.option("--replace", is_flag=True, help="Let new labels count where they contradict stored ones.")
@REPORT_LANGUAGE
@QUIET
@JSON
def import_labels(as_json: bool, **given: Any) -> None:
    """Check FILES (exports .json, tables .csv .tsv .jsonl, transcripts .txt) and store their labels in the run."""
    from biasaudit.pipeline.label_import import import_command

    show(import_command(**given), as_json)
