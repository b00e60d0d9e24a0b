"""Numbers that only the word before them gives away: documents, accounts, addresses, plates; and names."""

from __future__ import annotations

import re

from biasaudit.corpus import privacy_named as named
from biasaudit.corpus.privacy_rules import Group, Rule, always, cued, with_digits

_I = re.IGNORECASE
_BLANK = r"[\t-\r\x1c-\x20]"
_VALUE = r"((?:[A-Z]{1,3}[\s.\-]{0,2})?\d(?:[\s.\-/_]{0,3}\d){4,17}(?:[\s.\-]{0,2}[xX])?)(?![^\W_])"
_SURE_DOCUMENT = (
    r"rg|r\.g\.?|registro geral|cnh|pis|pasep|nis|nit|cns|passaporte|passport|ctps|renavam|t[íi]tulo (?:de eleitor"
    r"|eleitoral|eleitora)"
    r"|cart[ãa]o (?:do |nacional (?:de |do )?)?(?:sus|sa[úu]de)|carteira (?:de (?:motorista|identidade|trabalho"
    r"|habilita[çc][ãa]o)|nacional de habilita[çc][ãa]o)"
    r"|driver'?s licen[sc]e|(?:ssn|social security)(?: number)?|voter id"
)
_DOCUMENT_SURE = re.compile(rf"(?<![^\W_])(?:{_SURE_DOCUMENT})(?![^\W\d_])(?P<gap>[^\d\n]{{0,24}}?){_VALUE}", _I)
_DOCUMENT = re.compile(
    r"(?<![^\W_])(?:identidade|habilita[çc][ãa]o|t[íi]tulo|sus|matr[íi]cula|crm|coren|documento"
    r"|n[úu]mero do benef[íi]cio)"
    rf"(?P<gap>(?:\s?(?:n[ºo°.]{{0,2}}|n[úu]mero|do|da|de|é|e|:|=|-|\.|\()){{0,4}}\s{{0,2}}){_VALUE}",
    _I,
)
_DOCUMENT_HINT = (
    r"(?i)(?:^|[^0-9a-z])(?:rg|r\.g\.?|registro geral|cnh|pis|pasep|nis|nit|cns|passaporte|passport|ctps|renavam"
    r"|eleitor(?:al?)?"
    r"|sus|cart[ãa]o (?:do |nacional (?:de |do )?)?sa[úu]de|carteira (?:de|nacional)|driver'?s licen[sc]e|ssn"
    r"|social security|voter id"
    r"|identidade|habilita[çc][ãa]o|t[íi]tulo|matr[íi]cula|crm|coren|documento"
    r"|benef[íi]cio)(?:[^0-9a-z\n][^0-9\n]{0,60})?[0-9]"
)

_BEHIND = (
    r"[\s(/,\-]{1,3}(?:(?:é|e|eh) )?(?:(?:o|a) )?(?:(?:meu|minha|n[ºo°.]{1,2}) )?(?:d[aoe] )?"
    r"(?:rg|cnh|pis|nis|passaporte|ctps|t[íi]tulo de eleitora?|cart[ãa]o (?:do )?sus|habilita[çc][ãa]o)(?![^\W_])"
)
_BEHIND_HINT = r"[-\t-\r\x1c-\x20(/,]{1,3}[a-zéíº°. ]{0,16}(?:rg|cnh|[pn]is|passap|ctps|t[íi]tulo|cart[ãa]o|habilit)"
_DOCUMENT_NAMED_BEHIND = re.compile(
    rf"(?<![^\W_])(?<!\d[.,\-/])(?P<gap>)((?-i:[A-Z]{{2}}[ -]?)?\d(?:[.\-/]?\d){{5,17}}(?:-?[xX])?)(?={_BEHIND})", _I
)

_BANK_NUMBER = r"(?P<number>\d(?:[.\s]?\d){1,13}(?:\s?[-/]\s?[\dxX])?)(?![^\W_]|[.,/]\d|%)"
_BANK = re.compile(
    r"(?<![^\W_])(?P<cue>ag(?:[êe]ncia|\.)?|conta(?:[ -](?:corrente|poupan[çc]a|sal[áa]rio|digital|banc[áa]ria"
    r"|p[jf]|conjunta|jur[íi]dica))?|c\s?[/.]\s?(?:corrente|poupan[çc]a)|c\s?/\s?[cp]|c\.[cp]\.?|cc|cp|cta|"
    r"poupan[çc]a|op(?:era[çc][ãa]o|\.)?|d[íi]gito|dv|account|branch|routing|sort code|iban|cuenta)(?![^\W\d_])"
    rf"(?P<sure>(?:\s?(?:n[ºo°.]{{1,2}}|n[úu]mero|number|no\.|:|=|-|\(|#|é|is|013)){{1,3}})?\s{{0,2}}{_BANK_NUMBER}",
    _I,
)
_BANK_NEXT = re.compile(
    r"(?<=\[BANK\])[^\d\n\[]{0,20}?(?<![^\W_])(\d(?:[.\s]?\d){2,13}(?:\s?-\s?[\dxX])?)(?![^\W_]|[.,/]\d|%)"
)
_BANK_FARTHER = re.compile(
    r"(?<=\[BANK\])(?:[^\d\[]{0,12}(?:op|opera[çc][ãa]o|var|varia[çc][ãa]o)\.?\s?\d{2,4})?[^\d\[]{0,24}"
    r"(?<![^\W_])(\d(?:\.?\d){3,12}-[\dxX])(?![^\W_]|[.,/]\d|%)",
    _I,
)
_BANK_BEFORE = re.compile(r"(?<![^\W_])(?<!\d[.,\-])\d(?:\.?\d){3,12}-[\dxX](?![^\W_])(?=[^\d\n\[]{0,24}\[BANK\])")
_BANK_OPERATION = re.compile(
    r"(?<![^\W_])(?<!\d[.,\-])\d{4}[\s./-]{1,3}(?:00[136]|013|02[23]|1288|1292|3701|3702)[\s./-]{1,3}\d{3,12}-\d(?![^\W_])"
)
_BANKS = (
    r"banco|bradesco|ita[úu]|santander|nubank|caixa|cef|bb|inter|sicoob|sicredi|banrisul|banestes|brb|c6(?: bank)?"
    r"|pagbank|mercado pago|picpay|neon|safra|bnb"
)
_BANK_NAMED = re.compile(
    rf"(?<![^\W_])(?:{_BANKS})(?![^\W_])[^\d\n]{{0,16}}(\d{{3,4}}(?:-[\dxX])?[\s/|,-]{{1,3}}\d(?:\.?\d){{3,11}}-[\dxX])(?![^\W_])",
    _I,
)
_BANK_NAMED_BEHIND = re.compile(
    rf"(?<![^\W_])(?<!\d[.,/-])\d{{3,4}}(?:-[\dxX])?[\s/|,-]{{1,3}}\d(?:\.?\d){{3,11}}-[\dxX](?=[^\d\n]{{1,12}}(?:{_BANKS})(?![^\W_]))",
    _I,
)
_BANK_FOR = re.compile(
    r"(?<![^\W_])conta(?:\s[^\W\d_]{1,12}){1,2}\s?[:\-]?\s?(\d(?:\.?\d){3,11}-[\dxX])(?![^\W_]|[.,/]\d|-\d)", _I
)
_IBAN = re.compile(r"(?<![^\W_])[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?(?![^\W_])")

_CARD_EXTRA = re.compile(
    r"(?<![^\W_])(?:cvv2?|cvc2?|cv2|c[óo]d(?:igo|\.)? (?:de )?seg(?:uran[çc]a|\.)?|security code|validade|val\.?"
    r"|venc(?:e|imento|\.)?|v[áa]lido at[ée]|valid (?:thru|until)"
    r"|exp(?:ira|iry|ires|\.)?(?: em| date| on)?)(?![^\W_])"
    r"\s?(?:é|is|em)?\s?[:=\-]?\s?(\d(?:\s?\d){2,3}|\d{2}\s?[/\-]\s?\d{2,4})(?![^\W_]|[.,/]\d)",
    _I,
)
_CEP = re.compile(r"(?<![^\W_])(?:(?<!\d[.,/-])|(?<=^\d\.)|(?<=\n\d\.))\d{2}\.?\d{3}-\d{3}(?![^\W_])(?!-\d)")
_CEP_CUED = re.compile(
    r"(?<![^\W_])(?:cep|c\.e\.p\.?|c[óo]digo postal|c[óo]digo de endere[çc]amento postal)"
    r"\s?(?:n[ºo°.]{0,2})?\s?(?:é|[:=\-(])?\s{0,2}(\d(?:[\s.\-/_]{0,3}\d){7})(?![^\W_])",
    _I,
)
_STREETS = (
    r"rua|r\.|av\.?|avenida|travessa|tv\.|alameda|al\.|pra[çc]a"
    r"|p[çc]a\.|rodovia|rod\.|estrada|quadra|largo|viela|beco|ladeira"
)
_STREET = re.compile(
    rf"(?<![^\W_])(?:{_STREETS})\s[^\d\n\[]{{2,60}}?(?:,|\s|n[ºo°.]{{1,2}})\s?(\d{{1,3}}\.\d{{3}}"
    rf"|\d{{1,5}}[A-Za-z]?)(?![^\W_]|[.,]\d|[ºª°])(?=[^\n]{{0,160}}\[CEP\]|[^\n]{{0,60}}\n[^\n]{{0,80}}\[CEP\])",
    _I,
)
_STREET_AFTER = re.compile(
    rf"\[CEP\][^\d\n\[]{{0,40}}?(?<![^\W_])(?:{_STREETS})\s[^\d\n\[]{{2,60}}?(?:,|\s"
    rf"|n[ºo°.]{{1,2}})\s?(\d{{1,3}}\.\d{{3}}|\d{{1,5}}[A-Za-z]?)(?![^\W_]|[.,]\d|[ºª°])",
    _I,
)
_STREET_MINE = re.compile(
    rf"(?<![^\W_])(?:moro|morava|resid[oe]\w{{0,3}}|meu endere[çc]o(?: é)?|minha casa"
    rf"|i live)[^\n\d]{{0,24}}(?<![^\W_])(?:{_STREETS})\s[^\d\n\[]{{2,60}}?(?:,|\s|n[ºo°.]{{1,2}})\s?"
    r"(\d{1,3}\.\d{3}|\d{1,5}[A-Za-z]?)(?![^\W_]|[.,]\d|[ºª°])",
    _I,
)
_FLAT = re.compile(
    r"\[CEP\][^\d\n\[]{0,24}(?<![^\W_])(?:ap(?:to|\.|artamento)?|bloco|bl\.|casa|sala|lote|lt\.?|qd\.?"
    r"|quadra)\.?\s?(?:n[ºo°]\s?)?(\d{1,5}[A-Z]?)(?![^\W_]|[ºª°])",
    _I,
)

_PLATE = re.compile(r"(?<![^\W_])(?<![A-Za-z0-9]-)[A-Z]{3}[ -]?\d[A-Z]\d{2}(?![^\W_]|-\w)")
_OLD_PLATE = re.compile(r"(?<![^\W_])(?:[A-Z]{3}[\s.-]{0,3}|[a-z]{3}[.-]?(?=\d))\d[\da-zA-Z]\d\d(?![^\W_]|-\w)")
_PLATE_APART = re.compile(
    r"(?<![^\W_])[A-Z][\s.-]{0,2}[A-Z][\s.-]{0,2}[A-Z][\s.-]{0,3}\d[\s.-]{0,2}[A-Z0-9][\s.-]{0,2}\d[\s.-]{0,2}\d(?![^\W_]|-\w)"
)
_PLATE_CUE = r"placas?|ve[íi]culo|carro|moto|caminh[ãa]o|autom[óo]vel|(?:license )?plate"
_VEHICLE = (
    r"(?<![^\W_])(?:prat[ao]|pret[ao]|branc[ao]|vermelh[ao]|cinza|azul|verde|amarel[ao]|gol|uno|palio|corsa|celta|onix|hb20|corolla"
    r"|civic|hilux|strada|saveiro|fiesta|ka|fox|voyage|siena|fusca|kombi|s10|ranger|toro|renegade|compass|kwid|sandero"
    r"|logan|[ôo]nibus|micro-?[ôo]nibus|caminhonete|camionete|carreta|fiat|vw|volkswagen|chevrolet|ford|honda|toyota"
    r"|hyundai|renault|peugeot|nissan|jeep|biz|titan|cg|fan|motocicleta|van)"
)
_VEHICLE_PLATE = re.compile(
    r"(?<![^\W_])(?:(?:[A-Z]{3}(?:[ .-]| - )?|[a-z]{3}[.-]?)\d[\da-zA-Z]\d\d|[a-z]{3} \d[a-z]\d\d)(?![^\W_]|-\w)"
)
_LABELLED_PLATE = re.compile(r"(?<![^\W_])placas?\s?[:=]\s?([a-z]{3}[ .-]?\d[\da-z]\d\d)(?![^\W_]|-\w)", _I)
_PLATE_WORD = re.compile(
    r"(?<![^\W_])placas?\s(?:d[oa] (?:carro|ve[íi]culo|moto)\s)?(?:[ée]\s)?[\"'“‘(]?"
    r"((?!das|dos|com|por|tem|que|uma?|nos|nas|pra|foi|são|at[ée]|mil|sob|era|ano|the|for|and)"
    r"[a-z]{3}(?:[ .-]{1,3}\d[\da-z]|\d[a-z][ .-]|\d[ .-][a-z])\d\d)(?![^\W_]|-\w)",
    _I,
)
_PLATE_NEXT = re.compile(r"(?<=\[ID\])(?:,| e|,? ou| /) ?([A-Z]{3}[ .-]{0,3}\d[\dA-Z]\d\d)(?![^\W_]|-\w)")
_PLATE_NAMED_BEHIND = re.compile(
    r"(?<![^\W_])[a-z]{3}[ -]?\d[\da-z]\d\d(?=[\s(,-]{1,3}(?:(?:é|eh?) (?:a )?)?(?:minha )?placa(?![^\W_]))", _I
)

CUED = with_digits(
    (
        Group(_DOCUMENT_HINT, (Rule(_DOCUMENT_SURE, named.document, 2), Rule(_DOCUMENT, named.document, 2)), (56, 60)),
        Group(rf"(?i)[0-9]-?x?{_BEHIND_HINT}", (Rule(_DOCUMENT_NAMED_BEHIND, named.document, 2),), (32, 40)),
        Group(
            r"(?i)(?:^|[^0-9a-z])(?:ag|ag[êe]ncia|ag\.|conta|corrente|poupan[çc]a|sal[áa]rio|digital|[áa]ria|c|c"
            + _BLANK
            + r"?/"
            + _BLANK
            + r"?[cp]|c\.[cp]\.?|cc|cp|cta|p[jf]|conjunta|dica|op|op\.|era[çc][ãa]o"
            r"|gito|dv|account|branch|routing|code|iban|cuenta)"
            r"(?:"
            + _BLANK
            + r"{0,2}(?:n[ºo°.]{1,2}|n[úu]mero|number|no\.|:|=|-|\(|#|é|is|013)){0,3}"
            + _BLANK
            + r"{0,2}[0-9]",
            (Rule(_BANK, named.bank, "number"),),
            (24, 40),
        ),
        Group(
            r"\[BANK\][^0-9\[]{0,28}[0-9]|[0-9]-[0-9xX][^0-9\n\[]{0,24}\[BANK\]",
            (
                Rule(_BANK_NEXT, always("BANK"), 1),
                Rule(_BANK_FARTHER, always("BANK"), 1),
                Rule(_BANK_BEFORE, always("BANK")),
            ),
            (24, 48),
        ),
        Group(
            r"[0-9]{4}[-\t-\r\x1c-\x20./]{1,3}(?:00[136]|013|02[23]|1288|1292|3701|3702)[-\t-\r\x1c-\x20./]{1,3}[0-9]{3}"
            r"|[0-9]{3}(?:-[0-9xX])?[-\t-\r\x1c-\x20/|,]{1,3}[0-9](?:\.?[0-9]){3,11}-[0-9xX]"
            r"|(?i:conta) [A-Za-zÀ-ÿ :-]{2,28}[0-9](?:\.?[0-9]){3,11}-[0-9xX]",
            (
                Rule(_BANK_OPERATION, always("BANK")),
                Rule(_BANK_NAMED, always("BANK"), 1),
                Rule(_BANK_NAMED_BEHIND, always("BANK")),
                Rule(_BANK_FOR, always("BANK"), 1),
            ),
            (40, 20),
        ),
        Group(r"[A-Z]{2}[0-9]{2}(?:[\t-\r\x1c-\x20]?[A-Z0-9]{4}){3}", (Rule(_IBAN, named.iban),), (1, 30)),
        Group(
            r"(?i)(?:cv[vc2]2?|seg(?:uran[çc]a|\.)?|code|validade|val\.?|venc(?:e|imento|\.)?|at[ée]|thru|until"
            r"|exp(?:ira|iry|ires|\.)?(?: em| date| on)?)"
            + _BLANK
            + r"?(?:é|is|em)?"
            + _BLANK
            + r"?[:=-]?"
            + _BLANK
            + r"?[0-9]",
            (Rule(_CARD_EXTRA, named.card_extra, 1),),
            (32, 16),
        ),
        Group(
            r"(?i)[0-9]{3}-[0-9]{3}|(?:cep|c\.e\.p|postal)[^0-9]{0,8}[0-9]",
            (Rule(_CEP_CUED, always("CEP"), 1), Rule(_CEP, always("CEP"))),
            (8, 40),
        ),
        Group(
            r"\[CEP\]",
            (Rule(_STREET, always("CEP"), 1), Rule(_STREET_AFTER, always("CEP"), 1), Rule(_FLAT, always("CEP"), 1)),
            (300, 300),
        ),
        Group(
            r"(?i)(?:moro|morava|resid[oe][a-z]{0,3}|meu endere[çc]o|minha casa|i live)[^0-9\n]{0,120}[0-9]",
            (Rule(_STREET_MINE, always("CEP"), 1),),
            (8, 16),
        ),
        Group(
            r"[A-Z]{3}[ .-]?[0-9][A-Z0-9][0-9]{2}|[a-z]{3}[.-]?[0-9][a-z0-9][0-9]{2}|[a-z]{3} [0-9][a-z][0-9]{2}"
            r"|[A-Z]{3} - [0-9]"
            r"|(?i:(?:placa|culo|carro|moto|caminh[ãa]o|m[óo]vel|plate)[^0-9\n]{0,60}[0-9])",
            (
                Rule(_LABELLED_PLATE, always("ID"), 1),
                Rule(_PLATE_WORD, always("ID"), 1),
                Rule(_PLATE_NEXT, always("ID"), 1),
                Rule(_VEHICLE_PLATE, cued(_VEHICLE, "ID", 8)),
                Rule(_PLATE_NAMED_BEHIND, always("ID")),
                Rule(_PLATE, named.plate),
                Rule(_OLD_PLATE, cued(_PLATE_CUE, "ID")),
                Rule(_PLATE_APART, cued(_PLATE_CUE, "ID")),
            ),
            (32, 24),
        ),
    )
)
