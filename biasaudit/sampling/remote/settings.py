"""What `openai:MODEL@URL,…` says: whom to ask, how fast, how often, and for how much.

No key is ever part of it: only the name of the environment variable that holds one.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from biasaudit.errors import UsageError

_TARGET = re.compile(r"(.+?)@(https?://.+)", re.DOTALL)
_PATHS = {"/chat/completions": "chat", "/completions": "completions"}
_OWN_SERVER = "api.openai.com"
KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One remote model and the manners towards its server."""

    model: str
    url: str
    """Without the last part (`/completions`) and without a slash at the end."""
    api: Literal["completions", "chat"] = "completions"
    key_variable: str = ""
    """Environment variable that holds the key; empty sends none."""
    revision: str = ""
    """What the user declares of the model's version; nobody can check it."""
    echo: str = ""
    """Another name under which the server may answer."""
    concurrency: int = 8
    rate: float | None = None
    """Requests a minute at most."""
    attempts: int = 12
    """How often one completion is asked for before the run gives up."""
    timeout: float = 120.0
    """Seconds for one answer."""
    requests: int | None = None
    """Budget: requests sent, failed ones included."""
    tokens: int | None = None
    """Budget: tokens of prompts and completions."""
    cost: float | None = None
    """Budget in the currency of `price`."""
    price: tuple[float, float] = (0.0, 0.0)
    """For a million tokens of prompt, and of completion."""
    logprobs: bool = True
    backoff: float = 0.5
    """Seconds that the first wait may last; each later one twice as long."""
    longest_wait: float = 60.0
    patience: float = 900.0
    """Seconds that a server may ask us to wait (Retry-After); beyond, the run stops."""

    @property
    def own_server(self) -> bool:
        """Whether this is OpenAI's own server, which refuses parameters that others understand."""
        return urlsplit(self.url).hostname == _OWN_SERVER

    def price_of(self, tokens: tuple[int, int]) -> float:
        """What (prompt, completion) tokens cost."""
        return (tokens[0] * self.price[0] + tokens[1] * self.price[1]) / 1e6


def read_settings(target: str, options: Mapping[str, str]) -> Settings:
    """Read `MODEL@URL` and the options of its spec.

    Raises:
        UsageError: an address or option that cannot work; an address with a password or key in it is not repeated.
    """
    found = _TARGET.fullmatch(target)
    if found is None:
        raise UsageError(f"openai:{target}: expected openai:MODEL@URL, as in openai:MODEL@http://127.0.0.1:8000/v1")
    model, address = found.groups()
    url, api = _address(model, address)
    asked = options.get("api", api)
    if asked not in ("completions", "chat"):
        raise UsageError(f"openai:{model}@…,api={asked}: expected api=completions or api=chat")
    cost, price = _number(options, "cost"), _price(options)
    if cost is not None and price == (0.0, 0.0):
        raise UsageError(
            f"openai:{model}@…,cost={options['cost']}: what a token costs is not known; add ,price=IN/OUT for a "
            "million tokens of prompt and of completion, as in ,price=0.15/0.60"
        )
    if options.get("logprobs", "yes") not in ("yes", "no"):
        raise UsageError(f"openai:{model}@…,logprobs={options['logprobs']}: expected yes or no")
    return Settings(
        model=model,
        url=url,
        api="chat" if asked == "chat" else "completions",
        key_variable=options.get("key", "") or (KEY if urlsplit(url).hostname == _OWN_SERVER else ""),
        revision=options.get("revision", ""),
        echo=options.get("echo", ""),
        concurrency=_count(options, "concurrency", 8),
        rate=_number(options, "rate"),
        attempts=_count(options, "attempts", 12),
        timeout=_number(options, "timeout") or 120.0,
        requests=_count(options, "requests", 0) or None,
        tokens=_count(options, "tokens", 0) or None,
        cost=cost,
        price=price,
        logprobs=options.get("logprobs", "yes") == "yes",
    )


def read_key(settings: Settings) -> str:
    """The key from the environment; empty where none is wanted.

    Raises:
        UsageError: the variable is not set, or the key would travel in the clear.
    """
    if not settings.key_variable:
        return ""
    key = os.environ.get(settings.key_variable, "").strip()
    if not key:
        raise UsageError(
            f"openai:{settings.model}: the environment variable {settings.key_variable} holds no key. Set it, or name "
            "another: ,key=VARIABLE"
        )
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"the environment variable {settings.key_variable} holds something that is no key.")
    parts = urlsplit(settings.url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise UsageError(
            f"openai:{settings.model}: the key would travel to {parts.hostname} unencrypted; use https://, or leave "
            "key= away if the server wants none."
        )
    return key


def _address(model: str, address: str) -> tuple[str, str]:
    """The address without its last part, and the kind of server that this part names."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"openai:{model}@…: its address cannot be read: {error}") from error
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"openai:{model}@…: its address holds a password, a query or a fragment. Keys come from the environment "
            "alone: ,key=VARIABLE"
        )
    if not parts.hostname:
        raise UsageError(f"openai:{model}@{address}: the address names no server")
    path, api = parts.path.rstrip("/"), "completions"
    for ending, kind in _PATHS.items():
        if path.endswith(ending):
            path, api = path.removesuffix(ending), kind
            break
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}", api


def _number(options: Mapping[str, str], name: str) -> float | None:
    if name not in options:
        return None
    try:
        value = float(options[name])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name}={options[name]}: expected a number above 0")
    return value


def _count(options: Mapping[str, str], name: str, default: int) -> int:
    value = _number(options, name)
    if value is None:
        return default
    if value != int(value):
        raise UsageError(f"{name}={options[name]}: expected a whole number")
    return int(value)


def _price(options: Mapping[str, str]) -> tuple[float, float]:
    if "price" not in options:
        return 0.0, 0.0
    try:
        first, second = (float(part) for part in options["price"].split("/"))
    except ValueError:
        first = second = math.nan
    if not (0 <= first < math.inf and 0 <= second < math.inf):
        raise UsageError(f"price={options['price']}: expected IN/OUT for a million tokens, as in price=0.15/0.60")
    return first, second
