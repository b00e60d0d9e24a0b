r"""Addresses of the net: links, invites, e-mails, user names, plain and in disguise.

Sources: core.telegram.org/api/links; RFC 5321 (lengths of the parts of an e-mail address).
"""

from __future__ import annotations

import re

from biasaudit.corpus.privacy_rules import Group, Rule, always

_I = re.IGNORECASE
_BLANK = r"[\t-\r\x1c-\x20]"
r"""What Python's `\s` matches in a folded text, for triggers."""

# ---------------------------------------------------------------------------- links

_TLDS = (
    r"com|net|org|br|gov|edu|info|io|me|tv|ly|be|co|app|dev|site|online|link|gg|to|ru|us|uk|pt|es|fr|de|it|eu|ar|mx|"
    r"dog|xyz|blog|club|shop|store|live|news|page|gl|cc|ws|in|ch|nl|ca|au|jp|cn|gd|im|is|la|vc|fm|ee|social|group|chat|"
    r"ai|am|at|bio|biz|cl|cloud|click|fun|fyi|jus|lol|media|mobi|mp|ng|ms|no|nz|party|pe|pl|pro|se|sh|space|st|tech|tk|"
    r"top|ua|uy|video|vip|website|wiki|win|work|world|zone|ao|mz|id|kr|za|cat|audio|art|buzz|email|gle|goog|rip|wtf|"
    r"al|gy|ink|do|watch|bs|tl|ph|su|ag|lc|mn|nu|pw|sc|sx|td|tc|vg|vu|cx|cd|ga|gs|hn|ie|il|kz|li|lt|md|mk|mu|my|ro|rs|sg"
    r"|si|sk|sn|tn|tr|ug|uz|ve|af|ba|bg|bo|by|cr|cz|dk|fi|ge|gr|hk|hu|mt|tt|py|pr|so|bid|one|red|tips|today|onion"
)
_START = r"(?<![^\W_])(?<![@%])"
_INSIDE = re.compile(r"(?:[^\W\d]|[\w@.%\-]\d)[.\-]\Z")
"""Before a host that is the end of a longer one or of an address; not a dash or the number of a list."""
_START_APART = rf"{_START}(?<![^\W\d][.\-])(?<![\w@.%\-]\d[.\-])(?<!\.[\])}}>])(?<!(?:ot|to)[\])}}>])"
"""The same within a pattern, for hosts of any name, which would otherwise be read from each of their dots."""
_END = r"[^\s<>\"”“«»]"
_SLASH = r"(?:/|\\/|%2F)"
_URL = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:https?|hxxps?|ftp|tg|whatsapp|tel|sms)(?::|%3A|\[:\])(?:{_SLASH}{_SLASH})"
    rf"|mailto:(?!\S{{1,64}}@)"
    rf"|www\d?\.(?=\w)|tg:(?=[a-z_]{{2,30}}\?)){_END}{{1,4096}}",
    _I,
)
_BARE_URL = re.compile(
    rf"{_START_APART}"
    r"(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.){1,4}(?:" + _TLDS + r")(?:\.[a-z]{2})?(?::\d{2,5})?"
    rf"(?:{_SLASH}{_END}{{1,4096}}|(?=\?[a-z]{{1,20}}=){_END}{{1,2048}})",
    _I,
)
_OURS = r"t\.me|telegram\.(?:me|dog|org)|wa\.me|chat\.whatsapp\.com|api\.whatsapp\.com"
_OWN_HOST = re.compile(
    rf"{_START_APART}(?:[a-z][a-z0-9_]{{2,31}}\.t\.me|{_OURS}|[a-z0-9][\w-]{{0,62}}\.(?:blogspot|wordpress"
    rf"|tumblr|substack|"
    r"wixsite|weebly|medium|bandcamp)\.com|[a-z0-9][\w-]{0,62}\.bsky\.social)(?![\w\-]|\.(?-i:[a-z0-9]))"
    r"(?:/|\s(?:barra|slash)\s[@+]?[\w-]{3,64})?",
    _I,
)
# A link to a chat that a line break or a blank cuts behind its slash: the second half names the chat.
_CUT_LINK = re.compile(
    rf"{_START}(?i:(?:https?://)?(?:{_OURS}|instagram\.com|facebook\.com|twitter\.com|x\.com|tiktok\.com"
    rf"|youtube\.com))"
    r"(?:/(?:joinchat|addlist|s|c|send))?(?:/\s{1,2}|\s{1,2}/\s{0,2})[@+]?(?=[\w%.-]{0,31}[\d_A-Z+-]"
    r"|[a-z]{4,32}(?![^\W_]))[\w%+.=?-]{3,64}",
)
_BR_HOST = re.compile(
    rf"{_START_APART}"
    r"(?:[\w](?:[\w\-]{0,61}\w)?\.){1,4}(?:com|net|org|gov|edu|jus|leg|mil"
    r"|blog)\.br(?![\w\-]|\.(?-i:[a-z0-9]))",
    _I,
)
_URL_APART = re.compile(
    r"(?<![A-Za-z0-9])(?:https?|hxxps?)://(?:www\.)?(?:t|telegram|wa|instagram|facebook|twitter|x|youtube|tiktok)"
    r"(?:\s{1,2}\.\s{0,2}|\.\s{1,2})(?:me|dog|com)\s?/\s?[@+]?[\w%+.=?&#-]{2,256}(?:/[\w%+.=?&#-]{2,256}){0,4}",
    _I,
)
_INVITE = re.compile(
    r"(?:t(?:elegram)?\.(?:me|dog)\\?/(?:\+|%2B|joinchat|addlist|\s{0,2}\+)|chat\.whatsapp\.com|[?&]invite="
    r"|tg:(?://)?(?:join|addlist)"
    r"|discord(?:\.gg|(?:app)?\.com\\?/invite)\\?/|signal\.group\\?/)",
    _I,
)


def _link(match: re.Match[str], _text: str) -> str | None:
    return "INVITE" if _INVITE.search(match.group()) else "LINK"


def _host(match: re.Match[str], text: str) -> str | None:
    start = match.start()
    return None if _INSIDE.search(text, max(0, start - 3), start) else _link(match, text)


# ---------------------------------------------------------------------------- links in disguise

_BRACKETED_DOT = r"\s?[\[({<]\s?(?:\.|dot|ponto|punto|d0t)\s?[\])}>]\s?"
_DOT = rf"(?:\s{{0,2}}\.\s{{0,2}}|{_BRACKETED_DOT}|[\s_\-]{{1,2}}(?:ponto|pto|punto|dot)[\s_\-]{{1,2}})"
_BAR = r"(?:\s{0,2}[/\\]\s{0,2}|\s(?:barra|slash)\s)"
_HIDDEN_HOST = re.compile(
    rf"{_START}(?:https?\s?:\s?/\s?/\s?)?(?:www{_DOT})?(?:(?:t|telegram|wa){_DOT}(?:me|dog)"
    rf"|(?:chat{_DOT}|api{_DOT})?whatsapp{_DOT}com"
    rf"|(?:instagram|facebook|twitter|x|youtube|tiktok|fb|discord|linktr|bit|youtu|kwai|threads){_DOT}(?:com|net|ly"
    rf"|ee|be|gg)){_BAR}"
    rf"[@+]?[\w%+.=?&#-]{{2,256}}(?:(?:/|\s?[/\\]\s?)[\w%+.=?&#-]{{2,256}}){{0,4}}",
    _I,
)
_DEFANGED = re.compile(
    rf"{_START_APART}[\w-]{{2,63}}(?:\.[\w-]{{1,63}}){{0,3}}{_BRACKETED_DOT}(?:{_TLDS})(?:{_DOT}(?:br|pt"
    rf"|uk|ar))?(?![^\W_])"
    rf"(?:/{_END}{{1,2048}})?",
    _I,
)
_SPELLED_HOST = re.compile(
    r"(?<![^\W_])[\w-]{2,63}(?:\s(?:ponto|dot)\s[\w-]{2,63}){0,2}\s(?:ponto|dot)\s(?:com|net|org|gov|edu|jus)\s(?:ponto|dot)"
    r"\sbr(?![^\W_])(?:\s(?:barra|slash)\s[\w-]{1,63}){0,3}",
    _I,
)
_SITE_TOLD = re.compile(
    r"(?<![^\W_])(?:acessem?|sites?|visitem?|entrem? (?:em|no site))\s?:?\s((?:www\s(?:ponto|\.)\s)?[\w-]{2,63}"
    r"\s(?:ponto|\.)\s(?:com|net|org)(?:\s(?:ponto|\.)\sbr)?)(?![^\W_]|\s(?:[oa]s?|uma?|que|de|seu|sua|ess[ea])\s)",
    _I,
)
_WWW_APART = re.compile(
    rf"(?<![^\W_])(?:www{_DOT}|https?\s{{0,2}}:\s?/\s?/\s?)\w[\w-]{{1,62}}{_DOT}(?:{_TLDS})(?:{_DOT}(?:br|pt|uk|ar))?(?![^\W_])(?:/{_END}{{1,2048}})?",
    _I,
)

# ---------------------------------------------------------------------------- e-mail addresses

_AT_SIGN = r"@|%40|&#64;|&#x40;|&commat;"
_EMAIL = re.compile(
    rf"(?:mailto:)?(?:\"[^\"\n@]{{1,64}}\"|(?<![\w+%])(?<![\w+%][.\-])[\w+%](?:[\w.+%\-'!#$&*=~]{{0,62}}[\w+\-])?)(?:{_AT_SIGN})"
    r"(?:(?:[\w](?:[\w\-]{0,61}\w)?\.){1,5}(?:[^\W\d_]{2,24}|c0m)|\[\d{1,3}(?:\.\d{1,3}){3}\])(?![^\W_]|@)",
    _I,
)
_PROVIDERS = (
    r"gmail|g\s?mail|hotmail|outlook|yahoo|ymail|uol|bol|terra|icloud|live|msn|proton|protonmail|globo|ig|zipmail|"
    r"oi|r7|aol|gmx|me|mail"
)
_SURE_PROVIDERS = r"gmail|hotmail|outlook|yahoo|ymail|icloud|protonmail|uol|bol|zipmail"
_LOCAL_START = r"(?<![\w+])(?<![\w+][.\-])"
_AT = (
    r"(?:\s{0,2}(?:\\?@{1,3}|\(\s?@\s?\)|\[\s?@\s?\]|\{\s?@\s?\})\s{0,2}|\s{0,2}[\[({<]\s?(?:at|arroba|arrob"
    r"|a)\s?[\])}>]\s{0,2}|"
    r"[\s_\-]{1,2}(?:arroba|at)[\s_\-]{1,2}|[\s_\-.,*/|~\"']{1,2}arr?(?:o|0|ou)bas?[\s_\-.,*/|~\"']{1,2})"
)
_LOCAL = (
    r"\w[\w.+\-]{0,62}"
    r"(?:(?:\s?[\[({<]\s?(?:dot|ponto)\s?[\])}>]\s?|\s(?:ponto|dot|underline|underscore"
    r"|tra[çc]o)\s)\w[\w+\-]{0,30}){0,3}"
)
_TLD_END = r"(?:c[o0]m|net|org|gov|edu|br|pt|me|io|info|jus|mil)"
_TLD_MORE = (
    r"(?:de|ru|es|fr|it|uk|us|co|ch|ar|mx|eu|tv|app|dev|biz|online|site|xyz|nl|be|ca|cl|leg|adv|art|blog|club|live|ly|pro|uy"
    r"|py|pe)"
)
"""Endings that are words too: believed behind a dot that is written as one."""
_DOT_SURE = rf"(?:\s\.\s|\.|{_BRACKETED_DOT}|\s(?:ponto|pto|punto|dot)\s)"
_EMAIL_HIDDEN = re.compile(
    rf"{_LOCAL_START}{_LOCAL}{_AT}"
    rf"(?:(?:{_PROVIDERS})(?:{_DOT}|\s?,\s?)|[\w\-]{{1,63}}{_DOT_SURE}(?:[\w\-]{{2,63}}{_DOT_SURE}){{0,3}})"
    rf"(?:{_TLD_END}|(?<=[.\])}}>]){_TLD_MORE})(?:{_DOT}(?:br|pt|uk|ar))?(?![^\W_])",
    _I,
)
_EMAIL_APART = re.compile(
    rf"{_LOCAL_START}\w[\w.+\-]{{0,62}}(?:\s{{1,2}}@\s{{0,2}}"
    rf"|@\s{{1,2}})[\w\-]{{1,63}}(?:{_DOT}[\w\-]{{2,63}}){{0,3}}{_DOT}(?:{_TLD_END}|(?<=\.){_TLD_MORE})(?![^\W_])",
    _I,
)
_EMAIL_BRACKETED = re.compile(
    rf"{_LOCAL_START}{_LOCAL}\s{{0,2}}(?:[\[({{<*]\s?(?:at|arroba|@)\s?[\])}}>*])\s{{0,2}}"
    rf"[\w\-]{{1,63}}(?:{_DOT}[\w\-]{{2,63}}){{0,3}}{_DOT}(?:{_TLD_END}|{_TLD_MORE})(?![^\W_])",
    _I,
)
_EMAIL_LETTERS = re.compile(r"(?<![^\W_])(?:[\w.+\-] ){3,40}@ (?:[\w\-] ){2,30}\. \w(?: [\w.]){1,8}(?![^\W_])")
_EMAIL_NO_TLD = re.compile(rf"{_LOCAL_START}\w[\w.+\-]{{2,62}}(?:{_AT})(?:{_SURE_PROVIDERS})(?!\w|\.\w)", _I)

_EMAIL_GLUED = re.compile(
    rf"{_LOCAL_START}\w[\w.+\-]{{1,62}}?arroba(?:{_SURE_PROVIDERS})(?:\.com(?:\.br)?)?(?![^\W_])", _I
)

# ---------------------------------------------------------------------------- user names

_USER = re.compile(r"@(?<![\w@]@)@?(?=\w{0,31}[^\W\d])\w(?:[\w.]{1,38}\w|\w{1,2})(?![^\W_])")
# "siga@fulano" was written without its blank; "tod@s" and "amig@s" were not.
_USER_GLUED = re.compile(r"@(?<=[\w@]@)[A-Za-z](?=\w{3})\w{3,31}(?![^\W_])(?!\.\w)")
_NETWORKS = (
    r"insta(?:gram)?|telegram|tg|twitter|tt|tiktok|threads|kwai|youtube|canal|perfil|user(?:name)?|usu[áa]ri[oa]|nick|"
    r"segu[ei]\w{0,4}|siga(?:m)?|follow|contato|contact|chama|fala\w{0,3} com|arroba d[aoe]l?[ea]?|adiciona|add|marca"
    r"|procur[ae]\w{0,2}|ach[ae]\w{0,2}"
)
_USER_HIDDEN = re.compile(
    rf"(?<![^\W_])(?:{_NETWORKS})(?![^\W_])[^\n@]{{0,20}}?(?<![^\W_])((?:arroba|@|[\[(](?:at|arroba)[\])])[\s_:]{{0,2}}(?!d[oae]\s|é\s)[^\W\d]\w{{3,31}})(?![^\W_])",
    _I,
)
_USER_SPELLED = re.compile(
    r"(?<![^\W_])(?:arroba|a r r o b a|(?<!\w)[\[(](?:at|arroba)[\])])[\s_:]{0,2}"
    r"(?=\w{0,31}[\d_])(?=\w{0,31}[a-z])[A-Za-z]\w{3,31}(?![\w@]|\.\w)",
    _I,
)
_USER_ON_NETWORK = re.compile(
    r"(?<![^\W_])arroba\s[^\W\d]\w{3,31}(?=\s(?:no|do|lá no)\s(?:insta|telegram|twitter|tiktok|zap|whats|x(?!\w)))", _I
)
_USER_TOLD = re.compile(
    r"(?<![^\W_])(?:ig|insta|instagram|telegram|tt|twitter|tiktok)\s((?=[\w.]{0,31}[\d_])[A-Za-z][A-Za-z0-9]{1,20}"
    r"[._][\w.]{1,20}\w)(?![\w@/]|\.\w)",
    _I,
)
_USER_APART = re.compile(r"(?<![^\W_])@ (?=\w{0,31}[\d_])[A-Za-z]\w{3,31}(?![^\W_])")
_USER_LABELLED = re.compile(
    r"(?<![^\W_])(?:insta(?:gram)?|telegram|twitter|tiktok|user(?:name)?|usu[áa]rio"
    r"|nick|ig)(?:\s?[:=-]\s?|\s(?:é|eh)\s)((?=\w{0,31}[\d_])[A-Za-z][\w.]{3,31})(?![\w@]|\.\w)",
    _I,
)
_USER_NUMBER = re.compile(
    r"(?<![^\W_])(?:facebook|fb|telegram|instagram|user|usu[áa]rio|perfil"
    r"|chat)[\s_-]?id\s?[:=#]?\s?(-?\d{6,16})(?![^\W_])",
    _I,
)

URLS = (
    Group(
        r"(?:[mM][eE]|[dD][oO][gG]|[cC][oO][mM]|s|c|joinchat|addlist|send)(?:/[\t-\r\x1c-\x20]|[\t-\r\x1c-\x20]{1,2}/)",
        (Rule(_CUT_LINK, _host),),
    ),
    Group(r"://[^\t-\r\x1c-\x20/]{1,14}(?:[\t-\r\x1c-\x20]|\.[\t-\r\x1c-\x20])", (Rule(_URL_APART, _link),), (10, 400)),
    Group(r"://", (Rule(_URL, _link),), (10, 4_100)),
    Group(
        r"(?i)\[:\]//|%3A%2F%2F|:\\/\\/|www[0-9]?\.|mailto:|tg:",
        (Rule(_URL, _link),),
        (12, 4_100),
    ),
)
"""Links with their scheme, taken first."""

_T_TLD = rf"(?:{_TLD_END}|{_TLD_MORE})"

BARE = (
    Group(
        rf"(?is)(?:arr?(?:o|0|ou)ba|[^@]@@{{1,2}}[a-z]"
        rf"|\\@|[-_\t-\r\x1c-\x20]at[-_\t-\r\x1c-\x20]|[\[({{<]{_BLANK}?(?:at?|arrob|@){_BLANK}?[\])}}>]"
        rf"|@{_BLANK}|{_BLANK}@|@[a-z]+,|@[a-z]+{_BLANK}).{{0,300}}(?:\.|dot|ponto|pto|punto"
        rf"|,)[-\]}})>_\t-\r\x1c-\x20]{{0,3}}{_T_TLD}",
        (
            Rule(_EMAIL_BRACKETED, always("EMAIL")),
            Rule(_EMAIL_HIDDEN, always("EMAIL")),
            Rule(_EMAIL_APART, always("EMAIL")),
        ),
    ),
    Group(r"(?i)\.[a-z]{2,8}(?::[0-9]{2,5})?(?:/|\\/|%2F|\?[a-z])", (Rule(_BARE_URL, _link),)),
    Group(
        r"(?i)t\.me|telegram\.|wa\.me|whatsapp\.com|\.br"
        r"|(?:spot|press|tumblr|substack|site|weebly|medium|bandcamp)\.com|bsky\.social",
        (Rule(_OWN_HOST, _link), Rule(_BR_HOST, always("LINK"))),
    ),
    Group(rf"[^\t-\r\x1c-\x20@](?:{_AT_SIGN})[^\t-\r\x1c-\x20@]", (Rule(_EMAIL, always("EMAIL")),), (80, 400)),
)
"""Links without a scheme, and e-mail addresses."""

USERS = (
    Group(r"@ [^\n]{0,64}(?: |@)\. [0-9A-Za-z]", (Rule(_EMAIL_LETTERS, always("EMAIL")),)),
    Group(
        rf"(?i)(?:@|arroba|[-_\t-\r\x1c-\x20]at[-_\t-\r\x1c-\x20]|[\])}}>]){_BLANK}{{0,2}}(?:{_SURE_PROVIDERS})",
        (Rule(_EMAIL_GLUED, always("EMAIL")), Rule(_EMAIL_NO_TLD, always("EMAIL"))),
    ),
    Group(
        rf"(?i)[\[({{<]{_BLANK}?(?:\.|dot|ponto|punto|d0t){_BLANK}?[\])}}>]|www(?:{_BLANK}|[-_]|\.{_BLANK})"
        rf"|https?{_BLANK}{{0,2}}:{_BLANK}?/{_BLANK}?/{_BLANK}?[^\t-\r\x1c-\x20]{{1,64}}{_BLANK}?\.|(?:ponto|dot){_BLANK}br"
        rf"|{_BLANK}(?:ponto|\.){_BLANK}(?:com|net|org)"
        rf"|(?:t|telegram|wa|whatsapp|instagram|facebook|twitter|x|youtube|tiktok|fb|discord|linktr|bit|youtu|kwai"
        rf"|threads)"
        rf"(?:{_BLANK}{{0,2}}\.{_BLANK}{{0,2}}|[-_\t-\r\x1c-\x20](?:ponto|dot)[-_\t-\r\x1c-\x20])"
        rf"(?:{_BLANK}|[-_])?(?:me|dog|com|net|ly|ee|be|gg)(?:{_BLANK}{{0,2}}[/\\]|{_BLANK}(?:barra|slash))",
        (
            Rule(_HIDDEN_HOST, _host),
            Rule(_DEFANGED, _link),
            Rule(_WWW_APART, _link),
            Rule(_SPELLED_HOST, _link),
            Rule(_SITE_TOLD, _link, 1),
        ),
    ),
    Group(r"@[^\t-\r\x1c-\x20]", (Rule(_USER, always("USER")), Rule(_USER_GLUED, always("USER")))),
    Group(
        rf"(?i)arroba|o b a |@{_BLANK}|[\[(]at[\])]",
        (
            Rule(_USER_APART, always("USER")),
            Rule(_USER_HIDDEN, always("USER"), 1),
            Rule(_USER_SPELLED, always("USER")),
            Rule(_USER_ON_NETWORK, always("USER")),
        ),
    ),
    Group(
        rf"(?i)(?:gram|twitter|tiktok|insta|user(?:name)?|rio|nick|ig){_BLANK}?(?:[:=-]|é|eh){_BLANK}?[A-Za-z]"
        rf"|id{_BLANK}?[:=#]?{_BLANK}?-?[0-9]{{6}}|(?:gram|ig|insta|tt|twitter|tiktok){_BLANK}[A-Za-z][A-Za-z0-9]+[._]",
        (
            Rule(_USER_TOLD, always("USER"), 1),
            Rule(_USER_LABELLED, always("USER"), 1),
            Rule(_USER_NUMBER, always("USER"), 1),
        ),
    ),
)
"""What is left of addresses once the plain links are gone: disguises and user names."""
