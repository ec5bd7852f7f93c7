"""Rules about images and documents: encoding, size, and what their first bytes say they are."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from claude_code_api.standin.image_header import Picture, picture_in
from claude_code_api.standin.strict_request import Request
from claude_code_api.standin.strict_rows import Check, Found

# The API counts the letters of the encoding, not the bytes of the image.
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
MAX_IMAGES: Final = 100
MAX_SIDE_PX: Final = 8000
# Beyond this many images, they have to be smaller.
MANY_IMAGES: Final = 20
MAX_SIDE_OF_MANY_PX: Final = 2000
MAX_PDF_PAGES: Final = 100
# Of models with a context of a million tokens.
MAX_PDF_PAGES_OF_LONG_CONTEXT: Final = 600
LONG_CONTEXT_TOKENS: Final = 1_000_000
_PAGE: Final = re.compile(rb"/Type\s*/Page\b")


def _media(request: Request, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All images or documents, those inside of results included, with their places."""
    for block in request.blocks(kind):
        yield f"{block.at}.{kind}", block.value
    for block in request.blocks("tool_result"):
        inner = block.value.get("content")
        for index, one in enumerate(inner if isinstance(inner, list) else ()):
            if isinstance(one, dict) and one.get("type") == kind:
                yield f"{block.at}.tool_result.content.{index}.{kind}", one


def _encoded(request: Request, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for at, block in _media(request, kind):
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "base64" and isinstance(source.get("data"), str):
            yield f"{at}.source.base64", source


def _bytes(data: str) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def _pictures(request: Request) -> Iterator[tuple[str, Mapping[str, Any], Picture | None]]:
    for at, source in _encoded(request, "image"):
        yield at, source, picture_in(_bytes(source["data"]) or b"")


def _source_missing(request: Request) -> Found | None:
    for kind in ("image", "document"):
        for at, block in _media(request, kind):
            if not isinstance(block.get("source"), dict):
                return {"place": f"{at}.source"}
    return None


def _image_type(request: Request) -> Found | None:
    for at, source in _encoded(request, "image"):
        if source.get("media_type") not in IMAGE_TYPES:
            return {"place": f"{at}.media_type"}
    return None


def _encoding(request: Request) -> Found | None:
    for kind in ("image", "document"):
        for at, source in _encoded(request, kind):
            if _bytes(source["data"]) is None:
                return {"place": f"{at}.data"}
    return None


def _image_empty(request: Request) -> Found | None:
    return next(({"place": at} for at, source in _encoded(request, "image") if source["data"] == ""), None)


def _image_size(request: Request) -> Found | None:
    for at, source in _encoded(request, "image"):
        if len(source["data"]) > MAX_IMAGE_BYTES:
            return {"place": at, "found": len(source["data"]), "most": MAX_IMAGE_BYTES}
    return None


def _image_count(request: Request) -> Found | None:
    found = sum(1 for _ in _media(request, "image"))
    return {"found": found, "most": MAX_IMAGES} if found > MAX_IMAGES else None


def _image_readable(request: Request) -> Found | None:
    unread = (at for at, source, picture in _pictures(request) if picture is None and _bytes(source["data"]))
    return next(({"place": at} for at in unread), None)


def _image_media_type(request: Request) -> Found | None:
    for at, source, picture in _pictures(request):
        said = source.get("media_type")
        if picture is not None and said in IMAGE_TYPES and picture.media_type != said:
            return {"place": at, "said": said, "found": picture.media_type}
    return None


def _image_side(request: Request) -> Found | None:
    for at, _, picture in _pictures(request):
        if picture is not None and max(picture.width, picture.height) > MAX_SIDE_PX:
            return {"place": at}
    return None


def _image_side_of_many(request: Request) -> Found | None:
    if sum(1 for _ in _media(request, "image")) <= MANY_IMAGES:
        return None
    for at, _, picture in _pictures(request):
        if picture is not None and max(picture.width, picture.height) > MAX_SIDE_OF_MANY_PX:
            return {"place": at}
    return None


def _document_type(request: Request) -> Found | None:
    for at, source in _encoded(request, "document"):
        if source.get("media_type") != "application/pdf":
            return {"place": f"{at}.media_type"}
    return None


def _pdf_valid(request: Request) -> Found | None:
    for at, source in _encoded(request, "document"):
        data = _bytes(source["data"])
        if data is not None and not data.startswith(b"%PDF-"):
            return {"place": at}
    return None


def _pdf_pages(request: Request) -> Found | None:
    long = request.model is not None and request.model.context_tokens >= LONG_CONTEXT_TOKENS
    most = MAX_PDF_PAGES_OF_LONG_CONTEXT if long else MAX_PDF_PAGES
    for at, source in _encoded(request, "document"):
        pages = len(_PAGE.findall(_bytes(source["data"]) or b""))
        if pages > most:
            return {"place": at.replace(".document.", ".pdf."), "found": pages, "most": most}
    return None


def _citations_all_or_none(request: Request) -> Found | None:
    cited = set()
    for block in request.blocks("document"):
        citations = block.value.get("citations")
        cited.add(isinstance(citations, dict) and citations.get("enabled") is True)
    return {} if len(cited) > 1 else None


CHECKS: Final[Mapping[str, Check]] = {
    "media_source": _source_missing,
    "media_encoding": _encoding,
    "image_type": _image_type,
    "image_empty": _image_empty,
    "image_size": _image_size,
    "image_count": _image_count,
    "image_readable": _image_readable,
    "image_media_type": _image_media_type,
    "image_side": _image_side,
    "image_side_of_many": _image_side_of_many,
    "document_type": _document_type,
    "pdf_valid": _pdf_valid,
    "citations_all_or_none": _citations_all_or_none,
    "pdf_pages": _pdf_pages,
}
