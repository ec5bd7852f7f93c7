"""The client's functions → functions, names and a choice among them that the model's API takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from claude_code_api.models.draft import Draft
from claude_code_api.models.thinking import forces_a_call
from claude_code_api.models.tool_schema import accepted_schema, without_what_strict_forbids
from claude_code_api.turn.request import (
    Block,
    ClientTool,
    Message,
    OpaqueBlock,
    ToolChoice,
    ToolChoiceKind,
    ToolUseBlock,
)

MAX_NAME_CHARS: Final = 128
_NAME: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_NAME_CHARS}}}")
_NOT_OF_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST_CHARS: Final = 8


def settle_functions(draft: Draft) -> None:
    """Fit names, schemas and the choice."""
    _settle_names(draft)
    draft.change(tools=tuple(_accepted(draft, tool) for tool in draft.request.tools))
    _settle_choice(draft)


def _settle_choice(draft: Draft) -> None:
    choice = draft.request.tool_choice
    if not forces_a_call(draft) or (draft.model.forced_calls and draft.model.can_be_quiet):
        return
    # It cannot be made to, so it is told to.
    draft.name("tool_choice")
    named = choice.kind is ToolChoiceKind.NAMED
    function = f"the function `{choice.name}`" if named else "at least one of the functions that you have"
    draft.instructions.append(f"Answer by calling {function}; write no text instead of the call.")
    draft.change(tool_choice=ToolChoice(ToolChoiceKind.AUTO, None, choice.parallel))


# Schemas


def _accepted(draft: Draft, tool: ClientTool) -> ClientTool:
    if tool.schema is None:
        return tool
    schema, lost = accepted_schema(tool.schema)
    if tool.strict:
        strict = without_what_strict_forbids(schema) if draft.model.json_schema else None
        if strict is None:
            draft.name("tools", ".strict")
            tool = replace(tool, strict=None)
        else:
            schema = strict
    if lost:
        draft.name("tools", ".parameters")
    said = f"{tool.description or ''}\n\n{lost}".strip() if lost else tool.description
    return replace(tool, schema=schema, description=said)


# Names


def _settle_names(draft: Draft) -> None:
    """Give names that are refused another one; the answer gives them back."""
    request = draft.request
    taken = {tool.name for tool in request.tools}
    aliases: dict[str, str] = {}
    for name in (*(tool.name for tool in request.tools), *_names_in(request.messages)):
        if name not in aliases and not _NAME.fullmatch(name):
            aliases[name] = _alias(name, taken)
            taken.add(aliases[name])
    if not aliases:
        return
    choice = request.tool_choice
    draft.names = {alias: name for name, alias in aliases.items()}
    draft.change(
        tools=tuple(replace(tool, name=aliases.get(tool.name, tool.name)) for tool in request.tools),
        messages=tuple(_renamed(message, aliases) for message in request.messages),
        tool_choice=replace(choice, name=aliases.get(choice.name or "", choice.name)),
    )


def _alias(name: str, taken: Iterable[str]) -> str:
    plain = _NOT_OF_A_NAME.sub("_", name)
    if 0 < len(plain) <= MAX_NAME_CHARS and plain not in taken:
        return plain
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{plain[: MAX_NAME_CHARS - _DIGEST_CHARS - 1]}_{digest}"


def _names_in(messages: Iterable[Message]) -> Iterable[str]:
    for message in messages:
        for block in message.blocks:
            match block:
                case ToolUseBlock(name=name) | OpaqueBlock({"type": "tool_use", "name": str(name)}):
                    yield name
                case _:
                    pass


def _renamed(message: Message, aliases: Mapping[str, str]) -> Message:
    return replace(message, blocks=tuple(_block(block, aliases) for block in message.blocks))


def _block(block: Block, aliases: Mapping[str, str]) -> Block:
    match block:
        case ToolUseBlock(name=name) if name in aliases:
            return replace(block, name=aliases[name])
        case OpaqueBlock({"type": "tool_use", "name": str(name)}) if name in aliases:
            return OpaqueBlock({**block.body, "name": aliases[name]})
        case _:
            return block
