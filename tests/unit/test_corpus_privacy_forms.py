"""Forms that an independent set of messages found: beside words, dashes and list numbers, and named behind."""

from __future__ import annotations

import pytest

from biasaudit.corpus.privacy import mask

SHOWN = {
    "links behind a dash or a list's number": {
        "-t.me/addlist/mP8EhIHW;": "-[INVITE];",
        "——t.me/fulano12": "——[LINK]",
        "1.t dot me/fulano12": "1.[LINK]",
        "-maria.x@outlook.com ok": "-[EMAIL] ok",
    },
    "short links of many countries": {"rb.gy/VcApPnAx": "[LINK]", "veja shre.ink/4LU0zs": "veja [LINK]"},
    "hosts that a blank or a capital cuts": {
        "https://t .me/maria37!": "[LINK]!",
        "T.ME /MARIA08X": "[LINK]",
        "site.com.br.Compartilhem": "[LINK].Compartilhem",
    },
    "e-mail in disguise": {
        "maria﹫gmail.com": "[EMAIL]",
        "maria[arroba]hotmail.com.br": "[EMAIL]",
        "mariaarrobaoutlook.com": "[EMAIL]",
        "maria72@@gmail.com": "[EMAIL]",
        "maria\\@bol.com": "[EMAIL]",
        "maria72@bol.c0m": "[EMAIL]",
        "maria22 arr0ba gmail.com": "[EMAIL]",
    },
    "phones that touch a word": {
        "zap11987654321falar": "zap[PHONE]falar",
        "WhatsApp(44)98153-6034ou": "WhatsApp[PHONE]ou",
        "Tel31 98105-1765chamar": "Tel[PHONE]chamar",
    },
    "phones behind an operator, a sign or in a list": {
        "(0XX17) 4229-4024": "[PHONE]",
        "(0**28) 3657-6609": "[PHONE]",
        "☎ 2624-0435": "☎ [PHONE]",
        "1) +351 912 373 123\n2) fim": "1) [PHONE]\n2) fim",
        "1.(81) 3075-2100": "1.[PHONE]",
        "Ana: 94983981043\nBia: 9433837569": "Ana: [PHONE]\nBia: [PHONE]",
    },
    "cards with more fields or lines behind": {
        "1- 4111 1111 1111 1111\n2- nada": "1- [CARD]\n2- nada",
        "cc: 4111111111111111|12|2029": "cc: [CARD]|12|2029",
    },
    "companies written onto their name, or in letters only": {
        "cnpj12.ABC.345/01DE-35": "cnpj[CNPJ]",
        "PA.EEK.DYS/GEAE-44": "[CNPJ]",
    },
    "accounts": {
        "AG3531 CC461306-4": "AG[BANK] CC[BANK]",
        "Ag. 9139\nOp. 1288\nC. 75229-0": "Ag. [BANK]\nOp. 1288\nC. [BANK]",
        "Poupança Caixa 3438.013.903085-9": "Poupança Caixa [BANK]",
        "c/corrente 975687-6 agência 0984": "c/corrente [BANK] agência [BANK]",
        "conta pra depósito: 44556-6": "conta pra depósito: [BANK]",
        "Inter 4054 / 84363-8": "Inter [BANK]",
    },
    "documents named behind, or written onto their name": {
        "MJ252619 (passaporte)": "[ID] (passaporte)",
        "rg72188104X": "rg[ID]",
        "123456789012 (título de eleitor)": "[ID] (título de eleitor)",
    },
    "plates": {
        "Gol prata UZN-7815": "Gol prata [ID]",
        "nph1j74 é a placa": "[ID] é a placa",
        "placa: ter 9727": "placa: [ID]",
    },
    "words, brackets and letters in place of signs": {
        "fulano aroba uol.com.br": "[EMAIL]",
        "vendas.sp[at]gmx ponto de": "[EMAIL]",
        "fulano22 @ gmx.de": "[EMAIL]",
        "joao99(@)globo punto com": "[EMAIL]",
        "veja abcnews ponto com ponto br": "veja [LINK]",
        "abcnews[.]com.br/abc": "[LINK]",
        "https : // abcnews . com": "[LINK]",
        "procura (arroba)maria_22 no insta": "procura [USER] no insta",
        "zap onze 9 oito 7 6 cinco 4 três 2 um 0": "zap [PHONE]",
        "me liga 2l 98765-432O": "me liga [PHONE]",
    },
    "words that tell what a bare name is": {
        "t.me barra fulano22": "[LINK]",
        "arroba mariasilva no insta": "[USER] no insta",
        "IG maria.silva22": "IG [USER]",
        "acesse fulano22 ponto com": "acesse [LINK]",
        "acesse esse ponto com o celular": "acesse esse ponto com o celular",
        "0001 / 1234567-8 Nubank": "[BANK] Nubank",
    },
    "groups that are less common": {
        "tn.h8b.0lwt5lz-50": "[CNPJ]",
        "2982 5979 1900 002": "[ID]",
        "nº 141.6721.106-4": "nº [ID]",
        "375691 933505649": "[CARD]",
        "doe 6018366cf65847a79ed34fe53a096533": "doe [PIX]",
        "CEP\n21753361": "CEP\n[CEP]",
        "código postal 32254 011": "código postal [CEP]",
        "placa qjc 1i32": "placa [ID]",
        "Placas: JIZ 0228, PAZ 4158 e PAZ 4159": "Placas: [ID], [ID] e [ID]",
    },
    "draws, years, powers and names of files": {
        "Mega-Sena: 04 19 31 36 38 47": "Mega-Sena: 04 19 31 36 38 47",
        "Lotofácil 01-04-07-09-10-11-13-14-15-16-17-18-21-23-24": "Lotofácil 01-04-07-09-10-11-13-14-15-16-17-18-21-23-24",
        "Anos 1983-2011, 1961/2015": "Anos 1983-2011, 1961/2015",
        "2^49 = 35184372088832": "2^49 = 35184372088832",
        "IMG_48374873_537859.jpg": "IMG_48374873_537859.jpg",
        "a arroba atingiu ponto de equilíbrio": "a arroba atingiu ponto de equilíbrio",
        "placa dos 2020 carros": "placa dos 2020 carros",
    },
    "what stays": {
        "CVV 188; Disque 100": "CVV 188; Disque 100",
        "em 2018-2019 passaporte": "em 2018-2019 passaporte",
        "meu carro preto ano 2019": "meu carro preto ano 2019",
        "Ford Ka 2019 prata": "Ford Ka 2019 prata",
        "1.234.567.890 pessoas": "1.234.567.890 pessoas",
    },
}


@pytest.mark.parametrize("form", SHOWN)
def test_forms_of_an_independent_set_are_masked(form: str) -> None:
    assert {text: mask(text).text for text in SHOWN[form]} == SHOWN[form]


@pytest.mark.parametrize("text", ["joao@sub1.empresa.com.br", "joao@a-1.com.br", "joao@1.empresa.com.br"])
def test_a_host_is_never_taken_out_of_an_e_mail_address(text: str) -> None:
    assert mask(text).text == "[EMAIL]"


def test_names_in_any_case_and_language_are_masked_on_request() -> None:
    shown = {
        "MEU NOME É JOÃO DA SILVA": "MEU NOME É [NAME]",
        "meu nome é ítalo de souza e moro aqui": "meu nome é [NAME] e moro aqui",
        "mi nombre es Ñico Araújo": "mi nombre es [NAME]",
        "Meu nome é o que menos importa": "Meu nome é o que menos importa",
    }
    assert {text: mask(text, names=True).text for text in shown} == shown
