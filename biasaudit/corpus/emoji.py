r"""Emojis as units: a flag, a keycap, a family or a skin tone is one sign, to be dropped or named as one.

Names stand in brackets, in plain words (`[face with tears of joy]`), and not between colons: a tokenizer reads the
words as it does any others, no rule for times, links or users can take them for its own, and they look like the typed
placeholders without being one (those are in capitals). Names are Unicode's own, of this Python's tables; the better
known short names of CLDR would be one more library. The parts of a joined sign are named in order.

Signs that are text unless a variation selector asks for a picture (digits, ©, ™, ↔) are emojis only with it.

Source: Unicode 14 emoji-data.txt; UTS #51 (sequences).
"""

from __future__ import annotations

import re
import unicodedata

_PICTURES = (
    "\u231a\u231b\u23e9-\u23f3\u23f8-\u23fa\u2600-\u2604\u260e\u2611\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626"
    "\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653\u265f\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u267f"
    "\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26ce"
    "\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa\u26fd\u2702\u2705\u2708-\u270d\u270f\u2712\u2714"
    "\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27b0"
    "\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e"
    "\U0001f191-\U0001f19a\U0001f201\U0001f202\U0001f21a\U0001f22f\U0001f232-\U0001f23a\U0001f250\U0001f251"
    "\U0001f300-\U0001f5ff\U0001f600-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7f0\U0001f90c-\U0001f93a"
    "\U0001f93c-\U0001f945\U0001f947-\U0001f9ff\U0001fa70-\U0001faff"
)
_ON_REQUEST = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u2328\u23cf\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe"
    "\u27a1\u2934\u2935\u2b05-\u2b07\u3030\u303d\u3297\u3299"
)
_TONES = "\U0001f3fb-\U0001f3ff"
_LETTERS = "\U0001f1e6-\U0001f1ff"
_TAGS = "\U000e0020-\U000e007f"
_LOOSE = "\u200d\ufe0e\ufe0f\u20e3"
_ONE = rf"(?:[{_PICTURES}]|[{_ON_REQUEST}](?=\ufe0f))[\ufe0e\ufe0f]?[{_TONES}]?"
_UNIT = re.compile(
    rf"(?:[{_LETTERS}]{{1,2}}|[0-9#*]\ufe0f?\u20e3|{_ONE}(?:[{_TAGS}]{{1,32}}|(?:\u200d{_ONE}){{0,9}}))[{_LOOSE}]{{0,8}}"
)
# Possessive: a long run needs no way back, and remembering one makes it slow.
_RUN = re.compile(rf" ?{_UNIT.pattern}(?: ?{_UNIT.pattern})*+ ?")
_CLOSES = re.compile(r"[.,;:!?…)\]]{0,3}(?:\s|\Z)")
_TONE_NAMES = ("light", "medium-light", "medium", "medium-dark", "dark")

TRIGGER = f"[{_PICTURES}{_LETTERS}]|[{_ON_REQUEST}]\ufe0f|\u20e3"


def drop(text: str) -> str:
    """Remove emojis; a space stays between the words that they stood between."""
    return _RUN.sub(lambda found: "" if _CLOSES.match(text, found.end()) or not found.start() else " ", text)


def name(text: str) -> str:
    """Write emojis as their names in brackets, with spaces around them.

    >>> name("Viva o SUS\N{SYRINGE}!")
    'Viva o SUS [syringe]!'
    """

    def named(found: re.Match[str]) -> str:
        before = " " if found.start() and not text[found.start() - 1].isspace() else ""
        after = " " if text[found.end() : found.end() + 1].isalnum() else ""
        return f"{before}[{_name(found.group())}]{after}"

    return _UNIT.sub(named, text)


def _name(unit: str) -> str:
    first = ord(unit[0])
    if 0x1F1E6 <= first <= 0x1F1FF:
        letters = "".join(chr(ord(char) - 0x1F1E6 + ord("A")) for char in unit.rstrip(_LOOSE))
        return f"flag {letters}"
    if first < 0x80:
        return f"keycap {unit[0]}"
    words = []
    for char in unit:
        point = ord(char)
        if char in _LOOSE or 0xE0020 <= point <= 0xE007F:
            continue
        if 0x1F3FB <= point <= 0x1F3FF:
            words.append(f"{_TONE_NAMES[point - 0x1F3FB]} skin tone")
        else:
            words.append(unicodedata.name(char, f"emoji {point:X}").lower())
    tags = "".join(chr(ord(char) - 0xE0000) for char in unit if 0xE0020 <= ord(char) < 0xE007F)
    return ", ".join([*words, tags] if tags else words)
