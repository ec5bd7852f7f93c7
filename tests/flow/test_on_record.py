"""What is put on record of an agent's calls: while its turn runs, at its end, and after a crash."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.flow.acts import canonical
from claude_code_api.flow.event_text import event_text
from claude_code_api.flow.on_record import CallsOnRecord
from claude_code_api.flow.places import Work
from claude_code_api.flow.ports import Store
from claude_code_api.flow.records import JournalEntry, Mode
from claude_code_api.storage.opening import open_store
from claude_code_api.turn.approvals import Decision, Settler
from claude_code_api.turn.events import ApprovalSettled, Phase, Started, ToolActivity, TurnEvent
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import JsonObject
from tests.conformance.stores import ANN, Talk, a_turn, sqlite
from tests.flow.held_clock import HeldClock
from tests.http.loopback import CLAUDE_MODEL, running


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(sqlite(tmp_path)) as opened:
        yield opened


def witness(store: Store) -> CallsOnRecord:
    work = Work("p1", "/project", Profile.SHELL, Mode.ASK, trusted=True)
    return CallsOnRecord(a_turn("t1", "s1", 1, project_id="p1"), work, store, HeldClock(), shown_chars=10)


def begun(tool_id: str, tool: str = "Bash", **arguments: Any) -> ToolActivity:
    return ToolActivity(tool_id, tool, Phase.STARTED, arguments)


def done(tool_id: str, tool: str = "Bash", *, error: bool = False) -> ToolActivity:
    return ToolActivity(tool_id, tool, Phase.ENDED, {"content": "said", "is_error": error})


def outcomes(calls: CallsOnRecord, *, whole: bool = True) -> dict[str, tuple[Any, Any, Any]]:
    ends = [act.what for act in calls.ends(whole=whole) if act.kind == "call.end"]
    return {str(what["tool_id"]): (what["decision"], what["by"], what["outcome"]) for what in ends}


async def test_a_call_is_there_before_it_is_made(store: Store) -> None:
    calls = witness(store)
    await calls.called("c1", "Bash", {"command": "x" * 11, "other": "y"})
    (entry,) = await store.chain(after=0, limit=9)
    what = json.loads(entry.body)["what"]
    assert (entry.key, entry.kind) == (ANN, "call")
    assert what == {
        "turn": "t1",
        "session": "s1",
        "project": "p1",
        "tool": "Bash",
        "tool_id": "c1",
        "profile": "shell",
        "mode": "ask",
        "trusted": True,
        "input_sha256": hashlib.sha256(b'{"command":"xxxxxxxxxxx","other":"y"}').hexdigest(),
        "shown": "x" * 10,
    }


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("Write", {"content": "secret"}),
        ("Edit", {"old_string": "secret"}),
        ("Write", {"file_path": ["secret"]}),
        ("mcp__x__y", {"file_path": "secret"}),
        ("Bash", {"file_path": "secret"}),
    ],
)
async def test_nothing_is_shown_but_a_path_or_a_command(store: Store, tool: str, arguments: dict[str, Any]) -> None:
    await witness(store).called("c1", tool, arguments)
    (entry,) = await store.chain(after=0, limit=9)
    assert "secret" not in entry.body


async def test_who_decided_and_what_became_of_it(store: Store) -> None:
    calls = witness(store)
    for number in range(8):
        await calls.called(f"c{number}", "Bash", {})
    calls.denied("c1")
    calls.denied("c2", "gateway")
    calls.denied("c2")
    events: tuple[TurnEvent, ...] = (
        done("c0"),
        done("c1", error=True),
        done("c2", error=True),
        ApprovalSettled("a3", "c3", Decision.DENY, Settler.PERSON),
        done("c3", error=True),
        ApprovalSettled("a4", "c4", Decision.ALLOW, Settler.RULE),
        done("c4", error=True),
        ApprovalSettled("a5", "c5", Decision.DENY, Settler.TIME),
        done("c6", error=True),
        begun("untold", "Nothing"),
        done("untold", "Nothing", error=True),
    )
    for event in events:
        calls.saw(event)
    expected: dict[str, tuple[Any, Any, Any]] = {
        "c0": ("allow", "profile", "ended"),
        "c1": ("deny", "profile", "denied"),
        "c2": ("deny", "gateway", "denied"),
        "c3": ("deny", "person", "denied"),
        "c4": ("allow", "rule", "error"),
        "c5": ("deny", "time", "denied"),
        "c6": ("allow", "profile", "error"),
        "c7": (None, None, "cut"),
        "untold": ("deny", "program", "denied"),
    }
    assert outcomes(calls) == expected
    cut = {**expected, "c6": (None, None, "error"), "untold": (None, None, "error")}
    assert outcomes(calls, whole=False) == cut, "what was not told before the turn was cut is not guessed"
    first = [act.kind for act in calls.ends(whole=True) if act.what["tool_id"] == "untold"]
    assert first == ["call", "call.end"]


async def test_what_a_person_made_of_it_is_there(store: Store) -> None:
    calls = witness(store)
    await calls.called("c1", "Bash", {"command": "rm"})
    calls.answered("a1", {"command": "ls"})
    calls.answered("a2", None)
    calls.saw(ApprovalSettled("a1", "c1", Decision.ALLOW, Settler.PERSON, edited=True))
    (end,) = calls.ends(whole=True)
    digest = hashlib.sha256(canonical({"command": "ls"}).encode()).hexdigest()
    assert end.what["made_with"] == {"input_sha256": digest, "shown": "ls"}


def test_a_text_that_is_hashed_has_one_form() -> None:
    value: JsonObject = {"b": [1.5, None, True], "a": "ü\ud800\x00\u2028", "c": {"y": 1, "x": 2}}
    assert canonical(value) == canonical(dict(reversed(list(value.items()))))
    assert canonical(value).isascii()
    assert canonical(value) == r'{"a":"\u00fc\ud800\u0000\u2028","b":[1.5,null,true],"c":{"x":2,"y":1}}'


async def test_after_a_crash_what_the_journal_knows_is_put_down(tmp_path: Path) -> None:
    options = sqlite(tmp_path)
    async with open_store(options) as store:
        turn_id = await Talk(store).ask("work")
        told: list[TurnEvent] = [Started(turn_id, CLAUDE_MODEL, 1), begun("c1"), done("c1"), begun("c2"), begun("c3")]
        told += [ApprovalSettled("a", "c3", Decision.DENY, Settler.PERSON), done("c3", error=True)]
        await store.journal([JournalEntry(turn_id, 1, tuple(map(event_text, told)))])
    async with running(data_dir=options.data_dir) as gateway:
        assert await gateway.gateway.ledger.recover() == 1
        entries = [json.loads(entry.body) for entry in await gateway.store.chain(after=0, limit=99)]
    assert {entry["kind"] for entry in entries} == {"call.end"}, "the calls were on record before they were made"
    assert all(entry["what"]["recovered"] for entry in entries)
    found = {e["what"]["tool_id"]: (e["what"]["decision"], e["what"]["by"], e["what"]["outcome"]) for e in entries}
    assert found == {
        "c1": ("allow", "profile", "ended"),
        "c2": (None, None, "cut"),
        "c3": ("deny", "person", "denied"),
    }


async def test_many_calls_at_once_are_one_chain(store: Store) -> None:
    calls = witness(store)
    await asyncio.gather(*(calls.called(f"c{number}", "Read", {}) for number in range(20)))
    assert [entry.number for entry in await store.chain(after=0, limit=99)] == list(range(1, 21))
