"""What may leave an agent's door, and what may not. Pure.

An agent's jail has no network, but it has the agent's door, and whatever runs in it can ask the model's API through
that. The API would reach out itself if it were asked to: it fetches addresses, it has tools and servers of its own, and
it opens the account's files. None of that is the agent's, and all of it would carry things in or out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from claude_code_api.turn.request import Block, Json, JsonObject, Message, OpaqueBlock, ToolResultBlock

# Fields by which the API does something else than to answer: it connects to servers, runs programs, asks models that
# nobody allowed, or answers at another price.
_NOT_FOR_AGENTS: Final = ("mcp_servers", "container", "fallbacks", "speed")
# Tools whose calls are made by whoever asked. All others are run by the API.
_TOOLS_OF_THE_ASKING: Final = frozenset({None, "custom"})
# Sources that are what they bring along.
_BROUGHT_ALONG: Final = frozenset({"base64", "text", "content"})


def objection(body: bytes, models: frozenset[str] | None, addresses: frozenset[str]) -> str | None:
    """Say why this may not be asked; None: it may. `addresses` are the ones that the client itself has named."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "this is not JSON"
    if not isinstance(asked, dict):
        return "this is not a request"
    model = asked.get("model")
    if models is not None and not (isinstance(model, str) and model in models):
        return "this model is not allowed here"
    return _reaches_out(asked, addresses)


def _reaches_out(asked: JsonObject, addresses: frozenset[str]) -> str | None:
    named = next((name for name in _NOT_FOR_AGENTS if asked.get(name)), None)
    if named is not None:
        return f"{named}: not served here"
    if not all(_is_own_tool(tool) for tool in _entries(asked.get("tools"))):
        return "tools: only one's own are served here"
    contents = [message.get("content") for message in _entries(asked.get("messages")) if isinstance(message, dict)]
    blocks = (block for content in (*contents, asked.get("system")) for block in _blocks(content))
    brought = all(_is_brought(block, addresses) for block in blocks)
    return None if brought else "messages: only what they bring along is served here"


def addresses_in(messages: Iterable[Message]) -> frozenset[str]:
    """All addresses that the API is to fetch for a conversation."""
    blocks = (block for message in messages for block in message.blocks)
    return frozenset(address for block in blocks for address in _addresses(block))


def _addresses(block: Block) -> Iterator[str]:
    if isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
        for inner in block.content:
            yield from _addresses(inner)
    elif isinstance(block, OpaqueBlock):
        source = block.body.get("source")
        if isinstance(source, dict) and isinstance(source.get("url"), str):
            yield str(source["url"])


def _entries(found: Json) -> list[Json]:
    # What has another shape the API refuses by itself.
    return found if isinstance(found, list) else []


def _is_own_tool(tool: Json) -> bool:
    return isinstance(tool, dict) and tool.get("type") in _TOOLS_OF_THE_ASKING


def _blocks(content: Json) -> Iterator[Json]:
    """All blocks of a content, and those within them; what a tool is called with is none, whatever it looks like."""
    for block in _entries(content):
        yield block
        if isinstance(block, dict):
            source = block.get("source")
            yield from _blocks(block.get("content"))
            yield from _blocks(source.get("content") if isinstance(source, dict) else None)


def _is_brought(block: Json, addresses: frozenset[str]) -> bool:
    if not isinstance(block, dict):
        return True
    source = block.get("source")
    if "file_id" in block:
        return False
    if not isinstance(source, dict):
        return True
    if source.get("type") == "url":
        return source.get("url") in addresses
    return source.get("type") in _BROUGHT_ALONG and "file_id" not in source and "url" not in source
