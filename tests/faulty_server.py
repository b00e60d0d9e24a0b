"""A real server of OpenAI's protocol on this machine, in front of a real model, that fails as servers do."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = (
    "429", "429-retry-after", "500", "503", "timeout", "cut-json", "short-body", "empty-choices", "wrong-model",
    "reset", "unfinished",
)  # fmt: skip
Complete = Callable[[str, dict[str, Any]], tuple[str, list[float], str]]
"""(prompt, body of the request) -> text, log-probabilities, finish reason."""


class FaultyServer(ThreadingHTTPServer):
    """Answers, or fails, as its own seeded draws say; counts what it was asked and what it billed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        complete: Complete,
        *,
        model: str = "tiny",
        share: float = 0.0,
        faults: Sequence[str] = FAULTS,
        seed: int = 1,
        key: str = "",
        hang: float = 1.0,
        refuses: Sequence[str] = (),
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.complete, self.model, self.share, self.faults, self.key = complete, model, share, tuple(faults), key
        self.hang, self.refuses = hang, tuple(refuses)
        self.draw, self.lock, self.thinking = random.Random(seed), threading.Lock(), threading.Lock()
        self.asked = 0
        self.failed: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self.tokens = 0
        self.under_way = self.most_at_once = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def fault(self) -> str:
        with self.lock:
            self.asked += 1
            self.times.append(time.monotonic())
            found = self.draw.choice(self.faults) if self.draw.random() < self.share else ""
            if found:
                self.failed[found] += 1
            return found

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the test."""


class Handler(BaseHTTPRequestHandler):
    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.under_way += 1
            server.most_at_once = max(server.most_at_once, server.under_way)
        try:
            self.respond(body)
        finally:
            with server.lock:
                server.under_way -= 1

    def respond(self, body: dict[str, Any]) -> None:
        server = self.server
        if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            return self.send(401, {"error": {"message": f"Incorrect API key provided: {given}."}})
        refused = [name for name in server.refuses if name in body]
        if refused:
            return self.send(400, {"error": {"message": f"Unrecognized request argument supplied: {refused[0]}"}})
        fault = server.fault()
        if fault in ("429", "429-retry-after"):
            headers = {"Retry-After": "0.02"} if fault == "429-retry-after" else {}
            return self.send(429, {"error": {"message": "slow down"}}, headers)
        if fault in ("500", "503"):
            return self.send(int(fault), {"error": {"message": "inside"}})
        if fault == "timeout":
            time.sleep(server.hang)
            return self.reset()
        if fault == "reset":
            return self.reset()
        return self.answer(body, fault)

    def answer(self, body: dict[str, Any], fault: str) -> None:
        server, chat = self.server, self.path.endswith("/chat/completions")
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        with server.thinking:
            text, logprobs, reason = server.complete(prompt, body)
        key = self.headers.get("Idempotency-Key", "")
        with server.lock:
            if not fault:
                server.billed[key] += 1
            server.tokens += len(prompt.split()) + len(logprobs)
        choice: dict[str, Any] = {"index": 0, "finish_reason": None if fault == "unfinished" else reason}
        if chat:
            choice["message"] = {"role": "assistant", "content": text}
            told: Any = {"content": [{"token": "x", "logprob": value} for value in logprobs]}
        else:
            choice["text"] = text
            told = {"token_logprobs": logprobs, "tokens": ["x"] * len(logprobs)}
        choice["logprobs"] = told if body.get("logprobs") else None
        value = {
            "id": key, "object": "completion", "model": "another" if fault == "wrong-model" else server.model,
            "choices": [] if fault == "empty-choices" else [choice], "system_fingerprint": "fp_1",
            "usage": {"prompt_tokens": len(prompt.split()), "completion_tokens": len(logprobs)},
        }  # fmt: skip
        data = json.dumps(value).encode()
        if fault == "cut-json":
            data = data[: len(data) // 2]
        if fault == "short-body":
            self.start(200, len(data))
            self.wfile.write(data[: len(data) // 2])
            return self.reset()
        self.start(200, len(data))
        self.wfile.write(data)
        return None

    def send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.start(status, len(data), headers)
        self.wfile.write(data)

    def start(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(length),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


@contextmanager
def running(server: FaultyServer) -> Iterator[FaultyServer]:
    """Serve in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def of_backend(backend: Any) -> Complete:
    """What a `TorchBackend` says; the request's seed stands in for the index, so the same request has one answer."""
    from biasaudit.records import Decoding, SampleRequest

    def complete(prompt: str, body: dict[str, Any]) -> tuple[str, list[float], str]:
        decoding = Decoding(
            temperature=body["temperature"],
            top_p=body["top_p"],
            max_new_tokens=body.get("max_tokens") or body["max_completion_tokens"],
            stop=tuple(body.get("stop", ())),
        )
        request = SampleRequest(prompt_id=prompt, prompt=prompt, decoding=decoding, index=body.get("seed", 0))
        (found,) = backend.complete([request])
        return found.text, list(found.logprobs), "length" if found.finish_reason == "length" else "stop"

    return complete
