"""OpenAI chat messages → system blocks and conversation: who may speak after whom, and which result answers which call.

System and developer messages are lifted out in their order. The results of one round of calls become one user message,
which is the only form that the model's API takes; every other message stays an entry of its own. Nothing is dropped
to make a history fit: what does not fit is refused with the place and the id.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from claude_code_api.dialects.blank import is_blank
from claude_code_api.dialects.fields import (
    Notes,
    as_object,
    objects_of,
    optional_string,
    required_string,
    shown,
    wrong_kind,
)
from claude_code_api.dialects.json_text import NotAnObjectError, load_object
from claude_code_api.dialects.openai_content import blocks, cache_mark
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import (
    Block,
    Json,
    JsonObject,
    Message,
    OpaqueBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)

# What a user or assistant message is made of; results have their own way in.
_Said: TypeAlias = TextBlock | ToolUseBlock | OpaqueBlock
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_USER_PARTS = ("text", "image_url", "file")
_ASSISTANT_PARTS = ("text", "refusal")
# Read below, or (`index`, `name` of a tool message) said twice by clients and without a meaning of its own.
_KNOWN = {
    "system": ("content",),
    "developer": ("content",),
    "user": ("content",),
    "assistant": ("content", "refusal", "tool_calls", "function_call"),
    "tool": ("content", "tool_call_id", "name"),
    "function": ("content", "name"),
}


def read_messages(
    value: Json, notes: Notes, *, goes_on: bool = False
) -> tuple[tuple[TextBlock, ...], tuple[Message, ...]]:
    """Read the whole conversation: its system blocks and its messages.

    `goes_on`: a session may hold what came before, and so the calls that the first results answer.
    """
    conversation = _Conversation(notes, goes_on=goes_on)
    for index, (place, message) in enumerate(objects_of(value, "messages")):
        conversation.add(index, place, message)
    return conversation.finish()


class _Conversation:
    """Takes message after message and knows which calls still wait for a result."""

    __slots__ = ("_asked_at", "_goes_on", "_last_at", "_messages", "_notes", "_results", "_system", "_waiting")

    def __init__(self, notes: Notes, *, goes_on: bool) -> None:
        self._notes = notes
        self._goes_on = goes_on
        self._system: list[TextBlock] = []
        self._messages: list[Message] = []
        # Calls without a result: id → function name, or None where the call was not a legacy one.
        self._waiting: dict[str, str | None] = {}
        self._results: list[ToolResultBlock] = []
        self._asked_at = self._last_at = "messages"

    def add(self, index: int, place: str, message: JsonObject) -> None:
        role = message.get("role")
        if role not in ROLES:
            raise invalid(f"`{place}.role` must be one of: {', '.join(ROLES)}.", param=f"{place}.role")
        self._name_unknown(message, _KNOWN[str(role)])
        if role in ("system", "developer"):
            content = blocks(message.get("content"), f"{place}.content", self._notes, ("text",))
            self._system.extend(b for b in _marked(content, message, place) if isinstance(b, TextBlock))
            return
        self._last_at = place
        if role in ("tool", "function"):
            self._add_result(place, message, legacy=role == "function")
            return
        self._close_round()
        if role == "user":
            content = blocks(message.get("content"), f"{place}.content", self._notes, _USER_PARTS)
            self._messages.append(Message("user", _marked(content, message, place)))
        else:
            self._add_assistant(index, place, message)

    def finish(self) -> tuple[tuple[TextBlock, ...], tuple[Message, ...]]:
        """Close the conversation; it has to end with something that the model can answer, or go on from."""
        if not (self._messages or self._results):
            raise invalid("`messages` must hold at least one user message.", param="messages")
        self._close_round()
        if all(isinstance(block, TextBlock) and is_blank(block.text) for block in self._messages[-1].blocks):
            raise invalid(f"`{self._last_at}.content` is blank: say something.", param=f"{self._last_at}.content")
        return tuple(self._system), tuple(self._messages)

    def _name_unknown(self, message: JsonObject, known: tuple[str, ...]) -> None:
        for name, value in message.items():
            # `[]` and `null` are what clients echo of our own answers (annotations, audio).
            if value not in (None, []) and name not in ("role", "cache_control", *known):
                self._notes.add_unknown(name, "messages.")

    def _add_assistant(self, index: int, place: str, message: JsonObject) -> None:
        content, refusal = message.get("content"), optional_string(message, "refusal", f"{place}.")
        said = () if content is None else blocks(content, f"{place}.content", self._notes, _ASSISTANT_PARTS)
        # What the model said when it refused is what it said.
        refused = (TextBlock(refusal),) if refusal else ()
        calls = self._calls(index, place, message)
        if content is None and not refused and not calls:
            raise invalid(f"`{place}` needs `content` or `tool_calls`.", param=f"{place}.content")
        self._asked_at = place
        self._messages.append(Message("assistant", _marked((*said, *refused, *calls), message, place)))

    def _calls(self, index: int, place: str, message: JsonObject) -> list[ToolUseBlock]:
        tool_calls, legacy = message.get("tool_calls"), message.get("function_call")
        if tool_calls and legacy:
            raise invalid(f"`{place}` has both `tool_calls` and `function_call`: send one.", param=place)
        if legacy is not None:
            path = f"{place}.function_call"
            block = _call(f"call_{index}_", as_object(legacy, path), path)
            # The legacy form has no ids; position and name are the same in every request of a growing history.
            block = replace(block, id=block.id + block.name)
            self._waiting[block.id] = block.name
            return [block]
        found = []
        for path, call in objects_of([] if tool_calls is None else tool_calls, f"{place}.tool_calls"):
            if call.get("type", "function") != "function":
                raise invalid(f'`{path}.type` must be "function".', param=f"{path}.type")
            function = as_object(call.get("function"), f"{path}.function")
            block = _call(required_string(call, "id", f"{path}."), function, f"{path}.function")
            if block.id in self._waiting:
                raise invalid(f'`{path}.id` "{shown(block.id)}" is used twice in one message.', param=f"{path}.id")
            self._waiting[block.id] = None
            found.append(replace(block, extra=cache_mark(call, path)))
        return found

    def _add_result(self, place: str, message: JsonObject, *, legacy: bool) -> None:
        call_id = self._legacy_id(place, message) if legacy else required_string(message, "tool_call_id", f"{place}.")
        if call_id not in self._waiting and not self._may_have_been_made_before(call_id):
            field = f"{place}.name" if legacy else f"{place}.tool_call_id"
            name = required_string(message, "name", f"{place}.") if legacy else call_id
            raise invalid(
                f'`{field}` "{shown(name)}" answers no open call: a result must follow the assistant message that '
                "makes the call, directly and once.",
                param=field,
            )
        self._waiting.pop(call_id, None)
        content = message.get("content")
        answer: str | tuple[Block, ...] = (
            content if isinstance(content, str) else blocks(content, f"{place}.content", self._notes, _USER_PARTS)
        )
        self._results.append(ToolResultBlock(call_id, answer, extra=cache_mark(message, place)))

    def _may_have_been_made_before(self, call_id: str) -> bool:
        asked = any(message.role == "assistant" for message in self._messages)
        return self._goes_on and bool(call_id) and not asked

    def _legacy_id(self, place: str, message: JsonObject) -> str:
        name = required_string(message, "name", f"{place}.")
        return next((call_id for call_id, function in self._waiting.items() if function == name), "")

    def _close_round(self) -> None:
        """Every call has its result, or the history is refused; then the results are one user message."""
        if self._waiting:
            missing = ", ".join(f'"{shown(call_id)}"' for call_id in self._waiting)
            raise invalid(
                f"`{self._asked_at}` calls tools, but these calls have no result: {missing}. Let a message with role "
                '"tool" and that `tool_call_id` follow for each of them.',
                param=self._asked_at,
            )
        if self._results:
            self._messages.append(Message("user", tuple(self._results)))
            self._results = []


def _call(call_id: str, function: JsonObject, path: str) -> ToolUseBlock:
    name = required_string(function, "name", f"{path}.")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        raise wrong_kind(arguments, f"{path}.arguments", "a string that holds a JSON object")
    try:
        return ToolUseBlock(call_id, name, load_object(arguments))
    except NotAnObjectError as error:
        raise invalid(
            f"`{path}.arguments` {error}; it must be a string that holds a JSON object.", param=f"{path}.arguments"
        ) from None


def _marked(found: tuple[_Said, ...], message: JsonObject, place: str) -> tuple[_Said, ...]:
    """Put the cache breakpoint of a whole message where the model's API has it: on the last block."""
    mark = cache_mark(message, place)
    if not (mark and found):
        return found
    last = found[-1]
    if isinstance(last, OpaqueBlock):
        return (*found[:-1], OpaqueBlock({**mark, **last.body}))
    return (*found[:-1], replace(last, extra={**mark, **last.extra}))
