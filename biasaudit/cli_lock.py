"""The verb `lock`: fix what an audit asks before anything is sampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from biasaudit.cli_options import ARMS, DECODING, LOOKS
from biasaudit.terminal import COMPLETIONS, JSON, PATH, QUIET, show


@click.command()
@click.argument("battery", type=PATH)
@ARMS
@DECODING
@click.option("--completions", "-n", type=COMPLETIONS, default=None, help="Completions a prompt from every arm.")
@LOOKS
@click.option("--language", default=None, help="Language of the prompts (default: that of the arms).")
@click.option("--reports", type=PATH, default=Path("reports"), show_default=True, help="Where earlier runs are sought.")
@click.option("--out", type=PATH, default=None, help="The lock file (default: BATTERY's .lock.json beside it).")
@QUIET
@JSON
def lock(**given: Any) -> None:
    """Write the hash of everything that a result hangs on: battery, arms, decodings, measures, question, target,
    margin, n, alpha, seed and looks.

    Give it what `run` will be given. `run` then finds the lock, and its report says whether the question was kept.
    The manual: docs/lock.md.
    """  # noqa: D205 (click wraps it)
    from biasaudit.pipeline.lock import lock_command

    as_json = given.pop("as_json")
    show(lock_command(**given), as_json)
