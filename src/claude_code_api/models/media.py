"""Images and documents that the model's API is known to refuse: refused here, by the place where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from claude_code_api.models.draft import Draft
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Block, JsonObject, OpaqueBlock, ToolResultBlock

# Counted as they are sent, in base64.
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
MAX_IMAGES: Final = 100
IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_WORD: Final = "messages"


def check_media(draft: Draft) -> None:
    """Refuse what cannot be sent; nothing that is sent here could be put in its place."""
    word = draft.request.field_names.get(_WORD, _WORD)
    images = 0
    for number, message in enumerate(draft.request.messages):
        for body in _images(message.blocks):
            images += 1
            _check_image(body, f"{word}[{number}]")
    if images > MAX_IMAGES:
        raise invalid(f"`{word}` holds {images} images; a model takes {MAX_IMAGES} at most.", param=word)


def _images(blocks: Iterable[Block]) -> Iterator[JsonObject]:
    for block in blocks:
        match block:
            case OpaqueBlock({"type": "image"} as body):
                yield body
            case ToolResultBlock(content=tuple(content)):
                yield from _images(content)
            case _:
                pass


def _check_image(body: JsonObject, place: str) -> None:
    source = body.get("source")
    if not isinstance(source, Mapping) or source.get("type") != "base64":
        return
    kind, data = source.get("media_type"), source.get("data")
    if kind not in IMAGE_TYPES:
        raise invalid(
            f"`{place}` holds an image of a type that models do not take; send png, jpeg, gif or webp.", param=place
        )
    if isinstance(data, str) and len(data) > MAX_IMAGE_BYTES:
        mib = MAX_IMAGE_BYTES // 1024 // 1024
        raise invalid(f"`{place}` holds an image of more than {mib} MiB in base64: make it smaller.", param=place)
