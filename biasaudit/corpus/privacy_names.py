"""Names after words that announce one; an option, for no rule finds a name in running text."""

from __future__ import annotations

import re

from biasaudit.corpus.privacy_rules import Group, Rule, always

_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’]{1,30}"
_NAME = rf"({_CAPITAL}(?:\s(?:(?i:d[aeo]s?|e|von|van|del|de la)\s)?{_CAPITAL}){{0,5}})"
_ANNOUNCED = (
    r"(?:meu|seu|nosso)? ?nome(?: completo)?(?: (?:dela?|dele|d[oa] \w{1,20}))? (?:é|eh|era)|me chamo|chamo-me|se chama"
    r"|pode me chamar de|my (?:full )?name is|my name's|her name is|his name is|call me|me llamo|(?:mi|su) nombre es"
)
_NOT_NAMES = (
    r"(?:o|os|as|um|uma|que|n[ãa]o|muit[oa]|mais|s[óo]|e|de|da|do|em|no|na|the|not|a|an|el|la|lo|un|una|assim|t[ãa]o|bem|isso|este"
    r"|esse|bonit[oa]|feio|comum|igual|diferente|outr[oa]|meu|minha|seu|sua|apenas|amor|trabalho|simples|importante)"
)
_NOT_SURNAMES = (
    r"(?:tenho|sou|e|moro|vivo|estou|fui|era|quero|gosto|i|and|from|soy|tengo|y|mas|que|com"
    r"|n[ãa]o|é|a|o)"
)
_NAMED_LOWER = re.compile(
    r"(?i:(?<![^\W_])(?:meu nome(?: completo)? (?:é|eh)|me chamo|chamo-me|my name is|me llamo|mi nombre es)\s"
    rf"(?!{_NOT_NAMES}(?![^\W_])))"
    r"([^\W\d_]{3,20}"
    rf"(?:\s(?:d[aeo]s?\s[^\W\d_]{{3,20}}|(?!{_NOT_SURNAMES}(?![^\W_]))[^\W\d_]{{3,20}})){{0,2}})(?![^\W_])"
)
_NAMED = re.compile(
    rf"(?i:(?<![^\W_])(?:{_ANNOUNCED}"
    r"|(?:nome|nome completo|titular|favorecido|name|assinado|atenciosamente|att)\s?[:,-])\s{0,2}(?:o |a |é )?)" + _NAME
)
_PRESENTED = re.compile(
    rf"(?i:(?<![^\W_])(?:(?:eu )?sou (?:o|a)|aqui (?:é|quem fala é) (?:o|a)|i am|i'm)\s)({_CAPITAL}\s(?:(?:d[aeo]s?"
    rf"|e)\s)?{_CAPITAL}(?:\s(?:(?:d[aeo]s?|e)\s)?{_CAPITAL}){{0,4}})"
)
NAMES = (
    Group(
        r"(?i)nome|chamo|chamar de|se chama|llamo|nombre|name|titular|favorecido|assinado|atenciosamente|att|call me"
        r"|sou [oa]|aqui |i am|i'm",
        (
            Rule(_NAMED, always("NAME"), 1),
            Rule(_NAMED_LOWER, always("NAME"), 1),
            Rule(_PRESENTED, always("NAME"), 1),
        ),
    ),
)
