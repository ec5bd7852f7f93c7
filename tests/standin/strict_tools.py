"""Examples of the rules about tools, the choice among them, marks for the cache, images and documents."""

from __future__ import annotations

from typing import Any, Final

from tests.standin.strict_bodies import (
    MARK,
    Example,
    assistant,
    body,
    call,
    calling,
    document,
    encoded,
    pages,
    png,
    result,
    said,
    text,
    tool,
    tools,
    user,
)

_EXTRA: Final = "Extra inputs are not permitted"
_STRING: Final = "Input should be a valid string"
_EXTRACT: Final = "Input should be a valid dictionary or object to extract fields from"
_TOOL_TAGS: Final = (
    "'bash_20250124', 'custom', 'text_editor_20250124', 'text_editor_20250429', 'text_editor_20250728', "
    "'web_search_20250305'"
)
_CHOICE_TAGS: Final = "'any', 'auto', 'none', 'tool'"
_INVALID: Final = (
    "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
    "(https://json-schema.org/draft/2020-12). Learn more about tool use at https://docs.claude.com/en/docs/tool-use."
)
_TAG: Final = "found using 'type' does not match any of the expected tags:"
_SEARCH: Final = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
_HOUR: Final = {**MARK, "ttl": "1h"}
_LARGE: Final = png()["source"]["data"] + "A" * (5 * 1024 * 1024 - 28)


def _field(name: str, wrong: Any, words: str, rule: str) -> Example:
    bent = {**tool(), name: wrong}
    return Example(rule, tools(bent), f"tools.0.custom.{name}: {words}", tools(tool()))


def _lacking(name: str) -> dict[str, Any]:
    return tools({key: value for key, value in tool().items() if key != name})


TOOLS: Final = [
    Example("tools_type", body(tools={"look": 1}), "tools: Input should be a valid list", body(tools=[])),
    Example("tool_object", body(tools=["look"]), f"tools.0: {_EXTRACT}", tools(tool())),
    Example(
        "tool_tag",
        tools(tool(type="function")),
        f"tools.0: Input tag 'function' {_TAG} {_TOOL_TAGS}".replace(".type", ""),
        tools(tool(type="custom"), _SEARCH),
    ),
    Example("tool_name_required", _lacking("name"), "tools.0.custom.name: Field required", tools(tool())),
    _field("name", 1, _STRING, "tool_name_type"),
    _field("name", "", "String should have at least 1 character", "tool_name_empty"),
    _field("name", "n" * 129, "String should have at most 128 characters", "tool_name_length"),
    _field("name", "a.b", "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", "tool_name"),
    _field("description", 1, _STRING, "tool_description_type"),
    _field("strict", "yes", "Input should be a valid boolean", "tool_strict_type"),
    _field("parameters", {}, _EXTRA, "tool_fields"),
    Example(
        "tool_schema_required", _lacking("input_schema"), "tools.0.custom.input_schema: Field required", tools(tool())
    ),
    _field("input_schema", "{}", "Input should be a valid dictionary", "tool_schema_is_object"),
    Example(
        "tool_schema_type_required",
        tools(tool(schema={"properties": {}})),
        "tools.0.custom.input_schema.type: Field required",
        tools(tool(schema={"type": "object", "properties": {}})),
    ),
    Example(
        "tool_schema_object",
        tools(tool(schema={"type": "string"})),
        "tools.0.custom.input_schema.type: Input should be 'object'",
        tools(tool()),
    ),
    Example("tool_names_unique", tools(tool(), tool()), "tools: Tool names must be unique.", tools(tool(), tool("b"))),
    Example(
        "tool_schema_union",
        tools(tool("a"), tool(schema={"type": "object", "anyOf": [{"required": ["x"]}]})),
        "tools.1.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        tools(tool(schema={"type": "object", "properties": {"x": {"anyOf": [{"type": "string"}]}}})),
    ),
    Example(
        "tool_schema_valid",
        tools(tool(schema={"type": "object", "properties": {"x": {"minimum": 1, "exclusiveMinimum": True}}})),
        _INVALID,
        tools(tool(schema={"type": "object", "properties": {"x": {"exclusiveMinimum": 1}}})),
    ),
]


def _chosen(choice: Any) -> dict[str, Any]:
    return tools(tool(), tool_choice=choice)


CHOICES: Final = [
    Example("tool_choice_type", _chosen("auto"), f"tool_choice: {_EXTRACT}", _chosen(None)),
    Example(
        "tool_choice_tag",
        _chosen({"type": "required"}),
        f"tool_choice: Input tag 'required' {_TAG} {_CHOICE_TAGS}",
        _chosen({"type": "any"}),
    ),
    Example(
        "tool_choice_name",
        _chosen({"type": "tool"}),
        "tool_choice.tool.name: Field required",
        _chosen({"type": "tool", "name": "look"}),
    ),
    *(
        Example(
            f"tool_choice_{kind}_fields",
            _chosen({"type": kind, **named, "function": 1}),
            f"tool_choice.{kind}.function: {_EXTRA}",
            _chosen({"type": kind, **named}),
        )
        for kind, named in (("auto", {}), ("any", {}), ("tool", {"name": "look"}), ("none", {}))
    ),
    Example(
        "tool_choice_without_tools",
        body(tool_choice={"type": "auto"}),
        "tool_choice: tool_choice may only be specified while providing tools",
        _chosen({"type": "auto", "disable_parallel_tool_use": True}),
    ),
    Example(
        "tool_choice_unknown",
        _chosen({"type": "tool", "name": "leap"}),
        "tool_choice: Tool 'leap' not found in provided tools",
        _chosen({"type": "tool", "name": "look"}),
    ),
]


def _marked(*marks: Any) -> dict[str, Any]:
    return said(user(*(text("hi", cache_control=mark) for mark in marks)))


MARKS: Final = [
    Example("cache_object", _marked("5m"), f"messages.0.content.0.cache_control: {_EXTRACT}", _marked(None)),
    Example(
        "cache_type",
        _marked({"type": "persistent"}),
        f"messages.0.content.0.cache_control: Input tag {_TAG} 'ephemeral'",
        _marked(MARK),
    ),
    Example(
        "cache_ttl",
        _marked({**MARK, "ttl": "2h"}),
        "messages.0.content.0.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
        _marked(_HOUR),
    ),
    Example(
        "cache_empty_text",
        said(user("hi"), assistant(text("", cache_control=MARK))),
        "messages.1.content.0.text: cache_control cannot be set for empty text blocks",
        said(user("hi"), assistant(text("a", cache_control=MARK))),
    ),
    Example(
        "cache_marks",
        {**_marked(MARK, MARK, MARK), "tools": [tool(cache_control=MARK)], "system": [text("a", cache_control=MARK)]},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        {**_marked(MARK, MARK, MARK), "tools": [tool(cache_control=MARK)], "cache_control": MARK},
    ),
    Example(
        "cache_ttl_order",
        {**_marked(_HOUR), "tools": [tool(cache_control=MARK)]},
        "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
        "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, `messages`.",
        {**_marked(MARK), "tools": [tool(cache_control=_HOUR)]},
    ),
]


def _shown(*blocks: Any) -> dict[str, Any]:
    return said(user(*blocks, text("See?")))


def _source(kind: str, **source: Any) -> dict[str, Any]:
    return _shown({"type": kind, "source": source})


_IMAGE: Final = "messages.0.content.0.image"
_DOCUMENT: Final = "messages.0.content.0.document"

MEDIA: Final = [
    Example("image_fields", _shown({**png(), "detail": "low"}), f"{_IMAGE}.detail: {_EXTRA}", _shown(png())),
    Example(
        "document_fields",
        _shown(document(name="a")),
        f"{_DOCUMENT}.name: {_EXTRA}",
        _shown(document(title="a", context="b")),
    ),
    Example("media_source", _shown({"type": "image"}), f"{_IMAGE}.source: Field required", _shown(png())),
    Example(
        "image_source_tag",
        _source("image", type="path", path="a"),
        f"{_IMAGE}.source: Input tag 'path' {_TAG} 'base64', 'file', 'url'",
        _source("image", type="url", url="https://example.com/a.png"),
    ),
    Example(
        "document_source_tag",
        _source("document", type="path", path="a"),
        f"{_DOCUMENT}.source: Input tag 'path' {_TAG} 'base64', 'content', 'file', 'text', 'url'",
        _source("document", type="file", file_id="file_1"),
    ),
    Example("image_data_type", _shown(encoded(7)), f"{_IMAGE}.source.base64.data: {_STRING}", _shown(png())),
    Example(
        "image_url_type",
        _source("image", type="url"),
        f"{_IMAGE}.source.url.url: {_STRING}",
        _source("image", type="url", url="https://example.com/a.png"),
    ),
    Example(
        "document_data_type", _shown(document(7)), f"{_DOCUMENT}.source.base64.data: {_STRING}", _shown(document())
    ),
    Example(
        "document_text_type",
        _source("document", type="text", media_type="text/plain"),
        f"{_DOCUMENT}.source.text.data: {_STRING}",
        _source("document", type="text", media_type="text/plain", data="a"),
    ),
    Example(
        "document_text_media_type",
        _source("document", type="text", media_type="text/html", data="a"),
        f"{_DOCUMENT}.source.text.media_type: Input should be 'text/plain'",
        _source("document", type="text", media_type="text/plain", data="a"),
    ),
    Example(
        "image_type",
        _shown(png(media_type="image/tiff")),
        f"{_IMAGE}.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
        _shown(png()),
    ),
    Example(
        "document_type",
        _shown(document(media_type="text/csv")),
        f"{_DOCUMENT}.source.base64.media_type: Input should be 'application/pdf'",
        _shown(document()),
    ),
    Example(
        "media_encoding",
        _shown(document("%%%")),
        f"{_DOCUMENT}.source.base64.data: Invalid base64 data",
        _shown(document()),
    ),
    Example("image_empty", _shown(encoded("")), f"{_IMAGE}.source.base64: image cannot be empty", _shown(png())),
    Example(
        "image_size",
        _shown(encoded(_LARGE)),
        f"{_IMAGE}.source.base64: image exceeds 5 MB maximum: 5242884 bytes > 5242880 bytes",
        _shown(png()),
    ),
    Example("image_count", _shown(*[png()] * 101), "messages: too many images: 101 > 100", _shown(*[png()] * 100)),
    Example("image_readable", _shown(encoded("aGVsbG8=")), "Could not process image", _shown(png())),
    Example(
        "image_media_type",
        calling(call(), results=(result(content=[png(media_type="image/jpeg")]),)),
        "messages.2.content.0.tool_result.content.0.image.source.base64: The image was specified using the image/jpeg "
        "media type, but the image appears to be a image/png image",
        calling(call(), results=(result(content=[png()]),)),
    ),
    Example(
        "image_side",
        _shown(png(8001)),
        f"{_IMAGE}.source.base64.data: At least one of the image dimensions exceed max allowed size: 8000 pixels",
        _shown(png(8000)),
    ),
    Example(
        "image_side_of_many",
        _shown(png(1, 2001), *[png()] * 20),
        f"{_IMAGE}.source.base64.data: At least one of the image dimensions exceed max allowed size for many-image "
        "requests: 2000 pixels",
        _shown(png(1, 2001), *[png()] * 19),
    ),
    Example(
        "pdf_valid",
        _shown(document("aGVsbG8=")),
        f"{_DOCUMENT}.source.base64: The PDF specified was not valid.",
        _shown(document()),
    ),
    Example(
        "pdf_pages",
        _shown(pages(101)),
        "messages.0.content.0.pdf.source.base64.data: A maximum of 100 PDF pages may be provided.",
        {**_shown(pages(101)), "model": "claude-opus-5"},
    ),
]

EXAMPLES: Final = [*TOOLS, *CHOICES, *MARKS, *MEDIA]
