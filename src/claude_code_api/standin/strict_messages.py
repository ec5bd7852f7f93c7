"""Rules about the order of messages: who speaks, what ends them, which call has which result.

The API joins messages of one role that follow each other before it looks at calls and results; so does this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from claude_code_api.standin.strict_request import Request, Turn, blocks_of
from claude_code_api.standin.strict_rows import Check, Found

_THOUGHTS: Final = ("thinking", "redacted_thinking")


def _first_message(request: Request) -> Found | None:
    messages = request.messages
    return {} if messages and messages[0].get("role") == "assistant" else None


def _message_empty(request: Request) -> Found | None:
    messages = request.messages
    for number, message in enumerate(messages):
        final = number == len(messages) - 1 and message.get("role") == "assistant"
        if message.get("content") in ("", []) and not final:
            return {"index": number}
    return None


def _ends_with_assistant(request: Request) -> bool:
    return bool(request.messages) and request.messages[-1].get("role") == "assistant"


def _prefill(request: Request) -> Found | None:
    return {} if _ends_with_assistant(request) and not _open_calls(request) else None


def _open_calls(request: Request) -> list[str]:
    turns = request.turns
    return turns[-1].ids("tool_use", "id") if turns and turns[-1].role == "assistant" else []


def _prefill_thinking(request: Request) -> Found | None:
    if request.part("thinking").get("type") not in ("enabled", "adaptive") or not _ends_with_assistant(request):
        return None
    blocks = blocks_of(request.messages[-1])
    kind = blocks[0].get("type") if blocks else "text"
    return {"index": len(request.messages) - 1, "found": kind} if kind not in _THOUGHTS else None


def _trailing_space(request: Request) -> Found | None:
    if not _ends_with_assistant(request):
        return None
    blocks = blocks_of(request.messages[-1])
    text = blocks[-1].get("text") if blocks else None
    return {} if isinstance(text, str) and text != text.rstrip() else None


def _tool_use_unanswered(request: Request) -> Found | None:
    turns = request.turns
    for at, turn in enumerate(turns):
        called = turn.ids("tool_use", "id") if turn.role == "assistant" else []
        answered = turns[at + 1].ids("tool_result", "tool_use_id") if at + 1 < len(turns) else []
        missing = [one for one in called if one not in answered]
        if missing:
            return {"index": turn.last, "ids": ", ".join(missing)}
    return None


def _results(request: Request) -> Iterator[tuple[Turn, list[str]]]:
    """Each turn of the user, with the ids of the calls before it."""
    called: list[str] = []
    for turn in request.turns:
        if turn.role == "user":
            yield turn, called
        called = turn.ids("tool_use", "id")


def _tool_result_alone(request: Request) -> Found | None:
    for turn, called in _results(request):
        for number, index, block in turn.blocks:
            if block.get("type") == "tool_result" and str(block.get("tool_use_id")) not in called:
                return {"index": number, "block": index, "ids": block.get("tool_use_id")}
    return None


def _tool_result_twice(request: Request) -> Found | None:
    for turn, _ in _results(request):
        seen: set[str] = set()
        for number, index, block in turn.blocks:
            one = str(block.get("tool_use_id"))
            if block.get("type") == "tool_result" and one in seen:
                return {"index": number, "block": index, "ids": one}
            if block.get("type") == "tool_result":
                seen.add(one)
    return None


def _tool_results_first(request: Request) -> Found | None:
    for turn, called in _results(request):
        kinds = [block.get("type") for _, _, block in turn.blocks]
        late = [at for at, kind in enumerate(kinds) if kind == "tool_result" and set(kinds[:at]) - {"tool_result"}]
        if late and called:
            ids = [str(turn.blocks[at][2].get("tool_use_id")) for at in late]
            return {"index": turn.first - 1, "ids": ", ".join(ids)}
    return None


def _tool_id_unique(request: Request) -> Found | None:
    count = Counter(str(block.value.get("id")) for block in request.blocks("tool_use"))
    return {} if any(number > 1 for number in count.values()) else None


def _thinking_first(request: Request) -> Found | None:
    """While calls are open, the message that made them begins with its thought."""
    *_, called, answered = [None, None, *request.turns]
    if request.part("thinking").get("type") != "enabled" or called is None or answered is None:
        return None
    if answered.role != "user" or not answered.ids("tool_result", "tool_use_id") or not called.blocks:
        return None
    number, index, block = called.blocks[0]
    if block.get("type") in _THOUGHTS:
        return None
    return {"index": number, "block": index, "found": block.get("type")}


def _system_message_place(request: Request) -> Found | None:
    messages = request.messages
    for number, message in enumerate(messages):
        if message.get("role") == "system" and (number == 0 or messages[number - 1].get("role") != "user"):
            return {"index": number}
    return None


CHECKS: Final[Mapping[str, Check]] = {
    "first_message": _first_message,
    "message_empty": _message_empty,
    "prefill": _prefill,
    "prefill_thinking": _prefill_thinking,
    "trailing_space": _trailing_space,
    "tool_use_unanswered": _tool_use_unanswered,
    "tool_result_alone": _tool_result_alone,
    "tool_result_twice": _tool_result_twice,
    "tool_results_first": _tool_results_first,
    "tool_id_unique": _tool_id_unique,
    "thinking_first": _thinking_first,
    "system_message_place": _system_message_place,
}
