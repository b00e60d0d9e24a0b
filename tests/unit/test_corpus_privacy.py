"""Personal data: every kind is found in every form, look-alikes stay, and the work is linear."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.br import cnpj, cpf

from biasaudit.corpus import (
    clean,
    privacy_checks,
    privacy_cued,
    privacy_fold,
    privacy_links,
    privacy_loose,
    privacy_named,
    privacy_names,
    privacy_numbers,
    privacy_rules,
    privacy_spoken,
)
from biasaudit.corpus.privacy import KINDS, mask
from biasaudit.errors import UnknownNameError

FOUND = {
    "CPF": [
        "529.982.247-25", "52998224725", "529 982 247 25", "529.982.247/25", "５２９.９８２.２４７-２５",
        "5 2 9 9 8 2 2 4 7 2 5", "529.982.\n247-25", "5\u200b29.982.247-25", "529\u2011982\u2011247\u201125",
    ],
    "CNPJ": ["11.222.333/0001-81", "11222333000181", "11 222 333 0001 81", "12.ABC.345/01DE-35", "12ABC34501DE35"],
    "PHONE": [
        "+55 11 91234-5678", "+5511912345678", "0055 11 91234 5678", "(11) 91234-5678", "11 91234-5678", "11912345678",
        "(011) 3222-1234", "11 3222-1234", "91234-5678", "9 1234-5678", "+1 212 555 2368", "+351 912 345 678",
        "+44 20 7946 0958", "11.91234.5678", "1️⃣1️⃣9️⃣1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣8️⃣", "0xx11 3222-1234", "015 11 91234-5678", "1 1 9 1 2 3 4 5 6 7 8",
    ],
    "EMAIL": [
        "maria.silva@gmail.com", "maria+tag@empresa.com.br", "joão@açaí.com.br", '"maria silva"@x.com',
        "maria arroba gmail ponto com", "maria [at] gmail [dot] com", "maria(at)gmail.com", "maria＠gmail.com",
        "maria @ gmail . com", "mailto:maria@x.org", "maria%40gmail.com", "maria arroba empresa ponto com ponto br",
    ],
    "USER": ["@fulano_123", "@ab_c", "@Maria.Silva"],
    "INVITE": [
        "https://t.me/+AbCdEfGh123", "t.me/joinchat/AAAA", "https://t.me/addlist/xyz", "tg:join?invite=abcdef",
        "tg://join?invite=abc", "chat.whatsapp.com/AbC", "t.me/%2BAbC",
    ],
    "LINK": [
        "https://t.me/canal", "t.me/canal", "telegram.me/canal", "telegram.dog/canal", "canal.t.me", "t.me/s/canal",
        "t.me/c/123456/78", "tg:resolve?domain=x", "tg://user?id=123", "https://wa.me/5511912345678",
        "api.whatsapp.com/send?phone=5511912345678", "instagram.com/maria", "facebook.com/profile.php?id=1",
        "youtube.com/@maria", "www.globo.com", "bit.ly/3abc", "DiarioDaCidade.com.br", "auxilio.caixa.gov.br",
    ],
    "PIX": [
        "123e4567-e89b-42d3-a456-426614174000",
        "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR5905Maria63041D3D",
    ],
    "CARD": ["4111 1111 1111 1111", "4111111111111111", "378282246310005", "3782 822463 10005"],
    "ID": ["898 0000 0004 3208", "12.345.678-X", "ABC1D23"],
    "CEP": ["01310-100"],
    "IP": ["192.168.10.15", "2001:db8::ff00:42:8329"],
    "CRYPTO": ["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "0x52908400098527886E0F7030069857D2E4169EE7"],
    "SECRET": ["123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1", "sk-abcdefghijklmnopqrstuvwx1234"],
}  # fmt: skip

NAMED = {
    "CPF: 123.456.789-00": "CPF: [CPF]",
    "cpf 12345678900": "cpf [CPF]",
    "tel 3222-1234": "tel [PHONE]",
    "912345678 Whats": "[PHONE] Whats",
    "whats 912345678": "whats [PHONE]",
    "agência 1234-5": "agência [BANK]",
    "ag 1234": "ag [BANK]",
    "conta corrente 12345-6": "conta corrente [BANK]",
    "c/c 12345-x": "c/c [BANK]",
    "poupança 013 12345-6": "poupança 013 [BANK]",
    "cartão cvv 123": "cartão cvv [CARD]",
    "RG 12.345.678-9": "RG [ID]",
    "CNH 12345678900": "CNH [ID]",
    "PIS 120.12345.67-8": "PIS [ID]",
    "título de eleitor 1234 5678 9012": "título de eleitor [ID]",
    "passaporte AB123456": "passaporte [ID]",
    "placa ABC-1234": "placa [ID]",
    "CEP 01310100": "CEP [CEP]",
    "Rua das Flores, 123, CEP 01310-100": "Rua das Flores, [CEP], CEP [CEP]",
}

KEPT = """95% de eficácia|R$ 9,50|R$ 1.234.567,89|Lei 13.979/2020|Lei nº 8.080, de 19 de setembro de 1990|31/12/2021
2021-12-31 10:20:30|nota 9,5/10|dose de 0,5 mL|30 µg|temperatura de -70 °C|João 3:16|Salmos 91:1-16|1 Coríntios 13:4-7
doi:10.1056/NEJMoa2034577|lote EW0150|lote FA7829|arroba do boi a R$ 300|a arroba subiu 3%|R$ 250 a arroba. Com alta
2019-2020|60.000.000 de doses|10 mil|às 14h30|versão 2.0.1.3|art. 196 da CF|PL 2630/2020|ADI 6.586|RE 1.267.879
página 123-145|telefone tocou 3 vezes|CID-10 J12.8|COVID-19|SARS-CoV-2|BNT162b2|H1N1|ISO 9001|km 123|BR-101|2^53|-2+3
população de 211.755.692 pessoas|índice 0,123456789|x @ 10|e-mail|a conta 2020 fechou|a conta de 1500 reais
conta com 12000 seguidores|agência 24 horas|rua 7 de setembro, 100|o CPF dele|em 2021 2022 2023 2024|disque 136|foi 529.982.247.25 milhões
10 20 30 40 50 60 70 80|US$ 1.5 bilhão|pág. 12345|ISSN 1234-5678|anos 1990-1999|R$1.000.000.000|id 1522046510|24/7
fim.Em seguida|dr.Paulo|e/ou|uso 12/12h|50mg/5ml|placa do Rio 2016|12:30:45|Windows 10.0.1.2""".replace(
    "\n", "|"
).split("|")


@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind, forms in FOUND.items() for form in forms])
def test_every_form_becomes_its_placeholder_wherever_it_stands(kind: str, form: str) -> None:
    for context in ("{}", "meu contato é {} ok", "Fale: {}."):
        assert mask(context.format(form)).text == context.format(f"[{kind}]")


@pytest.mark.parametrize(("text", "shown"), NAMED.items())
def test_a_named_number_is_masked_and_its_name_stays(text: str, shown: str) -> None:
    assert mask(text).text == shown
    assert mask(f"segue {text}, obrigado").text == f"segue {shown}, obrigado"


@pytest.mark.parametrize("text", KEPT)
def test_look_alikes_stay(text: str) -> None:
    assert mask(text).text == text


def test_generated_numbers_with_check_digits_are_never_missed() -> None:
    rng = random.Random(11)
    for _ in range(400):
        base = "".join(rng.choice("0123456789") for _ in range(9))
        person = next(base + f"{n:02}" for n in range(100) if cpf.is_valid(base + f"{n:02}"))
        company = "".join(rng.choice("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(11)) + rng.choice("123456789")
        company += cnpj.calc_check_digits(company)
        card = "".join(rng.choice("0123456789") for _ in range(14))
        card = "4" + card + luhn.calc_check_digit("4" + card)
        for number, form in ((person, cpf.format(person)), (company, cnpj.format(company)), (card, card)):
            if len(set(number)) > 1:
                assert mask(f"é {form} sim").text in ("é [CPF] sim", "é [CNPJ] sim", "é [CARD] sim")
        shown = mask(f"é {person} sim").text
        assert shown in ("é [CPF] sim", "é [PHONE] sim") or len(set(person)) == 1


def test_unnamed_kinds_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'PHONE'"):
        mask("x", ["FONE"])


def test_only_the_wanted_kinds_are_replaced() -> None:
    assert mask("@fulano 529.982.247-25", ["USER"]).text == "[USER] 529.982.247-25"


PIECES = st.sampled_from(
    [form for forms in FOUND.values() for form in forms]
    + list(NAMED)
    + KEPT
    + ["\n", " ", ", ", "-", ".", "/", "(", "55", "11", "9", "@", "[CPF]", "[LINK]", "\u200b", "ação", "https://", "."]
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_masking_twice_changes_nothing_more_and_offsets_lead_back(text: str) -> None:
    masked = mask(text)
    assert mask(masked.text).text == masked.text
    position = origin = 0
    for start, end, from_, to in masked.spans:
        assert masked.text[position:start] == text[origin:from_]
        assert masked.text[start:end].strip("[]") in KINDS
        assert masked.original(start, end) == (from_, to)
        assert masked.masked(from_, to) == (start, end)
        position, origin = end, to
    assert masked.text[position:] == text[origin:]


MODULES = (
    clean,
    privacy_checks,
    privacy_cued,
    privacy_names,
    privacy_fold,
    privacy_links,
    privacy_loose,
    privacy_named,
    privacy_numbers,
    privacy_rules,
    privacy_spoken,
)
GROUPS = (
    privacy_numbers.FIRST + privacy_links.URLS + privacy_links.BARE + privacy_links.USERS + privacy_numbers.NUMBERS
    + privacy_cued.CUED + privacy_names.NAMES
)  # fmt: skip


def _patterns() -> dict[str, re.Pattern[str]]:
    found = {f"trigger {number}": group.seen for number, group in enumerate(GROUPS)}
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                found[f"{module.__name__}.{name}"] = value
    return found


ATTACKS = (
    "a", "1", "1 ", "1.", "a.", "@", "a@", "www.", "a-", "55 ", "[", "(", "http://", "arroba ", "conta ", "rua a ", ":1", "\u200b1",
    "000201", " ", "\n", '"', " at com ", "rg ", "cpf 1 ", "t . me ", "[CEP] rua a ", "moro na rua ", "1 1 1 1 1 2 ", "11 91234-567 ",
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_takes_more_than_linear_time(attack: str) -> None:
    cleaner = clean.Cleaner()
    times = []
    for size in (32_000, 320_000):
        text = (attack * size)[:size]
        started = time.process_time()
        mask(cleaner(text))
        mask(text)
        times.append(time.process_time() - started)
    assert times[1] < 12 * max(times[0], 0.05), f"{attack!r} repeated takes too long"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(_patterns()))
def test_no_pattern_is_quadratic(name: str) -> None:
    pattern = _patterns()[name]
    for attack in ATTACKS:
        times = []
        for size in (3_200, 32_000):
            text = (attack * size)[:size] + "!"
            started = time.process_time()
            for _ in pattern.finditer(text):
                pass
            times.append(time.process_time() - started)
        assert times[1] < 12 * max(times[0], 0.005), f"{attack!r} makes {name} quadratic"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(_patterns()))
def test_no_pattern_takes_half_a_second_for_320_kilobytes(name: str) -> None:
    pattern = _patterns()[name]
    for attack in ATTACKS:
        text = (attack * 320_000)[:320_000] + "!"
        started = time.process_time()
        for _ in pattern.finditer(text):
            pass
        assert time.process_time() - started < 0.5, f"{attack!r} makes {name} slow"


def test_clean_sentences_of_a_treebank_hardly_ever_change(shared_data: Path) -> None:
    lines = (shared_data / "corpora_pt" / "ud_bosque.txt").read_text("utf-8").split("\n")
    changed = sum(mask(line).text != line for line in lines)
    assert changed <= 0.005 * len(lines)
