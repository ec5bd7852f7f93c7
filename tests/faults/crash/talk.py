"""Clients that talk to a gateway which is killed again and again, and write down what they sent and what they got.

A client does what a good client does: what was not answered is sent again, under the same key where it has one.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
from typing_extensions import override

from claude_code_api.standin import Answer, StandIn, Text, Usage

MODEL: Final = "claude-haiku-4-5"
# How long a client waits for an answer, and for a gateway that is started again. Neither may ever be reached.
PATIENCE_S: Final = 45.0
# A conversation becomes another one after so many messages.
LONGEST: Final = 12
# How often a request is made anew that was answered with an error.
TRIES: Final = 3
WORDS: Final = ("stone", "grüße", "日本", "river", "\n", "  two  spaces ", "\\", '"quoted"', "🦀", "end")


class Log:
    """Lines of JSON, in the order in which things happened."""

    def __init__(self, path: Path) -> None:
        self._file, self._lock = path.open("w", encoding="utf-8"), threading.Lock()

    def write(self, **line: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        self._file.close()


class Site:
    """Where the gateway is: somewhere else after each start."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._url, self._start = "", 0

    def publish(self, url: str) -> None:
        with self._changed:
            self._url, self._start = url, self._start + 1
            self._changed.notify_all()

    def after(self, start: int) -> tuple[int, str]:
        """Wait for a start behind that one; return its number and where it is."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._start > start, PATIENCE_S), "no gateway was started"
            return self._start, self._url

    @property
    def now(self) -> tuple[int, str]:
        return self.after(0)


@dataclass(frozen=True)
class Habits:
    """How often a client asks in which way."""

    streams: float = 0.5
    keys: float = 0.5


@dataclass
class Conversation:
    """What a client knows of one."""

    by_history: bool
    session: str | None = None
    messages: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Got:
    """What came back for one request."""

    status: int | None = None
    session: str | None = None
    turn: str | None = None
    text: str = ""
    # "done", "error", "missing": the answer came to its end without one, None: the connection broke.
    end: str | None = None
    error: Any = None
    hung: bool = False


class Client(threading.Thread):
    """One client; says one thing after the other until it is told to stop."""

    def __init__(self, name: str, site: Site, upstream: StandIn, log: Log, habits: Habits) -> None:
        super().__init__(name=name)
        self._site, self._upstream, self._log = site, upstream, log
        self._habits, self._chance = habits, random.Random(name)
        self._talk: Conversation | None = None
        self._said = 0
        self.stop = threading.Event()
        self.problem: BaseException | None = None

    @override
    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self._say_something()
        except BaseException as problem:
            self.problem = problem
            raise

    def _say_something(self) -> None:
        talk = self._talk
        if talk is None or len(talk.messages) >= LONGEST:
            talk = self._talk = Conversation(by_history=self._chance.random() < 0.5)
        self._said += 1
        marker = f"<{self.name}-{self._said}>"
        words = " ".join(self._chance.choices(WORDS, k=5))
        self._teach(marker, f"re({marker[1:-1]}) {words} end".replace("\n ", "\n"))
        question = {"role": "user", "content": f"{marker} {words}"}
        stream = self._chance.random() < self._habits.streams
        keyed = self._chance.random() < self._habits.keys
        for _ in range(TRIES):
            got = self._until_answered(talk, question, marker, stream=stream, key=str(uuid.uuid4()) if keyed else None)
            if got.end == "done":
                talk.messages += [question, {"role": "assistant", "content": got.text}]
                return
        self._talk = None

    def _teach(self, marker: str, text: str) -> None:
        """Tell the upstream what it will answer, and the log what that is."""
        pieces, used = self._chance.choice((0, 1, 4)), Usage(100 + self._said, 10 + self._chance.randrange(90))
        self._upstream.when(
            marker, Answer((Text(text, pieces=pieces, every_ms=self._chance.choice((0, 4))),), usage=used)
        )
        tokens = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        self._log.write(event="taught", marker=marker[1:-1], text=text, usage=tokens)

    def _until_answered(
        self, talk: Conversation, question: dict[str, str], marker: str, *, stream: bool, key: str | None
    ) -> Got:
        request = str(uuid.uuid4())
        while True:
            start, url = self._site.now
            messages = [*talk.messages, question] if talk.by_history else [question]
            headers = {"idempotency-key": key} if key else {}
            if talk.session is not None and not talk.by_history:
                headers["x-session-id"] = talk.session
            got = Got()
            self._send(url, {"model": MODEL, "stream": stream, "messages": messages}, headers, got)
            self._log.write(
                event="attempt",
                marker=marker[1:-1],
                request=request if key else str(uuid.uuid4()),
                key=key,
                **vars(got),
            )
            if got.status == httpx2.codes.OK:
                talk.session = got.session
            if got.end is not None:
                return got
            self._site.after(start)

    def _send(self, url: str, body: Any, headers: dict[str, str], got: Got) -> None:
        began_s = time.monotonic()
        with (
            suppress(httpx2.TransportError),
            httpx2.Client(trust_env=False, timeout=PATIENCE_S) as http,
            http.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers) as response,
        ):
            got.status, got.session = response.status_code, response.headers.get("x-session-id")
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                _read_stream(response.iter_lines(), got)
            else:
                _read_whole(response.read(), got)
        got.hung = time.monotonic() - began_s >= PATIENCE_S


def _read_stream(lines: Iterator[str], got: Got) -> None:
    for line in lines:
        if not line.startswith("data: "):
            continue
        if line == "data: [DONE]":
            got.end = got.end or "done"
            continue
        chunk = json.loads(line.removeprefix("data: "))
        if "error" in chunk:
            got.error, got.end = chunk["error"], "error"
            continue
        got.turn = chunk["id"].removeprefix("chatcmpl-")
        got.text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
    got.end = got.end or "missing"


def _read_whole(raw: bytes, got: Got) -> None:
    try:
        body = json.loads(raw)
    except ValueError:
        # The checker has to see it.
        got.error, got.end = raw.decode(errors="replace"), "error"
        return
    if "error" in body:
        got.error, got.end = body["error"], "error"
        return
    got.turn = body["id"].removeprefix("chatcmpl-")
    got.text, got.end = body["choices"][0]["message"]["content"], "done"
