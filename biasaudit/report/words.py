"""The report's words: one YAML file a locale, both with the same keys (a test), sentences with `{named}` holes."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from biasaudit.errors import UnknownNameError
from biasaudit.report.view import LOCALES

_NUMBER = re.compile(r"[0-9]+")
_NOT_WORD = re.compile(r"[^a-z0-9]+")


class Words:
    """Sentences of one locale: `words("reader.shown", n="12")`.

    Args:
        locale: `pt` or `en`.
        alpha: level of the tests, which fills `{alpha}`, `{confidence}` (1 − α) and `{narrow}` (1 − 2α) everywhere.

    Raises:
        UnknownNameError: there is no such locale.
    """

    def __init__(self, locale: str, alpha: float = 0.05) -> None:
        if locale not in LOCALES:
            raise UnknownNameError("locale", locale, LOCALES)
        self.locale = locale
        self._table = table(locale)
        shares = {"alpha": alpha, "confidence": 1 - alpha, "narrow": 1 - 2 * alpha}
        self._levels = {name: _percent(share, locale) for name, share in shares.items()}

    def __call__(self, key: str, **values: object) -> str:
        """The sentence `key` with its holes filled; values are never read as templates."""
        return self._table[key].format(**{**self._levels, **values})

    def plural(self, key: str, count: int, **values: object) -> str:
        """`key_one` or `key_other` by `count` (in both languages one is singular, anything else plural)."""
        return self(f"{key}_{'one' if count == 1 else 'other'}", **values)

    def has(self, key: str) -> bool:
        """Whether the locale has `key`."""
        return key in self._table

    def fixed(self, group: str, word: str) -> str:
        """The sentence of a fixed word of the analysis; an unknown word (a plug-in's) is shown as it stands."""
        key = f"{group}.{word}"
        return self(key) if key in self._table else word

    def phrase(self, group: str, words: str) -> str:
        """A fixed phrase of a wing in this locale, its first number kept; an unknown phrase as it stands."""
        number = _NUMBER.search(words)
        slug = _NOT_WORD.sub("-", _NUMBER.sub("n", words).lower()).strip("-")
        key = f"{group}.{slug}"
        return self(key, n=number[0] if number else "") if key in self._table else words


def _percent(share: float, locale: str) -> str:
    """A level with the digits that it has: `95%`, `99.5%`."""
    text = f"{100 * share:.4g}%"
    return text.replace(".", ",") if locale == "pt" else text


@functools.cache
def table(locale: str) -> Mapping[str, str]:
    """Dotted key -> sentence of one locale file."""
    text = resources.files("biasaudit.report").joinpath("locale", f"{locale}.yaml").read_text("utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(_flatten("", yaml.load(text, loader)))  # noqa: S506 (both are safe)


def _flatten(prefix: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return [(prefix, str(value).strip())]
    dotted = f"{prefix}." if prefix else ""
    return [pair for key, inner in value.items() for pair in _flatten(f"{dotted}{key}", inner)]
