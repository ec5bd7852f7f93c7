"""Requests of any shape, and what of them has to reach the model: computed from the request alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from claude_code_api.turn.request import (
    Block,
    ClientTool,
    Limits,
    Message,
    OpaqueBlock,
    Sampling,
    TextBlock,
    ToolChoice,
    ToolChoiceKind,
    ToolResultBlock,
    ToolUseBlock,
    TurnRequest,
)
from tests.real_cli.corpus import SPOKEN
from tests.real_cli.rig import IDENTITY, MODEL, plain

_PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
        "a5f645400000000049454e44ae426082"
    )
).decode()
_IMAGE = OpaqueBlock({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}})
_DOCUMENT = OpaqueBlock(
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a page\n"}, "title": "t"}
)
_PDF = OpaqueBlock(
    {
        "type": "document",
        "source": {
            "type": "base64",
            "media_type": "application/pdf",
            "data": base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode(),
        },
    }
)

# Text that says something: what is blank is another matter, and is tested by itself.
texts = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
    .map(lambda text: text + "x" if not text.strip() or text.isspace() else text)
    .map(lambda text: f"{text}." if not any(char.isalnum() for char in text) else text)
) | st.sampled_from(SPOKEN).filter(lambda text: any(char.isalnum() for char in text) and len(text) < 500)
text_blocks = texts.map(TextBlock)
user_blocks = st.lists(text_blocks | st.sampled_from([_IMAGE, _DOCUMENT, _PDF]), min_size=1, max_size=3).map(tuple)
assistant_blocks = st.lists(text_blocks, min_size=1, max_size=2).map(tuple)
# The CLI is a JavaScript program: an integer beyond 2**53 is rounded, whichever way it goes in.
arguments = st.dictionaries(
    st.text(st.sampled_from("abc"), min_size=1, max_size=2), texts | st.integers(-(2**53), 2**53), max_size=2
)


@st.composite
def tool_rounds(draw: st.DrawFn) -> list[Message]:
    """A question, calls with or without words before them, and their results with or without words after them."""
    names = draw(st.lists(st.sampled_from(["f", "Read", "Bash"]), min_size=1, max_size=3))
    uses = [ToolUseBlock(f"toolu_{at}", name, draw(arguments)) for at, name in enumerate(names)]
    results: list[Block] = []
    for use in uses:
        content = draw(texts | st.lists(text_blocks | st.just(_IMAGE), min_size=1, max_size=2).map(tuple))
        # The model's API takes nothing but text for an error.
        failed = draw(st.booleans()) and isinstance(content, str)
        results.append(ToolResultBlock(use.id, content, failed))
    before = draw(st.sampled_from([(), (TextBlock("let me see"),)]))
    after = draw(st.sampled_from([(), (), (TextBlock("and then?"),)]))
    question = Message("user", draw(user_blocks))
    return [question, Message("assistant", (*before, *uses)), Message("user", (*results, *after))]


_rounds = st.one_of(
    user_blocks.map(lambda blocks: [Message("user", blocks)]),
    assistant_blocks.map(lambda blocks: [Message("assistant", blocks)]),
    tool_rounds(),
)


def whole(rounds: Iterable[Sequence[Message]]) -> tuple[Message, ...]:
    """One conversation of several rounds; the id of each call is its own in the whole of it."""
    return tuple(
        Message(message.role, tuple(_numbered(block, number) for block in message.blocks))
        for number, messages in enumerate(rounds)
        for message in messages
    )


def _numbered(block: Block, number: int) -> Block:
    match block:
        case ToolUseBlock():
            return replace(block, id=f"{block.id}_{number}")
        case ToolResultBlock():
            return replace(block, tool_use_id=f"{block.tool_use_id}_{number}")
        case _:
            return block


_conversations = st.tuples(
    st.lists(_rounds, max_size=4), user_blocks.map(lambda blocks: [Message("user", blocks)]) | tool_rounds()
).map(lambda parts: whole([*parts[0], parts[1]]))
_TOOLS = tuple(
    ClientTool(name, described, {"type": "object", "properties": {"a": {"type": "string"}}}, strict)
    for name, described, strict in (("f", "does f", None), ("Read", None, True), ("Bash", "", False))
)
_choices = st.builds(
    lambda kind, parallel: ToolChoice(kind, "f" if kind is ToolChoiceKind.NAMED else None, parallel),
    st.sampled_from(ToolChoiceKind),
    st.booleans(),
)
_with_tools = st.tuples(st.integers(1, 3).map(lambda count: _TOOLS[:count]), _choices)

requests = st.builds(
    lambda messages, system, tooled, limit, stop, temperature, top_p, top_k, user: TurnRequest(
        MODEL,
        messages,
        system=system,
        tools=tooled[0],
        tool_choice=tooled[1],
        limits=Limits(limit, stop),
        sampling=Sampling(temperature, top_p, top_k),
        end_user=user,
    ),
    _conversations,
    st.lists(text_blocks, max_size=2).map(tuple),
    st.just(((), ToolChoice())) | _with_tools,
    st.none() | st.integers(1, 9000),
    st.lists(texts, max_size=2).map(tuple),
    st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    st.none() | st.sampled_from([0.1, 1.0]),
    st.none() | st.integers(1, 99),
    st.none() | st.just("somebody"),
)


# What has to arrive


def joined(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages in a form in which two ways of saying the same are the same.

    Neighbours of one role are one message, as the model's API has it; a string is one block of text; and cache marks,
    which are advice to the API and no words, are not there.
    """
    found: list[dict[str, Any]] = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else plain(content)
        if found and found[-1]["role"] == message["role"]:
            found[-1]["content"] += blocks
        else:
            found.append({"role": message["role"], "content": list(blocks)})
    return found


def normal(body: Mapping[str, Any]) -> dict[str, Any]:
    """A whole body in that form. `metadata` is a process's own name for itself unless the client gave a user."""
    user = str(body.get("metadata", {}).get("user_id", ""))
    fields = {name: value for name, value in body.items() if name not in {"metadata", "messages"}}
    return {**plain(fields), "user": user if "device_id" not in user else None, "messages": joined(body["messages"])}


def _block(block: Block) -> dict[str, Any]:
    match block:
        case TextBlock():
            return {"type": "text", "text": block.text}
        case ToolUseBlock():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": dict(block.arguments)}
        case ToolResultBlock(tool_use_id, content, failed):
            inner = content if isinstance(content, str) else [_block(part) for part in content]
            result = {"type": "tool_result", "tool_use_id": tool_use_id, "content": inner}
            return {**result, "is_error": True} if failed else result
        case OpaqueBlock():
            return dict(block.body)
        case _:
            raise AssertionError(block)


def _tools(request: TurnRequest) -> dict[str, Any]:
    tools = []
    for tool in request.tools:
        fields = {
            "name": tool.name,
            "description": tool.description,
            "input_schema": tool.schema,
            "strict": tool.strict,
        }
        tools.append({name: value for name, value in fields.items() if value is not None})
    return {"tools": json.loads(json.dumps(tools)), **_choice(request)}


def _choice(request: TurnRequest) -> dict[str, Any]:
    kinds = {
        ToolChoiceKind.NONE: {"type": "none"},
        ToolChoiceKind.REQUIRED: {"type": "any"},
        ToolChoiceKind.NAMED: {"type": "tool", "name": "f"},
        ToolChoiceKind.AUTO: {"type": "auto"},
    }
    wish = request.tool_choice
    serial = not wish.parallel and wish.kind is not ToolChoiceKind.NONE
    if not request.tools or (wish.kind is ToolChoiceKind.AUTO and not serial):
        return {}
    return {"tool_choice": {**kinds[wish.kind], **({"disable_parallel_tool_use": True} if serial else {})}}


# What the CLI by itself asks of MODEL.
_OWN: Mapping[str, Any] = {
    "model": MODEL,
    "stream": True,
    "thinking": {"type": "disabled"},
    "max_tokens": 32_000,
    "temperature": 1,
}
_OF_THE_REQUEST = frozenset({"messages", "system", "tools", "user"})


def own_fields(bare: Mapping[str, Any]) -> dict[str, Any]:
    """What the CLI by itself asks of a model: a request of its own in normal form, without what was said in it."""
    return {name: value for name, value in bare.items() if name not in _OF_THE_REQUEST}


def expected(request: TurnRequest, own: Mapping[str, Any] = _OWN) -> dict[str, Any]:
    """The normal form of the one body that this request may lead to. `own`: what the CLI adds, by the model."""
    system = [{"type": "text", "text": text} for text in (IDENTITY, *(block.text for block in request.system)) if text]
    wished = {
        "max_tokens": request.limits.max_output_tokens,
        "stop_sequences": list(request.limits.stop) or None,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "top_k": request.sampling.top_k,
    }
    return {
        **own,
        **{name: value for name, value in wished.items() if value is not None},
        "system": system,
        **_tools(request),
        "user": request.end_user,
        "messages": joined(
            [{"role": one.role, "content": [_block(block) for block in one.blocks]} for one in request.messages]
        ),
    }
