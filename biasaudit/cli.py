"""The command line: verbs, options and exit codes; nothing heavy is imported before a verb runs.

stdout carries results, stderr progress and errors. Exit codes: 0 done; 1 failed, nothing lost; 2 the user's input;
75 another process writes there; 130 and 143 on Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from biasaudit import __version__
from biasaudit.cli_label import label
from biasaudit.cli_learn import learn
from biasaudit.cli_lock import lock
from biasaudit.cli_options import ARMS, DECODING, LOOKS, NUMBER, options
from biasaudit.errors import BiasAuditError
from biasaudit.pipeline.signals import Terminated, signals_as_exceptions
from biasaudit.terminal import COMPLETIONS, JSON, PATH, QUIET, REPORT_LANGUAGE, show


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="biasaudit")
def cli() -> None:
    """What did that corpus do to the model?

    \b
    biasaudit run prompts/vaccines.yaml        audit the embedded arms: sample, score, analyse, report
    biasaudit ingest DUMP.csv --out corpora/x  clean, strip, dedupe, tokenise, split
    biasaudit finetune corpora/x --base gpt2 --out models/x
    biasaudit run prompts/vaccines.yaml --arm base=gpt2 --arm tuned=models/x
    """  # noqa: D301 (click wants the backspace itself)


@cli.command()
@click.argument("battery", type=PATH)
@ARMS
@DECODING
@click.option("--completions", "-n", type=COMPLETIONS, default=None,
              help="Completions a prompt from every arm; with --until the most of them.")  # fmt: skip
@click.option("--corpus", "corpora", multiple=True, metavar="NAME=FOLDER",
              help="The corpus that arm NAME was trained on, for measures of copying (default: by fingerprint, under "
              "corpora/). Repeat it.")  # fmt: skip
@click.option("--likelihood-dtype", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="fp32",
              show_default=True, help="Precision of likelihoods, whatever --dtype samples in.")  # fmt: skip
@LOOKS
@click.option("--lock", type=PATH, default=None, metavar="FILE",
              help="What was registered by `biasaudit lock` (default: BATTERY's .lock.json beside it).")  # fmt: skip
@click.option("--no-lock", is_flag=True, help="Leave a lock beside the battery out.")
@click.option("--language", default=None, help="Language of the prompts (default: that of the arms).")
@click.option("--out", type=PATH, default=None, help="Run folder (default: reports/<battery>/<time>-<hash>).")
@click.option("--reports", type=PATH, default=Path("reports"), show_default=True, help="Where run folders live.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True)
@click.option("--fresh", is_flag=True, help="Start a new run instead of going on with the one that fits.")
@REPORT_LANGUAGE
@QUIET
@JSON
def run(**given: Any) -> None:
    """Audit: battery -> completions of every arm -> scores -> statistics -> report.

    The same command again continues where it stopped; more completions, arms or prompts add only what is new.
    """
    from biasaudit.pipeline import run as stage

    as_json = given.pop("as_json")
    result = stage.run_command(**given)
    show(result, as_json)


@cli.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="Corpus folder to make.")
@click.option("--map", "column_map", multiple=True, metavar="COLUMN=FIELD",
              help="Which column is the text, id, channel_id or date. Repeat it.")  # fmt: skip
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Keep only records with this value.")
@click.option("--tokenizer", default="embedded:base", show_default=True, help="gpt2, embedded:NAME or a model folder.")
@click.option("--train-vocab", type=click.IntRange(300), default=None, help="Train a BPE of this size instead.")
@click.option("--split", type=click.Choice(["sequential", "hash", "channel", "date"]), default="sequential",
              show_default=True, help="How the validation tenth is chosen.")  # fmt: skip
@click.option("--source", "kind", default=None, metavar="KIND",
              help="Read every file as csv (dumps, tables), telegram, json, jsonl, parquet, whatsapp or text, whatever "
              "its ending.")  # fmt: skip
@click.option("--language", "only_language", default="", metavar="CODE",
              help="Keep documents of this language only, for instance pt (extra [score]).")  # fmt: skip
@click.option("--language-tag", "language", default="", metavar="CODE",
              help="Language to write into the data card, unchecked.")  # fmt: skip
@click.option("--duplicates", type=click.Choice(["near", "exact", "keep"]), default=None,
              help="Keep one of equal and almost equal texts (near, the default), of equal ones, or all.")  # fmt: skip
@click.option("--keep-duplicates", is_flag=True, help="The same as --duplicates keep.")
@click.option("--index-memory", type=click.IntRange(1), default=None, metavar="MB",
              help="Memory for finding duplicates; above it the disk is used (default: 32).")  # fmt: skip
@click.option("--join-messages", type=click.IntRange(1), default=1, metavar="N",
              help="Make one document of N consecutive messages of a channel.")  # fmt: skip
@click.option("--disable", multiple=True, metavar="RULE",
              help="Switch a cleaning rule off: controls, bidi, newlines, nfc, whitespace, forwarded. "
              "Repeat it.")  # fmt: skip
@click.option("--enable", multiple=True, metavar="RULE",
              help="Switch a cleaning rule on: bots, invites, urls, usernames, emoji-drop, emoji-name, unwrap. "
              "Repeat it.")  # fmt: skip
@click.option("--legacy", is_flag=True, help="Clean by the original study's expression alone.")
@click.option("--no-privacy", is_flag=True, help="Leave personal data in. For your own eyes only.")
@click.option("--names", is_flag=True, help="Also mask names after 'meu nome é' and the like.")
@click.option("--pseudonym-key", type=PATH, default=None,
              help="File with the key of the channels' pseudonyms (default: in your settings folder).")  # fmt: skip
@click.option("--fast-tokenizer", is_flag=True, help="Tokenise with gigatoken, checked on a sample (extra [fast]).")
@click.option("--processes", type=click.IntRange(1), default=None, help="Worker processes (default: one a core).")
@click.option("--held-out", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=None,
              help="Share held out for validation (default: 1/11).")  # fmt: skip
@click.option("--encoding", default=None, help="Overrule the encoding found.")
@click.option("--delimiter", default=None, help="Overrule the delimiter found.")
@click.option("--quoting", default=None, help="Overrule the quoting found.",
              type=click.Choice(["quoted", "unquoted", "mixed", "double", "backslash", "wrapped",
                                 "enclosed"]))  # fmt: skip
@click.option("--lines-per-document", multiple=True, metavar="PATTERN=N",
              help="Plain text files whose lines are sentences: so many a document.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Ingest again even if nothing changed.")
@QUIET
@JSON
def ingest(**given: Any) -> None:
    """Turn dumps into a corpus: read every record, clean, mask personal data, dedupe, tokenise, split.

    SOURCES are files, folders, archives (.gz, .zst, .zip) and datasets of the Hugging Face hub,
    hf:NAME[/CONFIG][@SPLIT], as many as you like. The manual, with an example that runs as it stands: docs/corpus.md.
    """
    from biasaudit.pipeline.ingest_command import ingest_command

    as_json = given.pop("as_json")
    show(ingest_command(**given), as_json)


@cli.group()
def corpus() -> None:
    """Look into a corpus that ingest made."""


@corpus.command()
@click.argument("query")
@click.argument("folder", type=PATH, metavar="CORPUS")
@click.option("--regex", is_flag=True, help="Read QUERY as a regular expression.")
@click.option("--case", is_flag=True, help="Upper and lower case differ.")
@click.option("--accents", is_flag=True, help="Accented and plain letters differ.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Documents to show.")
@click.option("--nearest", is_flag=True, help="Also the documents that share most with QUERY; makes an index.")
@QUIET
@JSON
def find(**given: Any) -> None:
    """Find the documents of CORPUS that hold QUERY."""
    from biasaudit.pipeline import commands

    as_json = given.pop("as_json")
    show(commands.find_command(**given), as_json)


@cli.command()
@click.argument("corpus", type=PATH)
@click.option("--out", type=PATH, required=True, help="Model folder to make.")
@click.option("--base", default="embedded:base", show_default=True, help="What to tune; `scratch` trains a new model.")
@click.option("--epochs", type=NUMBER, default=None, help="Passes over the training tokens.")
@click.option("--steps", type=click.IntRange(1), default=None, help="Optimiser steps (instead of --epochs).")
@click.option("--batch-size", type=click.IntRange(1), default=None, help="Blocks a step.")
@click.option("--block-size", type=click.IntRange(8), default=None, help="Tokens a block.")
@click.option("--learning-rate", type=NUMBER, default=None)
@click.option("--dropout", type=NUMBER, default=None)
@click.option("--seed", type=int, default=1337, show_default=True)
@click.option("--n-layer", type=click.IntRange(1), default=None, help="Only with --base scratch.")
@click.option("--n-embd", type=click.IntRange(8), default=None, help="Only with --base scratch.")
@click.option("--n-head", type=click.IntRange(1), default=None, help="Only with --base scratch.")
@click.option("--dtype", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True)
@click.option("--save-steps", type=click.IntRange(1), default=None, help="Steps between checkpoints.")
@click.option("--eval-steps", type=click.IntRange(1), default=None, help="Steps between short validations.")
@click.option("--validation-tokens", type=click.IntRange(0), default=None, metavar="N",
              help="Held-out tokens, spread evenly, that tell the loss before and after training (default: 200000; "
              "0: all).")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 …")
@click.option("--compile", is_flag=True, default=None, help="torch.compile; on a CPU it needs a C++ compiler.")
@click.option("--licence", default=None, help="Terms of the weights (their data's), for the card.")
@click.option("--role", type=click.Choice(["base", "placebo", "tuned"]), default="tuned", show_default=True)
@click.option("--fresh", is_flag=True, help="Start over instead of resuming.")
@QUIET
@JSON
def finetune(**given: Any) -> None:
    """Fine-tune a base on a corpus (or train from scratch); the same command again resumes."""
    from biasaudit.pipeline import commands

    as_json = given.pop("as_json")
    show(commands.finetune_command(**given), as_json)


@cli.command()
@click.argument("prompt", nargs=-1, required=True)
@ARMS
@DECODING
@click.option("--completions", "-n", type=COMPLETIONS, default=3, show_default=True)
@click.option("--language", default="pt", show_default=True, help="Language tag of the prompt (part of its id).")
@click.option("--dialogue", is_flag=True, help="Each PROMPT is a turn; rendered as a transcript to be continued.")
@QUIET
@JSON
def sample(**given: Any) -> None:
    """Look at a model: a few completions of one prompt from every arm."""
    from biasaudit.pipeline import sample as stage

    as_json = given.pop("as_json")
    show(stage.sample_command(**given), as_json)


def _again(stage_name: str, *more: Callable[..., Any]) -> Any:
    @click.argument("run_folder", type=PATH)
    @options(*more)
    @REPORT_LANGUAGE
    @QUIET
    @JSON
    def verb(run_folder: Path, as_json: bool, **given: Any) -> None:
        from biasaudit.pipeline import audit

        show(audit.again(stage_name, run_folder, **given), as_json)

    return verb


BESIDE = click.option("--beside", multiple=True, type=PATH, metavar="RUN",
                      help="A run of the same battery and arms in another language: do the effects differ between "
                      "languages? Kept in the run; repeat it for more.")  # fmt: skip


cli.command("score", help="Score the stored completions again, then analyse and report.")(_again("score"))
cli.command("analyse", help="Analyse the stored scores again, then report.")(_again("analyse", BESIDE))
cli.command("report", help="Write the report again from the stored analysis.")(_again("report"))


@cli.command()
@click.argument("run_folder", type=PATH)
@JSON
def verify(run_folder: Path, as_json: bool) -> None:
    """Check every file of a run against its hashes and recompute the analysis from the stored completions."""
    from biasaudit.pipeline import audit

    show(audit.verify(run_folder), as_json)


@cli.command()
@click.argument("batteries", nargs=-1, required=True, type=PATH)
@click.option("--corpus", "corpora", multiple=True, type=PATH, metavar="FOLDER",
              help="Look for the prompts in this training corpus (extra [search]). Repeat it.")  # fmt: skip
@click.option("--arm", "arms", multiple=True, metavar="NAME=MODEL", help="Compare the languages of these arms.")
@click.option("--strict", is_flag=True, help="Warnings count as faults: exit code 2.")
@JSON
def check(as_json: bool, **given: Any) -> None:
    """Check batteries: faults with line and column, what weakens them and what to do, counts, the first prompts.

    Exit codes: 0 usable (warnings and notes are told), 2 a fault (with --strict a warning too).
    """
    from biasaudit.pipeline import commands

    show(commands.check_command(**given), as_json)


@cli.command()
@click.argument("battery", type=PATH)
@click.option("--pilot", type=PATH, default=None, metavar="RUN", help="Estimate the variances from this run.")
@click.option("--measure", default="", metavar="MEASURE[:LABEL]", help="What to plan for (default: the primary one).")
@click.option("--language", default=None, help="Language of the prompts.")
@click.option("--completions", "-n", type=COMPLETIONS, default=None, help="Completions a prompt and arm.")
@click.option("--arms", type=click.IntRange(2), default=None, help="Arms to sample (default: the pilot's, else 3).")
@click.option("--effect", type=NUMBER, default=None, help="Difference whose power is asked for (default: the margin).")
@click.option("--rate", type=NUMBER, default=None, help="Share that both arms are near (default: 0.35).")
@click.option("--topic-sd", type=NUMBER, default=None, help="SD of the effect between topics (shares: 0.10).")
@click.option("--prompt-sd", type=NUMBER, default=None, help="SD of the effect between prompts (shares: 0.05).")
@click.option("--rho", type=NUMBER, default=None, help="Correlation of coupled completions (default: 0).")
@click.option("--tokens-per-second", type=NUMBER, default=None, help="Measured speed, for the time estimate.")
@JSON
def plan(as_json: bool, **given: Any) -> None:
    """Say what a run of BATTERY would find, what it would cost, and what to add first. Nothing is sampled."""
    from biasaudit.pipeline import planning

    show(planning.plan_command(**given), as_json)


@cli.command()
@click.argument("kind", type=click.Choice(["battery"]))
@click.argument("name")
@click.option("--folder", type=PATH, default=None, help="Where to write it (default: prompts/).")
def new(kind: str, name: str, folder: Path | None) -> None:
    """Write a commented start: `biasaudit new battery NAME`."""
    from biasaudit.pipeline import commands

    show(commands.new_command(kind, name, folder), False)


cli.add_command(label)
cli.add_command(learn)
cli.add_command(lock)


@cli.command("ls")
@click.option("--reports", type=PATH, default=Path("reports"), show_default=True)
@JSON
def list_things(reports: Path, as_json: bool) -> None:
    """List runs, batteries, corpora, models, embedded arms and scorers."""
    from biasaudit.pipeline import commands

    show(commands.list_command(reports), as_json)


@cli.command()
@click.option("--arm", "arms", multiple=True, metavar="NAME=MODEL", help="Also look at this arm, without loading it.")
@JSON
def doctor(arms: Sequence[str], as_json: bool) -> None:
    """Say what this machine can do: versions, precision, memory, disk, extras, offline tokenizers."""
    from biasaudit.pipeline import doctor as stage

    show(stage.examine(arms), as_json)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: run a verb and turn every named error into one line and its exit code."""
    if argv is None and sys.argv[1:2] == ["ingest"]:
        from biasaudit.pipeline.modules import without_pandas

        without_pandas()
    try:
        with signals_as_exceptions():
            cli.main(args=list(argv) if argv is not None else None, prog_name="biasaudit", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__  # click turns every KeyboardInterrupt, and a signal is one, into Abort
        if isinstance(cause, Terminated):
            _fail(f"{cause}; what was committed is kept, the same command continues", cause.exit_code)
        _fail("interrupted; what was committed is kept, the same command continues", 130)
    except BiasAuditError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except MemoryError:
        _fail("out of memory; what was committed is kept. Try a smaller --tile or a smaller model", 1)
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror}; what was committed is kept, the same command continues", 1)


def _fail(message: str, code: int) -> None:
    from biasaudit.pipeline.progress import visible

    click.echo(f"biasaudit: {visible(message)}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
