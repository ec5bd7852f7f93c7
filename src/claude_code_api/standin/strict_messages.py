"""The rules about messages: who speaks when, what blocks hold, calls and their results, images, marks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from claude_code_api.standin.strict_rules import Body, Breach

MAX_MARKS: Final = 4
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
MAX_IMAGES: Final = 100
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,200}")
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_BLOCKS: Final = frozenset(
    {"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result"}
    | {"server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "mcp_tool_use", "mcp_tool_result"}
    | {"code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result"}
    | {"container_upload", "tool_search_tool_result", "tool_reference", "compaction", "connector_text", "fallback"}
)
_ROLES: Final = ("user", "assistant")

Block = Mapping[str, Any]


def check_messages(body: Body) -> None:
    """Hold a conversation against its rules."""
    messages: Sequence[Body] = body["messages"]
    for index, message in enumerate(messages):
        _check_message(index, message, last=index == len(messages) - 1)
    if messages[0]["role"] != "user":
        raise Breach("first_message")
    _check_calls(messages)
    images = sum(block.get("type") == "image" for message in messages for block in _all_blocks(message))
    if images > MAX_IMAGES:
        raise Breach("image_count", found=images)
    _check_end(messages[-1])


def blocks_of(message: Body) -> list[Block]:
    """Return the blocks of a message; a text is one."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _all_blocks(message: Body) -> Iterator[Block]:
    for block in blocks_of(message):
        yield block
        content = block.get("content")
        if block.get("type") == "tool_result" and isinstance(content, list):
            yield from (inner for inner in content if isinstance(inner, dict))


def _check_message(index: int, message: Any, *, last: bool) -> None:  # noqa: ANN401 - JSON
    if not isinstance(message, dict):
        raise Breach("content_type", index=index)
    for name in message:
        if name not in ("role", "content"):
            raise Breach("unknown_field", place=f"messages.{index}.{name}")
    if message["role"] not in _ROLES:
        raise Breach("role", found=message["role"])
    if not isinstance(message["content"], (str, list)):
        raise Breach("content_type", index=index)
    if not message["content"] and not (last and message["role"] == "assistant"):
        raise Breach("message_empty", index=index)
    for number, block in enumerate(blocks_of(message) if message["content"] else ()):
        _check_block(index, number, block, message["role"])


def _check_block(index: int, number: int, block: Any, role: str) -> None:  # noqa: ANN401 - JSON
    place = {"index": index, "block": number}
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in _BLOCKS:
        raise Breach("block_type", found=kind, **place)
    match kind:
        case "text":
            _check_text(block, place)
        case "tool_use":
            _check_call(block, role, place)
        case "tool_result":
            _check_result(block, role, place)
        case "thinking":
            _check_thought(block, role, place)
        case "redacted_thinking" if role != "assistant":
            raise Breach("thinking_role", **place)
        case "image":
            _check_image(block, role, place)
        case "document":
            _check_document(block, place)
        case _:
            pass


def _check_text(block: Block, place: Mapping[str, int]) -> None:
    text = block.get("text")
    if not isinstance(text, str) or not text:
        if "cache_control" in block:
            raise Breach("cache_empty_text", **place)
        raise Breach("text_empty")
    if not text.strip():
        raise Breach("text_blank")


def _check_call(block: Block, role: str, place: Mapping[str, int]) -> None:
    if role != "assistant":
        raise Breach("tool_use_role", **place)
    if not isinstance(block.get("id"), str) or not _ID.fullmatch(block["id"]):
        raise Breach("tool_id", **place)
    if not isinstance(block.get("name"), str) or not _NAME.fullmatch(block["name"]):
        raise Breach("tool_use_name", **place)
    if not isinstance(block.get("input"), dict):
        raise Breach("tool_use_input", **place)


def _check_result(block: Block, role: str, place: Mapping[str, int]) -> None:
    if role != "user":
        raise Breach("tool_result_role", **place)
    content = block.get("content")
    if isinstance(content, list):
        for inner in content:
            _check_block(place["index"], place["block"], inner, role)


def _check_thought(block: Block, role: str, place: Mapping[str, int]) -> None:
    if role != "assistant":
        raise Breach("thinking_role", **place)
    if "signature" not in block:
        raise Breach("thinking_signature", **place)
    if not isinstance(block["signature"], str) or not block["signature"]:
        raise Breach("thinking_signature_empty", **place)
    if "cache_control" in block:
        raise Breach("cache_thinking", **place)


def _check_image(block: Block, role: str, place: Mapping[str, int]) -> None:
    if role == "assistant":
        raise Breach("image_role", **place)
    source = block.get("source")
    if not isinstance(source, dict):
        raise Breach("image_source", **place)
    if source.get("type") != "base64":
        return
    if source.get("media_type") not in _IMAGES:
        raise Breach("image_type", **place)
    data = source.get("data")
    if not isinstance(data, str) or not _is_base64(data):
        raise Breach("image_base64", **place)
    if len(data) > MAX_IMAGE_BYTES:
        raise Breach("image_size", found=len(data), **place)


def _check_document(block: Block, place: Mapping[str, int]) -> None:
    source = block.get("source")
    if not isinstance(source, dict):
        raise Breach("document_source", **place)
    if source.get("type") == "base64" and source.get("media_type") != "application/pdf":
        raise Breach("document_type", **place)


def _is_base64(data: str) -> bool:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(data)


# Calls and results


def _check_calls(messages: Sequence[Body]) -> None:
    turns = list(_joined(messages))
    seen: set[str] = set()
    for index, (role, blocks) in enumerate(turns):
        if role == "assistant":
            ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if len(set(ids)) < len(ids) or seen & set(ids):
                raise Breach("tool_id_unique")
            seen.update(ids)
            following = turns[index + 1][1] if index + 1 < len(turns) else []
            answered = {block.get("tool_use_id") for block in following if block["type"] == "tool_result"}
            missing = [id_ for id_ in ids if id_ not in answered]
            if missing:
                raise Breach("tool_use_unanswered", index=index, ids=", ".join(missing))
        else:
            before = turns[index - 1][1] if index else []
            _check_results(index, blocks, {block["id"] for block in before if block["type"] == "tool_use"})


def _joined(messages: Sequence[Body]) -> Iterator[tuple[str, list[Block]]]:
    """Yield messages as the API takes them: those of one role that follow each other are one."""
    role, blocks = "", list[Block]()
    for message in messages:
        if message["role"] != role:
            if role:
                yield role, blocks
            role, blocks = message["role"], []
        blocks += blocks_of(message) if message["content"] else []
    yield role, blocks


def _check_results(index: int, blocks: Sequence[Block], asked: set[str]) -> None:
    answered: set[str] = set()
    for number, block in enumerate(blocks):
        if block["type"] != "tool_result":
            continue
        id_ = str(block.get("tool_use_id"))
        if id_ not in asked:
            raise Breach("tool_result_alone", index=index, block=number, ids=id_)
        if id_ in answered:
            raise Breach("tool_result_twice", index=index, block=number, ids=id_)
        answered.add(id_)
    kinds = [block["type"] == "tool_result" for block in blocks]
    if any(later and not before for before, later in pairwise(kinds)):
        raise Breach("tool_results_first", index=index)


def _check_end(message: Body) -> None:
    if message["role"] != "assistant" or not message["content"]:
        return
    end = blocks_of(message)[-1]
    if end["type"] == "text" and end["text"] != end["text"].rstrip():
        raise Breach("trailing_space")


# System and marks


def check_system(body: Body) -> None:
    """Hold the system prompt against its rules."""
    system = body.get("system")
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise Breach("system_type")
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise Breach("system_text_only", index=index)
        if not isinstance(block.get("text"), str) or not block["text"].strip():
            raise Breach("system_blank")


def check_marks(body: Body) -> None:
    """Hold the marks for the cache against their rules: of tools, of the system prompt, of messages, of the whole."""
    marks: list[Any] = []
    for place, holder in _marked(body):
        mark = holder["cache_control"]
        if mark is None:
            continue
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
            raise Breach("cache_type", place=place)
        if mark.get("ttl", "5m") not in ("5m", "1h"):
            raise Breach("cache_ttl", place=place)
        marks.append(mark)
    if len(marks) > MAX_MARKS:
        raise Breach("cache_marks", found=len(marks))
    lasting = [mark.get("ttl", "5m") == "1h" for mark in marks]
    if any(later and not before for before, later in pairwise(lasting)):
        raise Breach("cache_ttl_order")


def _marked(body: Body) -> Iterator[tuple[str, Block]]:
    system = body.get("system")
    groups: list[tuple[str, Any]] = [
        *((f"tools.{n}", tool) for n, tool in enumerate(body.get("tools") or ())),
        *((f"system.{n}", block) for n, block in enumerate(system if isinstance(system, list) else ())),
        *((f"messages.{n}", block) for n, message in enumerate(body["messages"]) for block in _all_blocks(message)),
        ("request", body),
    ]
    yield from ((place, holder) for place, holder in groups if isinstance(holder, dict) and "cache_control" in holder)
