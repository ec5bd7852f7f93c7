"""Which answer a request gets: rules first, then the queue, then `always`, then the demo model.

Rules come first so that tests that share a stand-in and mark their requests cannot take each other's answers. Safe to
change from another thread than the server's. Knows no HTTP.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import orjson

from claude_code_api.standin.demo_model import DemoModel
from claude_code_api.standin.received import Source
from claude_code_api.standin.script import Answer, Body, Rule, Script


@dataclass(slots=True)
class _Standing:
    """A rule and how often it has been used."""

    rule: Rule
    used: int = 0

    def next(self) -> Answer:
        answer = self.rule.answers[min(self.used, len(self.rule.answers) - 1)]
        self.used += 1
        return answer


@dataclass(slots=True)
class Repertoire:
    """The answers that are ready to be given."""

    demo: DemoModel
    _queue: deque[Answer] = field(default_factory=deque)
    _rules: list[_Standing] = field(default_factory=list)
    _always: Answer | None = None
    _given: dict[Source, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, *answers: Answer) -> None:
        """Append answers to the queue; each is given once."""
        with self._lock:
            self._queue.extend(answers)

    def always(self, answer: Answer | None) -> None:
        """Give this answer whenever no rule and no queued answer is there; None brings the demo model back."""
        with self._lock:
            self._always = answer

    def when(self, *rules: Rule) -> None:
        """Add rules; a later one wins over an earlier one."""
        with self._lock:
            self._rules.extend(_Standing(rule) for rule in rules)

    def load(self, script: Script) -> None:
        """Add a whole script."""
        self.play(*script.answers)
        self.when(*script.rules)
        if script.always is not None:
            self.always(script.always)

    def clear(self) -> None:
        """Forget everything that was scripted."""
        with self._lock:
            self._queue.clear()
            self._rules.clear()
            self._always = None
            self._given.clear()

    def choose(self, body: Body, number: int) -> tuple[Answer, Source, int]:
        """Return the answer for a request, where it came from and its place there."""
        with self._lock:
            answer, source = self._scripted(body)
            place = self._given.get(source, 0)
            self._given[source] = place + 1
        return answer or self.demo.answer(body, number), source, place

    def _scripted(self, body: Body) -> tuple[Answer | None, Source]:
        standing = self._matching(body) if self._rules else None
        if standing is not None:
            return standing.next(), "rule"
        if self._queue:
            return self._queue.popleft(), "queue"
        return self._always, "demo" if self._always is None else "always"

    def _matching(self, body: Body) -> _Standing | None:
        last = orjson.dumps(last_user_message(body))
        for standing in reversed(self._rules):
            match = standing.rule.match
            # A marker with quotes or line ends stands escaped in the JSON of the message.
            if orjson.dumps(match)[1:-1] in last if isinstance(match, str) else match(body):
                return standing
        return None


def last_user_message(body: Body) -> object:
    """Return the last message of the user, or None."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    return next((one for one in reversed(messages) if isinstance(one, dict) and one.get("role") == "user"), None)
