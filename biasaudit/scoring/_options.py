"""Reading the options of a measure: known keys only, lists flat or by language."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from biasaudit.errors import InputError


def known_only(options: Mapping[str, Any], known: Collection[str], measure: str, scorer: str) -> None:
    """Refuse an option that the scorer does not have: a misspelt one must not be silently ignored.

    Raises:
        InputError: names the option, the measure and the options that exist.
    """
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"measure '{measure}': the scorer {scorer} has no option '{unknown[0]}'; "
            f"it has: {', '.join(sorted(known)) or 'none'}."
        )


def listed(options: Mapping[str, Any], key: str, language: str, measure: str) -> list[Any] | None:
    """The list under `key`: a flat list serves every language, a mapping serves those it names.

    Returns:
        None when the option is absent or does not cover `language`.

    Raises:
        InputError: neither a list nor a mapping of languages to lists.
    """
    value = options.get(key)
    if isinstance(value, Mapping):
        value = value.get(language)
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise InputError(
            f"measure '{measure}': option '{key}' must be a list, or a mapping of languages to lists, "
            f"not {type(value).__name__}."
        )
    return list(value)


def languages_of(options: Mapping[str, Any], measure: str) -> tuple[str, ...]:
    """What the option `languages` names: those that a model may judge; empty, any of them, without it.

    Raises:
        InputError: no list of texts.
    """
    given = options.get("languages", ())
    if not isinstance(given, (list, tuple)) or not all(isinstance(code, str) and code for code in given):
        raise InputError(f"measure '{measure}': option 'languages' must be a list, as in [pt, en].")
    return tuple(given)


def chosen(options: Mapping[str, Any], key: str, allowed: Collection[str], default: str, measure: str) -> str:
    """One word out of `allowed`.

    Raises:
        InputError: another value.
    """
    value = options.get(key, default)
    if value not in allowed:
        raise InputError(f"measure '{measure}': option '{key}' must be one of {', '.join(allowed)}, not '{value}'.")
    return str(value)


def whole_number(options: Mapping[str, Any], key: str, default: int, low: int, high: int, measure: str) -> int:
    """A whole number from `low` to `high`.

    Raises:
        InputError: anything else.
    """
    value = options.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"measure '{measure}': option '{key}' must be a whole number from {low} to {high}.")
    return value
