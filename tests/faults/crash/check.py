"""Judges what became of conversations while their gateway was killed. Knows nothing of the gateway's code.

usage: check.py CLIENTS.jsonl GATEWAY.db UPSTREAM.jsonl

Reads what clients sent and got, what is in the database, and what reached the model's API. Prints figures and
violations as JSON; exit code 1 if there are violations. The rules:

    I1   an acknowledged user message is stored, in the session that was named, and once
    I2   it is in the context of every later request of its session, once and in order, and of none that was not stored
    I3   every turn ends in exactly one state, at the latest when the next gateway starts; every answer has an end
    I4   what a client got is the beginning of what is stored, or the stored answer is marked as cut
    I5   no process of a gateway outlives it
    I7   the turns of a session stand in one line
    I8   an error has the shape of the API
    I10  usage is counted once
    KEY  one idempotency key is one turn, and one request to the model
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Row = Mapping[str, Any]
# Each question of a client carries one of these; each answer the same word in round brackets.
QUESTION: Final = re.compile(r"<(c\d+-\d+)>")
ANSWER: Final = re.compile(r"re\((c\d+-\d+)\)")
OVER: Final = frozenset({"completed", "failed", "cancelled", "interrupted"})
TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")
OK: Final = 200


@dataclass
class Evidence:
    """Everything that is known."""

    clients: Sequence[Row]
    upstream: Sequence[Row]
    sessions: Mapping[str, Row]
    turns: Mapping[str, Row]
    usage: Sequence[Row]
    # By session, in order.
    messages: Mapping[str, Sequence[Row]]
    turns_of: Mapping[str, Sequence[Row]]
    damage: Sequence[str] = ()
    attempts: Sequence[Row] = field(init=False)
    taught: Mapping[str, Row] = field(init=False)

    def __post_init__(self) -> None:
        self.attempts = [line for line in self.clients if line["event"] == "attempt"]
        self.taught = {line["marker"]: line for line in self.clients if line["event"] == "taught"}

    def requests(self) -> dict[str, set[str]]:
        """The requests that were made for each question: those under one key are one."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for attempt in self.attempts:
            found[attempt["marker"]].add(attempt["request"])
        return found

    def questions(self, session: str) -> list[str]:
        """The questions that a session holds, in order."""
        return [
            marker
            for message in self.messages.get(session, ())
            if message["role"] == "user"
            for marker in QUESTION.findall(text_of(message))
        ]

    def asked_by(self) -> dict[str, str]:
        """Which question each turn brought: the last one of what it added."""
        found: dict[str, str] = {}
        for messages in self.messages.values():
            for message in messages:
                markers = QUESTION.findall(text_of(message)) if message["role"] == "user" else []
                if markers and message["turn_id"]:
                    found[message["turn_id"]] = markers[-1]
        return found

    def answer_of(self, turn: Row) -> Row | None:
        messages = self.messages.get(turn["session_id"], ())
        return next((one for one in messages if one["number"] == turn["answer_number"]), None)


def text_of(message: Row) -> str:
    """The words of a message, stored or sent."""
    blocks = json.loads(message["blocks"]) if "blocks" in message else message["content"]
    if isinstance(blocks, str):
        return blocks
    return "".join(block["text"] for block in blocks if block["type"] == "text")


# I1


def stored_once(evidence: Evidence) -> Iterator[str]:
    for attempt in evidence.attempts:
        if attempt["status"] == OK and attempt["marker"] not in evidence.questions(attempt["session"]):
            yield f"I1 lost: {attempt['marker']} was acknowledged and is not in session {attempt['session']}"
    requests, asked = evidence.requests(), Counter(evidence.asked_by().values())
    for marker, count in asked.items():
        if count > len(requests[marker]):
            yield f"I1 doubled: {marker} was asked {len(requests[marker])} times and taken {count} times"
    for session in evidence.sessions:
        yield from _doubled_in(evidence, session, requests)


def _doubled_in(evidence: Evidence, session: str, requests: Mapping[str, set[str]]) -> Iterator[str]:
    for marker, count in Counter(evidence.questions(session)).items():
        if count > len(requests[marker]):
            yield f"I1 doubled: {marker} is {count} times in session {session}"
    open_question = None
    for message in evidence.messages.get(session, ()):
        markers = QUESTION.findall(text_of(message))
        if message["role"] == "assistant":
            open_question = open_question if message["truncated"] else None
        elif markers and markers[-1] == open_question:
            yield f"I1 doubled: {open_question} was not answered, and is stored again in session {session}"
        elif markers:
            open_question = markers[-1]


# I2


def in_every_context(evidence: Evidence) -> Iterator[str]:
    held = {session: evidence.questions(session) for session in evidence.sessions}
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for session, questions in held.items():
        for marker in questions:
            homes[marker].add(session)
    for request in evidence.upstream:
        messages = [one for one in request["messages"] if one["role"] == "user"]
        seen = [marker for message in messages for marker in QUESTION.findall(text_of(message))]
        if not seen:
            yield "I2: a request without a question reached the model"
        elif not homes[seen[-1]]:
            yield f"I2: {seen[-1]} reached the model and is stored nowhere"
        elif not any(_is_beginning(seen, held[session]) for session in homes[seen[-1]]):
            stored = {session: held[session] for session in homes[seen[-1]]}
            yield f"I2: the model was told {seen}, stored is {stored}"


def _is_beginning(seen: list[str], stored: list[str]) -> bool:
    return stored[: len(seen)] == seen


# I3


def ended_once(evidence: Evidence) -> Iterator[str]:
    for turn in evidence.turns.values():
        if turn["state"] not in OVER or turn["ended_s"] is None:
            yield f"I3: turn {turn['id']} is {turn['state']} for ever"
        answer = evidence.answer_of(turn)
        if turn["state"] == "completed" and (answer is None or answer["truncated"]):
            yield f"I3: turn {turn['id']} is completed and has no whole answer"
    for line in evidence.clients:
        if line["event"] == "started" and line["unended"]:
            yield f"I3: {line['unended']} turns of dead gateways were still open when the next one listened"
        if line["event"] == "attempt" and line["end"] == "missing":
            yield f"I3: an answer to {line['marker']} came to its end without saying how"
        if line["event"] == "attempt" and line["hung"]:
            yield f"I3: {line['marker']} got no answer for ever"


# I4


def told_what_is_stored(evidence: Evidence) -> Iterator[str]:
    for attempt in evidence.attempts:
        if not attempt["turn"]:
            continue
        turn = evidence.turns.get(attempt["turn"])
        if turn is None:
            yield f"I4: {attempt['marker']} was answered by turn {attempt['turn']}, which is not stored"
            continue
        answer = evidence.answer_of(turn)
        stored, told = "" if answer is None else text_of(answer), attempt["text"]
        whole = turn["state"] == "completed"
        if attempt["end"] == "done" and (told != stored or not whole):
            yield f"I4: {attempt['marker']} was answered with {told!r}; stored is {stored!r} ({turn['state']})"
        elif whole and not stored.startswith(told):
            yield f"I4: {attempt['marker']} was told {told!r}; stored is {stored!r}"
        elif not (stored.startswith(told) or told.startswith(stored)):
            yield f"I4: {attempt['marker']} was told {told!r}; stored of it is {stored!r}"
    for messages in evidence.messages.values():
        for message in messages:
            yield from _as_the_model_said(evidence, message)


def _as_the_model_said(evidence: Evidence, message: Row) -> Iterator[str]:
    text = text_of(message)
    found = ANSWER.match(text) if message["role"] == "assistant" else None
    if found is None:
        return
    said = evidence.taught[found[1]]["text"]
    if not (said.startswith(text) if message["truncated"] else said == text):
        yield f"I4: the model said {said!r}; stored is {text!r}"


# I5


def nothing_outlives(evidence: Evidence) -> Iterator[str]:
    for line in evidence.clients:
        if line["event"] in {"killed", "stopped"} and line["left"]:
            yield f"I5: outlived its gateway ({line.get('what', 'stopped')}): {line['left']}"
        if line["event"] == "stopped" and line["code"]:
            yield f"I5: the gateway ended with exit code {line['code']}"


# I7


def in_one_line(evidence: Evidence) -> Iterator[str]:
    for name, session in evidence.sessions.items():
        turns, messages = evidence.turns_of.get(name, ()), evidence.messages.get(name, ())
        if [turn["fence"] for turn in turns] != list(range(1, session["fence"] + 1)):
            yield f"I7: the turns of session {name} are numbered {[turn['fence'] for turn in turns]}"
        if session["turn_count"] != len(turns):
            yield f"I7: session {name} has {len(turns)} turns and counts {session['turn_count']}"
        if [one["number"] for one in messages] != list(range(1, session["message_count"] + 1)):
            yield f"I7: the messages of session {name} are numbered {[one['number'] for one in messages]}"
        for turn, following in itertools.pairwise(turns):
            if turn["ended_s"] is None or turn["ended_s"] > following["created_s"]:
                yield f"I7: turn {following['fence']} of session {name} began before the one before it was over"
        places = {turn["id"]: turn["fence"] for turn in turns}
        order = [places[one["turn_id"]] for one in messages if one["turn_id"] in places]
        if order != sorted(order):
            yield f"I7: the messages of session {name} are of the turns {order}"


# I8


def errors_have_their_shape(evidence: Evidence) -> Iterator[str]:
    for attempt in evidence.attempts:
        error = attempt["error"]
        shaped = isinstance(error, dict) and error.get("message") and error.get("type")
        if attempt["end"] == "error" and not shaped:
            yield f"I8: {attempt['marker']} got the error {error!r}"
        elif shaped and error.get("code") == "internal":
            yield f"I8: {attempt['marker']} met a bug: {error}"


# I10


def counted_once(evidence: Evidence) -> Iterator[str]:
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in evidence.usage:
        rows[row["turn_id"]].append(row)
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for turn in evidence.turns.values():
        bill = rows.pop(turn["id"], [])
        if len(bill) != 1:
            yield f"I10: turn {turn['id']} is {len(bill)} times on the bill"
            continue
        totals[turn["session_id"]].update({name: bill[0][name] for name in TOKENS})
        if bill[0]["state"] != turn["state"]:
            yield f"I10: turn {turn['id']} is {turn['state']}, on the bill {bill[0]['state']}"
        yield from _as_the_model_counted(evidence, turn, bill[0])
    if rows:
        yield f"I10: on the bill are turns that are not there: {sorted(rows)}"
    for name, session in evidence.sessions.items():
        if any(session[token] != totals[name][token] for token in TOKENS):
            yield f"I10: session {name} counts other tokens than its turns"


def _as_the_model_counted(evidence: Evidence, turn: Row, bill: Row) -> Iterator[str]:
    answer = evidence.answer_of(turn)
    found = ANSWER.match(text_of(answer)) if answer is not None else None
    if turn["state"] == "completed" and found is not None:
        used = evidence.taught[found[1]]["usage"]
        if any(bill[name] != count for name, count in used.items()):
            yield f"I10: turn {turn['id']} used {used}, on the bill is { ({name: bill[name] for name in used}) }"


# KEY


def one_key_one_turn(evidence: Evidence) -> Iterator[str]:
    turns: defaultdict[str, set[str]] = defaultdict(set)
    for attempt in evidence.attempts:
        if attempt["key"] and attempt["turn"]:
            turns[attempt["key"]].add(attempt["turn"])
    for key, found in turns.items():
        if len(found) > 1:
            yield f"KEY: {key} was answered by the turns {sorted(found)}"
    requests = evidence.requests()
    asked: Counter[str] = Counter()
    for request in evidence.upstream:
        asked.update(QUESTION.findall(json.dumps(request["messages"]))[-1:])
    for marker, count in asked.items():
        if count > len(requests[marker]):
            yield f"KEY: {marker} reached the model {count} times for {len(requests[marker])} requests"


RULES: Final = (
    stored_once,
    in_every_context,
    ended_once,
    told_what_is_stored,
    nothing_outlives,
    in_one_line,
    errors_have_their_shape,
    counted_once,
    one_key_one_turn,
)


def violations(evidence: Evidence) -> list[str]:
    """Everything that is wrong."""
    return [*evidence.damage, *(found for rule in RULES for found in rule(evidence))]


def figures(evidence: Evidence, found: Sequence[str]) -> dict[str, Any]:
    """Say how much was looked at."""
    acknowledged = {attempt["marker"] for attempt in evidence.attempts if attempt["status"] == OK}
    return {
        "messages": len(evidence.taught),
        "attempts": len(evidence.attempts),
        "acknowledged": len(acknowledged),
        "lost": sum(one.startswith("I1 lost") for one in found),
        "doubled": sum(one.startswith("I1 doubled") for one in found),
        "answered": sum(attempt["end"] == "done" for attempt in evidence.attempts),
        "answered_with_an_error": sum(attempt["end"] == "error" for attempt in evidence.attempts),
        "cut": sum(attempt["end"] is None and bool(attempt["text"]) for attempt in evidence.attempts),
        "sessions": len(evidence.sessions),
        "turns": dict(Counter(turn["state"] for turn in evidence.turns.values())),
        "upstream_requests": len(evidence.upstream),
    }


# Reading


def read(clients: Path, database: Path, upstream: Path) -> Evidence:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        tables = {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY {order}")]  # noqa: S608
            for name, order in {
                "sessions": "id",
                "turns": "session_id, fence",
                "messages": "session_id, number",
                "usage": "turn_id",
            }.items()
        }
        state = connection.execute("PRAGMA integrity_check").fetchone()[0]
    return Evidence(
        clients=_lines(clients),
        upstream=_lines(upstream),
        sessions={row["id"]: row for row in tables["sessions"]},
        turns={row["id"]: row for row in tables["turns"]},
        usage=tables["usage"],
        messages=_by_session(tables["messages"]),
        turns_of=_by_session(tables["turns"]),
        damage=() if state == "ok" else (f"the database is damaged: {state}",),
    )


def _by_session(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["session_id"]].append(row)
    return found


def _lines(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def main(arguments: Sequence[str]) -> int:
    evidence = read(*map(Path, arguments))
    found = violations(evidence)
    sys.stdout.write(json.dumps({**figures(evidence, found), "violations": found}, ensure_ascii=False) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
