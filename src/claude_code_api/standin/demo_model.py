"""The answer to a request for which nothing was scripted: a friendly model that says it is none.

Pure and deterministic: the same body and number give the same answer. Honours the parameters whose effect a newcomer
can see (tools, tool_choice, max_tokens, stop_sequences, a JSON schema, thinking); ignores the rest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from claude_code_api.standin import demo_text
from claude_code_api.standin.demo_schema import SchemaFiller
from claude_code_api.standin.script import Answer, Block, Body, Ping, StopReason, Text, Thinking, ToolUse

Tool: TypeAlias = Mapping[str, Any]

DEFAULT_PACE_MS = 15.0

# A word with the white space after it. White space at the start of a text is a piece of its own that counts nothing.
_PIECE = re.compile(r"\S+\s*|\s+")

# Claude Code's own tools that change something: the demo does not start with one unless the user names it.
_CAREFUL = frozenset({"Bash", "Edit", "MultiEdit", "NotebookEdit", "Write"})


@dataclass(frozen=True, slots=True)
class DemoModel:
    """Answers for requests. `pace_ms` is the time between two words."""

    pace_ms: float = DEFAULT_PACE_MS

    def answer(self, body: Body, number: int = 0) -> Answer:
        """Return the answer to a Messages request; `number` keeps tool call ids apart."""
        messages = [message for message in _list(body.get("messages")) if isinstance(message, Mapping)]
        asked = _asked(messages)
        blocks = self._thinking(body, asked)
        stop: StopReason = "end_turn"
        results = _tool_results(messages)
        tool = None if results else _chosen_tool(body, asked)
        schema = _json_schema(body)
        if tool is not None:
            if _choice(body) == "auto":
                blocks.append(self._text(demo_text.before_call(str(tool["name"]))))
            blocks.append(self._call(tool, asked, _call_id(messages, number)))
            stop = "tool_use"
        elif schema is not None:
            blocks.append(self._text(_json_answer(schema, asked)))
        else:
            blocks.append(self._text(demo_text.about_results(results) if results else demo_text.reply(asked)))
        return _limited(blocks, stop, _stop_sequences(body), body.get("max_tokens"))

    def _text(self, text: str) -> Text:
        return Text(pieces=tuple(_PIECE.findall(text)), every_ms=self.pace_ms)

    def _thinking(self, body: Body, asked: str) -> list[Block]:
        wish = body.get("thinking")
        if not isinstance(wish, Mapping) or wish.get("type") not in ("enabled", "adaptive"):
            return []
        if wish.get("display") == "omitted":
            return [Thinking()]
        return [Thinking(pieces=tuple(_PIECE.findall(demo_text.thoughts(asked))), every_ms=self.pace_ms)]

    def _call(self, tool: Tool, asked: str, call_id: str) -> ToolUse:
        schema = tool.get("input_schema")
        root = schema if isinstance(schema, Mapping) else {"type": "object"}
        arguments = orjson.dumps(SchemaFiller(root, _hints(asked), only_required=True).value()).decode()
        return ToolUse(call_id, str(tool["name"]), pieces=tuple(_PIECE.findall(arguments)), every_ms=self.pace_ms)


def _list(value: object) -> Sequence[Any]:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    return value if isinstance(value, list) else []


def _blocks(message: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    content = _list(message.get("content"))
    return [block for block in content if isinstance(block, Mapping) and block.get("type") == kind]


def _asked(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what a person wrote last. Reminders that Claude Code adds are not a person's words."""
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        texts = [str(block.get("text", "")) for block in _blocks(message, "text")]
        own = [text for text in texts if not text.lstrip().startswith("<system-reminder>")]
        if own:
            return own[-1]
    return ""


def _tool_results(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    if not messages or messages[-1].get("role") != "user":
        return []
    return [_result_text(block) for block in _blocks(messages[-1], "tool_result")]


def _result_text(block: Mapping[str, Any]) -> str:
    parts = [part for part in _list(block.get("content")) if isinstance(part, Mapping)]
    return " ".join(str(part["text"]) if "text" in part else f"({part.get('type', 'content')})" for part in parts)


def _choice(body: Body) -> str:
    choice = body.get("tool_choice")
    return str(choice.get("type", "auto")) if isinstance(choice, Mapping) else "auto"


def _chosen_tool(body: Body, asked: str) -> Tool | None:
    """Return the tool to call: the forced one, else one that the user names, else the first that changes nothing."""
    tools = [tool for tool in _list(body.get("tools")) if isinstance(tool, Mapping) and "input_schema" in tool]
    if not tools or _choice(body) == "none":
        return None
    if _choice(body) == "tool":
        return next((tool for tool in tools if tool.get("name") == body["tool_choice"].get("name")), None)
    words = demo_text.words_of(asked)
    named = [tool for tool in tools if words & _name_words(tool)]
    harmless = [tool for tool in tools if tool["name"] not in _CAREFUL]
    return [*named, *harmless, *tools][0]


def _name_words(tool: Tool) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", str(tool["name"]).lower())) - {"mcp", "get", ""}


def _call_id(messages: Sequence[Mapping[str, Any]], number: int) -> str:
    digest = hashlib.sha256(orjson.dumps(messages[-1] if messages else None)).hexdigest()
    return f"toolu_{digest[:18]}{number:06d}"


def _hints(asked: str) -> dict[str, str]:
    """Return texts for well-known argument names, so that a demo call looks sensible and harms nothing."""
    capitals = re.findall(r"\b[A-Z][a-zà-ÿ]{2,}\b", asked)
    city = capitals[-1] if capitals else "Paris"
    said = demo_text.quoted(asked, 60) or "hello"
    return {
        **dict.fromkeys(("query", "text", "prompt", "question", "message", "description", "content"), said),
        **dict.fromkeys(("city", "location", "place", "town"), city),
        **dict.fromkeys(("path", "file", "filename", "file_path"), "README.md"),
        "command": "echo 'hello from the stand-in'",
        "pattern": "*",
        "url": "http://127.0.0.1/",
        "unit": "celsius",
    }


def _json_schema(body: Body) -> Mapping[str, Any] | None:
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, Mapping) else body.get("output_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        return None
    schema = wanted.get("schema")
    return schema if isinstance(schema, Mapping) else {}


def _json_answer(schema: Mapping[str, Any], asked: str) -> str:
    # A space after each separator gives the stream more than one piece.
    return orjson.dumps(SchemaFiller(schema, _hints(asked)).value(), option=orjson.OPT_INDENT_2).decode()


def _stop_sequences(body: Body) -> list[str]:
    return [text for text in _list(body.get("stop_sequences")) if isinstance(text, str) and text]


def _limited(blocks: Sequence[Block], stop: StopReason, stops: Sequence[str], max_tokens: object) -> Answer:
    """Apply stop sequences and the token limit; a word is a token."""
    left = max_tokens if isinstance(max_tokens, int) and not isinstance(max_tokens, bool) else None
    kept: list[Block] = []
    for block in blocks:
        if not isinstance(block, Text | Thinking | ToolUse) or isinstance(block.pieces, int):
            kept.append(block)
            continue
        pieces = [piece for piece in block.pieces if isinstance(piece, str)]
        found = _stopped(pieces, stops) if isinstance(block, Text) else None
        within = pieces if found is None else found[0]
        allowed = _first_words(within, left)
        kept.append(_with_pieces(block, allowed))
        if len(allowed) < len(within):
            return _answer(kept, "max_tokens")
        if found is not None:
            return _answer(kept, "stop_sequence", found[1])
        if left is not None:
            left -= sum(1 for piece in allowed if not piece.isspace())
    return _answer(kept, stop)


def _answer(blocks: Sequence[Block], stop: StopReason, stop_sequence: str | None = None) -> Answer:
    return Answer((Ping(), *blocks), stop_reason=stop, stop_sequence=stop_sequence)


def _stopped(pieces: Sequence[str], stops: Sequence[str]) -> tuple[list[str], str] | None:
    """Return the pieces before the earliest stop sequence, and that sequence."""
    text = "".join(pieces)
    hits = sorted((text.find(stop), at) for at, stop in enumerate(stops) if stop in text)
    if not hits:
        return None
    end, which = hits[0]
    return _PIECE.findall(text[:end]), stops[which]


def _first_words(pieces: Sequence[str], limit: int | None) -> list[str]:
    if limit is None:
        return list(pieces)
    kept: list[str] = []
    words = 0
    for piece in pieces:
        words += not piece.isspace()
        if words > limit:
            break
        kept.append(piece)
    return kept


def _with_pieces(block: Text | Thinking | ToolUse, pieces: Sequence[str]) -> Block:
    match block:
        case Text():
            return Text(pieces=tuple(pieces), every_ms=block.every_ms)
        case Thinking():
            return Thinking(signature=block.signature, pieces=tuple(pieces), every_ms=block.every_ms)
        case ToolUse():
            return ToolUse(block.id, block.name, pieces=tuple(pieces), every_ms=block.every_ms)
