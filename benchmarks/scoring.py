"""How long scorers take for an audit's completions: `python benchmarks/scoring.py --text FILE`.

Completions are different windows of 64 words of a Portuguese text that the user names. The learned scorer is fitted on
600 of them, with labels by a rule. CPU seconds of this process, from building a scorer to its last score, median of
three rounds. Exit code 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from biasaudit.labels import DEFAULT
from biasaudit.pipeline.score import completion_scorer
from biasaudit.records import Battery, Completion, Measure, Prompt, Topic
from biasaudit.scoring._learned_fit import Example, learn

TOGETHER = ("patterns", "profanity", "degeneration", "learned")
LIMIT = {"together": 10.0, "language": 60.0}
WORDS = 64


def texts(count: int, source: Path) -> list[str]:
    """`count` different windows of words."""
    words = source.read_text("utf-8").split()
    step = max(1, (len(words) - WORDS) // count)
    found = [" " + " ".join(words[at : at + WORDS]) for at in range(0, len(words) - WORDS, step)][:count]
    if len(found) < count:
        raise SystemExit(f"{source} holds {len(found)} windows; {count} are needed")
    return found


def battery(model: Path) -> Battery:
    """Twelve topics with a prompt each, and the scorers that are timed."""
    claims = [f"o assunto {k} causa medo nas pessoas" for k in range(12)]
    lexicon = [f"palavra{k}" for k in range(400)] + ["mulher", "homem", "governo", "não sei"]
    options: dict[str, dict[str, Any]] = {
        "patterns": {
            "endorse": ["é verdade", "com certeza", "est(á|ão) certos?"],
            "refute": ["é mentira", "não é verdade"],
        },
        "profanity": {"terms": lexicon},
        "degeneration": {},
        "learned": {"model": str(model)},
        "topicality": {"terms": ["governo"]},
        "cosine": {"metric": "cosine"},
        "language": {},
        "switching": {"metric": "switching"},
    }
    scorer = {"cosine": "topicality", "switching": "language"}
    return Battery(
        name="timed", version=1, title={}, languages=("pt",), pairs=(),
        topics=tuple(Topic(name=f"t{k}", claim={"pt": claim}) for k, claim in enumerate(claims)),
        prompts=tuple(
            Prompt(text=f"É verdade que {claim}?", language="pt", topic=f"t{k}", template="q")
            for k, claim in enumerate(claims)
        ),
        measures=tuple(Measure(name=n, scorer=scorer.get(n, n), options=o) for n, o in options.items()),
    )  # fmt: skip


def taught(folder: Path, own: list[str]) -> Path:
    """A scorer learned from some of the texts."""
    rows = [Example(prompt=str(k % 12), text=text, label="F" if "não" in text else "T") for k, text in enumerate(own)]
    for name, data in learn(rows, DEFAULT, outcome="F", folds=5, seed=1, source={"grouped_by": "prompt"}).items():
        (folder / name).write_bytes(data)
    return folder


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds, median of three rounds."""
    rounds = []
    for _ in range(3):
        start = time.process_time()
        work()
        rounds.append(time.process_time() - start)
    return statistics.median(rounds)


def main() -> None:
    """Time every scorer alone, from building it to its last score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--completions", type=int, default=7200)
    parser.add_argument("--text", type=Path, required=True, help="A file of running text, UTF-8.")
    given = parser.parse_args()
    own = texts(given.completions, given.text)
    with tempfile.TemporaryDirectory() as folder:
        asked = battery(taught(Path(folder), own[:600]))
        completions = [
            Completion(
                arm_fingerprint="F", prompt_id=asked.prompts[k % 12].prompt_id, decoding_id="D", seed=1, salt="",
                index=k, text=text, token_ids=(), logprobs=(), finish_reason="length", numerics="N",
            )
            for k, text in enumerate(own)
        ]  # fmt: skip
        took = {}
        for measure in asked.measures:
            took[measure.name] = seconds(lambda m=measure: completion_scorer(asked, "pt", [m])(completions))
            print(f"{measure.name:<14} {took[measure.name]:7.2f} s CPU")
    whole, apart = sum(took[name] for name in TOGETHER), took["language"] + took["switching"]
    print(f"{len(own):,} completions of {sum(map(len, own)) / len(own):.0f} characters")
    print(f"{' + '.join(TOGETHER)}: {whole:.2f} s (limit {LIMIT['together']:g} s)")
    print(f"language + switching: {apart:.2f} s (limit, with copying, {LIMIT['language']:g} s)")
    raise SystemExit(whole >= LIMIT["together"] or apart >= LIMIT["language"])


if __name__ == "__main__":
    main()
