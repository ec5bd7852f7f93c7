"""Where an agent's calls wait for a person.

The profile stays the boundary. A call of a tool that the profile does not have, of a path outside the project, or of a
file that would change what agents do there, is denied here and nobody is asked; a person can allow no more than that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import structlog

from claude_code_api.engine import protocol
from claude_code_api.engine.agent_translate import PLAN_TOOL
from claude_code_api.engine.asks import EveryAskRefused, Write
from claude_code_api.engine.preview import EDITS, preview, text_of
from claude_code_api.flow.audit_records import Witness
from claude_code_api.flow.ports import StoreError
from claude_code_api.flow.records import Mode
from claude_code_api.turn.approvals import Decision, Settler, Verdict
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.events import ApprovalSettled, ApprovalWanted, TurnEvent
from claude_code_api.turn.request import JsonObject

_log = structlog.get_logger("claude_code_api.engine")

QUESTION_TOOL: Final = "AskUserQuestion"
# Offered beside the tools of a profile where there is somebody to ask.
TALKING: Final = frozenset({PLAN_TOOL, QUESTION_TOOL})
# Which argument of which tool is a path.
_PATHS: Final[Mapping[str, str]] = {
    "Read": "file_path",
    "Edit": "file_path",
    "Write": "file_path",
    "NotebookEdit": "notebook_path",
    "Glob": "path",
    "Grep": "path",
}
_CHANGES: Final = frozenset({*EDITS, "NotebookEdit"})
# The CLI tells of each call before it is made, also where nobody is asked.
BEFORE_CALLS: Final[JsonObject] = {"PreToolUse": [{"matcher": None, "hookCallbackIds": ["before"]}]}
# What configures agents, or is run by other programs: the CLI would write it once somebody has said yes.
_PROTECTED: Final = frozenset({".claude", ".mcp.json", ".claude.json", ".git"})
# How the CLI marks such a file, and others that it knows of.
_SAFETY: Final = "safetyCheck"

_NOT_ITS_TOOL: Final = "This tool is not one of yours here."
_OUTSIDE: Final = "This is outside the project, where nobody can allow anything."
_OF_AGENTS: Final = "This file is protected: nobody can allow a change of it here."
_NOBODY_ASKED: Final = "Nobody is asked for permission here, so this is denied."
_PLANNING: Final = "You are in plan mode: change nothing before your plan is approved."
_NOT_KEPT: Final = "The gateway could not keep what this file is now, so it cannot be changed."
_NOT_RECORDED: Final = "The gateway could not put this call on record, so it is not made."
_NOT_TEXT: Final = "This call holds characters that nobody can be shown."
_NO: Final = "A person denied this call."


@dataclass(frozen=True, slots=True)
class _Open:
    """A call that waits."""

    request_id: str
    wanted: ApprovalWanted
    write: Write


class Desk:
    """Takes the questions of one agent's turn, and hands out the answers."""

    def __init__(
        self, workplace: Path, tools: frozenset[str], free: frozenset[str], mode: Mode, seen_as: Path | None = None
    ) -> None:
        """Begin with nothing to decide. `tools`: what the profile has; `free`: what it may use without asking.

        `seen_as`: under which path the agent has the workplace.
        """
        self.mode = mode
        self._workplace, self._tools, self._free = workplace, tools, free
        self._seen_as = seen_as or workplace
        self._tell: Callable[[TurnEvent], None] = lambda _: None
        # The CLI asks about a plan without saying it.
        self._plan_of: Callable[[str], JsonObject] = lambda _: {}
        # Keeps what a file was before it is changed.
        self._keep: Callable[[str], Awaitable[None]] = _kept_nowhere
        self._witness: Witness | None = None
        self._refused = EveryAskRefused()
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._open: dict[str, _Open] = {}

    @property
    def waiting(self) -> bool:
        """Whether a person has something to decide."""
        return bool(self._open or self._looks)

    def serve(self, tell: Callable[[TurnEvent], None], plan_of: Callable[[str], JsonObject]) -> None:
        """Tell a turn's questions from now on. `plan_of`: the arguments of a call that makes a plan, by its id."""
        self._tell, self._plan_of = tell, plan_of

    def keep(self, keep: Callable[[str], Awaitable[None]]) -> None:
        """Have what a file was kept before it is changed; it is called with the file's name below the workplace."""
        self._keep = keep

    def tell(self, witness: Witness | None) -> None:
        """Have somebody hear of every call before it is made, and of what is denied without asking."""
        self._witness = witness

    # The CLI's side

    def ask(self, ask: protocol.ControlAsk, write: Write) -> None:
        """Take a question of the CLI's."""
        if ask.subtype == "hook_callback":
            self._begin(ask, self._before(ask, write))
            return
        if ask.subtype != "can_use_tool":
            self._refused.ask(ask, write)
            return
        # While it is being streamed: the CLI does not wait for the end of what the model says.
        plan = self._plan_of(str(ask.body.get("tool_use_id")))
        # What is to be seen is read from the disk: others are not kept waiting for that.
        self._begin(ask, self._look(ask, plan, write))

    def _begin(self, ask: protocol.ControlAsk, work: Coroutine[Any, Any, None]) -> None:
        look = asyncio.create_task(work, name="look at a call")
        self._looks[ask.request_id] = look
        look.add_done_callback(_looked)

    async def _before(self, ask: protocol.ControlAsk, write: Write) -> None:
        """Put the call on record, keep what a file is that it changes, and let it go on its way."""
        told = ask.body.get("input")
        called = told if isinstance(told, Mapping) else {}
        tool, given = str(called.get("tool_name")), called.get("tool_input")
        arguments: JsonObject = given if isinstance(given, dict) else {}
        tool_id = str(ask.body.get("tool_use_id") or called.get("tool_use_id") or "")
        try:
            reason = await self._noted(tool_id, tool, arguments)
        finally:
            self._looks.pop(ask.request_id, None)
        answer: JsonObject = {}
        if reason is not None:
            self._deny(tool_id, "gateway")
            denied = {"permissionDecision": "deny", "permissionDecisionReason": reason}
            answer = {"hookSpecificOutput": {"hookEventName": "PreToolUse", **denied}}
        write(protocol.control_answer_line(ask.request_id, answer))

    async def _noted(self, tool_id: str, tool: str, arguments: JsonObject) -> str | None:
        """Say why the call must not be made: it could not be put on record, or what it changes could not be kept."""
        try:
            if self._witness is not None:
                await self._witness.called(tool_id, tool, arguments)
        except StoreError as error:
            _log.error("call_not_recorded", reason=str(error))
            return _NOT_RECORDED
        if tool not in _CHANGES:
            return None
        try:
            path = await asyncio.to_thread(_inside, self._workplace, arguments.get(_PATHS[tool]), self._seen_as)
            if path is not None:
                await self._keep(str(path.relative_to(self._workplace)))
        except OSError as error:
            _log.error("file_not_kept", reason=str(error))
            return _NOT_KEPT
        return None

    def _deny(self, tool_id: str, by: str) -> None:
        if self._witness is not None:
            self._witness.denied(tool_id, by)

    async def _look(self, ask: protocol.ControlAsk, plan: JsonObject, write: Write) -> None:
        try:
            found = await asyncio.to_thread(self._seen, ask.body, plan)
        except Exception:
            write(_answer(ask.request_id, Verdict(Decision.DENY, message=_NO)))
            raise
        finally:
            self._looks.pop(ask.request_id, None)
        if isinstance(found, Verdict):
            if found.decision is Decision.DENY:
                self._deny(str(ask.body.get("tool_use_id") or ""), "profile")
            write(_answer(ask.request_id, found))
            return
        self._open[found.approval_id] = _Open(ask.request_id, found, write)
        self._tell(found)

    def _seen(self, body: Mapping[str, Any], plan: JsonObject) -> ApprovalWanted | Verdict:
        """Look at a call: what a person is asked, or what is decided without one."""
        tool, given = str(body.get("tool_name")), body.get("input")
        tool_id = str(body.get("tool_use_id") or "")
        arguments: JsonObject = {**plan, **(given if isinstance(given, dict) else {})}
        reason = self._denied(tool, arguments, body) or _unreadable(arguments)
        if reason is not None:
            return Verdict(Decision.DENY, message=reason)
        if self.mode is Mode.AUTO:
            return Verdict(Decision.ALLOW)
        path = _inside(self._workplace, arguments.get(_PATHS.get(tool, "")), self._seen_as)
        name = str(path.relative_to(self._workplace)) if path is not None else ""
        before = text_of(self._workplace, name) if path is not None and tool in EDITS else None
        return ApprovalWanted(
            approval_id=str(uuid4()),
            tool_id=tool_id,
            tool_name=tool,
            arguments=arguments,
            shown=preview(tool, arguments, before=before, name=name),
            always=_always(tool, arguments),
        )

    def _denied(self, tool: str, arguments: JsonObject, body: Mapping[str, Any]) -> str | None:
        if self.mode is Mode.AUTO:
            # What such a tool can reach is bounded by the jail around it, as it is for a command.
            return None if tool in self._free else _NOBODY_ASKED
        if tool not in self._tools | TALKING:
            return _NOT_ITS_TOOL
        if self.mode is Mode.PLAN and tool not in TALKING:
            return _PLANNING
        blocked = body.get("blocked_path")
        if blocked is not None and _inside(self._workplace, blocked, self._seen_as) is None:
            return _OUTSIDE
        if body.get("decision_reason_type") == _SAFETY:
            return _OF_AGENTS
        return self._out_of_bounds(tool, arguments)

    def _out_of_bounds(self, tool: str, arguments: JsonObject) -> str | None:
        argument = _PATHS.get(tool)
        if argument is None or argument not in arguments:
            return None
        path = _inside(self._workplace, arguments[argument], self._seen_as)
        if path is None:
            return _OUTSIDE
        parts = {part.casefold() for part in path.relative_to(self._workplace).parts}
        return _OF_AGENTS if tool in _CHANGES and not parts.isdisjoint(_PROTECTED) else None

    def withdraw(self, request_id: str) -> None:
        """Forget a question that the CLI gave up."""
        look = self._looks.get(request_id)
        if look is not None:
            look.cancel()
        for approval_id, waits in tuple(self._open.items()):
            if waits.request_id == request_id:
                del self._open[approval_id]
                self._settled(waits, Verdict(Decision.DENY, Settler.END))

    def close(self) -> None:
        """Nobody asks any more."""
        for look in tuple(self._looks.values()):
            look.cancel()
        self._looks.clear()
        self._open.clear()

    # The person's side

    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        """Pass on what was decided; False: the CLI waits for it no longer."""
        waits = self._open.get(approval_id)
        if waits is None:
            return False
        self._check(waits.wanted, verdict)
        del self._open[approval_id]
        waits.write(_answer(waits.request_id, verdict))
        self._settled(waits, verdict)
        if waits.wanted.tool_name == PLAN_TOOL and verdict.decision is not Decision.DENY:
            self.mode = Mode.ACCEPT_EDITS
            change: JsonObject = {"subtype": "set_permission_mode", "mode": "acceptEdits"}
            waits.write(protocol.control_line(f"plan-{approval_id}", change))
        return True

    def _check(self, wanted: ApprovalWanted, verdict: Verdict) -> None:
        if verdict.decision is Decision.ALLOW_ALWAYS and not wanted.always:
            msg = "This call can be allowed for once only: use `allow`."
            raise invalid(msg, param="decision")
        if verdict.arguments is None or verdict.decision is Decision.DENY:
            return
        argument = _PATHS.get(wanted.tool_name, "")
        if verdict.arguments.get(argument) != wanted.arguments.get(argument):
            # What the file was has been kept, and shown; what another one is has not.
            msg = f"`{argument}` cannot be edited: deny the call, and say which file is meant."
            raise invalid(msg, param="input")
        reason = self._out_of_bounds(wanted.tool_name, verdict.arguments)
        if reason is not None:
            raise invalid(f"The edited input cannot be allowed. {reason}", param="input")

    def _settled(self, waits: _Open, verdict: Verdict) -> None:
        wanted, edited = waits.wanted, verdict.arguments is not None and verdict.decision is not Decision.DENY
        said = ApprovalSettled(
            wanted.approval_id, wanted.tool_id, verdict.decision, verdict.by, verdict.message, edited
        )
        self._tell(said)


async def _kept_nowhere(name: str) -> None:
    """Nobody wants it back."""


def _looked(look: asyncio.Task[None]) -> None:
    if not look.cancelled() and (bug := look.exception()) is not None:
        _log.error("call_not_shown", exc_info=bug)


def _inside(workplace: Path, given: object, seen_as: Path) -> Path | None:
    """Follow a path to where it leads; None where that is outside, or nowhere."""
    # A home directory is never inside, and the CLI knows how to spell one.
    if not isinstance(given, str) or not given or given.startswith("~"):
        return None
    try:
        named = Path(given)
        if seen_as != workplace and named.is_absolute():
            named = named.relative_to(seen_as)
        path = Path(os.path.realpath(workplace / named))
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(workplace) else None


def _unreadable(arguments: JsonObject) -> str | None:
    """Refuse what nobody can be shown: a model can write half a character."""
    try:
        orjson.dumps(arguments)
    except TypeError:
        return _NOT_TEXT
    return None


def _always(tool: str, arguments: JsonObject) -> str:
    """Name what is allowed for good by allowing this: edits of the project's files, or one command, word for word."""
    if tool in EDITS:
        return tool
    return f"Bash({arguments.get('command')})" if tool == "Bash" else ""


def _answer(request_id: str, verdict: Verdict) -> bytes:
    if verdict.decision is Decision.DENY:
        body: JsonObject = {"behavior": "deny", "message": verdict.message or _NO}
    elif verdict.arguments is None:
        body = {"behavior": "allow"}
    else:
        body = {"behavior": "allow", "updatedInput": verdict.arguments}
    return protocol.control_answer_line(request_id, body)
