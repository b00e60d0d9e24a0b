"""From a validator's complaints to lines that a person can act on: where, what is wrong, what was expected.

Pydantic says which rule failed at which path; here the path becomes `file:line:column` and the rule a sentence, with
the nearest known name when a key looks like a slip of the pen.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from biasaudit.battery import schema
from biasaudit.battery.source import Source, Trail, show

_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "keys and values (`key: value`)",
    "list_type": "a list (`- item` or `[item, item]`)",
    "model_type": "keys and values (`key: value`)",
    "model_attributes_type": "keys and values (`key: value`)",
}
_PATTERNS = {
    "^[^\\W\\d_]": "a word of letters, digits, `_` and `-` that begins with a letter, at most 64 characters",
    "^[a-z]{2,3}": "a language code such as pt, en or pt-BR",
    "^[^\\s:{}]": "a speaker's name of at most 40 characters, without colon or braces",
    "^\\s*[0-9]*": 'a positive number and its unit, such as "0.02 nats/byte" (a point, no comma)',
}

MAX_HINTS = 200
"""Names that a slip of the pen is compared with; comparing is slow, and a file may hold thousands."""


def hint(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for the nearest of `known`, or nothing."""
    if len(word) > 64:
        return ""
    near = difflib.get_close_matches(word, itertools.islice(known, MAX_HINTS), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def one_of(known: Iterable[str]) -> str:
    """`; expected one of …` with the first of `known`, or that there are none."""
    names = list(known)
    more = ", …" if len(names) > 16 else ""
    return f"; expected one of {', '.join(names[:16])}{more}" if names else "; expected none, since none are declared"


def found(value: Any) -> str:
    """What stands in the file, in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{'true' if value else 'false'}`"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text `{show(value, 40)}`"
    return "keys and values" if isinstance(value, dict) else "a list"


def _fields_at(loc: Trail) -> list[str]:
    """Names of the keys that are allowed beside the unknown key at `loc`."""
    model: type[BaseModel] = schema.BatteryPart
    parts: Mapping[str, type[BaseModel]] = {
        "topics": schema.TopicPart,
        "templates": schema.TemplatePart,
        "measures": schema.MeasurePart,
        "sampling": schema.SamplingPart,
        "sweep": schema.SweepPart,
        "primary": schema.PrimaryPart,
    }
    if len(loc) > 1:
        model = parts.get(str(loc[0]), schema.BatteryPart)
    return list(model.model_fields)


def _at(value: Any, trail: Trail) -> Any:
    for step in trail:
        value = value[step]
    return value


def _expected(error: ErrorDetails) -> str:
    """The rule that failed, as the end of a sentence that begins with `expected`."""
    kind, ctx = error["type"], error.get("ctx", {})
    if error["loc"] == ("alpha",):
        return "a share from 0.005 to 0.2: the level of the tests, 0.05 for 5 %"
    if kind == "string_pattern_mismatch":
        return next((text for start, text in _PATTERNS.items() if ctx["pattern"].startswith(start)), ctx["pattern"])
    bounds = {
        "greater_than_equal": "a number from {ge} on",
        "greater_than": "a number above {gt}",
        "less_than_equal": "a number of at most {le}",
        "less_than": "a number below {lt}",
        "string_too_short": "a text that is not empty",
        "string_too_long": "at most {max_length} characters",
        "literal_error": "{expected}",
        "finite_number": "a finite number",
    }
    if kind in bounds:
        return bounds[kind].format(**ctx)
    if kind == "too_short":
        return f"at least {ctx['min_length']}"
    if kind == "too_long":
        return f"at most {ctx['max_length']}"
    return _KINDS.get(kind, error["msg"])


def _one(source: Source, error: ErrorDetails) -> str:
    """One complaint as a fault."""
    kind, loc = error["type"], tuple(error["loc"])
    trail = source.known(loc)
    if kind == "missing":
        what = f"the key `{loc[-1]}` is missing; expected it here"
        return source.fault(trail, what, key=True)
    name = show(str(trail[-1])) if trail else "the battery"
    if kind == "extra_forbidden":
        known = _fields_at(trail)
        near = hint(str(trail[-1]), known) or one_of(known)
        return source.fault(trail, f"`{name}` is not a key here{near}", key=True)
    if loc and loc[-1] == "[key]":
        return source.fault(trail, f"the key `{name}`; expected {_expected(error)}", key=True)
    value = _at(source.value, trail)
    label = f"`{name}`" if trail and isinstance(trail[-1], str) else "this item"
    if kind in ("too_short", "too_long") and not isinstance(value, str):
        if trail[:1] == ("topics",) and trail[2:3] == ("pairs",) and len(trail) == 5:
            what = f"this pair has {len(value)} text(s); expected two, [claim, counter-claim]"
            return source.fault(trail, what)
        amount = "few" if kind == "too_short" else "many"
        what = f"{label} has too {amount} entries ({len(value)}); expected {_expected(error)}"
    else:
        what = f"{label} is {found(value)}; expected {_expected(error)}"
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        what += " (put it in quotes)"
    return source.fault(trail, what)


def _prune(value: dict[str, Any], error: ValidationError) -> dict[str, Any]:
    """A copy of the file's values without the entries that have faults of form."""
    kept: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in value.items()}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        section, rest = item["loc"][0], item["loc"][1:]
        entries = kept.get(str(section))
        if rest and isinstance(entries, dict) and section in ("topics", "templates", "stems", "slots", "measures"):
            entries.pop(str(rest[0]), None)
        else:
            kept.pop(str(section), None)
    fallback = {"battery": "unnamed", "version": 1, "title": {"en": "untitled"}}
    return {**fallback, **kept}


def validate(source: Source) -> tuple[schema.BatteryPart | None, list[str]]:
    """Check a file's form.

    Returns:
        The battery as far as it could be read (entries with faults are left out, so that the checks of meaning can
        still run over the rest; None when too little remains), and the faults.
    """
    try:
        return schema.BatteryPart.model_validate(source.value), []
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_input=False)[:1000]
        faults = [_one(source, item) for item in complaints[:200]]
        if len(complaints) > 200:
            return None, faults
        try:
            return schema.BatteryPart.model_validate(_prune(source.value, error)), faults
        except ValidationError:
            return None, faults
