"""Options that several verbs of the command line share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from biasaudit.terminal import SEED

F = TypeVar("F", bound=Callable[..., Any])


class Finite(click.types.FloatParamType):
    """A float that is a number: `nan` passes every comparison with a range, and JSON has no word for `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a usage error."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


NUMBER = Finite()


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Bundle options that several verbs share."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


ARMS = options(
    click.option("--arm", "arms", multiple=True, metavar="NAME=MODEL", help="An arm: hub name, model folder, nanoGPT "
                 "ckpt.pt, embedded:NAME, replay:FILE (recorded completions), openai:MODEL@URL, or vllm:MODEL; "
                 "@FILE.yaml names several; see docs/arms.md. Repeat it. NAME base or placebo sets the role; others "
                 "are tuned."),
    click.option("--salt", "salts", multiple=True, metavar="NAME=WORD", help="Independent noise for an arm (A/A)."),
    click.option("--dtype", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", show_default=True),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 …"),
    click.option("--tile", type=click.IntRange(1), default=None, help="Rows decoded together (default: 384 on CPU)."),
    click.option("--threads", type=click.IntRange(1), default=None, help="Threads a process (default: all cores)."),
)  # fmt: skip
DECODING = options(
    click.option("--temperature", multiple=True, type=NUMBER, help="0 is greedy. Repeat it for a sweep."),
    click.option("--top-k", multiple=True, type=int, help="0 truncates nothing. Repeat it for a sweep."),
    click.option("--top-p", multiple=True, type=NUMBER, help="1 truncates nothing. Repeat it for a sweep."),
    click.option("--greedy", is_flag=True, help="The same as --temperature 0."),
    click.option("--max-new-tokens", type=click.IntRange(1), default=None, help="Longest completion, in tokens."),
    click.option("--seed", type=SEED, default=None, help="Seed of the sampling noise."),
)
LOOKS = options(
    click.option("--dose", "doses", multiple=True, metavar="NAME=NUMBER",
                 help="Share of the studied corpus in what arm NAME was trained on (0.25 or 25%; default: its card's). "
                 "Two doses make a dose–response. Repeat it."),
    click.option("--condition", "conditions", multiple=True, metavar="NAME=WORD",
                 help="Arms of one WORD are runs of one condition, averaged in the report; the word placebo makes NAME "
                 "a placebo (default: by what their cards say they were trained on). Repeat it."),
    click.option("--until", default=None, metavar="RULE",
              help="Stop early by registered looks: precision=X (each prompt's interval is at most ±X), decided (each "
              "prompt's excludes 0 or lies inside the margin) or verdict (the whole contrast's does). Target fixed "
              "only."),
    click.option("--looks", type=click.IntRange(1), default=None, help="With --until: looks at most (default: 8)."),
    click.option("--anytime", is_flag=True, help="With --until: a confidence sequence instead of boundaries."),
    click.option("--look-at", default="", metavar="MEASURE[:LABEL]",
              help="With --until: what is looked at (default: the primary question)."),
)  # fmt: skip
