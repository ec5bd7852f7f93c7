"""Anthropic messages → conversation. Blocks go on as they came; here they are only looked at.

What the model's API can judge is left to it, because its words are the ones that clients of this dialect know. Refused
here is what would not reach it as it is: what the CLI would mend, drop or answer by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from claude_code_api.dialects.blank import is_blank
from claude_code_api.dialects.fields import Notes, as_object, objects_of, required_string, shown, wrong_kind
from claude_code_api.turn.block_json import block_of
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import (
    Block,
    Json,
    JsonObject,
    Message,
    Role,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)

_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant"}
# What means the same when it is left out.
_MEANS_NOTHING: Mapping[str, Json] = {"citations": [], "is_error": False, "caller": {"type": "direct"}}
# Every field that a known kind needs, with what it has to be.
_NEEDED: Mapping[str, tuple[tuple[str, type, str], ...]] = {
    "text": (("text", str, "a string"),),
    "image": (("source", Mapping, "an object"),),
    "document": (("source", Mapping, "an object"),),
    "thinking": (("thinking", str, "a string"), ("signature", str, "a string")),
    "redacted_thinking": (("data", str, "a string"),),
    "tool_use": (("id", str, "a string"), ("name", str, "a string"), ("input", Mapping, "an object")),
    "tool_result": (("tool_use_id", str, "a string"),),
}
# What the model wrote is not looked into: a call's arguments may look like anything.
_THE_MODELS_OWN = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "mcp_tool_use"})


def read_system(value: Json, path: str = "system") -> tuple[TextBlock, ...]:
    """Read `system`: a string, or text blocks with their cache marks."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (TextBlock(value),)
    if not isinstance(value, list):
        raise wrong_kind(value, path, "a string or a list of text blocks")
    found = []
    for place, body in objects_of(value, path):
        block = _block(body, place)
        if not isinstance(block, TextBlock):
            raise invalid(f'`{place}.type` must be "text".', param=f"{place}.type")
        found.append(block)
    return tuple(found)


def read_conversation(
    value: Json, notes: Notes, *, goes_on: bool = False
) -> tuple[tuple[TextBlock, ...], tuple[Message, ...]]:
    """Read the messages, and apart from them what those of role `system` say, which some clients put between them."""
    found = list(objects_of(value, "messages"))
    system = [
        block
        for place, body in found
        if body.get("role") == "system"
        for block in read_system(body.get("content"), f"{place}.content")
    ]
    said = [(place, body) for place, body in found if body.get("role") != "system"]
    return tuple(system), _read(said, notes, goes_on=goes_on)


def read_messages(value: Json, notes: Notes, *, goes_on: bool = False) -> tuple[Message, ...]:
    """Read a conversation of user and assistant."""
    return _read(list(objects_of(value, "messages")), notes, goes_on=goes_on)


def _read(found: Sequence[tuple[str, JsonObject]], notes: Notes, *, goes_on: bool) -> tuple[Message, ...]:
    messages = tuple(_message(place, body, notes) for place, body in found)
    if not messages:
        raise invalid("`messages` must hold at least one message.", param="messages")
    _check_calls(messages, goes_on=goes_on)
    last = f"{found[-1][0]}.content"
    if all(isinstance(block, TextBlock) and is_blank(block.text) for block in messages[-1].blocks):
        raise invalid(f"`{last}` is blank: say something.", param=last)
    return messages


def _message(place: str, body: JsonObject, notes: Notes) -> Message:
    role = _ROLES.get(str(body.get("role")))
    if role is None:
        raise invalid(f'`{place}.role` must be "user" or "assistant".', param=f"{place}.role")
    for name, value in body.items():
        if value is not None and name not in ("role", "content"):
            notes.add_unknown(name, "messages.")
    content = body.get("content")
    if content in ("", []):
        raise invalid(f"`{place}.content` must not be empty.", param=f"{place}.content")
    if isinstance(content, str):
        return Message(role, (TextBlock(content),))
    if not isinstance(content, list):
        raise wrong_kind(content, f"{place}.content", "a string or a list of blocks")
    return Message(role, tuple(_blocks(content, f"{place}.content", notes)))


def _blocks(content: Json, path: str, notes: Notes) -> Iterator[Block]:
    for place, body in objects_of(content, path):
        if body.get("type") not in _THE_MODELS_OWN:
            _look_for_what_is_elsewhere(body, place, notes)
        yield _block(body, place)


def _block(body: JsonObject, place: str) -> Block:
    kind = required_string(body, "type", f"{place}.")
    body = {name: value for name, value in body.items() if not _says_nothing(name, value)}
    for name, wanted, words in _NEEDED.get(kind, ()):
        if not isinstance(body.get(name), wanted):
            raise wrong_kind(body.get(name), f"{place}.{name}", words)
    if kind == "tool_result":
        body = _whole_result(body, place)
    return block_of(body)


def _says_nothing(name: str, value: Json) -> bool:
    """Tell what clients send along, of an answer or by habit."""
    return value is None or (name in _MEANS_NOTHING and value == _MEANS_NOTHING[name])


def _whole_result(body: JsonObject, place: str) -> JsonObject:
    if not isinstance(body.get("is_error", True), bool):
        raise wrong_kind(body["is_error"], f"{place}.is_error", "true or false")
    content = body.get("content", "")
    if isinstance(content, str):
        return {**body, "content": content}
    return {**body, "content": [_checked(part, path) for path, part in objects_of(content, f"{place}.content")]}


def _checked(part: JsonObject, place: str) -> JsonObject:
    _block(part, place)
    return part


def _look_for_what_is_elsewhere(body: JsonObject, place: str, notes: Notes) -> None:
    """Note parts that are named by a URL, at any depth; refuse those that are named by the id of an upload."""
    source = body.get("source")
    if isinstance(source, Mapping):
        match source.get("type"):
            case "url":
                notes.add_remote(place)
            case "file":
                raise invalid(
                    f"`{place}.source` names an uploaded file; this gateway keeps none. Send the data itself, with "
                    '`source.type` "base64".',
                    param=f"{place}.source",
                )
            case _:
                _look_into(source.get("content"), f"{place}.source.content", notes)
    _look_into(body.get("content"), f"{place}.content", notes)


def _look_into(content: Json, path: str, notes: Notes) -> None:
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, Mapping):
            _look_for_what_is_elsewhere(as_object(part, path), f"{path}[{index}]", notes)


# Calls and results


def _check_calls(messages: Sequence[Message], *, goes_on: bool) -> None:
    """Every call has its result in the next message, and every result its call in the one before.

    The model's API says the same, but the CLI mends a history of that kind before the API sees it. `goes_on`: the calls
    that the first results answer may be held by a session.
    """
    waiting: dict[str, str] = {}
    asked = not goes_on
    for index, (role, blocks) in _turns(messages):
        place = f"messages[{index}]"
        if role == "assistant":
            asked = True
            waiting = {block.id: place for block in blocks if isinstance(block, ToolUseBlock)}
            continue
        for block in blocks:
            if isinstance(block, ToolResultBlock) and waiting.pop(block.tool_use_id, None) is None and asked:
                raise invalid(
                    f'`{place}` holds a result for "{shown(block.tool_use_id)}", which is no open call: a '
                    "`tool_result` must be in the message directly after its `tool_use`, once.",
                    param=place,
                )
        _refuse_open(waiting)
    _refuse_open(waiting)


def _refuse_open(waiting: Mapping[str, str]) -> None:
    if waiting:
        place = next(iter(waiting.values()))
        ids = ", ".join(f'"{shown(call_id)}"' for call_id in waiting)
        raise invalid(
            f"`{place}` calls tools, but these calls have no result: {ids}. Each `tool_use` block needs a "
            "`tool_result` block in the next message.",
            param=place,
        )


def _turns(messages: Sequence[Message]) -> Iterable[tuple[int, tuple[Role, tuple[Block, ...]]]]:
    """Join neighbours of one role, as the model's API reads them; the index is the last one's."""
    joined: list[tuple[int, tuple[Role, tuple[Block, ...]]]] = []
    for index, message in enumerate(messages):
        blocks = message.blocks
        if joined and joined[-1][1][0] == message.role:
            blocks = joined.pop()[1][1] + blocks
        joined.append((index, (message.role, blocks)))
    return joined
