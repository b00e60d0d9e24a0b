"""What looks like personal data and is none stays as it is, in generated look-alikes and in real news."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from biasaudit.corpus.privacy import mask_batch

TEMPLATES = (
    "{p}% de eficácia contra a variante", "custou R$ {m}", "R$ {m} a R$ {m}", "US$ {k},{d2} bilhões", "Lei {k}/{y}", "Lei nº {k}, de {d} de maio de {y}", "Decreto {k}/{y}", "Lei Complementar nº {d2}/{y}",
    "MP {d3}/{y}", "PEC {d2}/{y}", "PL {d4}/{y}", "art. {d2}, § {d}º, inciso III", "ADI {k}", "RE {k}.{d3}", "HC {d3}.{d3}", "processo {d7}-{d2}.{y}.8.26.{d4}", "dose de 0,{d} mL", "{d2} mg a cada {d} horas", "{d3}mg/{d2}ml",
    "duas doses com intervalo de {d2} dias", "em {d2x}/{mo}/{y}", "{y}-{mo}-{d2x} {h}:{mi}:{mi}", "às {h}h{mi}", "{h}:{mi}:{mi}", "entre {y} e {y}", "{y}-{y}", "temporada {y}/{d2}", "João 3:{d2}", "Salmos {d2}:{d}-{d2}", "1 Coríntios 13:{d}-{d2}",
    "doi:10.{d4}/NEJMoa{d7}", "https doi 10.{d4}/s{d5}-{d3}", "ISBN 978-85-{d3}-{d4}-{d}", "ISSN {d4}-{d4}", "lote {L}{d4}", "lote FA{d4}, validade {mo}/{y}", "lote nº {d3}{L}{d3}", "número do lote: {d6}", "o jogo terminou {d} a {d}", "placar de {d}x{d}",
    "lat -{d2}.{d6}, long -{d2}.{d6}", "-{d2}.{d5}, -{d2}.{d5}", "arroba do boi a R$ {d3}", "a arroba do boi subiu {p}%", "R$ {d3} por arroba", "Disque 100", "ligue 190", "disque 136", "ligue para o 192", "0800 {d3} {d4}", "SAC 0800-{d3}-{d4}",
    "{t} mortes", "{t} casos e {t} óbitos", "população de {t} habitantes", "{k} seguidores", "índice {d}.{d3} pontos", "dólar a {d},{d4}", "versão {d}.{d}.{d}.{d}", "Windows 10.0.{d5}", "Android {d2}", "CID-10 J{d2}.{d}", "COVID-19 e H1N1", "BNT162b2 e mRNA-{d4}", "SARS-CoV-2 B.1.1.{d3}",
    "km {d3} da BR-{d3}", "BR-{d3}/SP", "rodovia SP-{d3}", "ônibus {d4}", "voo G3 {d4}", "Boeing 737-{d3}", "página {d3}-{d3}", "pp. {d3}-{d3}", "v. {d2}, n. {d}, p. {d3}-{d3}", "Rua 7 de Setembro, centro", "quadra {d2} lote {d2}", "sala {d3}, {d}º andar",
    "{d2}ª Vara Cível", "{d3} km²", "10^{d}", "{d} x {d2} = {d3}", "2 + 2 = {d}", "uma em cada {d2} pessoas", "de {d} a {d2} anos", "{d2} graus", "-{d2} °C", "NCM {d4}.{d2}.{d2}", "CNAE {d2}.{d2}-{d}", "protocolo {d6}/{y}", "portaria nº {d3}/{y}", "resolução RDC {d3}/{y}",
    "edital {d3}/{y}", "concurso {d4} da Mega-Sena: 04 11 23 34 45 56", "tod@s e amig@s", "querid@s alun@s", "e-mail e whatsapp", "me chama no zap", "o CPF dele", "meu telefone quebrou em {y}", "a conta de {k} reais", "a conta {y} não fecha", "agência 24 horas", "título de {y}", "identidade em {y}",
    "o SUS aplicou {t} doses", "PIS/Cofins de {d},{d2}%", "cartão vermelho aos {d2} minutos", "validade de {d2} meses", "elo mais fraco: {d2}%", "fim.Em seguida", "dr.Paulo e sra.Ana", "e/ou", "24/7", "9/11", "vitamina B12 {d4} UI", "{d3}/{d2} mmHg", "pressão 12/8", "{p} pontos percentuais", "iPhone {d2} 128GB", "4G e 5G", "ISO 9001:{y}", "canal {d2}, às {h}h",
    "nota {d},{d}/10", "{d}º lugar", "CEO da empresa XYZ", "um, dois, três, quatro, cinco, seis, sete, oito", "{d2}/{d2} avos", "art. 5º da CF/88", "CF/1988", "súmula {d3} do STF", "R${m}", "€ {m}", "{m} euros", "{t} votos ({p}%)", "frete grátis acima de R$ {d3}", "1.ª dose", "id {d7}{d3}", "hash a1b2c3", "RT 0,{d2}", "taxa de {p}% ao mês",
)  # fmt: skip


def look_alikes(count: int) -> Iterator[str]:
    """Texts without personal data, whose numbers are drawn anew each time."""
    rng = random.Random(9)

    def digits(number: int) -> str:
        return str(rng.randint(1, 9)) + "".join(rng.choice("0123456789") for _ in range(number - 1))

    for number in range(count):
        values = {f"d{n}": digits(n) for n in range(2, 8)}
        yield rng.choice(("{}", "Segundo o jornal, {}.", "({})", "{} — disse o ministro", "Veja: {}; nada mais", "The report says {} again")).format(
            TEMPLATES[number % len(TEMPLATES)].format(
                d=digits(1), d2x=f"{rng.randint(1, 28):02}", mo=f"{rng.randint(1, 12):02}", y=rng.randint(1950, 2026), h=f"{rng.randint(0, 23):02}", mi=f"{rng.randint(0, 59):02}", p=f"{rng.randint(1, 99)},{rng.randint(0, 9)}",
                m=f"{digits(2)}.{digits(3)},{digits(2)}", k=f"{digits(2)}.{digits(3)}", t=f"{digits(2)}.{digits(3)}.{digits(3)}", L=rng.choice("ABCEFGH") + rng.choice("ABCEFGH"), **values,
            )
        )  # fmt: skip


def test_generated_look_alikes_stay() -> None:
    texts = list(look_alikes(1_500))
    shown = mask_batch(pa.array(texts, pa.string())).text.to_pylist()
    changed = [(text, masked) for text, masked in zip(texts, shown, strict=True) if text != masked]
    assert len(changed) <= 0.005 * len(texts), changed


# What a reader sees at once: an address of the net, a user, a number in one of the common forms of a telephone.
OBVIOUS = re.compile(
    r"://|www\.|@|\w\.(?:com|gov|org|net|edu|jus|leg|mp)(?:\.br)?(?![\w])|\w\.\w{2,3}/\w|(?:fone|tel\.|telefone|número é)\D{0,20}\d"
    r"|\(\d\d\)\s?9?\s?\d{4}[-. ]\d{4}|(?<!\d)9\d{4}-\d{4}(?!\d)",
    re.IGNORECASE,
)


def news(folder: Path) -> Iterator[str]:
    """Paragraphs of the true half of Fake.br, and the sentences of two treebanks."""
    with (folder / "fakebr" / "true.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield from json.loads(line)["text"].split("\n")
    for name in ("ud_bosque.txt", "ud_gsd.txt"):
        yield from (folder / name).read_text("utf-8").split("\n")


def check_share(texts: list[str], bar: float) -> None:
    clean = [text for text in texts if text.strip() and not OBVIOUS.search(text)]
    shown = mask_batch(pa.array(clean, pa.string())).text.to_pylist()
    changed = sum(text != masked for text, masked in zip(clean, shown, strict=True))
    assert changed <= bar * len(clean), f"{changed} of {len(clean)} clean texts changed"


def test_clean_news_hardly_ever_changes(shared_data: Path) -> None:
    check_share(list(news(shared_data / "corpora_pt"))[::4], 0.002)


@pytest.mark.slow
def test_no_clean_news_at_hand_changes_more(shared_data: Path) -> None:
    check_share(list(news(shared_data / "corpora_pt")), 0.002)
    novels = sorted((shared_data / "corpora_pt" / "machado" / "txt").glob("*/*.txt"))
    check_share([line for path in novels for line in path.read_text("utf-8", "replace").split("\n")], 0.0002)
