"""What a server said: a whole answer, or why it is none.

An answer counts when its JSON is whole, one choice is there with a text and a reason for its end, and the model that
was asked for gave it. Everything else is asked for again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from biasaudit.records import FinishReason
from biasaudit.sampling.remote.settings import Settings

_DATED = re.compile(r"-\d[\d-]*")
"""What servers add to the name of a model: the date of the version that a name stands for today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One completion as the server gave it."""

    text: str
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    model: str
    system_fingerprint: str
    tokens: tuple[int, int] | None
    """(prompt, completion), as billed; None where the server does not say."""


class PartialAnswerError(Exception):
    """An answer that is none, and what it cost where that is known."""

    def __init__(self, why: str, tokens: tuple[int, int] | None = None) -> None:
        """Keep `why` and `tokens`."""
        super().__init__(why)
        self.tokens = tokens


def read_answer(body: bytes, settings: Settings, *, stops: bool) -> Answer:
    """Read the body of a response whose status says that all went well.

    Args:
        body: as it came.
        settings: whom we asked.
        stops: whether the decoding has stop strings.

    Raises:
        PartialAnswerError: it is not a whole answer of this model.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PartialAnswerError("its JSON is cut or broken") from error
    if not isinstance(value, dict):
        raise PartialAnswerError("it is not a JSON object")
    tokens = _usage(value.get("usage"))
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise PartialAnswerError("it holds no choice", tokens)
    model = value.get("model")
    if not isinstance(model, str) or not same_model(model, settings):
        came = str(model)[:80]
        hint = f"; if that is the same one: ,echo={came}" if isinstance(model, str) else ""
        raise PartialAnswerError(f"it came from the model {came!r}, not {settings.model!r}{hint}", tokens)
    choice = choices[0]
    text = _text(choice, settings.api)
    reason = choice.get("finish_reason")
    if not isinstance(text, str) or not isinstance(reason, str):
        raise PartialAnswerError("its text is not finished", tokens)
    return Answer(
        text=text,
        logprobs=_logprobs(choice.get("logprobs"), settings.api),
        finish_reason=finish_reason(reason, choice, stops=stops),
        model=model,
        system_fingerprint=str(value.get("system_fingerprint") or ""),
        tokens=tokens,
    )


def same_model(echoed: str, settings: Settings) -> bool:
    """Whether a server that calls itself `echoed` is the one asked for, or a dated version of it."""
    names = {settings.model, settings.echo} - {""}
    return echoed in names or any(
        echoed.startswith(name) and _DATED.fullmatch(echoed.removeprefix(name)) for name in names
    )


def finish_reason(told: str, choice: Mapping[str, Any], *, stops: bool) -> FinishReason:
    """How a completion ended; `stop` means a stop string or the end of the text, told apart where the server does."""
    if told == "length":
        return "length"
    if told == "content_filter":
        return "filtered"
    if told != "stop":
        return "unknown"
    if "stop_reason" in choice:
        return "stop" if isinstance(choice["stop_reason"], str) else "eos"
    return "stop" if stops else "eos"


def server_message(body: bytes) -> str:
    """What a server says of an error, in one short line."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = body.decode("utf-8", "replace")
    if isinstance(value, dict):
        value = value.get("error", value.get("detail", value.get("message", value)))
    if isinstance(value, dict):
        value = value.get("message", value)
    line = " ".join(str(value).split())
    return line if len(line) <= 300 else line[:297] + "…"


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a server asks us to wait: a number, or a date.

    Args:
        header: value of `Retry-After`.
        now: seconds since the epoch.
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _text(choice: Mapping[str, Any], api: str) -> Any:
    if api == "completions":
        return choice.get("text")
    message = choice.get("message")
    if not isinstance(message, dict):
        return None
    said = message.get("content")
    return message.get("refusal") if said is None else said


def _logprobs(value: Any, api: str) -> tuple[float, ...]:
    """Log P of each token of the completion, in the server's own tokens; empty unless every one is a number."""
    if not isinstance(value, dict):
        return ()
    if api == "chat" or "content" in value:
        content = value.get("content")
        found = [entry.get("logprob") for entry in content if isinstance(entry, dict)] if content else []
    else:
        found = value.get("token_logprobs") or []
    numbers = [min(0.0, float(x)) for x in found if isinstance(x, (int, float)) and x <= 1e-3]
    return tuple(numbers) if len(numbers) == len(found) else ()


def _usage(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens", 0)
    if not isinstance(prompt, int) or not isinstance(completion, int) or min(prompt, completion) < 0:
        return None
    return prompt, completion
