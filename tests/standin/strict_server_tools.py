"""Examples of the rules about the API's own tools, and about tools that are loaded later."""

from __future__ import annotations

from typing import Any, Final

from tests.standin.strict_bodies import MARK, Example, call, calling, png, result, text, tool, tools

_NAMES: Final = {
    "web_search_20250305": "web_search",
    "web_fetch_20250910": "web_fetch",
    "code_execution_20250825": "code_execution",
    "bash_20250124": "bash",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250728": "str_replace_based_edit_tool",
    "memory_20250818": "memory",
    "computer_20250124": "computer",
}
_LATER: Final = tool("later", defer_loading=True)
_POINTER: Final = {"type": "tool_reference", "tool_name": "later"}
_BOTH: Final = {"allowed_domains": ["a.example"], "blocked_domains": ["b.example"]}


def _own(kind: str, **fields: Any) -> dict[str, Any]:
    return tools({"type": kind, "name": _NAMES[kind], **fields})


def _pointed(*content: Any, listed: tuple[Any, ...] = (tool(), _LATER), **fields: Any) -> dict[str, Any]:
    return calling(call(), results=(result(content=[*content], **fields),), tools=[*listed])


OWN: Final = [
    *[
        Example(
            f"{kind}_name",
            tools({"type": kind, "name": "mine"}),
            f"tools.0.{kind}.name: Input should be '{name}'",
            _own(kind),
        )
        for kind, name in _NAMES.items()
    ],
    *[
        Example(
            f"{_NAMES[kind]}_max_uses",
            _own(kind, max_uses=0),
            f"tools.0.{kind}.max_uses: Input should be greater than 0",
            _own(kind, max_uses=1),
        )
        for kind in ("web_search_20250305", "web_fetch_20250910")
    ],
    Example(
        "search_domains",
        _own("web_search_20250305", **_BOTH),
        "tools.0.web_search_20250305: only one of allowed_domains and blocked_domains can be specified",
        _own("web_search_20250305", allowed_domains=["a.example"], blocked_domains=[]),
    ),
]

LATER: Final = [
    Example(
        "deferred_mark",
        tools(tool(), {**_LATER, "cache_control": MARK}),
        "Tool 'later' cannot have both defer_loading=true and cache_control set. Tools with defer_loading cannot use "
        "prompt caching.",
        tools(tool(cache_control=MARK), _LATER),
    ),
    Example("all_deferred", tools(_LATER), "At least one tool must have defer_loading=false", tools(tool(), _LATER)),
    Example(
        "reference_mixed",
        _pointed(text("here:"), _POINTER),
        "Tool definitions/code execution functions cannot be mixed with other content",
        _pointed(_POINTER),
    ),
    Example(
        "reference_unknown",
        _pointed(_POINTER, listed=(tool(),)),
        "Tool reference 'later' not found in available tools",
        _pointed(_POINTER),
    ),
    Example(
        "result_error_text",
        _pointed(text("failed"), png(), is_error=True),
        "messages.2.content.0.tool_result: all content must be type `text` if `is_error` is true",
        _pointed(text("seen"), png(), is_error=False),
    ),
]

EXAMPLES: Final = [*OWN, *LATER]
