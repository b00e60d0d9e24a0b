"""The verb `learn`: labelled texts of a run or of a table in, a folder with a scorer and its validity card out."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import __version__, identity
from biasaudit.errors import InputError, UsageError
from biasaudit.labels import DEFAULT, LabelSet, decided, label_set
from biasaudit.pipeline.outcome import Outcome
from biasaudit.pipeline.progress import Console

if TYPE_CHECKING:
    from biasaudit.scoring._learned_fit import Example

_KEY = re.compile(r"[A-Za-z0-9_]{1,20}")
"""What a label's key may be."""
_FIELDS = {
    "text": ("text", "completion", "texto", "resposta"),
    "label": ("label", "rótulo", "rotulo"),
    "prompt": ("prompt", "pergunta", "question"),
    "arm": ("arm", "braço", "braco", "model", "modelo"),
    "language": ("language", "idioma", "língua", "lingua"),
}


def learn_command(
    *,
    source: Path,
    out: Path,
    labels: str,
    measure: str,
    outcome: str,
    column_map: Sequence[str],
    language: str,
    folds: int,
    seed: int,
    quiet: bool,
) -> Outcome:
    """Fit, write the folder, and say how valid the scorer is, arm by arm."""
    from biasaudit.scoring._learned_fit import learn
    from biasaudit.scoring._learned_model import CARD_FILE
    from biasaudit.store import files

    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / CARD_FILE).is_file():
        raise UsageError(f"{out} exists and is not a folder that `biasaudit learn` made; choose another --out")
    if source.is_dir():
        if column_map or language:
            raise UsageError("--map and --language go with a table; a run knows its texts and its language")
        examples, known, trained_on = _of_run(source, labels, measure)
    else:
        examples, known, trained_on = _of_table(source, labels, column_map, language)
    outside = int(trained_on.pop("outside", 0))
    told = [*_counted(int(trained_on.pop("bare", 0)), examples), *_once(examples)]
    made = learn(
        examples, known, outcome=_outcome(known, outcome, examples), folds=folds, seed=seed,
        source={**trained_on, "biasaudit": __version__},
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    for name in sorted(made, reverse=True):  # arrays first: a card never stands beside arrays that it does not name
        files.write_atomic(out / name, made[name])
    card = json.loads(made[CARD_FILE])
    console = Console(quiet=quiet)
    if outside:
        console.say(f"{outside} labels are of completions that the run's last command did not ask for; left out")
    for line in (*told, *_warnings(card)):
        console.warn(line)
    return Outcome(text=f"{_said(card)}\n{out}", data={**card, "folder": str(out)})


def _outcome(labels: LabelSet, asked: str, examples: Sequence[Example]) -> str:
    """The label whose share will be the value.

    Raises:
        UsageError: none was named and none endorses, or the one that was named is none.
    """
    given = {example.label for example in examples}
    if asked:
        found = labels.find(asked)
        if found is None:
            raise UsageError(f"--outcome {asked}: expected one of {', '.join(labels.keys)}")
        return found
    endorsing = [label for label in labels.on("endorse") if label in given]
    if not endorsing:
        raise UsageError(f"say whose share is the scorer's value: --outcome {' or --outcome '.join(sorted(given))}")
    return endorsing[0]


def _of_run(path: Path, words: str, measure: str) -> tuple[list[Example], LabelSet, dict[str, Any]]:
    """Every completion of a run on whose label people agree."""
    from biasaudit.pipeline.audit import open_run, refuse_too_early, stored_plan
    from biasaudit.pipeline.label import chosen_labels
    from biasaudit.pipeline.stored import Stored
    from biasaudit.scoring._learned_fit import Example
    from biasaudit.store.labels import read_labels
    from biasaudit.store.tables import completions_from_table

    folder = open_run(path)
    refuse_too_early(folder, "score")
    plan = stored_plan(folder)
    known = chosen_labels(plan.battery, measure, words)
    stored = read_labels(folder)
    said = {key: label for key, label in decided(stored, known.set_id).items() if label is not None}
    if not said:
        others = len({label.key for label in stored})
        raise InputError(
            f"{path}: nobody gave the labels {', '.join(known.keys)} to a completion of this run"
            + (f" ({others:,} have labels of another set: --labels names it)" if others else "")
            + f"; `biasaudit label {path}` makes a page to label on."
        )
    prompts = {prompt.prompt_id: prompt.text for prompt in plan.prompts}
    names = {(arm.fingerprint, arm.salt): arm.name for arm in plan.arms}
    examples = [
        Example(
            prompt=prompts[completion.prompt_id],
            text=completion.text,
            label=said[completion.key],
            arm=names[completion.arm_fingerprint, completion.salt],
            language=plan.language,
        )
        for table in Stored(folder, plan).tables(tokens=False)
        for completion in completions_from_table(table, tokens=False)
        if completion.key in said
    ]
    source: dict[str, Any] = {
        "kind": "run",
        "name": path.resolve().name,
        "battery": plan.battery.name,
        "grouped_by": "prompt",
    }
    source["outside"] = len(said) - len(examples)
    return examples, known, source


def _of_table(
    path: Path, words: str, column_map: Sequence[str], language: str
) -> tuple[list[Example], LabelSet, dict[str, Any]]:
    """Every labelled row of a CSV, TSV or JSONL file; rows without a label or a text are left out."""
    from biasaudit.pipeline.label import chosen_label_words
    from biasaudit.scoring._learned_fit import Example

    if not path.is_file():
        raise UsageError(f"{path}: expected a run folder, or a CSV, TSV or JSONL file with text, label and prompt")
    mapped = _mapped(column_map)
    read = _jsonl(path, mapped) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv(path, mapped)
    every = list(read)
    rows = [row for row in every if row["label"].strip() and row["text"].strip()]
    words_given = sorted({row["label"].strip() for row in rows})
    known = chosen_label_words(words) if words else _set_of(words_given, path)
    unknown = Counter(row["label"] for row in rows if known.find(row["label"]) is None)
    if unknown and not words:
        raise InputError(f"{path}: labels {', '.join(unknown)} are not all of one set; name those that count: --labels")
    by_prompt = all("prompt" in row for row in rows)
    examples = [
        Example(
            prompt=row["prompt"] if by_prompt else row["text"],
            text=row["text"],
            label=label,
            arm=row.get("arm", "").strip(),
            language=row.get("language", "").strip() or language,
        )
        for row in rows
        if (label := known.find(row["label"])) is not None
    ]
    source: dict[str, Any] = {"kind": "table", "name": path.name, "file_sha256": identity.file_hash(path)}
    source["bare"] = len(every) - len(rows)
    left_out = {"left_out": dict(sorted(unknown.items()))} if unknown else {}
    return examples, known, {**source, **left_out, "grouped_by": "prompt" if by_prompt else "text"}


def _set_of(words: Sequence[str], path: Path) -> LabelSet:
    """T, F and H where every word is one of them, else a set of the words."""
    if words and all(DEFAULT.find(word) for word in words):
        return DEFAULT
    try:
        return label_set(dict(zip(_keys(words), words, strict=True)), f"{path}, column label")
    except InputError as error:
        raise InputError(f"{error} --labels A=TITLE,B=TITLE says which words of the column count.") from None


def _keys(words: Sequence[str]) -> list[str]:
    """A key for every word: itself where it can be one, else its letters and digits, else its number."""
    keys: list[str] = []
    for number, word in enumerate(words, start=1):
        signed = re.sub(r"^[-\u2212](?=\d)", "minus ", word)
        plain = "".join(c for c in unicodedata.normalize("NFKD", signed) if not unicodedata.combining(c))
        key = word if _KEY.fullmatch(word) else re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:20]
        # A label is found by its key too, so no word's key may be another word.
        taken = {*keys, *(other.casefold() for other in words if other.casefold() != word.casefold())}
        keys.append(key if key and not {key, key.casefold()} & taken else f"label_{number}")
    return keys


def _mapped(column_map: Sequence[str]) -> dict[str, str]:
    found = {}
    for entry in column_map:
        column, equals, field = entry.rpartition("=")
        if not equals or field not in _FIELDS:
            raise UsageError(f"--map {entry}: expected COLUMN=FIELD, where FIELD is one of {', '.join(_FIELDS)}")
        found[column] = field
    return found


def _named(path: str, names: Sequence[str], mapped: Mapping[str, str]) -> dict[str, str]:
    """Column -> field; the user's mapping first, then the usual names.

    Raises:
        InputError: there is no text or no label.
    """
    found = {name: mapped[name] for name in names if name in mapped}
    for name in names:
        usual = next((field for field, words in _FIELDS.items() if name.strip().casefold() in words), None)
        if usual is not None and usual not in found.values():
            found[name] = usual
    lacking = [field for field in ("text", "label") if field not in found.values()]
    if lacking:
        raise InputError(
            f"{path}: no column is the {lacking[0]}; it has {', '.join(names) or 'none'}. Say which one is: "
            f"--map COLUMN={lacking[0]}"
        )
    return found


def _csv(path: Path, mapped: Mapping[str, str]) -> Iterator[dict[str, str]]:
    from biasaudit.pipeline.label_lookup import utf8

    text = utf8(path)
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=first.count), strict=True)
    try:
        header = next(reader, [])
        absent = next((column for column in mapped if column not in header), None)
        if absent is not None:
            raise InputError(f"{path}: --map {absent}={mapped[absent]}: it has no column '{absent}', but {header}.")
        names = _named(str(path), header, mapped)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise InputError(f"{path}: line {reader.line_num}: {len(row)} cells under {len(header)} columns.")
            yield {names[name]: cell for name, cell in zip(header, row, strict=True) if name in names}
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: is not well-formed CSV ({error}).") from error


def _jsonl(path: Path, mapped: Mapping[str, str]) -> Iterator[dict[str, str]]:
    from biasaudit.pipeline.label_lookup import utf8

    for number, line in enumerate(utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is not JSON; expected one object a line.") from error
        if not isinstance(value, dict):
            raise InputError(f"{path}: line {number} is not an object; expected one object a line.")
        names = _named(f"{path}: line {number}", list(value), mapped)
        yield {names[key]: "" if cell is None else str(cell) for key, cell in value.items() if key in names}


def _said(card: Mapping[str, Any]) -> str:
    """The validity card in a few lines."""
    whole = card["validity"]["all"]
    kind = f"{card['trained_on']['grouped_by']}s"
    whom = f"{card['prompts']:,} {kind}, validated by {card['folds']} folds of whole {kind}"
    lines = [
        f"learned from {card['n']:,} labels on {whom}",
        _line("all", whole, card["outcome"]),
    ]
    for part in ("arms", "languages"):
        parts = card["validity"][part]
        lines += [_line(name, own, card["outcome"]) for name, own in parts.items()] if len(parts) > 1 else []
    return "\n".join(lines)


def _line(name: str, card: Mapping[str, Any], outcome: str) -> str:
    row = next(row for row in card["labels"] if row["label"] == outcome)
    shown = {key: "–" if row[key] is None else f"{row[key]:.2f}" for key in ("sensitivity", "specificity", "f1")}
    return (
        f"{name}: accuracy {card['accuracy']:.2f} (always the commonest label: {card['most_common']:.2f}), {outcome}: "
        f"sensitivity {shown['sensitivity']}, specificity {shown['specificity']}, F1 {shown['f1']}, n {card['n']:,}"
    )


def _counted(bare: int, examples: Sequence[Example]) -> Iterator[str]:
    """What rows of a table do not count, or count more than once."""
    if bare:
        yield f"{bare:,} rows have no text or no label and are left out"
    again = len(examples) - len(set(examples))
    if again:
        yield f"{again:,} rows repeat another one whole, and n counts them: remove them from the table"


def _once(examples: Sequence[Example]) -> Iterator[str]:
    """Labels that one prompt alone has: whoever judges that prompt has never seen them."""
    prompts: dict[str, set[str]] = {}
    for example in examples:
        prompts.setdefault(example.label, set()).add(example.prompt)
    for label in sorted(label for label, own in prompts.items() if len(own) == 1):
        yield f"the label {label} stands at one prompt only, so its validity cannot be told"


def _warnings(card: Mapping[str, Any]) -> Iterator[str]:
    whole = card["validity"]["all"]
    if card["trained_on"]["grouped_by"] == "text":
        yield "no column prompt, so texts of one prompt may stand in two folds: the validity is too good"
    if whole["accuracy"] <= whole["most_common"]:
        yield "no better than always saying the commonest label; label more, or use another scorer"
    blind = [name for name, own in card["validity"]["arms"].items() if _finds_none(own, card["outcome"])]
    if blind:
        yield f"of the texts that people labelled {card['outcome']} it finds none in {', '.join(blind)}"
    few = [name for name, own in card["validity"]["arms"].items() if own["n"] < 100]
    if few:
        yield f"fewer than 100 labels of {', '.join(few)}: what is said of these arms is rough"


def _finds_none(card: Mapping[str, Any], outcome: str) -> bool:
    row = next(row for row in card["labels"] if row["label"] == outcome)
    return bool(row["sensitivity"] == 0.0)
