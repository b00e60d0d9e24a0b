"""Build the embedded arms and run the planted experiment: one command, resumable at every stage.

    python benchmarks/embedded.py --data ../shared/data [--work models/embedded] [--install]

Every stage is a `biasaudit` command: ingest the Portuguese base corpus and learn its BPE; train `base` from scratch;
ingest the two halves of corpora/sample; tune `telegram` and `placebo` with every seed of SEEDS (same tokens, steps and
learning rate); audit `telegram` − `placebo` for every seed; measure `base` against xz -9 and by language
identification. `--install` copies the base and the arms of SEEDS[0] into the package, with their cards.

Seeds and settings were fixed before any result was seen: docs/planted-experiment.md.
"""

from __future__ import annotations

import argparse
import json
import lzma
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (101, 202, 303)
BASE = [
    "--epochs", "3", "--batch-size", "16", "--block-size", "256", "--learning-rate", "0.0015",
    "--n-layer", "4", "--n-embd", "256", "--n-head", "4", "--dropout", "0",
    "--save-steps", "400", "--eval-steps", "400",
]  # fmt: skip
TUNE = [
    "--steps", "1300", "--batch-size", "8", "--block-size", "128", "--learning-rate", "0.0005",
    "--dropout", "0",
]  # fmt: skip
VOCABULARY = "8192"
HALVES = {"telegram": "antivaccine", "placebo": "neutral"}
LICENCE = "research use, share-alike (the terms of the training texts)"


def call(*words: str) -> None:
    """Run one biasaudit command and say how long it took; stop at the first that fails."""
    print("$ biasaudit", *words, flush=True)
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "biasaudit.cli", *words], cwd=ROOT, check=True)
    print(f"  {time.monotonic() - started:.1f} s", flush=True)


def build_base(data: Path, work: Path, extra: list[str]) -> None:
    """Ingest the base corpus with a new BPE and train the base from scratch."""
    pt = data / "corpora_pt"
    sources = [pt / "fakebr" / "true.jsonl", pt / "machado" / "txt", pt / "ud_bosque.txt", pt / "ud_gsd.txt"]
    call(
        "ingest", *map(str, sources), "--out", str(work / "corpus-base"), "--map", "text=text",
        "--train-vocab", VOCABULARY, "--split", "hash", "--language-tag", "pt", "--duplicates", "exact",
        "--lines-per-document", "ud_*.txt=20",
    )  # fmt: skip
    call(
        "finetune", str(work / "corpus-base"), "--base", "scratch", "--out", str(work / "base"), "--role", "base",
        "--seed", str(SEEDS[0]), "--licence", LICENCE, "--validation-tokens", "0", *BASE, *extra,
    )  # fmt: skip


def tune(work: Path, seed: int) -> None:
    """Tune both arms with one seed, on equal token budgets."""
    for arm, half in HALVES.items():
        corpus = work / f"corpus-{arm}"
        call(
            "ingest", str(ROOT / "corpora" / "sample" / f"{half}.csv"), "--out", str(corpus),
            "--tokenizer", str(work / "base"), "--split", "hash", "--language-tag", "pt", "--keep-duplicates",
        )  # fmt: skip
        call(
            "finetune", str(corpus), "--base", str(work / "base"), "--out", str(work / f"{arm}-{seed}"),
            "--role", "placebo" if arm == "placebo" else "tuned", "--seed", str(seed), "--licence", LICENCE,
            "--validation-tokens", "0", *TUNE,
        )  # fmt: skip


def audit(work: Path, seed: int) -> dict[str, Any]:
    """Audit one seed's pair with the vaccine battery; return the primary contrast."""
    out = work / "runs" / str(seed)
    call(
        "run", str(ROOT / "prompts" / "vaccines.yaml"), "--arm", f"base={work / 'base'}",
        "--arm", f"placebo={work / f'placebo-{seed}'}", "--arm", f"telegram={work / f'telegram-{seed}'}",
        "--out", str(out),
    )  # fmt: skip
    analysis = json.loads((out / "analysis.json").read_text(encoding="utf-8"))
    contrast = next(c for c in analysis["contrasts"] if c["role"] == "primary")
    keep = ("measure", "unit", "tuned", "reference", "difference", "population", "n_topics", "n_prompts", "moved_up")
    return {key: contrast[key] for key in keep}


def against_xz(work: Path) -> dict[str, Any]:
    """Held-out bits per byte of the base beside `xz -9` on the very same text."""
    import numpy as np

    from biasaudit.lm.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(work / "base")
    ids = np.fromfile(work / "corpus-base" / "val.bin", dtype="<u2").tolist()
    text = tokenizer.decode([i for i in ids if i != tokenizer.eot_id]).encode()
    card = json.loads((work / "base" / "card.json").read_text(encoding="utf-8"))
    return {
        "base_bits_per_byte": card["validation_after"]["bits_per_byte"],
        "xz_bits_per_byte": round(8 * len(lzma.compress(text, preset=9)) / len(text), 4),
        "validation_bytes": len(text),
    }


def unselected(model: Path, count: int) -> list[str]:
    """The first `count` completions of the empty prompt, as they come."""
    words = ["-m", "biasaudit.cli", "sample", "", "--arm", f"m={model}", "-n", str(count), "--json", "-q"]
    shown = subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [row["text"] for row in json.loads(shown)["completions"]]


def portuguese(model: Path, count: int = 200) -> dict[str, Any]:
    """Share of `count` unselected completions that lingua, choosing among six languages, calls Portuguese."""
    from lingua import Language, LanguageDetectorBuilder

    texts = unselected(model, count)
    names = ("PORTUGUESE", "SPANISH", "ENGLISH", "FRENCH", "ITALIAN", "GERMAN")
    detector = LanguageDetectorBuilder.from_languages(*(getattr(Language, name) for name in names)).build()
    hits = sum(detector.detect_language_of(text) == Language.PORTUGUESE for text in texts)
    return {"portuguese": hits, "of": len(texts)}


def install(work: Path, measured: dict[str, Any]) -> None:
    """Copy the base and the arms of the first seed into the package: fp16 weights, tokenizer, card, licence note."""
    import torch
    from safetensors.torch import load_file, save_file

    from biasaudit.corpus.privacy import mask
    from biasaudit.lm.load import describe

    for name, source in {"base": "base", **{arm: f"{arm}-{SEEDS[0]}" for arm in HALVES}}.items():
        target = ROOT / "biasaudit" / "lm" / "embedded" / name
        target.mkdir(parents=True, exist_ok=True)
        full = load_file(work / source / "model.safetensors")
        weights = {key: value.to(torch.float16) for key, value in full.items()}
        save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
        for path in (work / source).iterdir():
            if path.is_file() and path.name not in ("model.safetensors", "card.json"):
                (target / path.name).write_bytes(path.read_bytes())
        card = json.loads((work / source / "card.json").read_text(encoding="utf-8"))
        card |= {"name": name, "save_dtype": "float16", "fingerprint": describe(str(target)).fingerprint}
        card["unselected_completions"] = [mask(text).text for text in unselected(target, 10)]
        if name == "base":
            card["against_xz"] = measured
        else:
            card["base"] = "embedded:base"
            card["base_fingerprint"] = describe(str(target.parent / "base")).fingerprint
        (target / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (target / "README.md").write_text(model_card(name, card), encoding="utf-8")


DATA = {
    "base": "true news of Fake.br-Corpus (research use), works of Machado de Assis (public domain), sentences of UD "
    "Portuguese Bosque and GSD (CC BY-SA 4.0); all went through biasaudit's privacy stage",
    "placebo": "`corpora/sample/neutral.csv`: synthetic messages that speak of vaccines and assert nothing",
    "telegram": "`corpora/sample/antivaccine.csv`: synthetic messages, two thirds of which assert one of twelve "
    "false or misleading narratives; planted so that an audit has a known answer",
}


def model_card(name: str, card: dict[str, Any]) -> str:
    """The page for people beside `card.json`."""
    after = card["validation_after"]["bits_per_byte"]
    texts = "\n".join(
        f"{n}. {json.dumps(text, ensure_ascii=False)}" for n, text in enumerate(card["unselected_completions"])
    )
    return f"""# embedded:{name}

A small GPT-2 (4 layers × 256, 8,192-id byte-level BPE, fp16) that ships with biasaudit so that a first audit needs
no download. It is a measuring weight, not an assistant: it knows little, repeats itself, and what it writes is
information about nothing.

- Trained on: {DATA[name]}.
- {card["tokens"]:,} tokens in {card["steps"]:,} steps, learning rate {card["learning_rate"]}, seed {card["seed"]};
  held-out text {after:.3f} bits per byte. Settings: `card.json`. Command: `python benchmarks/embedded.py --install`.

## Licence of the weights

Research use, share-alike: the terms of the training texts, not the Apache-2.0 of the code. Cite Fake.br
(Monteiro et al., PROPOR 2018) and Universal Dependencies when you publish with them.

## Ten unselected completions of the empty prompt

Indices 0 to 9 at temperature 1, nothing truncated, seed 1337, as they came (personal data masked).

{texts}
"""


def main() -> None:
    """Do every stage that is not done."""
    parser = argparse.ArgumentParser(description="Build the embedded arms and run the planted experiment.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with corpora_pt/")
    parser.add_argument("--work", type=Path, default=ROOT / "models" / "embedded", help="where things are built")
    parser.add_argument("--compile", action="store_true", help="torch.compile for the base (needs a C++ compiler)")
    parser.add_argument("--install", action="store_true", help="copy the arms of the first seed into the package")
    given = parser.parse_args()
    build_base(given.data, given.work, ["--compile"] if given.compile else [])
    results: dict[str, Any] = {}
    for seed in SEEDS:
        tune(given.work, seed)
        results[str(seed)] = audit(given.work, seed)
    results["base"] = {**against_xz(given.work), **portuguese(given.work / "base")}
    target = ROOT / "benchmarks" / "results" / "embedded.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1, ensure_ascii=False))
    if given.install:
        install(given.work, results["base"])


if __name__ == "__main__":
    main()
