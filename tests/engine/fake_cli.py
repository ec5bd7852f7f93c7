"""A program that takes the place of `claude`: it speaks enough stream-json to play a script, well or badly.

Standard library only, one thread: a step that is not `wait` reads nothing. Steps of a turn: `say` a frame, `raw` bytes,
`big` (a text of so many bytes), `stderr`, `wait` (until an interrupt comes), `gate` (until somebody opens that FIFO),
`exit`, `kill`, `close` (the output, and live on), `hang`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

Step = dict[str, Any]


class FakeCli:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.script = json.loads((directory / "script.json").read_text())
        self.turns = list(self.script.get("turns", []))
        self.uuid = ""

    def run(self) -> None:
        seen = {"argv": sys.argv, "env": dict(os.environ), "cwd": str(Path.cwd()), "pid": os.getpid()}
        (self.directory / "seen.json").write_text(json.dumps(seen))
        if self.script.get("ignore_sigterm"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.steps(self.script.get("start", []))
        while (line := self.line()) is not None:
            self.take(line)
        if self.script.get("ignore_eof"):
            self.hang()

    def line(self) -> dict[str, Any] | None:
        text = sys.stdin.buffer.readline()
        if not text:
            return None
        with (self.directory / "stdin.jsonl").open("ab") as file:
            file.write(text)
        found: dict[str, Any] = json.loads(text)
        return found

    def take(self, line: dict[str, Any]) -> None:
        if line["type"] == "control_request":
            self.answer(line["request_id"], line["request"]["subtype"])
        elif line["type"] == "user":
            self.uuid = line["uuid"]
            self.steps(self.turns.pop(0))

    def answer(self, request_id: str, subtype: str) -> None:
        if subtype in self.script.get("unanswered", []):
            return
        refusal = self.script.get("refused", {}).get(subtype)
        said = self.script.get("answers", {}).get(subtype, {"claude_code_version": "99.0.0"})
        if isinstance(said, list):
            # One after the other, each process from the first one on.
            said = said.pop(0)
        body = {"subtype": "success", "request_id": request_id, "response": said}
        if refusal is not None:
            body = {"subtype": "error", "request_id": request_id, "error": refusal}
        self.say({"type": "control_response", "response": body})

    def say(self, frame: object) -> None:
        self.write(json.dumps(frame).replace("$uuid", self.uuid).encode() + b"\n")

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]

    def steps(self, steps: list[Step]) -> None:
        for step in steps:
            ((name, value),) = step.items()
            getattr(self, f"do_{name}")(value)

    do_say = say

    def do_raw(self, value: str) -> None:
        self.write(value.encode("latin-1"))

    def do_big(self, size: int) -> None:
        piece = {"type": "text_delta", "text": "x" * size}
        self.say({"type": "stream_event", "event": {"type": "content_block_delta", "index": 0, "delta": piece}})

    def do_stderr(self, value: str) -> None:
        os.write(2, value.encode())

    def do_wait(self, _: object) -> None:
        while (line := self.line()) is not None:
            self.take(line)
            if line["type"] == "control_request" and line["request"]["subtype"] == "interrupt":
                return
        sys.exit(0)

    def do_gate(self, value: str) -> None:
        Path(value).read_bytes()

    def do_exit(self, code: int) -> NoReturn:
        sys.exit(code)

    def do_kill(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def do_close(self, _: object) -> None:
        os.close(1)

    def do_hang(self, _: object = None) -> NoReturn:
        self.hang()

    def hang(self) -> NoReturn:
        while True:
            signal.pause()


def main(directory: str) -> None:
    """Play the script of that directory."""
    FakeCli(Path(directory)).run()
