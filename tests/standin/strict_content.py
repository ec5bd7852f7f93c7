"""Examples of the rules about messages and the blocks in them: their shapes and their order."""

from __future__ import annotations

from typing import Any, Final

from tests.standin.strict_bodies import (
    MARK,
    SIGNATURE,
    Example,
    assistant,
    call,
    calling,
    found,
    result,
    said,
    text,
    thought,
    user,
)

_EXTRA: Final = "Extra inputs are not permitted"
_STRING: Final = "Input should be a valid string"
_LIST: Final = "Input should be a valid list"
_EXTRACT: Final = "Input should be a valid dictionary or object to extract fields from"
_IDS: Final = "String should match pattern '^[a-zA-Z0-9_-]+$'"
_BLOCK_TAGS: Final = (
    "'bash_code_execution_tool_result', 'code_execution_tool_result', 'container_upload', 'document', 'image', "
    "'mcp_tool_result', 'mcp_tool_use', 'redacted_thinking', 'search_result', 'server_tool_use', 'text', "
    "'text_editor_code_execution_tool_result', 'thinking', 'tool_result', 'tool_search_tool_result', 'tool_use', "
    "'web_fetch_tool_result', 'web_search_tool_result'"
)
_FIRST: Final = (
    "Expected `thinking` or `redacted_thinking`, but found `{}`. When `thinking` is enabled, a final `assistant` "
    "message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We "
    "recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please "
    "consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
)
_UNANSWERED: Final = (
    "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block "
    "must have a corresponding `tool_result` block in the next message."
)
_BUDGET: Final = {"type": "enabled", "budget_tokens": 2000}
_HIDDEN: Final = {"type": "redacted_thinking", "data": SIGNATURE}
_REPLY: Final = said(user("hi"), assistant("hello"), user("bye"))


def _without(block: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != name}


def _thoughts(*blocks: Any) -> dict[str, Any]:
    return said(user("hi"), assistant(*blocks, text("hello")), user("bye"))


MESSAGES: Final = [
    Example("message_type", said(user("hi"), "bye"), f"messages.1: {_EXTRACT}", said(user("hi"), user("bye"))),
    Example("message_fields", said({**user("hi"), "name": "me"}), f"messages.0.name: {_EXTRA}", said(user("hi"))),
    Example("role_required", said({"content": "hi"}), "messages.0.role: Field required", said(user("hi"))),
    Example(
        "role",
        said(user("hi"), {**user("18"), "role": "tool"}),
        'messages: Unexpected role "tool". Allowed roles are "user" or "assistant"',
        _REPLY,
    ),
    Example("content_required", said({"role": "user"}), "messages.0.content: Field required", said(user("hi"))),
    Example(
        "content_type", said({"role": "user", "content": None}), f"messages.0.content: {_LIST}", said(user(text("hi")))
    ),
    Example(
        "first_message",
        said(assistant("hello"), user("hi")),
        'messages: first message must use the "user" role',
        said(user("hi"), user("again")),
    ),
    Example(
        "message_empty",
        said(user("hi"), assistant(""), user("bye")),
        "messages.1: all messages must have non-empty content except for the optional final assistant message",
        said(user("hi"), assistant("")),
    ),
    Example(
        "trailing_space",
        said(user("hi"), assistant("hello ")),
        "messages: final assistant content cannot end with trailing whitespace",
        said(user("hi"), assistant("hello "), user("bye")),
    ),
    Example(
        "prefill_thinking",
        said(user("hi"), assistant("hello"), thinking=_BUDGET),
        "messages.1.content.0.type: " + _FIRST.format("text"),
        said(user("hi"), assistant("hello"), thinking={"type": "disabled"}),
    ),
    Example(
        "system_message_place",
        said(user("hi"), assistant("hello"), {"role": "system", "content": "x"}, user("bye"), model="claude-opus-5"),
        "messages.2: role 'system' must follow a 'user' message",
        said(user("hi"), {"role": "system", "content": "x"}, assistant("hello"), user("bye"), model="claude-opus-5"),
    ),
]

TEXTS: Final = [
    Example("block_object", said(user("hi", text("a"))), f"messages.0.content.0: {_EXTRACT}", said(user(text("a")))),
    Example(
        "block_tag_required",
        said(user({"text": "hi"})),
        "messages.0.content.0.type: Field required",
        said(user(text("hi"))),
    ),
    Example(
        "block_tag",
        said(user({"type": "input_text", "text": "hi"})),
        "messages.0.content.0: Input tag 'input_text' found using 'type' does not match any of the expected tags: "
        + _BLOCK_TAGS,
        said(user({"type": "container_upload", "file_id": "file_1"})),
    ),
    Example(
        "text_text_required",
        said(user({"type": "text"})),
        "messages.0.content.0.text.text: Field required",
        said(user(text("hi"))),
    ),
    Example(
        "text_text_type", said(user(text(None))), f"messages.0.content.0.text.text: {_STRING}", said(user(text("hi")))
    ),
    Example(
        "text_fields",
        said(user(text("hi", id="1"))),
        f"messages.0.content.0.text.id: {_EXTRA}",
        said(user(text("hi", citations=None))),
    ),
    Example(
        "text_empty",
        said(user(text("hi"), text(""))),
        "messages: text content blocks must be non-empty",
        said(user(text("hi"), text("bye"))),
    ),
    Example(
        "text_blank",
        said(user(" \n")),
        "messages: text content blocks must contain non-whitespace text",
        said(user(" hi\n")),
    ),
    Example(
        "search_result_source_required",
        said(user(found(source=None))),
        "messages.0.content.0.search_result.source: Field required",
        said(user(found())),
    ),
    Example(
        "search_result_source_type",
        said(user(found(source=1))),
        f"messages.0.content.0.search_result.source: {_STRING}",
        said(user(found())),
    ),
    Example(
        "search_result_title_required",
        said(user(found(title=None))),
        "messages.0.content.0.search_result.title: Field required",
        said(user(found())),
    ),
    Example(
        "search_result_title_type",
        said(user(found(title=1))),
        f"messages.0.content.0.search_result.title: {_STRING}",
        said(user(found())),
    ),
    Example(
        "search_result_content_required",
        said(user(found(content=None))),
        "messages.0.content.0.search_result.content: Field required",
        said(user(found())),
    ),
    Example(
        "search_result_content_type",
        said(user(found(content="c"))),
        f"messages.0.content.0.search_result.content: {_LIST}",
        said(user(found())),
    ),
    Example(
        "search_result_fields",
        said(user(found(url="d"))),
        f"messages.0.content.0.search_result.url: {_EXTRA}",
        said(user(found(citations={"enabled": True}))),
    ),
]

THOUGHTS: Final = [
    Example(
        "thinking_thinking_required",
        _thoughts(_without(thought(), "thinking")),
        "messages.1.content.0.thinking.thinking: Field required",
        _thoughts(thought(thinking="")),
    ),
    Example(
        "thinking_thinking_type",
        _thoughts(thought(thinking=None)),
        f"messages.1.content.0.thinking.thinking: {_STRING}",
        _thoughts(thought()),
    ),
    Example(
        "thinking_signature_required",
        _thoughts(_without(thought(), "signature")),
        "messages.1.content.0.thinking.signature: Field required",
        _thoughts(thought()),
    ),
    Example(
        "thinking_signature_type",
        _thoughts(thought(signature=None)),
        f"messages.1.content.0.thinking.signature: {_STRING}",
        _thoughts(thought()),
    ),
    Example(
        "thinking_fields",
        _thoughts(thought(cache_control=MARK)),
        f"messages.1.content.0.thinking.cache_control: {_EXTRA}",
        said(user("hi"), assistant(thought(), text("hello", cache_control=MARK)), user("bye")),
    ),
    Example(
        "thinking_signature",
        _thoughts(thought(signature="not a signature")),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        _thoughts(thought(signature="EqoBCkgIAhABGAIiQL_-")),
    ),
    Example(
        "redacted_thinking_data_required",
        _thoughts({"type": "redacted_thinking"}),
        "messages.1.content.0.redacted_thinking.data: Field required",
        _thoughts(_HIDDEN),
    ),
    Example(
        "redacted_thinking_data_type",
        _thoughts({**_HIDDEN, "data": 1}),
        f"messages.1.content.0.redacted_thinking.data: {_STRING}",
        _thoughts(_HIDDEN),
    ),
    Example(
        "redacted_thinking_fields",
        _thoughts({**_HIDDEN, "signature": SIGNATURE}),
        f"messages.1.content.0.redacted_thinking.signature: {_EXTRA}",
        _thoughts(_HIDDEN),
    ),
    Example(
        "redacted_data",
        _thoughts({**_HIDDEN, "data": ""}),
        "messages.1.content.0: Invalid `data` in `redacted_thinking` block",
        _thoughts(_HIDDEN),
    ),
    Example(
        "thinking_first",
        calling(call(), thinking=_BUDGET),
        "messages.1.content.0.type: " + _FIRST.format("tool_use"),
        calling(thought(), call(), thinking=_BUDGET),
    ),
    Example(
        "assistants_block",
        said(user(thought(), text("hi"))),
        "messages.0: `thinking` blocks can only be in `assistant` messages",
        _thoughts(thought()),
    ),
    Example(
        "users_block",
        said(user("hi"), assistant(found()), user("bye")),
        "messages.1: `search_result` blocks can only be in `user` messages",
        said(user("hi"), assistant("hello"), user(found())),
    ),
]


def _call_field(name: str, kind: str, wrong: Any) -> list[Example]:
    at, known = f"messages.1.content.0.tool_use.{name}", calling(call())
    missing = calling(_without(call(), name))
    return [
        Example(f"tool_use_{name}_required", missing, f"{at}: Field required", known),
        Example(
            f"tool_use_{name}_type", calling({**call(), name: wrong}), f"{at}: Input should be a valid {kind}", known
        ),
    ]


def _result(**fields: Any) -> dict[str, Any]:
    return calling(call(), results=(result(**fields),))


CALLS: Final = [
    Example(
        "tool_use_id_required",
        calling(_without(call(), "id")),
        "messages.1.content.0.tool_use.id: Field required",
        calling(call()),
    ),
    Example("tool_use_id_type", calling(call(1)), f"messages.1.content.0.tool_use.id: {_STRING}", calling(call())),
    *_call_field("name", "string", 1),
    *_call_field("input", "dictionary", "{}"),
    Example(
        "tool_use_fields",
        calling(call(index=0)),
        f"messages.1.content.0.tool_use.index: {_EXTRA}",
        calling(call(caller={"type": "direct"})),
    ),
    Example(
        "tool_use_id_pattern",
        calling(call("call:1"), results=(result("call:1"),)),
        f"messages.1.content.0.tool_use.id: {_IDS}",
        calling(call("call-1"), results=(result("call-1"),)),
    ),
    Example(
        "tool_use_name_length",
        calling({**call(), "name": "n" * 201}),
        "messages.1.content.0.tool_use.name: String should have at most 200 characters",
        calling({**call(), "name": "n" * 200}),
    ),
    Example(
        "tool_use_name_empty",
        calling({**call(), "name": ""}),
        "messages.1.content.0.tool_use.name: String should have at least 1 character",
        calling({**call(), "name": "n"}),
    ),
    Example(
        "tool_use_name_pattern",
        calling({**call(), "name": "a.b"}),
        "messages.1.content.0.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{1,200}$'",
        calling({**call(), "name": "a_b"}),
    ),
    Example(
        "tool_id_unique",
        said(user("a"), assistant(call()), user(result()), assistant(call()), user(result())),
        "messages: `tool_use` ids must be unique",
        said(user("a"), assistant(call()), user(result()), assistant(call("b")), user(result("b"))),
    ),
    Example(
        "tool_use_unanswered",
        said(user("look"), assistant(call(), call("b")), user(result())),
        _UNANSWERED.format("b"),
        said(user("look"), assistant(call(), call("b")), user(result()), user(result("b"))),
    ),
    Example(
        "tool_results_first",
        calling(call(), results=(text("it was"), result())),
        _UNANSWERED.format("toolu_1"),
        calling(call(), results=(result(), text("it was"))),
    ),
]

RESULTS: Final = [
    Example(
        "tool_result_tool_use_id_required",
        said(user("look"), assistant("no"), user(_without(result(), "tool_use_id"))),
        "messages.2.content.0.tool_result.tool_use_id: Field required",
        calling(call()),
    ),
    Example(
        "tool_result_tool_use_id_type",
        said(user("look"), assistant("no"), user(result(1))),
        f"messages.2.content.0.tool_result.tool_use_id: {_STRING}",
        calling(call()),
    ),
    Example(
        "tool_result_id_pattern",
        said(user("look"), assistant("no"), user(result("call:1"))),
        f"messages.2.content.0.tool_result.tool_use_id: {_IDS}",
        calling(call()),
    ),
    Example(
        "tool_result_fields",
        _result(name="look"),
        f"messages.2.content.0.tool_result.name: {_EXTRA}",
        _result(cache_control=MARK),
    ),
    Example(
        "tool_result_is_error_type",
        _result(is_error="yes"),
        "messages.2.content.0.tool_result.is_error: Input should be a valid boolean",
        _result(is_error=True),
    ),
    Example(
        "tool_result_content_type",
        _result(content={"seen": 1}),
        f"messages.2.content.0.tool_result.content: {_LIST}",
        _result(content=[]),
    ),
    Example(
        "tool_result_block_tag",
        _result(content=[{"type": "json", "json": 1}]),
        "messages.2.content.0.tool_result.content.0: Input tag 'json' found using 'type' does not match any of "
        "the expected tags: 'document', 'image', 'search_result', 'text', 'tool_reference'",
        _result(content=[text("seen")]),
    ),
    Example(
        "tool_result_text_type",
        _result(content=[text(7)]),
        f"messages.2.content.0.tool_result.content.0.text.text: {_STRING}",
        _result(content=[text("7")]),
    ),
    Example(
        "tool_result_alone",
        said(user("look"), assistant("no"), user(result())),
        "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` "
        "block must have a corresponding `tool_use` block in the previous message.",
        calling(call()),
    ),
    Example(
        "tool_result_twice",
        calling(call(), results=(result(), result())),
        "messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with id: "
        "toolu_1",
        calling(call(), call("b"), results=(result(), result("b"))),
    ),
]

EXAMPLES: Final = [*MESSAGES, *TEXTS, *THOUGHTS, *CALLS, *RESULTS]
