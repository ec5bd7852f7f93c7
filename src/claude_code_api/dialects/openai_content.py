"""OpenAI's content parts → blocks: text, images, files.

Every OpenAI dialect reads content through here. Text is carried byte for byte; a text of no characters makes no block,
because the model's API refuses empty ones and nothing is lost by it. Data is checked for being what it claims to be,
so that a wrong image is the client's 400 and not a surprise of the model's. Nothing is fetched, here or elsewhere: a
gateway that opens a client's URLs is a way into the operator's network. An image's URL is noted, and whether it may be
passed on for the model's API to open is decided where the settings are.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import TypeAlias

from claude_code_api.dialects.fields import Notes, as_object, kind_of, objects_of, shown, wrong_kind
from claude_code_api.turn.errors import TurnRefusedError, invalid
from claude_code_api.turn.request import Json, JsonObject, OpaqueBlock, TextBlock

# What a part can become.
Content: TypeAlias = TextBlock | OpaqueBlock

_DATA_URL = re.compile(r"data:([a-z0-9.+\-]+/[a-z0-9.+\-]+)(?:;[a-z0-9\-]+=[^;,]*)*;base64,", re.IGNORECASE)
# image/jpg is no registered type, but a name that clients really send for the same bytes.
_SAME_TYPE = {"image/jpg": "image/jpeg"}
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_PDF = "application/pdf"
_PLAIN = "text/plain"
# Enough base64 for the longest signature below: 12 bytes.
_HEAD_CHARS = 16


def blocks(content: Json, path: str, notes: Notes, allowed: tuple[str, ...]) -> tuple[Content, ...]:
    """Read a string or a list of parts of the allowed types."""
    if isinstance(content, str):
        return (TextBlock(content),) if content else ()
    if not isinstance(content, list):
        raise wrong_kind(content, path, "a string or a list of parts")
    return tuple(_parts(content, path, notes, allowed))


def _parts(content: Json, path: str, notes: Notes, allowed: tuple[str, ...]) -> Iterator[Content]:
    for place, part in objects_of(content, path):
        kind = part.get("type")
        if kind not in allowed:
            raise _wrong_type(kind, place, allowed)
        match kind:
            case "image_url":
                yield _image(part, place, notes)
            case "file":
                yield _file(part, place, notes)
            case _:
                # "text" or "refusal": the key of the words is the type itself.
                yield from _text(part, str(kind), place, notes)


def _wrong_type(kind: Json, place: str, allowed: tuple[str, ...]) -> TurnRefusedError:
    served = ", ".join(f'"{name}"' for name in allowed)
    what = f'"{shown(kind)}"' if isinstance(kind, str) else kind_of(kind)
    return invalid(f"`{place}.type` is {what}; a part of this message can be: {served}.", param=f"{place}.type")


def cache_mark(fields: JsonObject, path: str) -> JsonObject:
    """Take a cache breakpoint, in the form in which it stands beside a block."""
    mark = fields.get("cache_control")
    return {} if mark is None else {"cache_control": as_object(mark, f"{path}.cache_control")}


def _name_unknown(part: JsonObject, known: tuple[str, ...], notes: Notes) -> None:
    for name, value in part.items():
        if value is not None and name not in ("type", "cache_control", *known):
            notes.add_unknown(name, "messages.content.")


def _text(part: JsonObject, key: str, place: str, notes: Notes) -> Iterator[TextBlock]:
    text = part.get(key)
    if not isinstance(text, str):
        raise wrong_kind(text, f"{place}.{key}", "a string")
    _name_unknown(part, (key,), notes)
    if text:
        yield TextBlock(text, cache_mark(part, place))


def _image(part: JsonObject, place: str, notes: Notes) -> OpaqueBlock:
    image = part.get("image_url")
    # The bare string is what several clients send; it can mean one thing only.
    fields: JsonObject = {"url": image} if isinstance(image, str) else as_object(image, f"{place}.image_url")
    _name_unknown(part, ("image_url",), notes)
    if fields.get("detail") not in (None, "auto"):
        notes.add("messages.content.image_url.detail")
    url = fields.get("url")
    if not isinstance(url, str):
        raise wrong_kind(url, f"{place}.image_url.url", "a string")
    return image_block(url, place, notes, cache_mark(part, place))


def image_block(url: str, place: str, notes: Notes, mark: JsonObject) -> OpaqueBlock:
    """Make the block of an image that a URL holds, or names."""
    if url[:5].lower() == "http:" or url[:6].lower() == "https:":
        notes.add_remote(place)
        return OpaqueBlock({"type": "image", "source": {"type": "url", "url": url}, **mark})
    media_type, data = _data_url(url, place, _IMAGE_TYPES)
    return OpaqueBlock({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}, **mark})


def _file(part: JsonObject, place: str, notes: Notes) -> OpaqueBlock:
    file = as_object(part.get("file"), f"{place}.file")
    _name_unknown(part, ("file",), notes)
    if file.get("file_id") is not None:
        raise invalid(
            f"`{place}.file.file_id` names an uploaded file; this gateway keeps none. Send the file in `file_data` as "
            'a data: URL ("data:application/pdf;base64,...").',
            param=f"{place}.file.file_id",
        )
    url = file.get("file_data")
    if not isinstance(url, str):
        raise wrong_kind(url, f"{place}.file.file_data", "a string")
    filename = file.get("filename")
    if filename is not None and not isinstance(filename, str):
        raise wrong_kind(filename, f"{place}.file.filename", "a string")
    return file_block(url, filename, place, cache_mark(part, place))


def file_block(url: str, filename: str | None, place: str, mark: JsonObject) -> OpaqueBlock:
    """Make the block of a file that a data: URL holds."""
    media_type, data = _data_url(url, place, (_PDF, _PLAIN))
    title: JsonObject = {"title": filename} if filename else {}
    kind = "base64"
    if media_type == _PLAIN:
        kind, data = "text", _plain_text(data, place)
    source = {"type": kind, "media_type": media_type, "data": data}
    return OpaqueBlock({"type": "document", "source": source, **title, **mark})


def _plain_text(data: str, place: str) -> str:
    try:
        text = binascii.a2b_base64(data).decode("utf-8")
    except UnicodeDecodeError:
        raise invalid(f"`{place}` says that it is {_PLAIN}, but its bytes are not UTF-8.", param=place) from None
    if not text.strip():
        # The model's API refuses blank documents.
        raise invalid(f"`{place}` is a text file without text.", param=place)
    return text


def _data_url(url: str, place: str, served: tuple[str, ...]) -> tuple[str, str]:
    """Take a data: URL apart and check that its bytes are what it says they are."""
    head = _DATA_URL.match(url)
    if head is None:
        raise invalid(f'`{place}` must be a data: URL with base64 ("data:{served[0]};base64,...").', param=place)
    media_type = head[1].lower()
    media_type = _SAME_TYPE.get(media_type, media_type)
    if media_type not in served:
        raise invalid(f"`{place}` is of type {shown(head[1])}; served are: {', '.join(served)}.", param=place)
    data = url[head.end() :]
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise invalid(
            f"`{place}` holds no valid base64: the standard alphabet, padded, no line breaks.", param=place
        ) from None
    if media_type == _PLAIN:
        # No signature tells a text; whether it is one is seen when it is read.
        return media_type, data
    found = _sniff(binascii.a2b_base64(data[:_HEAD_CHARS]))
    if found != media_type:
        really = found or "none of the types that are served"
        raise invalid(f"`{place}` says that it is {media_type}, but its bytes are {really}.", param=place)
    return media_type, data


def _sniff(head: bytes) -> str | None:
    """Tell a file by its first bytes."""
    signatures = (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"%PDF-", _PDF),
    )
    for signature, media_type in signatures:
        if head.startswith(signature):
            return media_type
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None
