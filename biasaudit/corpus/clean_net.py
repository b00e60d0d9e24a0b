"""Cleaning rules that remove users, links and invitations instead of leaving them to the privacy stage's placeholders.

Off by default: a placeholder keeps the sentence whole and says what stood there. Each is replaced by one space, so
that what stood left and right of it never grows together into something new. E-mail addresses are left alone.
"""

from __future__ import annotations

import re

_END = r"[^\s<>\"”“«».,;:!?…)\]'*_]"
"""A link's last character: the sentence's own punctuation after it is not its part."""
_REST = rf"[^\s<>\"”“«»]{{0,2047}}{_END}"
_HEAD = r"(?<![A-Za-z0-9])"
_INVITE = re.compile(
    rf"{_HEAD}(?:(?:https?://)?(?:www\.)?(?:(?:t|telegram)\.(?:me|dog)/(?:\+|%2B|joinchat/|addlist/)"
    rf"|chat\.whatsapp\.com/|discord\.gg/|discord\.com/invite/)|tg:(?://)?(?:join|addlist)\?){_REST}",
    re.IGNORECASE | re.ASCII,
)
_URL = re.compile(
    rf"{_HEAD}(?:(?:(?:https?|hxxps?|ftp|tg|whatsapp)://|www\.(?=[^\W_])|(?:t|telegram)\.(?:me|dog)/|wa\.me/){_REST}"
    rf"|(?:chat|api)\.whatsapp\.com/{_REST})",
    re.IGNORECASE,
)
_USER = re.compile(r"(?<![\w@.%/+\-])@(?=\w{0,31}[^\W\d])\w{3,32}(?![\w@])")

USERNAMES_TRIGGER = "@"
URLS_TRIGGER = r"://|(?i:w\.|[te]\.me/|[tm]\.dog/|a\.me/|whatsapp)"
INVITES_TRIGGER = r"(?i:\.me/|\.dog/|whatsapp|discord|tg:)"


def usernames(text: str) -> str:
    """Remove `@user`."""
    return _USER.sub(" ", text)


def urls(text: str) -> str:
    """Remove links: with a scheme, with `www.`, or to a messenger."""
    return _URL.sub(" ", text)


def invites(text: str) -> str:
    """Remove links that let their reader into a group."""
    return _INVITE.sub(" ", text)
