"""The crash checker, on small stories written by hand: it accepts what may happen, and finds what must not."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.crash import check

Story = dict[str, list[dict[str, Any]]]
Change = Callable[[Story], object]


def attempt(marker: str, **more: Any) -> dict[str, Any]:
    """What a client got: the whole answer, unless told otherwise."""
    number = marker.partition("-")[2]
    got = {
        "event": "attempt",
        "marker": marker,
        "request": f"request-{number}",
        "key": None,
        "status": 200,
        "session": "s1",
        "turn": f"t{number}",
        "text": f"re({marker}) yes",
        "end": "done",
        "error": None,
        "hung": False,
    }
    return {**got, **more}


def message(number: int, turn: str, text: str, **more: Any) -> dict[str, Any]:
    stored = {
        "session_id": "s1",
        "number": number,
        "turn_id": turn,
        "role": "user" if text.startswith("<") else "assistant",
        "truncated": 0,
        "blocks": json.dumps([{"type": "text", "text": text}]),
    }
    return {**stored, **more}


def turn(number: int, **more: Any) -> dict[str, Any]:
    stored = {
        "id": f"t{number}",
        "session_id": "s1",
        "state": "completed",
        "fence": number,
        "created_s": number * 10.0,
        "ended_s": number * 10.0 + 5,
        "answer_number": number * 2,
    }
    return {**stored, **more}


def billed(turn_id: str, output_tokens: int = 7, **more: Any) -> dict[str, Any]:
    tokens = {**dict.fromkeys(check.TOKENS, 0), "input_tokens": 5, "output_tokens": output_tokens}
    return {"turn_id": turn_id, "state": "completed", **tokens, **more}


def asked(*texts: str) -> dict[str, Any]:
    """A request as it reached the model."""
    return {"messages": [{"role": "user" if text[0] == "<" else "assistant", "content": text} for text in texts]}


def story() -> Story:
    """Two questions in one session, both answered, the second one with a key."""
    used = {"input_tokens": 5, "output_tokens": 7}
    tokens = dict.fromkeys(check.TOKENS, 0) | {"input_tokens": 10, "output_tokens": 14}
    return {
        "clients": [
            {"event": "started", "unended": 0},
            {"event": "taught", "marker": "c1-1", "text": "re(c1-1) yes", "usage": used},
            attempt("c1-1"),
            {"event": "killed", "what": "T1", "left": []},
            {"event": "taught", "marker": "c1-2", "text": "re(c1-2) yes", "usage": used},
            attempt("c1-2", key="k2"),
            {"event": "stopped", "code": 0, "left": []},
        ],
        "upstream": [asked("<c1-1> one"), asked("<c1-1> one", "re(c1-1) yes", "<c1-2> two")],
        "sessions": [{"id": "s1", "fence": 2, "turn_count": 2, "message_count": 4, **tokens}],
        "turns": [turn(1), turn(2)],
        "messages": [
            message(1, "t1", "<c1-1> one"),
            message(2, "t1", "re(c1-1) yes"),
            message(3, "t2", "<c1-2> two"),
            message(4, "t2", "re(c1-2) yes"),
        ],
        "usage": [billed("t1"), billed("t2")],
    }


def written(told: Story, directory: Path) -> list[Path]:
    """Write a story down as the checker reads it."""
    files = [directory / name for name in ("clients.jsonl", "gateway.db", "upstream.jsonl")]
    for name, file in (("clients", files[0]), ("upstream", files[2])):
        file.write_text("".join(json.dumps(line) + "\n" for line in told[name]))
    with contextlib.closing(sqlite3.connect(files[1])) as connection:
        for name in ("sessions", "turns", "messages", "usage"):
            columns = list(story()[name][0])
            connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            rows = [[row[column] for column in columns] for row in told[name]]
            connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", rows)  # noqa: S608
        connection.commit()
    return files


def found_in(told: Story, directory: Path) -> list[str]:
    return check.violations(check.read(*written(told, directory)))


def only(rows: Iterable[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


def changed(table: str, change: dict[str, Any], **which: Any) -> Change:
    return lambda told: only(told[table], **which).update(change)


def added(table: str, row: dict[str, Any]) -> Change:
    return lambda told: told[table].append(row)


def removed(table: str, **which: Any) -> Change:
    return lambda told: told[table].remove(only(told[table], **which))


def together(*changes: Change) -> Change:
    return lambda told: [change(told) for change in changes]


def test_a_story_without_fault(tmp_path: Path) -> None:
    assert found_in(story(), tmp_path) == []


NO_ANSWER = {"status": None, "session": None, "turn": None, "text": "", "end": None}
CUT = together(
    changed("turns", {"state": "interrupted"}, id="t2"),
    changed("usage", {"state": "interrupted"}, turn_id="t2"),
    changed("messages", {"truncated": 1, "blocks": '[{"type": "text", "text": "re(c1-2) y"}]'}, number=4),
)
UNANSWERED = together(
    changed("turns", {"state": "interrupted", "answer_number": None}, id="t2"),
    changed("usage", {"state": "interrupted"}, turn_id="t2"),
    removed("messages", number=4),
    changed("sessions", {"message_count": 3}, id="s1"),
    changed("clients", NO_ANSWER, marker="c1-2", event="attempt"),
)
# The same question again: it is recognised, and answered by a turn of its own.
ASKED_AGAIN = together(
    UNANSWERED,
    added("clients", attempt("c1-2", request="request-3", turn="t3")),
    added("turns", turn(3, answer_number=4)),
    added("messages", message(4, "t3", "re(c1-2) yes")),
    added("usage", billed("t3", 0, input_tokens=0)),
    changed("usage", {"input_tokens": 0, "output_tokens": 0}, turn_id="t2"),
    changed("usage", {"input_tokens": 5, "output_tokens": 7}, turn_id="t3"),
    changed("sessions", {"message_count": 4, "turn_count": 3, "fence": 3}, id="s1"),
)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            together(CUT, changed("clients", {"text": "re(c1-2)", "end": None}, marker="c1-2", event="attempt")),
            id="cut",
        ),
        pytest.param(
            together(CUT, changed("clients", {"end": None}, marker="c1-2", event="attempt")), id="told, not all stored"
        ),
        pytest.param(
            changed("clients", {"text": "re(c", "end": None}, marker="c1-2", event="attempt"), id="stored, not all told"
        ),
        pytest.param(UNANSWERED, id="not answered"),
        pytest.param(ASKED_AGAIN, id="asked again"),
        pytest.param(
            together(
                changed("clients", NO_ANSWER, marker="c1-2", event="attempt"),
                added("clients", attempt("c1-2", key="k2")),
            ),
            id="asked again with the key",
        ),
        pytest.param(
            together(
                UNANSWERED,
                added("clients", attempt("c1-2", status=503, end="error", error={"message": "m", "type": "t"})),
                changed("clients", {"turn": None, "text": "", "session": None}, status=503),
            ),
            id="an error",
        ),
    ],
)
def test_what_may_happen(tmp_path: Path, change: Change) -> None:
    told = story()
    change(told)
    assert found_in(told, tmp_path) == []


BAD: dict[str, tuple[str, Change]] = {
    "lost": ("I1 lost", removed("messages", number=3)),
    "in another session": ("I1 lost", changed("clients", {"session": "s2"}, marker="c1-1", event="attempt")),
    "written twice": ("I1 doubled", added("messages", message(5, "t2", "<c1-2> two"))),
    "taken twice": (
        "I1 doubled",
        together(added("turns", turn(3)), added("messages", message(5, "t3", "<c1-2> two"))),
    ),
    "stored again unanswered": (
        "I1 doubled: c1-2 was not answered",
        together(ASKED_AGAIN, added("messages", message(5, "t3", "<c1-2> two")), removed("messages", number=4)),
    ),
    "not in the context": ("I2", changed("upstream", asked("<c1-2> two"), **story()["upstream"][1])),
    "twice in the context": (
        "I2",
        changed("upstream", asked("<c1-1> one", "<c1-1> one", "<c1-2> two"), **story()["upstream"][1]),
    ),
    "asked before it was stored": ("I2", added("upstream", asked("<c9-9> nine"))),
    "asked without a question": ("I2", added("upstream", asked("re(c1-1) yes"))),
    "running for ever": ("I3", changed("turns", {"state": "dispatched", "ended_s": None}, id="t2")),
    "no whole answer": ("I3", changed("messages", {"truncated": 1}, number=4)),
    "no answer": ("I3", changed("turns", {"answer_number": None}, id="t2")),
    "still open after a start": ("I3", changed("clients", {"unended": 1}, event="started")),
    "an end without an end": ("I3", changed("clients", {"end": "missing"}, marker="c1-2", event="attempt")),
    "no answer for ever": ("I3", changed("clients", {"hung": True}, marker="c1-2", event="attempt")),
    "told more than is stored": (
        "I4",
        changed("clients", {"text": "re(c1-2) yes!"}, marker="c1-2", event="attempt"),
    ),
    "cut, and told as whole": ("I4", together(CUT)),
    "told something else": ("I4", changed("clients", {"text": "no", "end": None}, marker="c1-2", event="attempt")),
    "cut, and told something else": (
        "I4",
        together(CUT, changed("clients", {"text": "no", "end": None}, marker="c1-2", event="attempt")),
    ),
    "answered by nobody": ("I4", changed("clients", {"turn": "t9"}, marker="c1-2", event="attempt")),
    "stored what was not said": (
        "I4: the model said",
        changed("messages", {"blocks": '[{"type": "text", "text": "re(c1-2) no"}]'}, number=4),
    ),
    "a process is left": ("I5", changed("clients", {"left": ["sleep"]}, event="killed")),
    "a bad end": ("I5", changed("clients", {"code": 1}, event="stopped")),
    "a turn is missing": ("I7", changed("sessions", {"fence": 3}, id="s1")),
    "turns are miscounted": ("I7", changed("sessions", {"turn_count": 3}, id="s1")),
    "a message is missing": ("I7", changed("sessions", {"message_count": 5}, id="s1")),
    "two turns at once": ("I7", changed("turns", {"ended_s": 21.0}, id="t1")),
    "an answer in the wrong place": (
        "I7",
        together(changed("messages", {"turn_id": "t2"}, number=1), changed("messages", {"turn_id": "t1"}, number=3)),
    ),
    "an error without a shape": (
        "I8",
        changed("clients", {"end": "error", "error": "oops"}, marker="c1-2", event="attempt"),
    ),
    "a bug is met": (
        "I8",
        changed(
            "clients",
            {"end": "error", "error": {"message": "m", "type": "t", "code": "internal"}},
            marker="c1-2",
            event="attempt",
        ),
    ),
    "billed twice": ("I10", added("usage", billed("t2"))),
    "not billed": ("I10", removed("usage", turn_id="t2")),
    "billed for nothing": ("I10", added("usage", billed("t9"))),
    "billed as failed": ("I10", changed("usage", {"state": "failed"}, turn_id="t2")),
    "billed too much": ("I10: turn t2", changed("usage", {"output_tokens": 14}, turn_id="t2")),
    "summed up wrongly": ("I10: session s1", changed("sessions", {"output_tokens": 15}, id="s1")),
    "two turns for a key": ("KEY", added("clients", attempt("c1-2", key="k2", turn="t1", text="re(c1-1) yes"))),
    "two requests for a key": ("KEY", added("upstream", story()["upstream"][1])),
}


@pytest.mark.parametrize("name", BAD)
def test_what_must_not_happen(tmp_path: Path, name: str) -> None:
    wanted, change = BAD[name]
    told = story()
    change(told)
    found = found_in(told, tmp_path)
    assert [one for one in found if one.startswith(wanted)], found


def test_every_rule_has_its_case() -> None:
    tried = {wanted.partition(" ")[0].rstrip(":") for wanted, _ in BAD.values()}
    assert tried == {"I1", "I2", "I3", "I4", "I5", "I7", "I8", "I10", "KEY"}
    assert len(tried) == len(check.RULES)


@pytest.mark.parametrize("good", [True, False])
def test_the_program_says_so(tmp_path: Path, good: bool) -> None:
    told = story()
    if not good:
        BAD["lost"][1](told)
    # Isolated, and by its path: nothing of the gateway can be imported.
    command = [sys.executable, "-I", "-S", check.__file__, *map(str, written(told, tmp_path))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    verdict = json.loads(ended.stdout)
    assert ended.returncode == (0 if good else 1)
    assert (verdict["acknowledged"], verdict["lost"], verdict["turns"]) == (2, 0 if good else 1, {"completed": 2})
    assert bool(verdict["violations"]) is not good
