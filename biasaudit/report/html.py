"""The page's plumbing: templates with autoescape, assets as package data, content hashes for the policy.

A template never marks anything safe; markup is made here, in `text` and in `svg`, and nowhere else.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound
from markupsafe import Markup

from biasaudit.identity import plain as plain_json
from biasaudit.report import text
from biasaudit.report.numbers import Numbers
from biasaudit.report.words import Words

_JSON_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class _PackageTemplates(BaseLoader):
    """Templates of this package, by file name."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, None]:  # noqa: ARG002
        found = resources.files("biasaudit.report").joinpath("templates", template)
        if not found.is_file():
            raise TemplateNotFound(template)
        return found.read_text("utf-8"), None, None


def render(template: str, locale: str, *, alpha: float = 0.05, **values: Any) -> Markup:
    """A template of this package, with `t` (words) and `n` (numbers) of `locale` at hand.

    Args:
        template: file name under `report/templates`.
        locale: `pt` or `en`.
        alpha: level of the tests that words speak of.
        **values: what the template names; a name that is missing raises `jinja2.UndefinedError`.
    """
    page = _environment().get_template(template)
    # The template escaped every value by itself: its output is markup, and the only place where we say so.
    return Markup(page.render(t=Words(locale, alpha), n=Numbers(locale), locale=locale, **values))  # noqa: S704


def asset(name: str) -> str:
    """The text of a file under `report/assets`."""
    return resources.files("biasaudit.report").joinpath("assets", name).read_text("utf-8")


def source_hash(source: str) -> str:
    """A content-security-policy hash of an inline script or style."""
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def policy(script: str, style: str) -> str:
    """The content security policy of a page with one script (or none) and one style: nothing else runs or loads."""
    scripts = source_hash(script) if script else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src {source_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def json_block(value: Mapping[str, Any]) -> Markup:
    """`value` as JSON for a data block: nothing in it can close or open an element."""
    dumped = json.dumps(plain_json(value), ensure_ascii=False, sort_keys=True)
    escaped = dumped.translate(_JSON_ESCAPES).encode("utf-8", "replace").decode("utf-8")
    return Markup(escaped)  # noqa: S704  (the line above is the escape)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=_PackageTemplates(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["show"] = text.show
    environment.filters["isolate"] = text.isolate
    environment.filters["plain"] = text.plain
    return environment
