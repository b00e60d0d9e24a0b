"""From the command line to a plan: arms, decodings, transcripts, and what a terminal is shown."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from biasaudit.errors import UsageError
from biasaudit.lm.finetune import FinetuneProgress
from biasaudit.pipeline.commands import StageProgress, TrainingProgress, list_command
from biasaudit.pipeline.plan import RunPlan, choose_decodings, parse_pairs
from biasaudit.pipeline.progress import Console, Task, clock, visible
from biasaudit.pipeline.sample import memory_size, shown, transcript
from biasaudit.records import Arm, Battery, Completion, Decoding, Prompt

BATTERY = Battery(
    name="b", version=1, title={}, languages=("pt",), topics=(), prompts=(), pairs=(),
    decodings=(Decoding(), Decoding(temperature=0.7)),
)  # fmt: skip


def test_without_options_the_battery_decides() -> None:
    assert choose_decodings(BATTERY) == BATTERY.decodings


def test_a_value_replaces_the_sweep_and_several_make_one() -> None:
    assert choose_decodings(BATTERY, temperature=[0.5]) == (Decoding(temperature=0.5),)
    grid = choose_decodings(BATTERY, temperature=[0.5, 1.0], top_k=[0, 50], max_new_tokens=9)
    assert [(d.temperature, d.top_k, d.max_new_tokens) for d in grid] == [
        (0.5, 0, 9),
        (0.5, 50, 9),
        (1, 0, 9),
        (1, 50, 9),
    ]


def test_the_same_value_twice_is_one_decoding() -> None:
    assert len(choose_decodings(BATTERY, temperature=[1, 1.0])) == 1


def test_greedy_and_a_temperature_contradict_each_other() -> None:
    assert choose_decodings(BATTERY, greedy=True) == (Decoding(temperature=0.0),)
    with pytest.raises(UsageError, match="--greedy"):
        choose_decodings(BATTERY, greedy=True, temperature=[1.0])


def test_a_greedy_decoding_is_asked_once_a_prompt() -> None:
    prompts = tuple(Prompt(text=t, language="pt", topic="t", template="w") for t in "abc")
    plan = RunPlan(
        battery=BATTERY, arms=(), language="pt", prompts=prompts,
        decodings=(Decoding(), Decoding(temperature=0)), completions=40, seed=1, memory={},
    )  # fmt: skip
    assert plan.wanted_per_arm == 3 * (40 + 1)


def test_pairs_are_read_in_order_and_twice_the_same_name_is_refused() -> None:
    assert list(parse_pairs(["a=b=c", "x=y"], "--arm").items()) == [("a", "b=c"), ("x", "y")]
    with pytest.raises(UsageError, match="twice"):
        parse_pairs(["a=b", "a=c"], "--arm")
    with pytest.raises(UsageError, match="twice"):
        parse_pairs(["a=b", "a =c"], "--arm")


@pytest.mark.parametrize(
    ("option", "example"),
    [
        ("--arm", "base=gpt2"),
        ("--salt", "base=aa"),
        ("--map", "mensagem=text"),
        ("--where", "lang=pt"),
        ("--lines-per-document", "'*.txt=20'"),
    ],
)
def test_a_broken_pair_is_shown_what_fits_its_option(option: str, example: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"for instance {option} {example}") + "$"):
        parse_pairs(["texto"], option)


def test_an_endless_temperature_is_refused() -> None:
    with pytest.raises(UsageError, match="finite"):
        choose_decodings(BATTERY, temperature=[float("inf")])


def test_a_dialogue_alternates_its_speakers_and_leaves_the_next_turn_open() -> None:
    assert transcript(["Oi", "Olá", "Vacinas?"], "pt") == "Você: Oi\nEle: Olá\nVocê: Vacinas?\nEle:"
    assert transcript(["Hi"], "en") == "You: Hi\nHe:"
    assert transcript(["Ana: oi", "Bia: olá", "Ana: e aí"], "pt").endswith("Ana: e aí\nBia:")


def test_a_terminal_never_gets_a_control_or_a_bidi_override() -> None:
    hostile = "a\x1b[31mb\x07\u202ec\x9b\r\ud800d\u00e9 😀\n\té"
    shown = visible(hostile)
    assert not any(c in shown for c in "\x1b\x07\u202e\x9b\r\ud800")
    assert "é 😀\n\té" in shown


def test_progress_lines_have_count_rate_and_time_left() -> None:
    stream = io.StringIO()
    console = Console(stream)
    with console.task("sample base", 10, "completions") as task:
        task.started -= 10
        task.update(5)
        assert "5/10 completions" in task.describe()
        assert "ETA 0:10" in task.describe()
        task.update(10)
        task.update(10)
    assert stream.getvalue().count("sample base: 10/10 completions") == 1
    quiet = io.StringIO()
    Console(quiet, quiet=True).say("nothing")
    assert quiet.getvalue() == ""


def described(name: str, total: float | None, unit: str, *, seconds: float, done: float, note: str = "") -> str:
    task = Task(Console(io.StringIO()), name, total, unit)
    task.started -= seconds
    task.done, task.note = done, note
    return task.describe()


def test_bytes_are_shown_as_megabytes() -> None:
    line = described("reading", 60e6, "bytes", seconds=7.4, done=31e6, note="120,000 records")
    assert line == "reading: 31/60 MB, 4.2 MB/s, ETA 0:07, 120,000 records"
    assert described("reading", 2.1e6, "bytes", seconds=1, done=2.1e6) == "reading: 2.1/2.1 MB, 2.1 MB/s, in 0:01"
    assert described("reading", 31_400, "bytes", seconds=1, done=31_400) == "reading: 31/31 kB, 31.4 kB/s, in 0:01"


def test_a_rate_is_shown_only_where_it_says_something() -> None:
    assert described("deciding", 1, "", seconds=5, done=1, note="9 kept") == "deciding: 9 kept, in 0:05"
    assert (
        described("deciding", 1, "", seconds=5, done=0, note="duplicates and split") == "deciding: duplicates and split"
    )
    assert described("hashing sources", 1, "files", seconds=5, done=1) == "hashing sources: 1/1 files, in 0:05"
    assert described("tokenising", 900, "documents", seconds=0.01, done=900) == "tokenising: 900/900 documents, in 0:00"
    assert described("tokenising", 900, "documents", seconds=9, done=0) == "tokenising: 0/900 documents"


def test_what_was_done_before_counts_in_no_rate() -> None:
    stream = io.StringIO()
    stages = StageProgress(Console(stream))
    stages("tokenising", 800, 1000)
    assert stages.task is not None
    stages.task.started -= 10
    stages("tokenising", 900, 1000)
    assert stages.task.describe() == "tokenising: 900/1,000 documents, 10.0/s, ETA 0:10"
    stages("tokenising", 0, 1000)
    assert stages.task.describe() == "tokenising: 0/1,000 documents"


def test_training_shows_every_step_that_is_due_and_the_last_loss_known() -> None:
    stream = io.StringIO()
    console = Console(stream)
    show = TrainingProgress(console)

    def report(step: int, loss: float | None) -> FinetuneProgress:
        return FinetuneProgress(step=step, steps=4, tokens_per_second=1234.5, loss=loss, eta_seconds=61)

    show(report(1, None))
    show(report(2, 5.5))
    console.last_plain = 0.0
    show(report(3, None))
    show(report(4, None))
    assert stream.getvalue().splitlines() == [
        "training: step 1/4, 1,234 tokens/s, ETA 1:01",
        "training: step 3/4, 1,234 tokens/s, ETA 1:01, loss 5.500 nats per token",
        "training: step 4/4, 1,234 tokens/s, ETA 1:01, loss 5.500 nats per token",
    ]


def test_a_list_of_nothing_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = list_command(Path("audits")).text.splitlines()
    assert lines[:5] == [
        "runs: none in audits/",
        "labelled runs: none in audits/",
        "batteries: none in prompts/",
        "corpora: none in corpora/",
        "models: none in models/",
    ]
    (tmp_path / "corpora" / "mine").mkdir(parents=True)
    (tmp_path / "corpora" / "mine" / "card.json").touch()
    assert "corpora: corpora/mine" in list_command(Path("audits")).text


def test_sizes_and_clocks_are_read_at_a_glance() -> None:
    assert memory_size(5 * 2**20) == "5 MiB"
    assert memory_size(3 * 2**29) == "1.5 GiB"
    assert (clock(59.6), clock(3661)) == ("1:00", "1:01:01")


def test_what_a_terminal_shows_of_a_completion_is_masked() -> None:
    arm = Arm(name="a", spec="s", role="base", fingerprint="f", tokenizer_fingerprint="t")
    completion = Completion(
        arm_fingerprint="f", prompt_id="p", decoding_id="d", seed=1, salt="", index=0, token_ids=(1, 2),
        logprobs=(-1.0, -2.0), finish_reason="length", numerics="n",
        text=" meu CPF é 529.982.247-25 e o e-mail fulana@exemplo.com.br",
    )  # fmt: skip
    row = shown(arm, Decoding(), completion)
    assert row["text"] == " meu CPF é [CPF] e o e-mail [EMAIL]"
    assert row["nats"] == -3.0
