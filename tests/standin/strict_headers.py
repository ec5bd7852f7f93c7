"""Examples of the rules that look at the headers, at what betas bring, and at what is only counted."""

from __future__ import annotations

from typing import Any, Final

from tests.standin.strict_bodies import Example, body, said, user, without

_EXTRA: Final = "Extra inputs are not permitted"
_CONTEXT: Final = (("anthropic-beta", "context-management-2025-06-27"),)
_MCP: Final = (("anthropic-beta", "mcp-client-2025-11-20"),)
_FAR: Final = {"type": "url", "url": "https://example.com/mcp", "name": "far"}
_EDITS: Final = "'clear_thinking_20251015', 'clear_tool_uses_20250919', 'compact_20260112'"
_CLEAR: Final = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
_COUNTED: Final = without("max_tokens")


def _context(bad: Any, words: str, rule: str) -> Example:
    good = body(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]})
    return Example(rule, body(context_management=bad), words, good, headers=_CONTEXT, bad_headers=_CONTEXT)


def _servers(rule: str, bad: Any, words: str) -> Example:
    good = body(mcp_servers=[_FAR])
    return Example(rule, body(mcp_servers=bad), words, good, headers=_MCP, bad_headers=_MCP)


def _server(name: str, value: Any = None) -> list[dict[str, Any]]:
    kept = {key: one for key, one in _FAR.items() if key != name}
    return [kept if value is None else {**kept, name: value}]


def _counting(name: str, value: Any) -> Example:
    return Example(f"counting_{name}", {**_COUNTED, name: value}, f"{name}: {_EXTRA}", _COUNTED, counting=True)


HEADERS: Final = [
    Example(
        "beta_header",
        body(),
        "Unexpected value(s) `Best, prompt-caching` for the `anthropic-beta` header. Please consult our documentation "
        "at platform.claude.com/docs or try again without the header.",
        body(),
        headers=(("anthropic-beta", "claude-code-20250219,oauth-2025-04-20, prompt-caching-scope-2026-01-05"),),
        bad_headers=(("anthropic-beta", "prompt-caching,Best, oauth-2025-04-20"),),
    ),
    Example(
        "prompt_length",
        said(user("a " * 200_001)),
        "prompt is too long: 200001 tokens > 200000 maximum",
        said(user("a " * 200_001)),
        headers=(("anthropic-beta", "context-1m-2025-08-07"),),
    ),
]

COUNTING: Final = [
    _counting("max_tokens", 9),
    _counting("temperature", 1),
    _counting("top_p", 1),
    _counting("top_k", 1),
    _counting("stream", False),
    _counting("stop_sequences", ["x"]),
]

BETAS: Final = [
    _context([], "context_management: Input should be a valid dictionary", "context_management_type"),
    _context(
        {"edits": [{"type": "forget"}]},
        "context_management.edits.0.type: Input tag 'forget' found using 'type' does not match any of the expected "
        f"tags: {_EDITS}",
        "context_edit_tag",
    ),
    Example(
        "clear_thinking",
        body(context_management=_CLEAR, thinking={"type": "disabled"}),
        "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive",
        body(model="claude-opus-5", context_management=_CLEAR),
        headers=_CONTEXT,
        bad_headers=_CONTEXT,
    ),
    _servers("mcp_servers_type", {}, "mcp_servers: Input should be a valid list"),
    _servers("mcp_server_tag", _server("type", "stdio"), "mcp_servers.0.type: Input should be 'url'"),
    _servers("mcp_server_name", _server("name"), "mcp_servers.0.name: Field required"),
    _servers("mcp_server_url", _server("url"), "mcp_servers.0.url: Field required"),
]

EXAMPLES: Final = [*HEADERS, *COUNTING, *BETAS]
