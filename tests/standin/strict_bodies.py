"""Bodies for the rules: small ones that the real API accepts, to be bent in one place."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

PLAIN: Final = "claude-haiku-4-5"
SIGNATURE: Final = "c2lnbmF0dXJl"
MARK: Final[Json] = {"type": "ephemeral"}
PDF: Final = base64.b64encode(b"%PDF-1.7\n1 0 obj << /Type /Page >> endobj\n%%EOF").decode()


@dataclass(frozen=True)
class Example:
    """A body that breaks one rule, what the API says to it, and a body next to it that the API accepts.

    `headers` come with the accepted one, `bad_headers` with the other. `counting`: both are sent to count their tokens.
    """

    rule: str
    bad: Any
    words: str
    good: Any
    headers: tuple[tuple[str, str], ...] = ()
    size: int = 100
    bad_headers: tuple[tuple[str, str], ...] = ()
    counting: bool = False


def body(**fields: Any) -> Json:
    return {"model": PLAIN, "max_tokens": 4096, "messages": [user("hi")], **fields}


def without(name: str) -> Json:
    return {key: value for key, value in body().items() if key != name}


def user(*content: Any) -> Json:
    return {"role": "user", "content": content[0] if len(content) == 1 and isinstance(content[0], str) else [*content]}


def assistant(*content: Any) -> Json:
    return {**user(*content), "role": "assistant"}


def said(*messages: Any, **fields: Any) -> Json:
    return body(messages=[*messages], **fields)


def text(words: Any, **fields: Any) -> Json:
    return {"type": "text", "text": words, **fields}


def call(call_id: Any = "toolu_1", **fields: Any) -> Json:
    return {"type": "tool_use", "id": call_id, "name": "look", "input": {}, **fields}


def result(call_id: Any = "toolu_1", **fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "seen", **fields}


def thought(**fields: Any) -> Json:
    return {"type": "thinking", "thinking": "hm", "signature": SIGNATURE, **fields}


def calling(*blocks: Any, results: tuple[Any, ...] = (), **fields: Any) -> Json:
    """A round of one call, made and answered."""
    return said(user("look"), assistant(*blocks), user(*(results or (result(),))), **fields)


def tool(name: Any = "look", schema: Any = None, **fields: Any) -> Json:
    return {"name": name, "input_schema": {"type": "object"} if schema is None else schema, **fields}


def tools(*listed: Any, **fields: Any) -> Json:
    return body(tools=[*listed], **fields)


def png(width: int = 1, height: int = 1, media_type: str = "image/png") -> Json:
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return encoded(base64.b64encode(header).decode(), media_type)


def encoded(data: Any, media_type: str = "image/png") -> Json:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def document(data: Any = PDF, media_type: str = "application/pdf", **fields: Any) -> Json:
    return {"type": "document", "source": {"type": "base64", "media_type": media_type, "data": data}, **fields}


def pages(count: int) -> Json:
    return document(base64.b64encode(b"%PDF-1.7\n" + b"<< /Type /Page >>\n" * count).decode())


def found(**fields: Any) -> Json:
    plain = {"type": "search_result", "source": "a", "title": "b", "content": [text("c")]}
    return {name: value for name, value in {**plain, **fields}.items() if value is not None}


def answer_of(schema: Any, **fields: Any) -> Json:
    return body(output_config={"format": {"type": "json_schema", "schema": schema}}, **fields)


def closed(**properties: Any) -> Json:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
