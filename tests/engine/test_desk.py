"""The desk: which calls a person is asked about, which are denied without asking, and who hears of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.desk import Desk
from claude_code_api.engine.protocol import ControlAsk
from claude_code_api.flow.ports import StoreError
from claude_code_api.flow.records import Mode
from claude_code_api.turn.approvals import Decision, Settler, Verdict
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import ApprovalSettled, ApprovalWanted, TurnEvent
from claude_code_api.turn.request import JsonObject

TOOLS = frozenset({"Read", "Edit", "Write", "Bash"})
ALLOW = Verdict(Decision.ALLOW)


class Counter:
    """A desk in a project's directory, with what was said over it, on both sides."""

    def __init__(self, place: Path, mode: Mode = Mode.ASK, free: frozenset[str] = frozenset()) -> None:
        self.place = place
        self.desk = Desk(place, TOOLS, free, mode)
        self.events: list[TurnEvent] = []
        self.lines: list[dict[str, Any]] = []
        self.more = asyncio.Event()
        self.desk.serve(self._tell, lambda call: {"plan": f"of {call}"} if call == "toolu_plan" else {})

    def _tell(self, event: TurnEvent) -> None:
        self.events.append(event)
        self.more.set()

    def write(self, line: bytes) -> None:
        self.lines.append(json.loads(line))
        self.more.set()

    async def asks(self, tool: str, arguments: JsonObject, **more: Any) -> TurnEvent | str:
        """Ask about a call: the question that a person gets, or the answer that the CLI gets at once."""
        self.more.clear()
        body = {"tool_name": tool, "input": arguments, "tool_use_id": "toolu_1", **more}
        self.desk.ask(ControlAsk("r-1", "can_use_tool", body), self.write)
        await self.more.wait()
        return self.answer["behavior"] + ": " + self.answer.get("message", "") if self.lines else self.events[-1]

    @property
    def answer(self) -> dict[str, Any]:
        return self.lines[-1]["response"]["response"]  # type: ignore[no-any-return]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


async def test_a_call_waits_and_is_answered_once(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    asked = await counter.asks("Bash", {"command": "ls"})
    assert isinstance(asked, ApprovalWanted)
    assert (asked.shown, asked.always) == ({"kind": "command", "command": "ls"}, "Bash(ls)")
    assert counter.desk.waiting
    assert counter.desk.answer(asked.approval_id, ALLOW)
    assert not counter.desk.waiting
    assert not counter.desk.answer(asked.approval_id, ALLOW)
    (line,) = counter.lines
    assert line["response"] == {"subtype": "success", "request_id": "r-1", "response": {"behavior": "allow"}}
    assert counter.events[1:] == [ApprovalSettled(asked.approval_id, "toolu_1", Decision.ALLOW, Settler.PERSON)]


OUTSIDE = [
    "/etc/passwd",
    "../planted",
    "sub/../../planted",
    "~/planted",
    "~root/planted",
    "link/planted",
    "",
    "a\x00b",
    7,
]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path)[:12])
@pytest.mark.parametrize("tool", ["Read", "Edit", "Write"])
async def test_nobody_is_asked_about_what_is_outside(tmp_path: Path, tool: str, path: object) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "link").symlink_to(tmp_path)
    counter = Counter(tmp_path / "place")
    said = await counter.asks(tool, {"file_path": path})  # type: ignore[dict-item]
    assert said == "deny: This is outside the project, where nobody can allow anything."
    assert counter.events == []


@pytest.mark.parametrize(
    "path", [".claude/settings.json", ".CLAUDE/x", ".mcp.json", "sub/.git/hooks/pre-commit", ".git/config"]
)
async def test_nobody_is_asked_about_what_configures_agents(tmp_path: Path, path: str) -> None:
    counter = Counter(tmp_path)
    assert "protected" in str(await counter.asks("Write", {"file_path": str(tmp_path / path), "content": ""}))


@pytest.mark.parametrize(
    ("mode", "tool", "more", "message"),
    [
        (Mode.AUTO, "Write", {}, "Nobody is asked"),
        (Mode.ASK, "WebFetch", {}, "not one of yours"),
        (Mode.PLAN, "Write", {}, "plan mode"),
        (Mode.ASK, "Bash", {"blocked_path": "/etc/passwd"}, "outside the project"),
        (Mode.ACCEPT_EDITS, "Write", {"decision_reason_type": "safetyCheck"}, "protected"),
        (Mode.ASK, "Bash", {"input": {"command": "echo \ud800"}}, "nobody can be shown"),
    ],
)
async def test_what_is_denied_without_asking(
    tmp_path: Path, mode: Mode, tool: str, more: dict[str, Any], message: str
) -> None:
    counter = Counter(tmp_path, mode)
    said = await counter.asks(tool, {"file_path": str(tmp_path / "f")}, **more)
    assert str(said).startswith("deny: ")
    assert message in str(said)
    assert counter.events == []


async def test_what_a_profile_may_do_without_asking(tmp_path: Path) -> None:
    free = frozenset({"Bash"})
    assert await Counter(tmp_path, Mode.AUTO, free).asks("Bash", {"command": "ls"}) == "allow: "
    assert isinstance(await Counter(tmp_path, Mode.ASK, free).asks("Bash", {"command": "ls"}), ApprovalWanted)


async def test_a_plan_is_shown_and_its_approval_changes_the_mode(tmp_path: Path) -> None:
    counter = Counter(tmp_path, Mode.PLAN)
    asked = await counter.asks("ExitPlanMode", {}, tool_use_id="toolu_plan")
    assert isinstance(asked, ApprovalWanted)
    assert asked.shown == {"kind": "plan", "plan": "of toolu_plan"}
    counter.desk.answer(asked.approval_id, ALLOW)
    assert [line["type"] for line in counter.lines] == ["control_response", "control_request"]
    assert counter.lines[1]["request"] == {"subtype": "set_permission_mode", "mode": "acceptEdits"}
    assert counter.desk.mode is Mode.ACCEPT_EDITS


async def test_a_denied_plan_is_made_anew(tmp_path: Path) -> None:
    counter = Counter(tmp_path, Mode.PLAN)
    asked = await counter.asks("ExitPlanMode", {}, tool_use_id="toolu_plan")
    assert isinstance(asked, ApprovalWanted)
    counter.desk.answer(asked.approval_id, Verdict(Decision.DENY, message="shorter"))
    assert counter.answer == {"behavior": "deny", "message": "shorter"}
    assert counter.desk.mode is Mode.PLAN


async def test_what_the_cli_gives_up_is_settled_and_not_answered(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    asked = await counter.asks("Bash", {"command": "ls"})
    assert isinstance(asked, ApprovalWanted)
    counter.desk.withdraw("r-1")
    counter.desk.withdraw("r-1")
    assert not counter.desk.answer(asked.approval_id, ALLOW)
    assert counter.lines == []
    assert counter.events[1:] == [ApprovalSettled(asked.approval_id, "toolu_1", Decision.DENY, Settler.END)]


async def test_what_is_given_up_before_it_was_looked_at_is_never_asked(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    body = {"tool_name": "Bash", "input": {"command": "ls"}}
    counter.desk.ask(ControlAsk("r-1", "can_use_tool", body), counter.write)
    assert counter.desk.waiting
    counter.desk.withdraw("r-1")
    said = await counter.asks("Bash", {"command": "pwd"})
    assert isinstance(said, ApprovalWanted)
    assert said.arguments == {"command": "pwd"}
    assert counter.events == [said]


async def test_an_edited_input_is_held_to_the_same_bounds(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    asked = await counter.asks("Write", {"file_path": str(tmp_path / "f"), "content": "x"})
    assert isinstance(asked, ApprovalWanted)
    for path in ("/etc/planted", ".claude/settings.json", str(tmp_path / "g")):
        with pytest.raises(TurnRefusedError) as refused:
            counter.desk.answer(asked.approval_id, Verdict(Decision.ALLOW, arguments={"file_path": path}))
        assert refused.value.error.param == "input"
    edited = {"file_path": str(tmp_path / "f"), "content": "y"}
    assert counter.desk.answer(asked.approval_id, Verdict(Decision.ALLOW, arguments=edited))
    assert counter.answer == {"behavior": "allow", "updatedInput": edited}
    settled = counter.events[-1]
    assert isinstance(settled, ApprovalSettled)
    assert settled.edited


async def test_what_can_be_allowed_once_only(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    asked = await counter.asks("AskUserQuestion", {"questions": []})
    assert isinstance(asked, ApprovalWanted)
    with pytest.raises(TurnRefusedError):
        counter.desk.answer(asked.approval_id, Verdict(Decision.ALLOW_ALWAYS))
    assert counter.desk.answer(asked.approval_id, ALLOW)


async def test_any_other_request_is_refused(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    counter.desk.ask(ControlAsk("r-1", "elicitation", {}), counter.write)
    assert counter.lines[0]["response"]["subtype"] == "error"


async def test_a_closed_desk_says_nothing_more(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    asked = await counter.asks("Bash", {"command": "ls"})
    assert isinstance(asked, ApprovalWanted)
    counter.desk.close()
    assert not counter.desk.waiting
    assert not counter.desk.answer(asked.approval_id, ALLOW)


class TestBeforeAChange:
    """What a file was is kept before it is changed, whoever is asked about that."""

    async def told(self, counter: Counter, tool: str, arguments: JsonObject) -> dict[str, Any]:
        counter.more.clear()
        body = {"callback_id": "before", "input": {"tool_name": tool, "tool_input": arguments}}
        counter.desk.ask(ControlAsk("h-1", "hook_callback", body), counter.write)
        assert counter.desk.waiting
        await counter.more.wait()
        assert not counter.desk.waiting
        return counter.answer

    async def test_it_is_kept_under_its_name_below_the_project(self, tmp_path: Path) -> None:
        kept = list[str]()

        async def keep(name: str) -> None:
            kept.append(name)

        (tmp_path / "link").symlink_to(tmp_path / "real")
        counter = Counter(tmp_path, Mode.AUTO)
        counter.desk.keep(keep)
        for tool, arguments in (
            ("Write", {"file_path": str(tmp_path / "a")}),
            ("Edit", {"file_path": "deep/../b"}),
            ("NotebookEdit", {"notebook_path": str(tmp_path / "c.ipynb")}),
            ("Write", {"file_path": str(tmp_path / "link")}),
            ("Write", {"file_path": "/etc/passwd"}),
            ("Bash", {"command": "rm a"}),
            ("Write", {}),
        ):
            assert await self.told(counter, tool, arguments) == {}
        assert kept == ["a", "b", "c.ipynb", "real"]

    async def test_what_cannot_be_kept_is_not_changed(self, tmp_path: Path) -> None:
        async def keep(name: str) -> None:
            raise OSError(name)

        counter = Counter(tmp_path)
        counter.desk.keep(keep)
        answer = await self.told(counter, "Write", {"file_path": str(tmp_path / "a")})
        assert answer["hookSpecificOutput"]["permissionDecision"] == "deny"

    async def test_without_a_place_for_it_the_call_goes_on(self, tmp_path: Path) -> None:
        assert await self.told(Counter(tmp_path), "Write", {"file_path": str(tmp_path / "a")}) == {}


class Listener:
    """Hears of calls, or cannot."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.heard: list[tuple[str, str, JsonObject]] = []
        self.refused: list[tuple[str, str]] = []

    async def called(self, tool_id: str, tool: str, arguments: JsonObject) -> None:
        if self.full:
            raise StoreError("the disk is full", full=True)
        self.heard.append((tool_id, tool, arguments))

    def denied(self, tool_id: str, by: str = "profile") -> None:
        self.refused.append((tool_id, by))


class TestAWitness:
    """Somebody hears of every call before it is made."""

    async def told(self, counter: Counter, tool: str, arguments: JsonObject) -> dict[str, Any]:
        counter.more.clear()
        body = {"callback_id": "before", "tool_use_id": "t1", "input": {"tool_name": tool, "tool_input": arguments}}
        counter.desk.ask(ControlAsk("h-1", "hook_callback", body), counter.write)
        await counter.more.wait()
        return counter.answer

    async def test_it_hears_before_the_call_goes_on(self, tmp_path: Path) -> None:
        counter, listener = Counter(tmp_path, Mode.AUTO), Listener()
        counter.desk.tell(listener)
        assert await self.told(counter, "Bash", {"command": "ls"}) == {}
        assert await self.told(counter, "Write", {"file_path": "/etc/passwd"}) == {}
        assert listener.heard == [("t1", "Bash", {"command": "ls"}), ("t1", "Write", {"file_path": "/etc/passwd"})]
        assert listener.refused == []

    @pytest.mark.parametrize("tool", ["Read", "Write", "Bash", "mcp__anything__else"])
    async def test_what_it_cannot_keep_is_denied(self, tmp_path: Path, tool: str) -> None:
        counter, listener = Counter(tmp_path, Mode.AUTO), Listener(full=True)
        kept = list[str]()

        async def keep(name: str) -> None:
            kept.append(name)

        counter.desk.keep(keep)
        counter.desk.tell(listener)
        answer = await self.told(counter, tool, {"file_path": str(tmp_path / "a")})
        assert answer["hookSpecificOutput"]["permissionDecision"] == "deny"
        assert listener.refused == [("t1", "gateway")]
        assert kept == []

    async def test_it_hears_what_is_denied_without_a_person_and_not_what_one_decides(self, tmp_path: Path) -> None:
        counter, listener = Counter(tmp_path), Listener()
        counter.desk.tell(listener)
        assert str(await counter.asks("WebFetch", {})).startswith("deny")
        assert listener.refused == [("toolu_1", "profile")]
        counter.lines.clear()
        asked = await counter.asks("Bash", {"command": "ls"})
        assert isinstance(asked, ApprovalWanted)
        counter.desk.answer(asked.approval_id, Verdict(Decision.DENY))
        assert len(listener.refused) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [("/project/a.txt", "a.txt"), ("a.txt", "a.txt"), ("/project/../project/a.txt", None), ("/etc/passwd", None)],
)
async def test_in_a_jail_the_project_has_another_name(tmp_path: Path, path: str, name: str | None) -> None:
    counter = Counter(tmp_path)
    counter.desk = Desk(tmp_path, TOOLS, frozenset(), Mode.ASK, seen_as=Path("/project"))
    counter.desk.serve(counter._tell, lambda _: {})  # noqa: SLF001 - its own
    asked = await counter.asks("Write", {"file_path": path, "content": "x"})
    assert isinstance(asked, ApprovalWanted) is (name is not None)
    outside = await counter.asks("Write", {"file_path": str(tmp_path / "a.txt"), "content": "x"})
    assert isinstance(outside, str), "and the one that it has out here is none in there"
