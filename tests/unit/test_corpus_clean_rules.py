"""Each rule on examples: what it removes, and what looks like it and stays."""

from __future__ import annotations

import unicodedata

import pytest

from biasaudit.corpus import clean, clean_text, legacy
from biasaudit.corpus.clean import Cleaner

FACTS = [
    ("9,5/10", "9,510"), ("31/12/2021", "31122021"), ("95%", "95"), ("Lei 13.979/2020", "Lei 13.9792020"), ("-2+3", "-23"), ("2^53", "253"),
    ("a\\xE7\\xE3o", "axE7xE3o"), ("fulano@gmail.com", "fulano.com"), ("veja https://t.me/x?y=1 já", "veja  já"), ("www.g1.com.br", ""),
    ("@usuario oi", " oi"), ("R$ 9,50 😀 ação", "R 9,50  ação"), ("...!?", ""), (" \n ", ""), ("...\n", "\n"), ("%..", ".."), ("ok", "ok"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "cleaned"), FACTS)
def test_the_study_s_cleaning_changes_facts_as_it_did(text: str, cleaned: str) -> None:
    assert legacy.clean(text) == cleaned
    assert Cleaner(["legacy"])(text) == cleaned


@pytest.mark.parametrize(
    "header",
    [
        "Encaminhado de: Fulano de Tal\n", "Forwarded from Somebody\n", "[Forwarded from Canal X]\n", "Encaminhada\n", "↪️ Forwarded many times\n",
        "Encaminhada com frequência\n", "Canal X, [12.03.2021 10:22]\n[Forwarded from Y]\n", "[10:22, 12/03/2021] Maria: ", "Mensagem encaminhada:\n",
        "[12/03/21, 10:22:33] Maria: ", "12/03/2021 10:22 - +55 11 91234-5678: ", "---------- Forwarded message ---------\nDe: A\nAssunto: B\n",
    ],
)  # fmt: skip
def test_headers_of_forwarded_messages_go(header: str) -> None:
    assert Cleaner()(f"{header}oi, gente") == "oi, gente"


@pytest.mark.parametrize(
    "text",
    [
        "Encaminhado ao médico, ele foi.", "Encaminhado por ordem judicial\nao tribunal.", "31/12/2021 10:00 - Reunião: trazer água",
        "Forwarded from the office, it came late.\nThen it rained.", "[sic] ele disse: não", "Assunto: vacina\nLeia tudo",
    ],
)  # fmt: skip
def test_bodies_that_look_like_headers_stay(text: str) -> None:
    assert Cleaner()(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "Inscreva-se no canal", "👉 Entre no nosso grupo do Telegram: t.me/abc", "Join our channel 👇", "Compartilhe!", "Siga-nos", "👉 @channel",
        "Forwarded via bot", "Sent from my iPhone", "Enviado do meu iPhone", "COMPARTILHEM COM TODOS OS SEUS CONTATOS!!!", "Canal: @canal_x",
        "Follow us on Twitter", "✅ Siga-nos: @a_b_c | @d_e_f", "Share this message with all your friends", "Get Outlook for iOS", "via @some_bot",
    ],
)  # fmt: skip
def test_boilerplate_lines_go_when_asked_for(line: str) -> None:
    text = f"A vacina chegou.\n{line}\nAmanhã tem mais."
    assert Cleaner([*clean.DEFAULT, "bots"])(text) == "A vacina chegou.\nAmanhã tem mais."
    assert Cleaner()(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "Compartilhe a verdade sobre as vacinas", "Siga o dinheiro e saberá quem manda", "Entre no carro", "Join the fight against lies",
        "Inscreva-se no canal e descubra o que escondem da vacina", "Sent from my heart", "O canal caiu ontem", "Follow the science", "Acesse",
        "Fale com @usuario", "Canal: fechado por ordem do STF",
    ],
)  # fmt: skip
def test_sentences_that_look_like_boilerplate_stay(line: str) -> None:
    assert Cleaner([*clean.DEFAULT, "bots"])(line) == line


def test_users_links_and_invites_go_when_asked_for() -> None:
    text = "Veja https://a.br/x?y=1, @fulano e t.me/+AbC; escreva a eu@gmail.com."
    assert Cleaner()(text) == text
    assert Cleaner([*clean.DEFAULT, "urls"])(text) == "Veja , @fulano e ; escreva a eu@gmail.com."
    assert Cleaner([*clean.DEFAULT, "invites"])(text) == "Veja https://a.br/x?y=1, @fulano e ; escreva a eu@gmail.com."
    assert (
        Cleaner([*clean.DEFAULT, "usernames"])(text) == "Veja https://a.br/x?y=1, e t.me/+AbC; escreva a eu@gmail.com."
    )


@pytest.mark.parametrize(
    ("text", "dropped", "named"),
    [
        ("Bom dia 😂!", "Bom dia!", "Bom dia [face with tears of joy]!"),
        ("oi😀tudo", "oi tudo", "oi [grinning face] tudo"),
        ("👩🏽‍⚕️ ok", "ok", "[woman, medium skin tone, staff of aesculapius] ok"),
        ("Viva 🇧🇷🇵🇹", "Viva", "Viva [flag BR] [flag PT]"),
        ("1️⃣ vacina", "vacina", "[keycap 1] vacina"),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "", "[waving black flag, gbeng]"),
        ("© 2021 marca™ 3 # *", "© 2021 marca™ 3 # *", "© 2021 marca™ 3 # *"),
    ],
)
def test_emojis_are_kept_dropped_or_named_as_one_unit(text: str, dropped: str, named: str) -> None:
    assert Cleaner()(text) == text
    assert Cleaner([*clean.DEFAULT, "emoji-drop"])(text) == dropped
    assert Cleaner([*clean.DEFAULT, "emoji-name"])(text) == named


def test_long_runs_of_marks_are_composed_as_unicode_says() -> None:
    text = "e" + "\u0301\u0323\u0344\u0f73\u0f71" * 40 + "a\u0323\u0302"
    assert clean_text.nfc(text) == unicodedata.normalize("NFC", text)
