"""A session ↔ the transcript files that Claude Code itself writes, and a page that people can read. Pure.

What is written here can be resumed by the `claude` program, and read back into a session without loss; what that
program has written can be taken in.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from claude_code_api.flow.records import Session, StoredMessage
from claude_code_api.turn.block_json import blocks_json, blocks_of
from claude_code_api.turn.errors import TurnRefusedError, invalid
from claude_code_api.turn.request import (
    Block,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

# Entries of one transcript that are taken in.
MAX_ENTRIES: Final = 100_000
_SPOKEN: Final = frozenset({"user", "assistant"})


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """One message of a transcript."""

    message: Message
    created_s: float | None
    # Before the last compaction: kept, and no longer sent to the model.
    in_history: bool = True


@dataclass(frozen=True, slots=True)
class ReadTranscript:
    """What a transcript holds."""

    entries: tuple[ReadEntry, ...]
    title: str = ""
    model: str = ""


# Out


def transcript_of(session: Session, messages: Sequence[StoredMessage]) -> Iterator[bytes]:
    """Write a session as a transcript, line by line. The first line is about the session; the program passes it by."""
    yield _line({"type": "summary", "summary": session.title, "leafUuid": messages[-1].id if messages else None})
    parent: str | None = None
    for entry in messages:
        if not entry.in_history:
            continue
        if entry.summary is not None:
            yield from _boundary(session, entry, parent)
            parent = _summary_id(entry)
        said: dict[str, Any] = {"role": entry.message.role, "content": blocks_json(entry.message.blocks)}
        if entry.message.role == "assistant":
            # Without a model the program leaves the thoughts out.
            said = {"id": f"msg_{entry.id.replace('-', '')}", "type": "message", "model": session.model, **said}
        yield _line(
            {
                "type": entry.message.role,
                "uuid": entry.id,
                "parentUuid": parent,
                "isSidechain": False,
                "sessionId": session.id,
                "timestamp": _iso(entry.created_s),
                "message": said,
            }
        )
        parent = entry.id


def _boundary(session: Session, entry: StoredMessage, parent: str | None) -> Iterator[bytes]:
    """Say that the conversation was summed up before this message, and how."""
    boundary = {
        "type": "system",
        "subtype": "compact_boundary",
        "uuid": _made_of(entry, "boundary"),
        "parentUuid": None,
        "logicalParentUuid": parent,
    }
    summary = {
        "type": "user",
        "uuid": _summary_id(entry),
        "parentUuid": boundary["uuid"],
        "isCompactSummary": True,
        "message": {"role": "user", "content": entry.summary},
    }
    about = {"isSidechain": False, "sessionId": session.id, "timestamp": _iso(entry.created_s)}
    yield _line({**boundary, **about})
    yield _line({**summary, **about})


def _summary_id(entry: StoredMessage) -> str:
    return _made_of(entry, "summary")


def _made_of(entry: StoredMessage, what: str) -> str:
    """A name that is the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what} {entry.id}"))


def markdown_of(session: Session, messages: Sequence[StoredMessage]) -> Iterator[str]:
    """Write a session for a person."""
    yield f"# {session.title or 'Conversation'}\n\n"
    yield f"*{session.model} · {_iso(session.created_s)} · {len(messages)} messages*\n"
    for entry in messages:
        who = "You" if entry.message.role == "user" else "Claude"
        note = " *(cut)*" if entry.truncated else "" if entry.in_history else " *(superseded)*"
        if entry.summary is not None:
            yield f"\n## Summary of everything before\n\n{entry.summary}\n"
        yield f"\n## {who}{note}\n\n"
        for block in entry.message.blocks:
            yield _markdown(block) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case TextBlock():
            return f"{block.text}\n"
        case ThinkingBlock():
            return f"<details><summary>Thoughts</summary>\n\n{block.thinking}\n\n</details>\n"
        case ToolUseBlock():
            return f"**{block.name}** `{block.id}`\n\n{_fenced(_pretty(block.arguments), 'json')}\n"
        case ToolResultBlock():
            content = block.content if isinstance(block.content, str) else _pretty(blocks_json(block.content))
            return f"Result of `{block.tool_use_id}`{' (failed)' if block.is_error else ''}\n\n{_fenced(content)}\n"
        case OpaqueBlock():
            return f"*[{block.body.get('type', 'something')}]*\n"


def _fenced(text: str, language: str = "") -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _pretty(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _line(entry: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entry) + b"\n"


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# In


def read_transcript(text: str) -> ReadTranscript:
    """Take in a transcript: the branch that its last message ends, its answers put together from their entries."""
    entries = [_entry(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(entries) > MAX_ENTRIES:
        msg = f"The transcript has more than {MAX_ENTRIES} entries."
        raise invalid(msg, param="transcript")
    branch = _branch([entry for entry in entries if _is_linked(entry)])
    spoken = [entry for entry in branch if _is_spoken(entry)]
    if not spoken:
        raise invalid("There is no message in the transcript.", param="transcript")
    compacted = max((n for n, entry in enumerate(spoken) if entry.get("isCompactSummary")), default=0)
    models = [str(entry["message"].get("model")) for entry in spoken if entry["message"].get("model")]
    titles = [str(entry.get("summary") or "") for entry in entries if entry.get("type") == "summary"]
    return ReadTranscript(
        tuple(_joined(spoken[:compacted], in_history=False)) + tuple(_joined(spoken[compacted:], in_history=True)),
        title=titles[-1] if titles else "",
        model=models[-1] if models else "",
    )


def _entry(number: int, line: str) -> dict[str, Any]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _wrong(number, "is not JSON") from error
    if not isinstance(entry, dict):
        raise _wrong(number, "is not a JSON object")
    if entry.get("type") in _SPOKEN:
        _check_message(number, entry.get("message"))
    return entry


def _check_message(number: int, message: object) -> None:
    if not isinstance(message, dict) or message.get("role") not in _SPOKEN:
        raise _wrong(number, "has no message with the role user or assistant")
    content = message.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise _wrong(number, "has a message whose content is neither a text nor a list of blocks")


def _wrong(number: int, what: str) -> TurnRefusedError:
    return invalid(f"Line {number} of the transcript {what}.", param="transcript")


def _is_linked(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("uuid"), str) and not entry.get("isSidechain")


def _is_spoken(entry: Mapping[str, Any]) -> bool:
    return entry.get("type") in _SPOKEN and not entry.get("isMeta")


def _branch(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Follow the links back from the last message. A compaction has no parent, but says what it followed."""
    by_id = {entry["uuid"]: entry for entry in entries}
    at = next((entry for entry in reversed(entries) if _is_spoken(entry)), None)
    branch: list[dict[str, Any]] = []
    seen: set[str] = set()
    while at is not None and at["uuid"] not in seen:
        seen.add(at["uuid"])
        branch.append(at)
        at = by_id.get(at.get("parentUuid") or at.get("logicalParentUuid") or "")
    return branch[::-1]


def _joined(entries: Sequence[Mapping[str, Any]], *, in_history: bool) -> Iterator[ReadEntry]:
    """The program writes one entry for each block of an answer; the answer's id holds them together."""
    pending: list[Block] = []
    previous: Mapping[str, Any] | None = None
    for entry in entries:
        if previous is not None and not _same_answer(previous, entry):
            yield ReadEntry(Message(previous["message"]["role"], tuple(pending)), _time(previous), in_history)
            pending = []
        content = entry["message"]["content"]
        pending += (TextBlock(content),) if isinstance(content, str) else blocks_of(content)
        previous = entry
    if previous is not None:
        yield ReadEntry(Message(previous["message"]["role"], tuple(pending)), _time(previous), in_history)


def _same_answer(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    id_ = one["message"].get("id")
    return id_ is not None and one["type"] == other["type"] == "assistant" and other["message"].get("id") == id_


def _time(entry: Mapping[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(str(entry.get("timestamp"))).timestamp()
    except ValueError:
        return None
