r"""Cleaning rules over whole lines: who forwarded a message, and what bots and channels print under every one.

`forwarded` takes headers off the start of a text alone. `bots` takes lines anywhere, and only such as are nothing but
a known formula, signs, and handles or links: a sentence that merely begins like one stays. Formulas are Portuguese
and English. Every repeat is bounded or anchored, so both are linear in the text's length.
"""

from __future__ import annotations

import re

from biasaudit.corpus.clean_text import SPACES

# ---------------------------------------------------------------------------- forwarded

_ARROWS = "\u2190-\u21ff\u2900-\u297f\u2b00-\u2bff\ufe0f\U0001f300-\U0001faff "
_DAY = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?: ?[AP]M)?"
_FROM = r"(?:forwarded from|fwd from|encaminhad[ao] de|reenviad[ao] de|repostad[ao] de)"
_BY = r"(?:forwarded by|encaminhad[ao] por|reenviad[ao] por)"
_LABEL = (
    r"(?:forwarded message|forwarded many times|frequently forwarded|forwarded|mensagem (?:encaminhada|reenviada)"
    r"|(?:encaminhad|reenviad)[ao](?: com frequ[êÊ]ncia| muitas vezes| v[áÁ]rias vezes)?)"
)
_MAIL_HEAD = r"(?:(?:de|from|date|data|enviado|sent|subject|assunto|to|para|cc): [^\n]{0,200}\n){0,6}"
# A label, then a name: both bounded, one line, so that a body that merely starts with "Encaminhado" stays.
_HEADERS = (
    rf"\[{_FROM} ?:? ?[^\]\n]{{1,120}}\](?:[ \n]|\Z)",
    rf"\[?(?:{_FROM}|{_BY}) ?: ?[^\n]{{1,120}}\n",
    rf"\[?{_FROM} [^\n]{{0,119}}[^\n.!?,;…]\n",
    rf"\[?{_LABEL}\]? {{0,4}}:?\n",
    # E-mail: the marker, and the head of the mail that follows it.
    r"-{2,20} ?(?:forwarded message|mensagem encaminhada) ?-{2,20}\n" + _MAIL_HEAD,
    # Telegram Desktop, copied: "Name, [12.03.2021 10:22]". WhatsApp, copied or exported.
    rf"[^\n\[\]]{{1,80}}, \[{_DAY},? {_CLOCK}\]:?\n",
    rf"\[(?:{_DAY},? {_CLOCK}|{_CLOCK}, {_DAY})\] [^:\n]{{1,60}}:[ \n]",
    rf"{_DAY},? {_CLOCK} - \+\d[\d ()-]{{6,22}}: ",
)
_HEADER = re.compile(f"[{_ARROWS}]{{0,4}}(?:{'|'.join(_HEADERS)})", re.IGNORECASE | re.ASCII)
_LEAD = re.compile(f"[{SPACES}]+")

FORWARDED_TRIGGER = (
    rf"\A[{SPACES}{_ARROWS}]*(?:(?i:\[?(?:forw|fwd|freq|encam|reenv|repost|mensag))|--|\[?[0-9]{{1,4}}[./:-][0-9]"
    r"|[^\n]*, \[[0-9])"
)


def forwarded(text: str) -> str:
    """Remove the headers at the start that say from whom, by whom and when a message was sent on."""
    start = 0
    while True:
        lead = _LEAD.match(text, start)
        found = _HEADER.match(text, lead.end() if lead else start)
        if not found:
            return text[start:]
        start = found.end()


# ---------------------------------------------------------------------------- bots

_SIGNS = r"[^\w\n@\[\]]"
_TARGET = (
    r"(?:@\w{3,32}|https?://[^\s]{1,200}|www\.[^\s]{1,200}|(?:t|telegram|wa)\.me/[^\s]{1,100}"
    r"|chat\.whatsapp\.com/[^\s]{1,100}|\[(?:USER|LINK|INVITE)\])"
)
_TARGETS = rf"{_TARGET}(?:{_SIGNS}{{1,8}}{_TARGET}){{0,4}}"
_PLATFORM = (
    r"(?:telegram|whatsapp|whats|zap|youtube|instagram|insta|facebook|face|twitter|tik ?tok|gettr|rumble|gab|spotify"
    r"|redes sociais|social media)"
)
_PLACE_PT = rf"(?:cana(?:l|is)|grupos?|chat|comunidade|perfi[ls]|p[aáÁ]gina|lista|newsletter|bot|{_PLATFORM})"
_PLACE_EN = rf"(?:channels?|groups?|chat|community|page|newsletter|bot|{_PLATFORM})"
_WHERE_PT = (
    rf"(?: (?:n?[oa]s?|em|d[oa]s?|ao|pelo|tamb[eéÉ]m n[oa]s?))?(?: (?:noss[oa]s?|meus?|minhas?|est[ea]|ess[ea]))?"
    rf" {_PLACE_PT}(?: (?:oficial|gratuito|vip|reserva|novo))?(?: (?:n?[oa]|d[oa]|de) {_PLATFORM})?"
)
_WHERE_EN = (
    rf"(?: (?:to|on|in))?(?: (?:our|my|the|this))?(?: (?:official|free|vip|new|backup|{_PLATFORM}))? {_PLACE_EN}"
    rf"(?: (?:on|in) {_PLATFORM})?(?: (?:here|now|today))?"
)
_JOIN_PT = (
    r"(?:inscrev[ae]m?-se|se inscrev[ae]m?|cadastre-se|junte-se|entrem?|participem?|acompanhem?(?:-nos)?"
    r"|sig(?:a|am)(?:-nos)?|nos sigam?|acessem?|fa[çÇ]a parte|assinem?|clique aqui)"
)
_JOIN_EN = r"(?:please )?(?:join(?: us)?|subscribe|follow(?: us)?|check out|visit)"
_THING_PT = r"(?: (?:o|a|est[ea]|ess[ea]|noss[oa]))? (?:mensagem|canal|grupo|post|v[ií]deo|link|publica[çÇ][ãÃ]o|texto)"
_SHARE_PT = (
    r"(?:por favor,? )?(?:curt[ae]m?|compartilhem?|repassem?|divulguem?|encaminhem?)"
    r"(?: e (?:curt[ae]m?|compartilhem?|repassem?|divulguem?|encaminhem?))?"
    rf"(?:{_THING_PT})?(?: (?:com|para|em|n?os|aos)(?: tod[oa]s)?(?: [oa]s)?(?: seus)?"
    r" (?:amigos|contatos|grupos|familiares|todos))?"
)
_SHARE_EN = (
    r"(?:please )?(?:like|share|repost|forward)(?: (?:and|&) (?:like|share|subscribe|repost|follow))?"
    r"(?: (?:this|our|the) (?:channel|group|post|message|video|link))?(?: (?:with|to) (?:(?:all|your) ){0,2}friends)?"
)
_DEVICE = r"(?:iphone|ipad|android|samsung|galaxy|celular|smartphone|xiaomi|motorola|moto|blackberry|windows phone)"
_SENT = (
    rf"(?:enviad[oa] (?:do|de|pelo) meu {_DEVICE}|sent from my {_DEVICE}|obter o outlook para (?:ios|android)"
    r"|get outlook for (?:ios|android)|(?:enviado pelo|sent from) (?:outlook|yahoo mail|uol mail|mail for windows)"
    r"|(?:forwarded|posted|sent|powered|enviad[oa]|encaminhad[oa]|postad[oa]|publicad[oa]) (?:via|by|por|pelo)"
    rf" (?:o )?(?:bot(?: {_TARGET})?|{_TARGET})|via {_TARGET})"
)
_NAMED = (
    rf"(?:(?:nosso|our) )?(?:canal|grupo|channel|group|chat|bot|{_PLATFORM})(?: oficial)?(?: (?:no|on) {_PLATFORM})?"
)
_POINTER = "[\u2192\u21aa\u25b6\u2705\u27a1\u00bb\u261e\U0001f447\U0001f449\U0001f4f2\U0001f517]"
_BOT = re.compile(
    rf"^{_SIGNS}{{0,12}}(?ai:{_JOIN_PT}{_WHERE_PT}|{_JOIN_EN}{_WHERE_EN}|inscrev[ae]m?-se|se inscrev[ae]m?|sigam?-nos"
    rf"|nos sigam?|(?:follow|join) us|subscribe|{_JOIN_PT} ?:? ?(?={_TARGET})|{_JOIN_EN} ?:? ?(?={_TARGET})"
    rf"|{_SHARE_PT}|{_SHARE_EN}|{_SENT}|{_NAMED} ?: ?(?={_TARGET}))(?:{_SIGNS}{{0,8}}{_TARGETS})?{_SIGNS}{{0,12}}$\n?"
    rf"|^ {{0,4}}(?:{_POINTER}[\ufe0f ]{{0,2}}){{1,6}}{_TARGETS}{_SIGNS}{{0,12}}$\n?",
    re.MULTILINE,
)

BOTS_TRIGGER = (
    r"(?i:inscrev|cadastre-se|junte-se|entre|particip|acompanh|siga|acesse|a parte|assine|clique|join|subscribe|follow"
    r"|check out|visit|curt[ae]|compartilhe|repasse|divulgue|encaminhe|like|share|repost|forward|enviad|sent |outlook"
    r"|posted|powered|encaminhad|postad|publicad|via |canal|grupo|channel|group|chat|bot|telegram|whats|zap|tube|insta"
    rf"|face|twitter|tik|gettr|rumble|gab|spotify|redes|social)|{_POINTER}"
)


def bots(text: str) -> str:
    """Remove the lines that are nothing but a call to join, follow or share, or the mark of a bot or a device."""
    return _BOT.sub("", text)
