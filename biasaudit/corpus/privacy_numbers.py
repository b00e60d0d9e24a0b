r"""Numbers that name a person, a company, a card or a line: found by form and check digits, or by the word before them.

Sources: IN RFB 2.229/2024 (alphanumeric CNPJ), Banco Central's BR Code manual (PIX), Anatel's area codes, SUS's rule
for the CNS.
"""

from __future__ import annotations

import re

from biasaudit.corpus import privacy_checks as checks
from biasaudit.corpus import privacy_spoken as spoken
from biasaudit.corpus.privacy_loose import loose
from biasaudit.corpus.privacy_rules import Group, Rule, always, cued, with_digits

_I = re.IGNORECASE
_BLANK = r"[\t-\r\x1c-\x20]"
_S = r"[\s.\-/_,|·•]{0,3}"
"""What may stand between the groups of a number, a line break included."""
_N = r"(?<![^\W_])(?:(?<!\d[.,])|(?<=^\d\.)|(?<=\n\d\.))"
"""Begins a number: no letter, no digit, no decimal or thousands sign before it, but a list's number."""
_E = r"(?![^\W_])(?![.,]\d)"
"""Ends one."""

_CARD = re.compile(
    rf"{_N}(?:(?:\d{{4}}{_S}){{3}}\d{{1,4}}(?:{_S}\d{{1,3}})?|3[0-9]\d\d{_S}\d{{6}}{_S}\d{{4,5}}"
    rf"|3[47]\d{{4}}{_S}\d{{9}})(?![^\W_])"
)
_CARD_SIXTEEN = re.compile(rf"{_N}(?:\d{{4}}{_S}){{3}}\d{{4}}(?![^\W_])")
_CNPJ = re.compile(rf"(?<!\d)(?<!\d\.)\d{{2}}{_S}\d{{3}}{_S}\d{{3}}{_S}\d{{4}}{_S}\d{_S}\d(?!\d)")
_CPF = re.compile(rf"(?<!\d)(?:(?<!\d[.,])|(?<=^\d\.)|(?<=\n\d\.))\d{{3}}{_S}\d{{3}}{_S}\d{{3}}{_S}\d{{2}}(?!\d)")
_CNS = re.compile(
    rf"{_N}(?:\d{{3}}{_S}\d{{4}}{_S}\d{{4}}{_S}\d{{4}}|\d{{4}}{_S}\d{{4}}{_S}\d{{4}}{_S}\d{{3}})(?![^\W_])"
)
_PIS = re.compile(
    rf"{_N}\d{{3}}(?:{_S}\d{{5}}{_S}\d{{2}}{_S}|[\s.]{{1,3}}\d{{4}}[\s.]{{1,3}}\d{{3}}\s?[-.]\s?)\d(?![^\W_])"
)
_TITULO = re.compile(rf"{_N}\d{{4}}{_S}\d{{4}}{_S}(?:\d{{4}}|\d{{2}}{_S}\d{{2}})(?![^\W_])")
_STATES = "AC|AL|AM|AP|BA|CE|DF|ES|GO|MA|MG|MS|MT|PA|PB|PE|PI|PR|RJ|RN|RO|RR|RS|SC|SE|SP|TO"
_RG = re.compile(
    rf"{_N}(?:\d{{1,2}}\.\d{{3}}\.\d{{3}}-[\dxX]{_E}|(?:{_STATES})-\d{{1,2}}\.\d{{3}}\.\d{{3}}{_E}"
    r"|\d[\d.\-]{5,12}[\dxX]?[\s/,\-(]{0,3}(?=(?:SSP|DETRAN|IFP|SDS|PC)(?!\w)))"
)
_PHONE_PLUS = re.compile(
    r"(?<![^\W_])(?<!\+)(?:\+\s?|00\s?)\d{1,3}[\s.()/\-]{0,3}\d(?:[\s.()/\-]{0,3}\d){5,12}(?![^\W_])"
)
_PHONE_LINE = re.compile(
    r"(?<![^\W_])(?<!\+)(?:\+ ?|00 ?)\d{1,3}[ \t.()/\-]{0,3}\d(?:[ \t.()/\-]{0,3}\d){5,12}(?![^\W_])"
)
_PHONE_AREA = re.compile(
    rf"(?:{_N}|(?=[(\[]))(?<![+])(?<!\d-)(?P<cc>55[\s.\-/]{{0,3}})?(?P<open>[(\[{{]\s?)?(?:0?[-\s]?(?:xx|XX|\*\*)[-\s]?"
    rf"|0\s?(?:\d\d[\s.\-]{{0,2}})?)?(?P<area>[1-9]{{2}})"
    r"\s?[)\]}]?[\s.\-/_*,:]{0,3}(?:(?P<nine>9)[\s.\-]{0,2}\d{4}[\s.\-_*/]{0,3}\d{4}"
    r"|(?P<three>9\d\d[\s.\-]\d{3}[\s.\-]\d{3})"
    r"|(?P<fixed>[2-9])\d{3}[\s.\-_*/]{0,3}\d{4})(?!\d)(?![.,]\d)(?!-\d)"
)
_PHONE_GLUED = re.compile(
    r"(?<=[^\W\d_])(?:55)?[1-9]{2}[ .\-]?(?:9[ .]?\d{4}[ .\-]?\d{4}|[2-5]\d{3}[ .\-]?\d{4})(?!\d)"
)
_PHONE_LOCAL = re.compile(
    rf"{_N}(?<![+])(?<!\d[/-])(?:(?:9[\s.\-]?\d{{4}}|[2-9]\d{{3}})[\s.\-]{{0,3}}\d{{4}}"
    rf"|9\d\d[\s.\-]\d{{3}}[\s.\-]\d{{3}})"
    r"(?![^\W_])(?![.,]\d)(?!-\d)"
)
_PHONE_LETTERED = re.compile(
    r"(?<![^\W_])(?=[\d ().-]{0,18}[OolI])\(?[1-9OolI][\dOolI]\)?[ .-]?[\dOolI]{4,5}[ .-]?[\dOolI]{4}(?![^\W_])"
)
_GAP = r"[-\t-\r\x1c-\x20.()/_,|·•+*]{0,3}"

_CNPJ_LETTERS = re.compile(
    rf"(?:(?<![^\W_])|(?<=cnpj))(?=[\d\W_]{{0,24}}[A-Z])[0-9A-Z]{{2}}{_S}[0-9A-Z]{{3}}{_S}[0-9A-Z]{{3}}{_S}[0-9A-Z]{{4}}{_S}\d{_S}\d(?![^\W_])",
    _I,
)
_CNPJ_APART = re.compile(r"(?<![^\W_])[0-9A-Z](?:[\s.\-/]{1,3}[0-9A-Z]){11}(?:[\s.\-/]{1,3}\d){2}(?![^\W_])", _I)

_BR_CODE = re.compile(
    r"000201(?=[^\x00]{0,512}?(?:6304[0-9A-F]{4}(?![0-9A-F])"
    r"|br\.gov\.bcb))(?:[^\x00]{20,512}?6304[0-9A-F]{4}(?![0-9A-F])|[^\n]{20,512})",
    _I,
)
_UUID = re.compile(
    r"(?<![^\W_])(?:(?<![0-9a-z]-)|(?<=pix-))[0-9a-f]{8}(?:[\s-]{1,3}[0-9a-f]{4}){3}[\s-]{1,3}[0-9a-f]{12}(?![^\W_]|-[0-9a-z])",
    _I,
)
_EVP = re.compile(r"(?<![^\W_])[0-9a-f]{32}(?![^\W_])", _I)
# A key without its hyphens shows version 4 and its variant, which other hashes hold once in 64.
_EVP_SURE = re.compile(r"(?<![^\W_])[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}(?![^\W_])", _I)
_BOT = re.compile(r"(?<!\d)\d{8,10}:[A-Za-z0-9_-]{33,38}(?![A-Za-z0-9-])")
_KEY = re.compile(
    r"(?<![^\W_])(?:[spr]k[-_][A-Za-z0-9_-]{20,200}|gh[pousr]_[A-Za-z0-9]{30,80}|github_pat_\w{22,100}"
    r"|glpat-[\w-]{20,40}"
    r"|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,60}|npm_[A-Za-z0-9]{36}"
    r"|ya29\.[\w-]{20,200}|EAA[A-Za-z0-9]{30,250}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,80}|SG\.[\w-]{16,32}\.[\w-]{30,64}"
    r"|APP_USR-[\w-]{30,120}|eyJ[\w-]{10,512}\.[\w-]{10,1024}\.[\w-]{10,512})(?![A-Za-z0-9-])"
)
_KEY_NAMED = re.compile(
    r"(?<![^\W_])(?:api[ _-]?key|access[ _-]?key|secret(?:[ _-]?key)?|token(?: do bot)?|bearer|client[ _-]secret"
    r"|chave (?:da |de )?api)"
    r"[\"']?\s?(?:é|is|:|=)?\s?[\"']?((?=[\w.~+/-]{0,40}\d)(?=[\w.~+/-]{0,40}[A-Za-z])[\w.~+/-]{16,200})",
    _I,
)
_PASSWORD = re.compile(
    r"(?<![^\W_])(?:senha|password|passwd|pwd)\s?(?:é|is)?\s?[:=]\s?[\"']?((?=\S{0,20}\d)[^\s\"']{6,64})", _I
)
_WALLET = re.compile(
    r"(?<![^\W_])(?:(?:bc1|BC1|ltc1)[A-Za-z0-9]{25,59}|0x[0-9a-fA-F]{40}|[13LMT][1-9A-HJ-NP-Za-km-z]{25,34}"
    r"|4[1-9A-HJ-NP-Za-km-z]{94})(?![^\W_])"
)

_IPV4 = re.compile(
    r"(?<![^\W_])(?<!\d\.)(?:\d{1,3}(?:\.|\s?[\[(]\s?(?:\.|dot|ponto)\s?[\])]\s?)){3}\d{1,3}(?![^\W_]|\.\d)", _I
)
_IPV6 = re.compile(
    r"(?<![^\W_])(?<![:.])(?=[0-9a-f:]{0,40}::"
    r"|(?:[0-9a-f]{1,4}:){5})[0-9a-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![^\W_]|:)",
    _I,
)
_WORDS = (
    r"(?:zero|um|uma|dois|duas|tr[êe]s|quatro|cinco|seis|meia|sete|oito|nove"
    r"|one|two|three|four|five|six|seven|eight|nine|cero|uno|dos|tres|cuatro|cinco|siete|ocho|nueve)"
)
_TENS = r"vinte|trinta|quarenta|cinq[uü]enta|sessenta|setenta|oitenta|noventa"
_SAID = (
    rf"(?:(?:{_TENS})(?:{_BLANK}(?:e{_BLANK})?(?:um|dois|tr[êe]s|quatro|cinco|seis|sete|oito|nove))?|{_WORDS}"
    r"|onze|doze|treze|[qc]u?atorze|quinze|dezesseis|dezessete|dezoito|dezenove)"
)
_SPELLED = re.compile(rf"(?<![^\W_]){_SAID}(?:[\s,.\-]{{1,3}}{_SAID}){{5,13}}(?![^\W_])", _I)
_PART = rf"(?:\d{{1,5}}|{_SAID})"
_SPELLED_PARTLY = re.compile(
    rf"(?<![^\W_])(?<!\d[.,])(?:\(\s?)?{_PART}(?:[\s,.\-()/]{{1,3}}{_PART}){{2,13}}(?![^\W_])(?![.,]\d)", _I
)

FIRST = (Group(r"000201", (Rule(_BR_CODE, always("PIX")),)),)
"""Taken before the links, for a payment code may hold one."""

NUMBERS = (
    Group(
        r"[0-9]{8,10}:[A-Za-z0-9_-]{33}|[spr]k[-_][A-Za-z0-9_-]{20}|gh[pousr]_[A-Za-z0-9]{30}|hub_pat_|glpat-"
        r"|A[KS]IA[0-9A-Z]{16}"
        r"|AIza|hf_|npm_|ya29|EAA[A-Za-z0-9]{30}|xox[abeprs]-|SG\.|APP_USR-|eyJ",
        (Rule(_BOT, always("SECRET")), Rule(_KEY, always("SECRET"))),
    ),
    Group(
        r"(?i)" + rf"(?:{_SAID}[\t-\r\x1c-\x20,.-]{{1,3}}){{5}}",
        (Rule(_SPELLED, spoken.spelled),),
    ),
    Group(
        rf"(?i)[0-9][\t-\r\x1c-\x20,.()/-]{{1,3}}{_WORDS}[\t-\r\x1c-\x20,.()/-]"
        rf"|{_WORDS}[\t-\r\x1c-\x20,.()/-]{{1,3}}[0-9]",
        (Rule(_SPELLED_PARTLY, spoken.spelled_partly),),
        (80, 80),
    ),
    *with_digits(
        (
            Group(
                r"(?i)[0-9a-f]{8}[-\t-\r\x1c-\x20]{1,3}[0-9a-f]{4}[-\t-\r\x1c-\x20]|[0-9a-f]{32}",
                (
                    Rule(_UUID, always("PIX")),
                    Rule(_EVP_SURE, always("PIX")),
                    Rule(_EVP, cued(r"pix|chave|evp|aleat[óo]ria|copia e cola", "PIX", 32, without=r"\n")),
                ),
            ),
            Group(
                rf"(?i)(?:key|secret|token|bearer|bot|api|senha|password|passwd|pwd)[\"']?{_BLANK}?(?:é|is|:"
                rf"|=){{0,1}}{_BLANK}?[:=]?{_BLANK}?[\"']?[^\t-\r\x1c-\x20\"']{{6}}",
                (Rule(_KEY_NAMED, always("SECRET"), 1), Rule(_PASSWORD, always("SECRET"), 1)),
            ),
            Group(
                r"(?i)(?:bc1|ltc1)[a-z0-9]{25}|0x[0-9a-f]{40}|[13LMT][1-9A-HJ-NP-Za-km-z]{25}"
                r"|4[1-9A-HJ-NP-Za-km-z]{94}",
                (Rule(_WALLET, checks.wallet),),
            ),
            Group(
                rf"[0-9A-Z]{{2}}{_GAP}[0-9A-Z]{{3}}{_GAP}[0-9A-Z]{{3}}{_GAP}[0-9A-Z]{{4}}{_GAP}[0-9]{_GAP}[0-9]"
                rf"|/{_GAP}[0-9a-z]{{4}}{_GAP}[0-9]{_GAP}[0-9]"
                r"|[0-9a-z]{2}\.[0-9a-z]{3}\.[0-9a-z]{3}|[0-9a-z]{12}-?[0-9]{2}"
                r"|(?:[0-9A-Z][-\t-\r\x1c-\x20./]{1,3}){12}[0-9]|(?i:cnpj|cgc|pix|chave)",
                (Rule(_CNPJ_LETTERS, checks.cnpj), Rule(_CNPJ_APART, checks.cnpj)),
            ),
            Group(
                rf"(?i)[0-9]{{1,3}}(?:\.|{_BLANK}?[\[(]{_BLANK}?(?:\.|dot"
                rf"|ponto){_BLANK}?[\])]{_BLANK}?)[0-9]{{1,3}}(?:\.|{_BLANK}?[\[(]{_BLANK}?(?:\.|dot"
                rf"|ponto){_BLANK}?[\])]{_BLANK}?)[0-9]{{1,3}}(?:\.|{_BLANK}?[\[(])",
                (Rule(_IPV4, checks.ipv4),),
                (2, 24),
            ),
            Group(
                rf"[0-9](?:{_GAP}[0-9]){{6}}",
                (
                    Rule(_CARD, checks.card, digits=13),
                    Rule(_CARD_SIXTEEN, checks.card, digits=16),
                    Rule(_CNS, checks.cns, digits=15),
                    Rule(_CNPJ, checks.cnpj, digits=14),
                    Rule(_PHONE_PLUS, checks.phone_plus, digits=7),
                    Rule(_PHONE_LINE, checks.phone_plus, digits=7),
                    Rule(_CPF, checks.cpf, digits=11),
                    Rule(_PIS, checks.pis, digits=11),
                    Rule(_TITULO, checks.titulo, digits=12),
                    Rule(_PHONE_AREA, checks.phone_area, digits=10),
                    Rule(_PHONE_GLUED, checks.phone_glued, digits=10),
                    Rule(_RG, always("ID"), digits=7),
                    Rule(_PHONE_LOCAL, checks.phone_local, digits=8),
                ),
                (8, 60),
                loose,
                8,
            ),
            Group(
                r"[0-9] ?[OolI]+[0-9 -]|[0-9]{4}[OolI]",
                (Rule(_PHONE_LETTERED, spoken.phone_lettered),),
                (16, 16),
            ),
            Group(
                r"(?i)[0-9a-f]::|::[0-9a-f]|[0-9a-f]:[0-9a-f]{1,4}:[0-9a-f]{1,4}:[0-9a-f]{1,4}:",
                (Rule(_IPV6, checks.ipv6),),
            ),
        )
    ),
)
