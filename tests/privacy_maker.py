"""Synthetic identifiers with valid check digits, seeded."""

from __future__ import annotations

import random
import string

from stdnum import luhn
from stdnum.br import cnpj as stdnum_cnpj

FIRST = (
    "maria joao jose ana antonio francisca carlos paula luiz bruna pedro larissa rafael juliana marcos fernanda".split()  # noqa: SIM905
)
LAST = "silva santos oliveira souza pereira lima carvalho ferreira rodrigues almeida costa gomes martins araujo".split()  # noqa: SIM905
AREAS = "11 12 19 21 22 24 27 31 34 41 43 47 48 51 54 61 62 65 67 71 75 79 81 83 85 86 91 92 95 98 99".split()  # noqa: SIM905
DIGITS = "0123456789"


class Maker:
    """Makes one identifier after another."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def digits(self, count: int) -> str:
        while True:
            number = "".join(self.rng.choice(DIGITS) for _ in range(count))
            if count < 5 or len(set(number)) > 2:
                return number

    def cpf(self) -> str:
        number = self.digits(9)
        for weight in (10, 11):
            number += str(sum(int(d) * w for d, w in zip(number, range(weight, 1, -1), strict=True)) * 10 % 11 % 10)
        return number

    def cnpj(self) -> str:
        base = self.digits(8) + "0001"
        return base + stdnum_cnpj.calc_check_digits(base)

    def cnpj_letters(self) -> str:
        while True:
            base = "".join(self.rng.choice(DIGITS + string.ascii_uppercase) for _ in range(12))
            if sum(c.isalpha() for c in base) >= 2 and sum(c.isdigit() for c in base) >= 2:
                return base + stdnum_cnpj.calc_check_digits(base)

    def cns(self) -> str:
        while True:
            base = self.rng.choice("12789") + self.digits(13)
            for last in DIGITS:
                if sum(int(d) * w for d, w in zip(base + last, range(15, 0, -1), strict=True)) % 11 == 0:
                    return base + last

    def pis(self) -> str:
        base = "1" + self.digits(9)
        total = sum(int(d) * w for d, w in zip(base, (3, 2, 9, 8, 7, 6, 5, 4, 3, 2), strict=True)) % 11
        return base + str(0 if total < 2 else 11 - total)

    def titulo(self) -> str:
        base = self.digits(8) + f"{self.rng.randint(3, 28):02}"
        first = sum(int(d) * w for d, w in zip(base, range(2, 10), strict=False)) % 11 % 10
        return f"{base}{first}{(int(base[8]) * 7 + int(base[9]) * 8 + first * 9) % 11 % 10}"

    def cnh(self) -> str:
        base = self.digits(9)
        first = sum(int(d) * w for d, w in zip(base, range(9, 0, -1), strict=True)) % 11
        less, first = (2, 0) if first >= 10 else (0, first)
        second = sum(int(d) * w for d, w in zip(base, range(1, 10), strict=True)) % 11
        return f"{base}{first}{0 if second >= 10 else max(0, second - less)}"

    def card(self) -> str:
        start, length = self.rng.choice(
            [("4", 16), ("51", 16), ("55", 16), ("6362", 16), ("34", 15), ("37", 15), ("4", 13), ("36", 14), ("4", 19)]
        )
        base = start + self.digits(length - 1 - len(start))
        return base + luhn.calc_check_digit(base)

    def mobile(self) -> tuple[str, str]:
        return self.rng.choice(AREAS), "9" + self.rng.choice("6789") + self.digits(7)

    def landline(self) -> tuple[str, str]:
        return self.rng.choice(AREAS), self.rng.choice("2345") + self.digits(7)

    def handle(self) -> str:
        first, last = self.rng.choice(FIRST), self.rng.choice(LAST)
        return self.rng.choice(
            [
                f"{first}_{last}",
                f"{first}{last}{self.digits(2)}",
                f"{first.title()}{last.title()}",
                f"{last}_{self.digits(4)}",
                f"{first}{last}",
            ]
        )

    def local(self) -> str:
        first, last = self.rng.choice(FIRST), self.rng.choice(LAST)
        return self.rng.choice(
            [
                f"{first}.{last}",
                f"{first}{self.digits(3)}",
                f"{first}_{last}",
                f"{first[0]}{last}{self.digits(2)}",
                f"{first}-{last}",
            ]
        )

    def domain(self) -> str:
        return self.rng.choice(
            [
                "gmail.com",
                "hotmail.com",
                "outlook.com",
                "yahoo.com.br",
                "uol.com.br",
                "bol.com.br",
                "empresa.com.br",
                "usp.br",
                "saude.gov.br",
                "proton.me",
                "exemplo.org",
                "icloud.com",
                "prefeitura.sp.gov.br",
            ]
        )

    def token(self, count: int, alphabet: str = string.ascii_letters + DIGITS) -> str:
        while True:
            found = "".join(self.rng.choice(alphabet) for _ in range(count))
            if (
                any(c.isdigit() for c in found)
                and any(c.isupper() for c in found) | (alphabet == "0123456789abcdef")
                and any(c.islower() for c in found)
            ):
                return found

    def uuid(self) -> str:
        number = "".join(self.rng.choice("0123456789abcdef") for _ in range(32))
        return f"{number[:8]}-{number[8:12]}-4{number[13:16]}-a{number[17:20]}-{number[20:]}"

    def br_code(self) -> str:
        key = self.rng.choice([self.uuid(), self.cpf(), "+55" + "".join(self.mobile()), self.local() + "@gmail.com"])
        name = f"{self.rng.choice(FIRST)} {self.rng.choice(LAST)}".upper()

        def field(number: str, value: str) -> str:
            return f"{number}{len(value):02}{value}"

        code = (
            field("00", "01") + field("26", field("00", "br.gov.bcb.pix") + field("01", key)) + "52040000" + "5303986"
        )
        code += (
            self.rng.choice(["", field("54", "25.00")])
            + "5802BR"
            + field("59", name)
            + field("60", "SAO PAULO")
            + field("62", field("05", "***"))
            + "6304"
        )
        return code + f"{crc16(code):04X}"


def crc16(text: str) -> int:
    """CRC-16/CCITT-FALSE, as the BR Code manual has it."""
    value = 0xFFFF
    for byte in text.encode():
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def grouped(number: str, pattern: str) -> str:
    """`number` in the holes (#) of `pattern`."""
    rest = iter(number)
    return "".join(next(rest) if c == "#" else c for c in pattern)
