"""What reached the stand-in, and how each exchange ended: the record that tests assert on.

Standard library only. Written from the server's thread, read and waited for from the test's thread; it knows nothing of
HTTP and of the answers' contents.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

Source: TypeAlias = Literal["rule", "queue", "always", "demo", "built-in"]

# It only ends what hangs. Of a CLI that starts on a busy machine the first request has taken 20 s to come.
DEFAULT_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Received:
    """One request and the fate of its answer.

    `finished`: the whole answer was delivered. `client_left`: the client disconnected before that. Neither, although
    `closed`: the script cut the connection or the server was stopped. `answered_index` counts within `answered_by`.
    `refused`: the rule by which the real API would have refused the request, and so the stand-in did; `refusal`: the
    words it was told.
    """

    index: int
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    raw: bytes
    body: Any
    at_s: float
    answered_by: Source | None = None
    answered_index: int | None = None
    events_sent: int = 0
    finished: bool = False
    closed: bool = False
    client_left_after_ms: float | None = None
    refused: str | None = None
    refusal: str | None = None

    @property
    def client_left(self) -> bool:
        """Whether the client disconnected before the answer was delivered."""
        return self.client_left_after_ms is not None

    def to_json(self) -> dict[str, Any]:
        """Return the record without the raw bytes."""
        return {
            "index": self.index,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": dict(self.headers),
            "body": self.body,
            "raw_length": len(self.raw),
            "answered_by": self.answered_by,
            "answered_index": self.answered_index,
            "events_sent": self.events_sent,
            "finished": self.finished,
            "closed": self.closed,
            "client_left": self.client_left,
            "client_left_after_ms": self.client_left_after_ms,
            "refused": self.refused,
            "refusal": self.refusal,
        }


class Ledger:
    """All records since the last `clear`, with waiting."""

    def __init__(self) -> None:
        self._records: list[Received] = []
        self._gates: dict[str, int] = {}
        self._changed = threading.Condition()

    def snapshot(self) -> list[Received]:
        """Return copies, so that what a test holds does not change under its hands."""
        with self._changed:
            return [replace(record) for record in self._records]

    def clear(self) -> None:
        """Forget all records; exchanges still running are recorded no more."""
        with self._changed:
            self._records = []

    def add(self, record: Received) -> Received:
        """Record a request; its index is its place in the list."""
        with self._changed:
            record.index = len(self._records)
            self._records.append(record)
            self._changed.notify_all()
        return record

    def answered(self, record: Received, source: Source, index: int) -> None:
        """Note which answer was chosen."""
        with self._changed:
            record.answered_by, record.answered_index = source, index

    def refused(self, record: Received, rule: str, words: str) -> None:
        """Note that a rule of the real API was broken."""
        with self._changed:
            record.refused, record.refusal = rule, words

    def left(self, record: Received) -> None:
        """Note that the client is gone; later notes do not count."""
        with self._changed:
            if not record.closed:
                record.client_left_after_ms = (time.monotonic() - record.at_s) * 1000
                record.closed = True
                self._changed.notify_all()

    def over(self, record: Received, *, finished: bool) -> None:
        """Note the end of an exchange; later notes do not count."""
        with self._changed:
            if not record.closed:
                record.finished = finished
                record.closed = True
                self._changed.notify_all()

    def at_gate(self, name: str, change: int) -> None:
        """Note that a stream has come to a gate or has gone from it."""
        with self._changed:
            self._gates[name] = self._gates.get(name, 0) + change
            self._changed.notify_all()

    def wait_received(self, count: int, timeout_s: float, path: str | None) -> list[Received]:
        """Block until so many requests (to this path) have arrived, and return them."""

        def matching() -> list[Received]:
            return [record for record in self._records if path is None or record.path == path]

        with self._changed:
            self._wait(lambda: len(matching()) >= count, timeout_s, f"{count} requests (path {path or 'any'})")
            return [replace(record) for record in matching()]

    def wait_closed(self, index: int, timeout_s: float) -> Received:
        """Block until the exchange is over, and return its record."""
        with self._changed:

            def over() -> bool:
                return len(self._records) > index and self._records[index].closed

            self._wait(over, timeout_s, f"the end of exchange {index}")
            return replace(self._records[index])

    def wait_at_gate(self, name: str, timeout_s: float, count: int) -> None:
        """Block until so many streams wait at a gate."""
        with self._changed:
            self._wait(lambda: self._gates.get(name, 0) >= count, timeout_s, f"{count} streams at gate {name!r}")

    def _wait(self, true_now: Callable[[], bool], timeout_s: float, what: str) -> None:
        if not self._changed.wait_for(true_now, timeout_s):
            seen = [(record.method, record.path, "closed" if record.closed else "open") for record in self._records]
            raise TimeoutError(f"waited {timeout_s} s for {what}; seen: {seen}")
