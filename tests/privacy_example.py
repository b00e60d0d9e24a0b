"""Synthetic personal data in every form and disguise, with valid check digits, inside sentences; seeded.

A leak is a core (the letters and digits of what had to go) that is still in the output after NFKC and the removal of
all other characters.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from privacy_maker import DIGITS, FIRST, LAST, Maker, grouped
from stdnum import luhn


@dataclass(frozen=True)
class Case:
    """One text that holds `cores`, of a class ("cpf", "email" …) and a family with a bar of its own."""

    name: str
    family: str
    text: str
    cores: tuple[str, ...]

    def leaks(self, shown: str) -> bool:
        """Whether a core is still there."""
        left = plain(shown)
        return any(plain(core) in left for core in self.cores)


def plain(text: str) -> str:
    """Letters and digits after NFKC."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if c.isalnum())


# ---------------------------------------------------------------------------- disguises of a written number

_STYLES = {
    "fullwidth": lambda c: chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c,
    "bold": lambda c: chr(0x1D7CE + int(c)) if c.isdigit() else c,
    "arabic": lambda c: chr(0x660 + int(c)) if c.isdigit() else c,
    "devanagari": lambda c: chr(0x966 + int(c)) if c.isdigit() else c,
    "thai": lambda c: chr(0xE50 + int(c)) if c.isdigit() else c,
    "bengali": lambda c: chr(0x9E6 + int(c)) if c.isdigit() else c,
    "keycap": lambda c: c + "\ufe0f\u20e3" if c.isdigit() else c,
    "circled": lambda c: ("\u24ea" if c == "0" else chr(0x245F + int(c))) if c.isdigit() else c,
    "zero_width": lambda c: c + "\u200b",
    "joiner": lambda c: c + "\u2060",
    "strike": lambda c: c + "\u0336",
    "hyphen": lambda c: "\u2011" if c == "-" else c,
    "dash": lambda c: "–" if c == "-" else c,
    "nbsp": lambda c: "\u00a0" if c == " " else c,
}  # fmt: skip


def styled(text: str, style: str) -> str:
    """`text` with each character replaced as `style` says."""
    return "".join(map(_STYLES[style], text))


def disguised(maker: Maker, text: str) -> str:
    """A written number in one of many disguises."""
    number = "".join(c for c in text if c.isalnum())
    ways = [
        lambda: styled(text, maker.rng.choice(list(_STYLES)[:11])),
        lambda: " ".join(number),
        lambda: ".".join(number),
        lambda: "-".join(number),
        lambda: "  ".join(number),
        lambda: "\n".join(_cut(maker, text)),
        lambda: styled(text, "dash") if "-" in text else styled(text, "fullwidth"),
        lambda: styled(" ".join(number), "keycap"),
        lambda: styled(" ".join(number), "fullwidth"),
    ]
    return maker.rng.choice(ways)()


def _cut(maker: Maker, text: str) -> tuple[str, str]:
    breaks = [n for n in range(2, len(text) - 1) if not (text[n - 1].isalnum() and text[n].isalnum())]
    place = maker.rng.choice(breaks) if breaks else len(text) // 2
    return text[:place].rstrip(" "), text[place:].lstrip(" ")


# ---------------------------------------------------------------------------- the classes

Made = tuple[str, tuple[str, ...]]


def _number(pattern: tuple[str, ...], make: Callable[[Maker], str]) -> Callable[[Maker], Made]:
    def one(maker: Maker) -> Made:
        number = make(maker)
        return grouped(number, maker.rng.choice(pattern)), (number,)

    return one


def _labelled(labels: str, make: Callable[[Maker], Made]) -> Callable[[Maker], Made]:
    def one(maker: Maker) -> Made:
        text, cores = make(maker)
        return maker.rng.choice(labels.split("|")) + text, cores

    return one


def _wrong(make: Callable[[Maker], Made]) -> Callable[[Maker], Made]:
    """The same with the last digit changed, so that check digits fail."""

    def one(maker: Maker) -> Made:
        text, (core,) = make(maker)
        last = str((int(core[-1]) + maker.rng.randint(1, 9)) % 10)
        place = max(n for n, c in enumerate(text) if c.isdigit())
        return text[:place] + last + text[place + 1 :], (core[:-1] + last,)

    return one


def _hidden(make: Callable[[Maker], Made]) -> Callable[[Maker], Made]:
    def one(maker: Maker) -> Made:
        text, cores = make(maker)
        return disguised(maker, text), cores

    return one


CPF = _number(
    (
        "###.###.###-##",
        "###########",
        "### ### ### ##",
        "###.###.###/##",
        "###-###-###-##",
        "###.###.###.##",
        "### ### ###-##",
        "###.###.### - ##",
    ),
    Maker.cpf,
)
CNPJ = _number(
    (
        "##.###.###/####-##",
        "##############",
        "## ### ### #### ##",
        "##.###.### / ####-##",
        "##.###.###.####-##",
        "########/####-##",
    ),
    Maker.cnpj,
)
CNPJ_LETTERS = _number(("##.###.###/####-##", "##############", "## ### ### #### ##"), Maker.cnpj_letters)
CNS = _number(("### #### #### ####", "###############", "###.####.####.####"), Maker.cns)
PIS = _number(("###.#####.##-#", "###########"), Maker.pis)
TITULO = _number(("#### #### ####", "############"), Maker.titulo)
CNH = _number(("###########",), Maker.cnh)


def _card(maker: Maker) -> Made:
    number = maker.card()
    patterns = {
        15: ("#### ###### #####", "#" * 15),
        14: ("#### ###### ####", "#" * 14),
        13: ("#" * 13,),
        19: ("#### #### #### #### ###", "#" * 19),
    }
    return grouped(
        number,
        maker.rng.choice(
            patterns.get(len(number), ("#### #### #### ####", "####-####-####-####", "#" * 16, "####.####.####.####"))
        ),
    ), (number,)


MOBILE_FORMS = (
    "+55 {a} {x}{y}-{z}", "+55{a}{x}{y}{z}", "+55 ({a}) {x}{y}-{z}", "+55({a}){x}{y}-{z}", "0055 {a} {x}{y} {z}", "0055{a}{x}{y}{z}", "55 {a} {x}{y}-{z}",
    "55{a}{x}{y}{z}", "({a}) {x}{y}-{z}", "({a}){x}{y}-{z}", "({a}) {x} {y}-{z}", "{a} {x}{y}-{z}", "{a} {x}{y} {z}", "{a}{x}{y}{z}", "{a} {x} {y} {z}",
    "{a}-{x}{y}-{z}", "{a}.{x}{y}.{z}", "{a}.{x}.{y}.{z}", "(0{a}) {x}{y}-{z}", "0{a} {x}{y}-{z}", "0{a}{x}{y}{z}", "(0xx{a}) {x}{y}-{z}", "0xx{a} {x}{y}-{z}",
    "015 {a} {x}{y}-{z}", "{x}{y}-{z}", "{x} {y}-{z}", "+55 {a} {x} {y}-{z}", "{a}/{x}{y}-{z}", "+55-{a}-{x}{y}-{z}", "({a}) {x}.{y}.{z}", "({a}) {x}{y}{z}", "[{a}] {x}{y}-{z}",
    "+55 {a}{x}{y}{z}", "55+{a} {x}{y}-{z}", "{a} {x}{y} - {z}", "({a}) {x}-{y}-{z}", "{a}  {x}{y}  {z}",
)  # fmt: skip
LANDLINE_FORMS = (
    "+55 {a} {y}-{z}", "+55{a}{y}{z}", "+55 ({a}) {y}-{z}", "0055 {a} {y}-{z}", "({a}) {y}-{z}", "({a}){y}{z}", "{a} {y}-{z}", "({a}) {y} {z}", "(0{a}) {y}-{z}",
    "0{a} {y}-{z}", "(0xx{a}) {y}-{z}", "{a}-{y}-{z}", "({a}) {y}.{z}", "+55 {a} {y} {z}", "0xx{a} {y}-{z}", "55 {a} {y}-{z}", "{a}.{y}.{z}",
)  # fmt: skip
PHONE_CUES = "tel {}|tel: {}|telefone {}|Fone: {}|cel. {}|celular {}|whats {}|WhatsApp: {}|meu zap é {}|zap {}|liga {}|me liga no {}|ligue {}|contato: {}|me chama no {}|wpp {}|fala comigo no {}|call me at {}|my number is {}|phone: {}|número {}|fixo {}|sms para {}|{} (whats)|recado {}"
FOREIGN = (
    "+1 212 555 {z}", "+1 (415) 555-{z}", "+1-305-555-{z}", "+351 91{b} {c} {d}", "+351 21{b} {c} {d}", "+44 7700 9{b}{c}", "+44 20 7946 {z}", "+34 6{b2} {c} {d}", "+33 6 {e} {f} {g} {h}",
    "+49 151 {e}{f}{g}{h}", "+54 9 11 4{c}-{z}", "+595 981 {c}{d}", "+598 94 {c} {d}", "+39 333 {c}{z}", "+81 90 {z}-{y}", "+244 923 {c} {d}", "+258 84 {c} {z}", "001 212 555 {z}", "+12125550{b2}{n}",
)  # fmt: skip


def _mobile(maker: Maker) -> Made:
    area, number = maker.mobile()
    form = maker.rng.choice(MOBILE_FORMS)
    text = form.format(a=area, x=number[0], y=number[1:5], z=number[5:])
    if form.startswith("{x}"):
        text = maker.rng.choice(PHONE_CUES.split("|")).format(text)
    return text, ((area if "{a}" in form else "") + number,)


def _landline(maker: Maker) -> Made:
    area, number = maker.landline()
    return maker.rng.choice(LANDLINE_FORMS).format(a=area, y=number[:4], z=number[4:]), (area + number,)


def _local_phone(maker: Maker) -> Made:
    number = maker.rng.choice([maker.landline()[1], maker.mobile()[1]])
    half = len(number) - 4
    text = maker.rng.choice(["{}-{}", "{}{}", "{} {}", "{}.{}"]).format(number[:half], number[half:])
    return maker.rng.choice(PHONE_CUES.split("|")).format(text), (number,)


def _foreign(maker: Maker) -> Made:
    d = maker.digits
    parts = {
        "z": d(4),
        "y": d(4),
        "b": d(1),
        "b2": d(2),
        "c": d(3),
        "d": d(3),
        "e": d(2),
        "f": d(2),
        "g": d(2),
        "h": d(2),
        "n": d(1),
    }
    text = maker.rng.choice(FOREIGN).format(**parts)
    return text, ("".join(c for c in text if c.isdigit()).removeprefix("00"),)


def _email(maker: Maker) -> Made:
    local, domain = maker.local(), maker.domain()
    tag = f"{local}+promo"
    first, last = maker.rng.choice(FIRST), maker.rng.choice(LAST)
    forms = [
        (f"{local}@{domain}", local + domain), (f"{local.upper()}@{domain}", local.upper() + domain), (f"{tag}@{domain}", tag + domain), (f"mailto:{local}@{domain}", local + domain),
        (f"<{local}@{domain}>", local + domain), (f'"{first} {last}"@{domain}', first + last + domain), (f"joão.{last}@{domain}", f"joão{last}{domain}"),
        (f"{local}@açaí.com.br", local + "açaícombr"), (f"{local}%40{domain}", local), (f"[e-mail](mailto:{local}@{domain})", local + domain), (f"({local}@{domain})", local + domain),
        (f"_{local}@{domain}_", local + domain), (f"**{local}@{domain}**", local + domain), (f"email:{local}@{domain}", local + domain), (f"{local}@{domain}/{first}@{domain}", local + domain),
    ]  # fmt: skip
    text, core = maker.rng.choice(forms)
    return text, (core,)


def _email_hidden(maker: Maker) -> Made:
    local, domain = maker.local(), maker.domain()
    host, _, rest = domain.partition(".")
    spoken = rest.replace(".", " ponto ")
    first, last = maker.rng.choice(FIRST), maker.rng.choice(LAST)
    forms = [
        f"{local} arroba {host} ponto {spoken}", f"{local} [at] {host} [dot] {rest.replace('.', ' [dot] ')}", f"{local}[at]{domain}", f"{local}(at){domain}", f"{local} at {host} dot {rest.replace('.', ' dot ')}",
        f"{local}＠{domain}", f"{local} @ {host} . {rest.replace('.', ' . ')}", f"{local} @{domain}", f"{local}@ {domain}", f"{local}(arroba){domain}", f"{local} (arroba) {host} (ponto) {rest.replace('.', ' (ponto) ')}",
        f"{local}[arroba]{host}[ponto]{rest.replace('.', '[ponto]')}", f"{local}@\n{domain}", styled(f"{local}@{domain}", "fullwidth"), styled(f"{local}@{domain}", "zero_width"), f"{local} ARROBA {host.upper()} PONTO {spoken.upper()}",
        f"{local}@{host} ponto {spoken}", f"{local}&#64;{domain}", f"{local}_at_{domain}", f"{local} {{at}} {domain}", f"{local} arroba {domain}", " ".join(f"{first}@gmail.com"),
    ]  # fmt: skip
    text = maker.rng.choice(forms)
    if text.startswith(first) and maker.rng.random() < 0.3:
        text = f"{first} ponto {last} arroba gmail ponto com"
    return text, tuple({plain(text), plain(f"{local}@{domain}")})


def _user(maker: Maker) -> Made:
    name = maker.handle()
    return maker.rng.choice(
        [
            "@{}",
            "@{}",
            "@{}",
            "(@{})",
            "insta: @{}",
            "segue o @{}",
            "twitter.com @{}",
            "_@{}_",
            "**@{}**",
            "@{}:",
            '"@{}"',
            "siga@{}",
            "/@{}",
        ]
    ).format(name), (name,)


def _user_hidden(maker: Maker) -> Made:
    name = maker.handle()
    if name.isalpha():
        name += "_" + maker.digits(2)
    return maker.rng.choice(
        [
            "＠{}",
            "insta: arroba {}",
            "me segue no telegram arroba {}",
            "meu perfil é @ {}",
            "@\u200b{}",
            "telegram: {}",
            "instagram: {}",
            "segue lá @ {}",
        ]
    ).format(name), (name,)


def _link(maker: Maker) -> Made:
    name, number = maker.handle(), maker.digits(8)
    forms = [
        f"https://t.me/{name}", f"t.me/{name}", f"http://telegram.me/{name}", f"telegram.me/{name}", f"telegram.dog/{name}", f"{name.lower()}.t.me", f"https://{name.lower()}.t.me", f"t.me/s/{name}", f"https://t.me/s/{name}/123",
        f"t.me/c/{number}/78", f"https://t.me/c/1{number}/456", f"tg:resolve?domain={name}", f"tg://resolve?domain={name}", f"tg://user?id={number}", f"[{'fulano'}](tg://user?id={number})", f"[canal](https://t.me/{name})", f"[veja](t.me/{name})",
        f"T.ME/{name}", f"https:\\/\\/t.me\\/{name}", f"https://t.me/{name}?start={number}", f"www.facebook.com/{name}", f"instagram.com/{name}", f"https://www.instagram.com/{name}/", f"https://instagram.com/{name}?igshid={number}",
        f"facebook.com/profile.php?id={number}", f"https://m.facebook.com/{name}/posts/{number}", f"fb.com/{name}", f"x.com/{name}/status/{number}", f"https://twitter.com/{name}", f"twitter.com/{name}", f"youtube.com/@{name}", f"https://youtu.be/{name}",
        f"tiktok.com/@{name}", f"linkedin.com/in/{name}", f"https://www.youtube.com/watch?v={name}&t=10s", f"<https://exemplo.com.br/{name}>", f"({'https'}://site.org/{name})", f"linktr.ee/{name}", f"hxxps://t.me/{name}", f"https%3A%2F%2Ft.me%2F{name}",
        f"threads.net/@{name}", f"wa.me/message/{name}", f"https://bit.ly/{name}", f"www.{name.lower().replace('_', '-')}.com.br", f"{name.lower().replace('_', '')}.blogspot.com", f"tg://openmessage?user_id={number}", f"t.me/{name}/{number}",
    ]  # fmt: skip
    text = maker.rng.choice(forms)
    return text, (
        number if number in text and name not in text else name if name in text else name.lower().replace("_", ""),
    )


def _whatsapp(maker: Maker) -> Made:
    area, number = maker.mobile()
    core = area + number
    return maker.rng.choice(
        [
            "https://wa.me/55{}",
            "wa.me/55{}",
            "http://wa.me/+55{}",
            "api.whatsapp.com/send?phone=55{}",
            "https://api.whatsapp.com/send?phone=55{}&text=oi",
            "whatsapp://send?phone=55{}",
            "https://web.whatsapp.com/send?phone=55{}",
            "wa.me/55{}?text=Ol%C3%A1",
        ]
    ).format(core), (core,)


def _invite(maker: Maker) -> Made:
    code = maker.token(16)
    return maker.rng.choice(
        [
            "https://t.me/+{}",
            "t.me/+{}",
            "t.me/%2B{}",
            "https://t.me/joinchat/{}",
            "telegram.me/joinchat/{}",
            "t.me/joinchat/{}",
            "t.me/addlist/{}",
            "tg:join?invite={}",
            "tg://join?invite={}",
            "https://chat.whatsapp.com/{}",
            "chat.whatsapp.com/{}",
            "chat.whatsapp.com/invite/{}",
            "discord.gg/{}",
            "tg://addlist?slug={}",
        ]
    ).format(code), (code,)


def _link_hidden(maker: Maker) -> Made:
    name = maker.handle()
    forms = [
        "t . me / {}", "t[.]me/{}", "t(.)me/{}", "t ponto me barra {}", "t.me /{}", "t . me/{}", "https : // t . me / {}", "hxxps://t[.]me/{}", "instagram . com / {}", "t dot me slash {}", "telegram . me / {}", "t.me/\n{}", "https://t.me/\n{}",
        "wa . me / {}", "exemplo[.]com/{}", "instagram[.]com/{}", "t (ponto) me / {}", "www . {}x . com . br", "facebook (dot) com/{}",
    ]  # fmt: skip
    name = name if "_" in name or any(c.isdigit() for c in name) or not name.islower() else name + "_01"
    ways = [
        lambda: maker.rng.choice(forms).format(name),
        lambda: styled(f"t.me/{name}", "fullwidth"),
        lambda: styled(f"https://t.me/{name}", "zero_width"),
    ]
    text = maker.rng.choices(ways, (8, 1, 1))[0]()
    return text.replace(name, name.replace("_", "")) if text.startswith("www") else text, (name.replace("_", ""),)


def _pix(maker: Maker) -> Made:
    area, number = maker.mobile()
    key = maker.uuid()
    forms = [
        (key, key), (f"pix: {key}", key), (f"PIX {key.upper()}", key.upper()), (f"chave aleatória {key}", key), (f"pix {key.replace('-', '')}", key), (f"chave pix +55{area}{number}", area + number),
        (f"pix {area}{number}", area + number), (f"Chave PIX: {maker.cpf()}", ""), (f"pix (cnpj) {maker.cnpj()}", ""), (f"pix {maker.local()}@{maker.domain()}", ""), (f"chave evp {key}", key),
    ]  # fmt: skip
    text, core = maker.rng.choice(forms)
    return text, (core or plain(text.split(" ")[-1]),)


def _br_code(maker: Maker) -> Made:
    code = maker.br_code()
    return code, (code,)


def _bank(maker: Maker) -> Made:
    agency, account, check = maker.digits(4), maker.digits(5), maker.digits(1)
    forms = [
        "agência {a} conta {c}-{d}", "Ag. {a} C/C {c}-{d}", "ag {a} cc {c}-{d}", "Agência: {a} Conta: {c}-{d}", "ag: {a}-{d} conta corrente: {c}-{d}", "Banco do Brasil, agência {a}-{d}, conta {c}-{d}", "Caixa ag {a} op 013 conta {c}-{d}",
        "Caixa agência {a} poupança 013 {c}-{d}", "conta poupança {c}-{d}", "Nubank (260) ag {a} conta {c}-{d}", "agencia {a}, conta corrente {c}-{d}", "AG {a} / CC {c}-{d}", "ag. {a} c/c {c}-X", "conta nº {c}-{d}", "conta corrente nº {c}-{d}, agência nº {a}",
        "agência {a}\nconta {c}-{d}", "operação 013 conta {c}-{d}", "conta poupança 013 {c}-{d} agência {a}", "Ag {a} Conta {c} DV {d}", "agência {a} / {c}-{d}",
    ]  # fmt: skip
    form = maker.rng.choice(forms)
    cores = ([agency] if "{a}" in form else []) + [account + (check if "{c}-{d}" in form else "")]
    return form.format(a=agency, c=account, d=check), tuple(cores)


def _card_extra(maker: Maker) -> Made:
    number = grouped(luhn16(maker), "#### #### #### ####")
    code, month, year = maker.digits(3), f"{maker.rng.randint(1, 12):02}", maker.rng.randint(26, 33)
    form = maker.rng.choice(
        [
            "cartão {n} cvv {c} validade {m}/{y}",
            "card {n} CVC: {c} exp {m}/{y}",
            "{n} val {m}/20{y} cvv {c}",
            "visa {n}, válido até {m}/{y}, cód. de segurança {c}",
            "cartão de crédito {n} venc {m}/{y} CVV:{c}",
            "meu cartão {n} código de segurança {c}",
        ]
    )
    return form.format(n=number, c=code, m=month, y=year), (
        plain(number),
        *([f"{month}{year}"] if "{m}/{y}" in form else []),
    )


def luhn16(maker: Maker) -> str:
    """A card of sixteen digits."""
    base = "4" + maker.digits(14)
    return base + luhn.calc_check_digit(base)


def _rg(maker: Maker) -> Made:
    number = maker.digits(8)
    check = maker.rng.choice(DIGITS + "X")
    formed = f"{number[:2]}.{number[2:5]}.{number[5:]}-{check}"
    text = maker.rng.choice(
        [
            "{f}",
            "RG {f}",
            "rg: {f}",
            "RG nº {b}",
            "RG {b}",
            "identidade {f}",
            "identidade nº {b}",
            "R.G. {f}",
            "registro geral {b}",
            "{f} SSP/SP",
            "RG {b} SSP-MG",
            "carteira de identidade {b}",
            "rg do meu pai {b}",
            "RG MG-{g}",
        ]
    )
    return text.format(f=formed, b=number + check, g=formed[:-2]), (number if "{g}" in text else number + check,)


def _passport(maker: Maker) -> Made:
    number = "".join(maker.rng.choice("ABCDFGHY") for _ in range(2)) + maker.digits(6)
    return maker.rng.choice(
        [
            "passaporte {}",
            "passaporte nº {}",
            "Passaporte: {}",
            "passport {}",
            "passport no. {}",
            "passport number: {}",
            "número do passaporte: {}",
            "meu passaporte é {}",
        ]
    ).format(number), (number,)


def _plate(maker: Maker) -> Made:
    letters = "".join(maker.rng.choice(string.ascii_uppercase) for _ in range(3))
    new = f"{letters}{maker.digits(1)}{maker.rng.choice('ABCDEFGHIJ')}{maker.digits(2)}"
    old = f"{letters}-{maker.digits(4)}"
    text, core = maker.rng.choice(
        [
            (new, new),
            (f"placa {new}", new),
            (f"placa {old}", old),
            (f"placa: {old.replace('-', ' ')}", old),
            (f"carro de placa {old.replace('-', '')}", old),
            (f"placa {new.lower()}", new.lower()),
            (f"veículo {old}", old),
            (f"placa {new[:3]} {new[3:]}", new),
            (f"{new[:3]}-{new[3:]}", new),
            (f"license plate {old}", old),
        ]
    )
    return text, (core,)


def _cep(maker: Maker) -> Made:
    number = maker.rng.choice("01234") + maker.digits(7)
    text = maker.rng.choice(
        ["{a}-{b}", "CEP {a}-{b}", "cep: {a}{b}", "CEP {c}.{d}-{b}", "cep {a} {b}", "CEP: {a}-{b}", "({a}-{b})"]
    )
    return text.format(a=number[:5], b=number[5:], c=number[:2], d=number[2:5]), (number,)


def _address(maker: Maker) -> Made:
    number, code = str(maker.rng.randint(1000, 9999)), maker.rng.choice("01234") + maker.digits(7)
    form = maker.rng.choice(
        [
            "Rua das Acácias, {n}, CEP {c}",
            "Av. Brasil nº {n} - Centro - {c}",
            "rua Sete de Setembro {n} apto 42, Jardim América, São Paulo, CEP: {c}",
            "Alameda Santos, {n} – {c}",
            "CEP {c}, Rua Bela Vista, {n}",
            "moro na rua das Palmeiras, {n}",
            "Travessa do Sol, {n}, Belém/PA\nCEP {c}",
        ]
    )
    return form.format(n=number, c=f"{code[:5]}-{code[5:]}"), (number, *([code] if "{c}" in form else []))


def _ip(maker: Maker) -> Made:
    four = ".".join(str(maker.rng.randint(11, 254)) for _ in range(4))
    six = ":".join("".join(maker.rng.choice("0123456789abcdef") for _ in range(4)) for _ in range(8))
    short = f"2001:db8::{maker.token(4, '0123456789abcdef')}:{maker.digits(2)}"
    text, core = maker.rng.choice(
        [
            (four, four),
            (f"IP {four}", four),
            (f"{four}:8080", four),
            (f"ip: 10.0.0.{maker.rng.randint(2, 9)}", ""),
            (six, six),
            (short, short),
            (f"{four}/24", four),
            (f"[{six}]", six),
            (four.replace(".", "[.]"), four),
            (f"http://{four}/admin", four),
        ]
    )
    return text, (core or plain(text.split(" ")[-1]),)


def _crypto(maker: Maker) -> Made:
    base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    text = maker.rng.choice(
        [
            "bc1q" + maker.token(38, string.ascii_lowercase + DIGITS + "A").lower(),
            "1" + maker.token(33, base58),
            "3" + maker.token(33, base58),
            "0x" + maker.token(40, "0123456789abcdef"),
            "0x" + maker.token(40, "0123456789abcdef").upper(),
        ]
    )
    return text, (text,)


def _secret(maker: Maker) -> Made:
    upper = string.ascii_uppercase + DIGITS
    aws = "".join(maker.rng.choice(upper) for _ in range(16))
    forms = [f"{maker.digits(10)}:AA{maker.token(33)}", f"bot{maker.digits(9)}:AA{maker.token(33)}", f"sk-{maker.token(48)}", f"sk-proj-{maker.token(40)}", f"ghp_{maker.token(36)}", f"AKIA{aws}", f"AIza{maker.token(35)}", f"hf_{maker.token(34)}", f"xoxb-{maker.digits(12)}-{maker.token(24)}", f"api_key={maker.token(32)}", f"Bearer {maker.token(40)}", f"sk_live_{maker.token(24)}", f"glpat-{maker.token(20)}", f"eyJ{maker.token(20)}.{maker.token(40)}.{maker.token(30)}", f"github_pat_{maker.token(60)}"]  # fmt: skip
    text = maker.rng.choice(forms)
    return text, (plain(text.split("=")[-1].split(" ")[-1])[3:],)


def _cnpj_hidden(maker: Maker) -> Made:
    text, cores = maker.rng.choice([CNPJ, CNPJ_LETTERS])(maker)
    return disguised(maker, text), cores


def _cued_landline(maker: Maker) -> Made:
    area, number = maker.landline()
    return maker.rng.choice(PHONE_CUES.split("|")).format(
        maker.rng.choice([f"{area}{number}", f"{area} {number}", f"{area}.{number[:4]}.{number[4:]}"])
    ), (area + number,)


def _hidden_phone(maker: Maker) -> Made:
    area, number = maker.mobile()
    form = maker.rng.choice(["+55 {a} {x}-{z}", "({a}) {x}-{z}", "{a} {x}-{z}", "{a}{x}{z}", "+55{a}{x}{z}"])
    return disguised(maker, form.format(a=area, x=number[:5], z=number[5:])), (area + number,)


def _hidden_uuid(maker: Maker) -> Made:
    key = maker.uuid()
    return maker.rng.choice(
        [
            styled(key, "fullwidth"),
            styled(key, "zero_width"),
            styled(key, "hyphen"),
            key.replace("-", " - "),
            key.replace("-", "\n", 1),
            styled(key, "bold"),
        ]
    ), (key,)


CHECKED, ADDRESS, OBFUSCATED, OTHER = "check digits", "addresses", "obfuscated", "other"
CLASSES: dict[str, tuple[str, Callable[[Maker], Made]]] = {
    "cpf": (CHECKED, CPF), "cpf labelled": (CHECKED, _labelled("CPF |cpf: |CPF nº |meu cpf é |CPF:|C.P.F. |CPF (titular) ", CPF)), "cpf wrong": (CHECKED, _labelled("CPF |cpf: |CPF nº |meu cpf é |CPF do João ", _wrong(CPF))),
    "cnpj": (CHECKED, CNPJ), "cnpj labelled": (CHECKED, _labelled("CNPJ |cnpj: |CNPJ/MF nº ", CNPJ)), "cnpj wrong": (CHECKED, _labelled("CNPJ |cnpj: |CNPJ nº ", _wrong(CNPJ))), "cnpj letters": (CHECKED, CNPJ_LETTERS),
    "cns": (CHECKED, CNS), "cns labelled": (CHECKED, _labelled("CNS |cartão SUS |cartão do SUS: |Cartão Nacional de Saúde ", CNS)), "cns wrong": (CHECKED, _labelled("CNS |cartão SUS |cartão do SUS nº ", _wrong(CNS))),
    "pis": (CHECKED, PIS), "pis labelled": (CHECKED, _labelled("PIS |NIS: |PIS/PASEP |nit |PIS nº ", PIS)), "pis wrong": (CHECKED, _labelled("PIS |NIS: |NIT nº ", _wrong(PIS))),
    "titulo": (CHECKED, TITULO), "titulo labelled": (CHECKED, _labelled("título de eleitor |título: |Título Eleitoral nº |título ", TITULO)), "titulo wrong": (CHECKED, _labelled("título de eleitor |título de eleitor: |título eleitoral ", _wrong(TITULO))),
    "cnh": (CHECKED, CNH), "cnh labelled": (CHECKED, _labelled("CNH |habilitação |CNH nº |carteira de motorista ", CNH)), "card": (CHECKED, _card), "card wrong": (CHECKED, _labelled("cartão |cartão de crédito: |card |Visa ", _wrong(_card))), "br code": (CHECKED, _br_code), "card extra": (CHECKED, _card_extra),
    "email": (ADDRESS, _email), "user": (ADDRESS, _user), "link": (ADDRESS, _link), "whatsapp": (ADDRESS, _whatsapp), "invite": (ADDRESS, _invite), "pix": (ADDRESS, _pix),
    "mobile": (OTHER, _mobile), "landline": (OTHER, _landline), "cued landline": (OTHER, _cued_landline), "local phone": (OTHER, _local_phone), "foreign": (OTHER, _foreign), "bank": (OTHER, _bank), "rg": (OTHER, _rg), "passport": (OTHER, _passport), "plate": (OTHER, _plate), "cep": (OTHER, _cep), "address": (OTHER, _address), "ip": (OTHER, _ip), "crypto": (OTHER, _crypto), "secret": (OTHER, _secret),
    "email hidden": (OBFUSCATED, _email_hidden), "user hidden": (OBFUSCATED, _user_hidden), "link hidden": (OBFUSCATED, _link_hidden), "cpf hidden": (OBFUSCATED, _hidden(CPF)), "cpf labelled hidden": (OBFUSCATED, _labelled("CPF |cpf: |meu cpf é ", _hidden(_wrong(CPF)))), "cnpj hidden": (OBFUSCATED, _cnpj_hidden), "cns hidden": (OBFUSCATED, _hidden(CNS)), "card hidden": (OBFUSCATED, _hidden(_card)), "pis hidden": (OBFUSCATED, _labelled("PIS |NIS ", _hidden(PIS))),
    "titulo hidden": (OBFUSCATED, _labelled("título de eleitor |", _hidden(TITULO))), "mobile hidden": (OBFUSCATED, _hidden_phone), "uuid hidden": (OBFUSCATED, _hidden_uuid),
}  # fmt: skip


CARRIERS = (
    "{}", "meu contato é {} ok", "Fale comigo: {}.", "{} é o meu", "Pessoal, segue {} para quem quiser ajudar", "manda pra mim ({}) até amanhã", 'ele escreveu "{}" no grupo', "🚨 {} 🚨", "✅{}", "URGENTE!!! {} repassem", "oi\n{}\nobrigada", "- {}", "• {}",
    "Here it is: {}, thanks", "please use {} before friday", "ATENÇÃO {}!", "Favor anotar {}; é importante.", "dados: {} | confirmar", "*{}*", "👉 {}", "É {}, tá?", "olha só… {}", "“{}”", "(veja: {})", "Segue\n\n{}", "anota aí {} beleza?",
    "a vacina não funciona e o número dele está aqui {} podem cobrar", "send it to {} now", "1) {}", "{}\n", "_{}_",
)  # fmt: skip
"""Sentences with a hole."""


def cases(seed: int, each: int) -> Iterator[Case]:
    """`each` texts of every class; one in twelve holds two identifiers."""
    maker = Maker(seed)
    for name, (family, make) in CLASSES.items():
        for _ in range(each):
            text, cores = make(maker)
            carrier = maker.rng.choice(CARRIERS)
            shown = carrier.format(text)
            if maker.rng.random() < 0.08:
                _, other = maker.rng.choice([value for value in CLASSES.values() if value[0] in (CHECKED, ADDRESS)])
                more, more_cores = other(maker)
                shown += maker.rng.choice([" e também ", "; ", "\n", ", "]) + more
                cores = (*cores, *more_cores)
            yield Case(name, family, shown, tuple(plain(core) for core in cores))
