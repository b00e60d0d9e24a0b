r"""Cleaning: named rules, each of which can be switched off and counts the documents that it changed.

What carries meaning survives: percentages, prices, dates, laws, doses, emojis, line breaks. Links, users and
personal data are not cleaning but privacy (`biasaudit.corpus.privacy`), and are replaced by typed placeholders there.

On unless switched off, in this order:

    controls    C0 and C1 controls, NUL, U+FFFE and U+FFFF, soft hyphens and other invisible fillers go
    bidi        marks that reorder text on a screen go (CVE-2021-42574)
    newlines    CRLF, lone CR, vertical tabs and Unicode line separators become `\n`
    nfc         canonical composition, so that one word has one spelling
    whitespace  every run of blanks becomes one, lines lose blanks at their ends, at most one line stays empty
    forwarded   first lines that say from whom a message was forwarded go

Off unless switched on, because they remove what somebody wrote:

    legacy      the study's own expression, before everything else; meant to be the only rule (`corpus.legacy`)
    bots        lines that are nothing but a call to join, follow or share, or the mark of a bot or a device
    invites     links into groups, `urls` and `usernames` go instead of becoming placeholders
    emoji-drop  emojis go; emoji-name writes them as `[syringe]` instead (`corpus.emoji`)
    unwrap      lines wrapped by hand are joined inside a paragraph

Cleaning twice changes nothing more, whatever the rules, `legacy` excepted. To that end the rules over characters come
before those that read words; and where one of the latter removed something, all run again until nothing changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus import clean_lines, clean_net, clean_text, emoji, legacy, scan
from biasaudit.errors import UnknownNameError, UsageError

DEFAULT = ("controls", "bidi", "newlines", "nfc", "whitespace", "forwarded")
"""Rules that run unless the user says otherwise, in this order."""


@dataclass(frozen=True, slots=True)
class _Rule:
    apply: Callable[[str], str]
    trigger: str
    """RE2 expression found in every text that `apply` changes."""
    uncovers: bool = False
    """Whether its change can leave work for a rule that ran before it."""
    column: Callable[[pa.StringArray], pa.StringArray] | None = None
    """`apply` of every text, where that is faster than one by one."""

    def run(self, text: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.bool_]]:
        """Apply to the texts that need it; say which came out different."""
        hit = pc.match_substring_regex(text, self.trigger)
        found = text.filter(hit)
        differs = np.zeros(len(text), bool)
        if not len(found):
            return text, differs
        cleaned = self.column(found) if self.column else pa.array(map(self.apply, found.to_pylist()), pa.string())
        differs[hit.to_numpy(zero_copy_only=False)] = pc.not_equal(cleaned, found).to_numpy(zero_copy_only=False)
        return pc.replace_with_mask(text, hit, cleaned), differs


_RULES: dict[str, _Rule] = {
    "legacy": _Rule(legacy.clean, ""),
    "controls": _Rule(clean_text.controls, clean_text.CONTROLS_TRIGGER, column=clean_text.controls_column),
    "bidi": _Rule(clean_text.bidi, clean_text.BIDI_TRIGGER),
    "newlines": _Rule(clean_text.newlines, clean_text.NEWLINES_TRIGGER, column=clean_text.newlines_column),
    "nfc": _Rule(clean_text.nfc, clean_text.nfc_trigger()),
    "whitespace": _Rule(clean_text.whitespace, clean_text.WHITESPACE_TRIGGER, column=clean_text.whitespace_column),
    "bots": _Rule(clean_lines.bots, clean_lines.BOTS_TRIGGER, uncovers=True),
    "forwarded": _Rule(clean_lines.forwarded, clean_lines.FORWARDED_TRIGGER, uncovers=True),
    "invites": _Rule(clean_net.invites, clean_net.INVITES_TRIGGER, uncovers=True),
    "urls": _Rule(clean_net.urls, clean_net.URLS_TRIGGER, uncovers=True),
    "usernames": _Rule(clean_net.usernames, clean_net.USERNAMES_TRIGGER, uncovers=True),
    "emoji-drop": _Rule(emoji.drop, emoji.TRIGGER, uncovers=True),
    "emoji-name": _Rule(emoji.name, emoji.TRIGGER, uncovers=True),
    "unwrap": _Rule(clean_text.unwrap, clean_text.UNWRAP_TRIGGER, uncovers=True),
}


def names() -> list[str]:
    """Every rule, in the order in which they run."""
    return list(_RULES)


class Cleaner:
    """The chosen rules, and how many documents each has changed so far."""

    def __init__(self, rules: Iterable[str] = DEFAULT) -> None:
        """Keep `rules`, in the fixed order whatever the order given.

        Raises:
            UnknownNameError: a rule that does not exist.
            UsageError: emojis are to be both dropped and named.
        """
        wanted = set(rules)
        for name in sorted(wanted - set(_RULES)):
            raise UnknownNameError("cleaning rule", name, _RULES)
        if {"emoji-drop", "emoji-name"} <= wanted:
            raise UsageError("emoji-drop and emoji-name exclude each other. Choose one.")
        self.rules = tuple(name for name in _RULES if name in wanted)
        self.changed: Counter[str] = Counter(dict.fromkeys(self.rules, 0))
        """Documents changed by each rule. Counts of several cleaners add up with `update`."""
        self._repeated = tuple((name, _RULES[name]) for name in self.rules if name != "legacy")
        self._trigger = "|".join(rule.trigger for _, rule in self._repeated)
        self._scanned = {name for name, _ in self._repeated} <= set(DEFAULT)

    def __call__(self, text: str) -> str:
        r"""Return the cleaned text; cleaning twice changes nothing more.

        >>> Cleaner()("95%  caro\r\nR$ 9,50\x00 ")
        '95% caro\nR$ 9,50'
        """
        if "legacy" in self.rules:
            cleaned = legacy.clean(text)
            self.changed["legacy"] += cleaned != text
            text = cleaned
        return self._clean(text)

    def batch(self, text: pa.StringArray) -> pa.StringArray:
        """Clean every text as `__call__` does, shape (texts,).

        One search finds the texts that some rule may change; most need none and are passed on as they came.

        Args:
            text: no nulls, shape (texts,).
        """
        if "legacy" in self.rules:
            cleaned = legacy.batch(text)
            self.changed["legacy"] += pc.sum(pc.not_equal(cleaned, text)).as_py() or 0
            text = cleaned
        if not self._repeated:
            return text
        suspect = self._suspect(text)
        found = text.filter(suspect)
        return pc.replace_with_mask(text, suspect, self._columns(found)) if len(found) else text

    def _suspect(self, text: pa.StringArray) -> pa.BooleanArray:
        """Texts in which some rule's trigger is found."""
        scanned = scan.suspects(text) if self._scanned else None
        if scanned is None:
            return pc.match_substring_regex(text, self._trigger)
        flags = pa.array(scanned)
        return pc.replace_with_mask(flags, flags, pc.match_substring_regex(text.filter(flags), self._trigger))

    def _columns(self, text: pa.StringArray) -> pa.StringArray:
        """`_clean` of every text, rule by rule; texts in which something was uncovered go round again."""
        changed = {name: np.zeros(len(text), bool) for name, _ in self._repeated}
        rows, part = np.arange(len(text)), text
        while len(rows):
            uncovered = np.zeros(len(rows), bool)
            for name, rule in self._repeated:
                part, differs = rule.run(part)
                changed[name][rows[differs]] = True
                if rule.uncovers:
                    uncovered |= differs
            mask = np.zeros(len(text), bool)
            mask[rows] = True
            text = pc.replace_with_mask(text, pa.array(mask), part)
            rows, part = rows[uncovered], part.filter(pa.array(uncovered))
        self.changed.update({name: int(mask.sum()) for name, mask in changed.items()})
        return text

    def _clean(self, text: str) -> str:
        changed: set[str] = set()
        again = True
        while again:
            again = False
            for name, rule in self._repeated:
                cleaned = rule.apply(text)
                if cleaned != text:
                    text = cleaned
                    changed.add(name)
                    again = again or rule.uncovers
        self.changed.update(changed)
        return text
