"""Personal data of every class, plain and disguised, in many sentences: what may slip through is bounded."""

from __future__ import annotations

from collections import Counter

import privacy_example as example
import pyarrow as pa
import pytest
from privacy_maker import Maker, crc16

from biasaudit.corpus.privacy import mask_batch

BARS = {example.CHECKED: 0.995, example.ADDRESS: 0.99, example.OBFUSCATED: 0.95, example.OTHER: 0.99}


def leaks_of(seed: int, each: int) -> tuple[Counter[str], list[example.Case]]:
    cases = list(example.cases(seed, each))
    shown = mask_batch(pa.array([case.text for case in cases], pa.string())).text.to_pylist()
    leaks = [case for case, text in zip(cases, shown, strict=True) if case.leaks(text)]
    return Counter(case.family for case in cases), leaks


def check(seed: int, each: int) -> None:
    asked, leaks = leaks_of(seed, each)
    leaked = Counter(case.family for case in leaks)
    for family, bar in BARS.items():
        assert 1 - leaked[family] / asked[family] >= bar, [case for case in leaks if case.family == family]
    worst = Counter(case.name for case in leaks).most_common(1)
    assert not worst or worst[0][1] <= max(1, 0.1 * each), worst


def test_of_two_thousand_identifiers_the_stated_shares_are_masked() -> None:
    check(seed=100, each=40)


@pytest.mark.slow
def test_of_sixty_thousand_identifiers_the_stated_shares_are_masked() -> None:
    for seed in range(20):
        check(seed, each=60)


def test_what_the_example_calls_valid_is_valid() -> None:
    from stdnum.br import cnpj, cpf

    maker = Maker(3)
    for _ in range(200):
        assert cpf.is_valid(maker.cpf())
        assert cnpj.is_valid(maker.cnpj_letters())
        code = maker.br_code()
        assert f"{crc16(code[:-4]):04X}" == code[-4:]
