"""Responses input items → system blocks and conversation.

An answer comes back as several items (reasoning, message, calls): neighbours of the assistant's become one message, as
the model said it. The results of one round of calls become one user message; every message of the user's stays an entry
of its own. Nothing is dropped to make a history fit: what does not fit is refused with the place.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from claude_code_api.dialects.blank import is_blank
from claude_code_api.dialects.fields import (
    Notes,
    kind_of,
    objects_of,
    optional_string,
    required_string,
    shown,
    wrong_kind,
)
from claude_code_api.dialects.json_text import NotAnObjectError, load_object
from claude_code_api.dialects.openai_content import cache_mark, file_block, image_block
from claude_code_api.dialects.responses_thoughts import unpacked
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

_Content: TypeAlias = TextBlock | OpaqueBlock
ITEMS: Final = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
ROLES: Final = ("system", "developer", "user", "assistant")
_USER_PARTS: Final = ("input_text", "input_image", "input_file")
_PARTS: Final = {
    "system": ("input_text",),
    "developer": ("input_text",),
    "user": _USER_PARTS,
    "assistant": ("output_text", "refusal"),
}
# The key of the words, by the type of the part.
_WORDS: Final = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
# Read here, or said by us when the item went out.
_KNOWN_ITEM: Final = {
    "message": frozenset({"role", "content", "phase", "cache_control"}),
    "function_call": frozenset({"call_id", "name", "arguments", "cache_control"}),
    "function_call_output": frozenset({"call_id", "output", "cache_control"}),
    "reasoning": frozenset({"summary", "content", "encrypted_content"}),
}
_KNOWN_PART: Final = {
    "input_text": frozenset({"text"}),
    "input_image": frozenset({"image_url", "file_id", "detail"}),
    "input_file": frozenset({"file_data", "file_id", "file_url", "filename", "detail"}),
    "output_text": frozenset({"text", "annotations", "logprobs"}),
    "refusal": frozenset({"refusal"}),
}


def read_input(
    value: Json, notes: Notes, *, goes_on: bool = False
) -> tuple[tuple[TextBlock, ...], tuple[Message, ...]]:
    """Read the whole input: the words of the system's and the developer's, and the conversation.

    `goes_on`: a session holds what came before, and so the calls that the first results answer.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    conversation = _Conversation(notes, goes_on=goes_on)
    for place, item in objects_of(value, "input"):
        conversation.add(place, item)
    return conversation.finish()


class _Conversation:
    """Takes item after item and knows which calls still wait for a result."""

    __slots__ = ("_asked_at", "_goes_on", "_last_at", "_messages", "_notes", "_results", "_said", "_system", "_waiting")

    def __init__(self, notes: Notes, *, goes_on: bool) -> None:
        self._notes, self._goes_on = notes, goes_on
        self._system: list[TextBlock] = []
        self._messages: list[Message] = []
        # What the assistant is just saying, and the results of what it called.
        self._said: list[Block] = []
        self._results: list[ToolResultBlock] = []
        # Calls without a result.
        self._waiting: dict[str, None] = {}
        self._asked_at = self._last_at = "input"

    def add(self, place: str, item: JsonObject) -> None:
        kind = item.get("type")
        if kind is None and item.get("role") is not None:
            kind = "message"
        if kind not in ITEMS:
            what = f'"{shown(kind)}"' if isinstance(kind, str) else kind_of(kind)
            served = ", ".join(f'"{name}"' for name in ITEMS)
            raise invalid(f"`{place}.type` is {what}; an item can be: {served}.", param=f"{place}.type")
        if kind == "item_reference":
            raise invalid(
                f"`{place}` refers to an item that is not known here, or was not stored: send the item itself.",
                param=f"{place}.id",
            )
        self._name_unknown(item, str(kind))
        match kind:
            case "message":
                self._add_message(place, item)
            case "function_call":
                self._add_call(place, item)
            case "function_call_output":
                self._add_result(place, item)
            case _:
                self._add_thought(item, place)

    def _name_unknown(self, item: JsonObject, kind: str) -> None:
        for name, value in item.items():
            if value not in (None, []) and name not in ("type", "id", "status") and name not in _KNOWN_ITEM[kind]:
                self._notes.add_unknown(name, "input.")

    def _add_message(self, place: str, item: JsonObject) -> None:
        role = item.get("role")
        if role not in ROLES:
            raise invalid(f"`{place}.role` must be one of: {', '.join(ROLES)}.", param=f"{place}.role")
        content = self._content(item.get("content"), f"{place}.content", _PARTS[str(role)])
        if role in ("system", "developer"):
            self._system.extend(block for block in content if isinstance(block, TextBlock))
            return
        self._last_at = place
        if role == "user":
            self._end_answer()
            self._end_round()
            self._messages.append(Message("user", content))
        else:
            self._say(place, *content)

    def _say(self, place: str, *blocks: Block) -> None:
        self._end_round()
        self._said.extend(blocks)
        self._asked_at = self._last_at = place

    def _add_thought(self, item: JsonObject, place: str) -> None:
        sealed = optional_string(item, "encrypted_content", f"{place}.")
        thought = unpacked(sealed) if sealed else None
        if thought is not None:
            self._say(place, thought)
        else:
            # Without its signature a thought cannot be sent back.
            self._notes.add("input.reasoning")

    def _add_call(self, place: str, item: JsonObject) -> None:
        call_id = required_string(item, "call_id", f"{place}.")
        name = required_string(item, "name", f"{place}.")
        arguments = item.get("arguments")
        if not isinstance(arguments, str):
            raise wrong_kind(arguments, f"{place}.arguments", "a string that holds a JSON object")
        try:
            block = ToolUseBlock(call_id, name, load_object(arguments), cache_mark(item, place))
        except NotAnObjectError as error:
            raise invalid(
                f"`{place}.arguments` {error}; it must be a string that holds a JSON object.",
                param=f"{place}.arguments",
            ) from None
        self._say(place, block)
        self._waiting[call_id] = None

    def _add_result(self, place: str, item: JsonObject) -> None:
        self._end_answer()
        self._last_at = place
        call_id = required_string(item, "call_id", f"{place}.")
        if call_id not in self._waiting and not self._goes_on:
            raise invalid(
                f'`{place}.call_id` "{shown(call_id)}" answers no open call: an output must follow the function_call '
                "with that call_id, directly and once.",
                param=f"{place}.call_id",
            )
        self._waiting.pop(call_id, None)
        output = item.get("output")
        answer: str | tuple[Block, ...] = (
            output if isinstance(output, str) else self._content(output, f"{place}.output", _USER_PARTS)
        )
        self._results.append(ToolResultBlock(call_id, answer, extra=cache_mark(item, place)))

    def _end_answer(self) -> None:
        if self._said:
            self._messages.append(Message("assistant", tuple(self._said)))
            self._said = []

    def _end_round(self) -> None:
        """Every call has its result, or the history is refused; then the results are one user message."""
        if self._said:
            return
        if self._waiting and not self._goes_on:
            missing = ", ".join(f'"{shown(call_id)}"' for call_id in self._waiting)
            raise invalid(
                f"`{self._asked_at}` calls functions, but these calls have no output: {missing}. Let a "
                "function_call_output with that `call_id` follow for each of them.",
                param=self._asked_at,
            )
        self._waiting.clear()
        if self._results:
            self._messages.append(Message("user", tuple(self._results)))
            self._results = []

    def finish(self) -> tuple[tuple[TextBlock, ...], tuple[Message, ...]]:
        """Close the conversation; it has to end with something that the model can answer, or go on from."""
        self._end_answer()
        self._end_round()
        if not self._messages:
            raise invalid("`input` must hold at least one message of the user's.", param="input")
        if all(isinstance(block, TextBlock) and is_blank(block.text) for block in self._messages[-1].blocks):
            raise invalid(f"`{self._last_at}` is blank: say something.", param=self._last_at)
        return tuple(self._system), tuple(self._messages)

    # Parts

    def _content(self, content: Json, path: str, allowed: tuple[str, ...]) -> tuple[_Content, ...]:
        if isinstance(content, str):
            return (TextBlock(content),) if content else ()
        if not isinstance(content, list):
            raise wrong_kind(content, path, "a string or a list of parts")
        found = []
        for place, part in objects_of(content, path):
            kind = part.get("type")
            if kind not in allowed:
                what = f'"{shown(kind)}"' if isinstance(kind, str) else kind_of(kind)
                served = ", ".join(f'"{name}"' for name in allowed)
                raise invalid(f"`{place}.type` is {what}; a part of it can be: {served}.", param=f"{place}.type")
            block = self._part(str(kind), part, place)
            if block is not None:
                found.append(block)
        return tuple(found)

    def _part(self, kind: str, part: JsonObject, place: str) -> _Content | None:
        for name, value in part.items():
            if value is not None and name not in ("type", "cache_control") and name not in _KNOWN_PART[kind]:
                self._notes.add_unknown(name, "input.content.")
        if kind in _WORDS:
            key = _WORDS[kind]
            text = part.get(key)
            if not isinstance(text, str):
                raise wrong_kind(text, f"{place}.{key}", "a string")
            # The model's API refuses empty texts, and nothing is lost with one.
            return TextBlock(text, cache_mark(part, place)) if text else None
        if part.get("detail") not in (None, "auto"):
            self._notes.add(f"input.content.{kind}.detail")
        field, names = ("image_url", ("file_id",)) if kind == "input_image" else ("file_data", ("file_id", "file_url"))
        for name in names:
            if part.get(name) is not None:
                raise invalid(
                    f"`{place}.{name}` names a file that is elsewhere; this gateway keeps and fetches none. Send the "
                    f"file itself in `{field}`, as a data: URL with base64.",
                    param=f"{place}.{name}",
                )
        url = required_string(part, field, f"{place}.")
        if kind == "input_image":
            return image_block(url, place, self._notes, cache_mark(part, place))
        return file_block(url, optional_string(part, "filename", f"{place}."), place, cache_mark(part, place))
