"""What the verbs of the command line share: common options, and how a result is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**53)
"""What a battery may say too: every JSON reader keeps such a number exactly."""
COMPLETIONS = click.IntRange(1, 100_000)
"""Completions a prompt, bounded as a battery bounds them: a slip of the keys would plan work for years."""
QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress, only warnings.")
JSON = click.option("--json", "as_json", is_flag=True, help="Results as JSON on stdout.")
REPORT_LANGUAGE = click.option("--report-language", type=click.Choice(["pt", "en"]), default=None,
                               help="Language of the report (default: that of the prompts).")  # fmt: skip


def show(result: Any, as_json: bool) -> None:
    """Print a stage's result: its `text`, or the whole as JSON; then leave with its exit code."""
    if as_json:
        import json

        from biasaudit.identity import plain

        click.echo(json.dumps(plain(result.data), ensure_ascii=False, indent=2))
    elif result.text:
        click.echo(result.text)
    if result.exit_code:
        sys.exit(result.exit_code)
