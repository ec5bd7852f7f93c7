"""Parts: text as it is, data that is what it says, nothing fetched."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from claude_code_api.dialects.fields import Notes
from claude_code_api.dialects.openai_content import blocks
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import OpaqueBlock, TextBlock

ALL = ("text", "image_url", "file")
BYTES = {
    "image/png": b"\x89PNG\r\n\x1a\n rest",
    "image/jpeg": b"\xff\xd8\xff\xe0 rest",
    "image/gif": b"GIF89a rest",
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "application/pdf": b"%PDF-1.7 rest",
}


def url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def image(address: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": address, **more}


def read(content: Any) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    notes = Notes()
    return blocks(content, "messages[2].content", notes, ALL), notes.names()


def test_a_string_is_one_block_and_no_characters_are_none() -> None:
    assert read(" a\n") == ((TextBlock(" a\n"),), ())
    assert read("") == ((), ())
    assert read([]) == ((), ())


def test_parts_keep_their_order_and_their_cache_mark() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    content = [{"type": "text", "text": "a", **mark}, {"type": "text", "text": ""}, {"type": "text", "text": " b "}]
    assert read(content) == ((TextBlock("a", mark), TextBlock(" b ")), ())


@pytest.mark.parametrize("media_type", [kind for kind in BYTES if kind.startswith("image/")])
@pytest.mark.parametrize("bare", [True, False])
def test_images_travel_in_the_model_s_own_shape(media_type: str, bare: bool) -> None:
    address = url(media_type, BYTES[media_type])
    source = {"type": "base64", "media_type": media_type, "data": address.partition(",")[2]}
    part = image(address if bare else {"url": address, "detail": "auto"})
    assert read([part]) == ((OpaqueBlock({"type": "image", "source": source}),), ())


def test_an_image_that_is_elsewhere_is_noted_by_its_place() -> None:
    notes = Notes()
    content = [{"type": "text", "text": "a"}, image("https://x.test/a.png"), image({"url": "HTTP://10.0.0.1/"})]
    found = blocks(content, "messages[2].content", notes, ALL)
    assert found[1:] == (
        OpaqueBlock({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}),
        OpaqueBlock({"type": "image", "source": {"type": "url", "url": "HTTP://10.0.0.1/"}}),
    )
    assert notes.remote == ["messages[2].content[1]", "messages[2].content[2]"]
    assert notes.names() == ()


def test_spellings_of_a_type_mean_the_type() -> None:
    data = base64.b64encode(BYTES["image/jpeg"]).decode()
    for head in ("data:image/jpg;base64,", "DATA:Image/JPEG;base64,", "data:image/jpeg;name=a.jpg;base64,"):
        ((block,), _) = read([image({"url": head + data})])
        assert block.body["source"]["media_type"] == "image/jpeg"


def test_a_file_is_a_document_with_its_name_as_title() -> None:
    address = url("application/pdf", BYTES["application/pdf"])
    source = {"type": "base64", "media_type": "application/pdf", "data": address.partition(",")[2]}
    mark = {"cache_control": {"type": "ephemeral"}}
    named = {"type": "file", "file": {"file_data": address, "filename": "a.pdf"}, **mark}
    assert read([named])[0] == (OpaqueBlock({"type": "document", "source": source, "title": "a.pdf", **mark}),)
    assert read([{"type": "file", "file": {"file_data": address}}])[0] == (
        OpaqueBlock({"type": "document", "source": source}),
    )


def test_a_text_file_is_a_document_of_text() -> None:
    words = " first\n\u00fc\U0001f600 "
    part = {"type": "file", "file": {"file_data": url("text/plain", words.encode()), "filename": "a.txt"}}
    source = {"type": "text", "media_type": "text/plain", "data": words}
    assert read([part])[0] == (OpaqueBlock({"type": "document", "source": source, "title": "a.txt"}),)
    for wrong, why in ((b"\xff\xfe", "not UTF-8"), (b" \n", "without text")):
        with pytest.raises(TurnRefusedError) as caught:
            read([{"type": "file", "file": {"file_data": url("text/plain", wrong)}}])
        assert why in caught.value.error.message


def test_what_is_beside_a_part_is_named() -> None:
    address = url("image/png", BYTES["image/png"])
    content = [
        {"type": "text", "text": "a", "annotations": [], "x": None},
        image({"url": address, "detail": "high"}, alt="b"),
        {"type": "file", "file": {"file_data": url("application/pdf", BYTES["application/pdf"])}, "y": 1},
    ]
    assert read(content)[1] == (
        "messages.content.annotations",
        "messages.content.alt",
        "messages.content.image_url.detail",
        "messages.content.y",
    )


@pytest.mark.parametrize(
    ("content", "param", "words"),
    [
        (None, "", "must be a string or a list of parts, not null"),
        ({"type": "text"}, "", "must be a string or a list of parts, not an object"),
        (["a"], "[0]", "must be an object, not a string"),
        ([{"text": "a"}], "[0].type", 'is null; a part of this message can be: "text", "image_url", "file".'),
        ([{"type": "input_audio"}], "[0].type", 'is "input_audio"; a part'),
        ([{"type": "text"}], "[0].text", "must be a string, not null"),
        ([{"type": "text", "text": "a", "cache_control": 1}], "[0].cache_control", "must be an object"),
        ([{"type": "image_url"}], "[0].image_url", "must be an object, not null"),
        ([image({"url": 1})], "[0].image_url.url", "must be a string, not a number"),
        ([image({"url": "file:///etc/passwd"})], "[0]", "must be a data: URL with base64"),
        ([image({"url": "data:image/png,abc"})], "[0]", "must be a data: URL with base64"),
        ([image({"url": url("image/bmp", b"BM")})], "[0]", "is of type image/bmp; served are: image/png"),
        ([image({"url": url("application/pdf", BYTES["application/pdf"])})], "[0]", "served are"),
        ([image({"url": "data:image/png;base64,"})], "[0]", "its bytes are none of the types"),
        ([image({"url": "data:image/png;base64,a"})], "[0]", "no valid base64"),
        ([image({"url": "data:image/png;base64,iVBO\nRw0K"})], "[0]", "no valid base64"),
        ([image({"url": "data:image/png;base64,iVBORw-_"})], "[0]", "no valid base64"),
        ([image({"url": "data:image/png;base64,é"})], "[0]", "no valid base64"),
        ([image({"url": url("image/png", BYTES["image/jpeg"])})], "[0]", "but its bytes are image/jpeg"),
        ([image({"url": url("image/webp", b"RIFF\0\0\0\0WAVE")})], "[0]", "its bytes are none of the types"),
        ([{"type": "file"}], "[0].file", "must be an object, not null"),
        ([{"type": "file", "file": {"file_id": "file-1"}}], "[0].file.file_id", "Send the file in `file_data`"),
        ([{"type": "file", "file": {}}], "[0].file.file_data", "must be a string, not null"),
        ([{"type": "file", "file": {"file_data": "JVBERi0="}}], "[0]", "must be a data: URL"),
        (
            [{"type": "file", "file": {"file_data": url("application/pdf", b"%PDF-1.7"), "filename": 1}}],
            "[0].file.filename",
            "must be a string, not a number",
        ),
    ],
)
def test_a_wrong_part_is_refused_by_its_place(content: Any, param: str, words: str) -> None:
    with pytest.raises(TurnRefusedError) as caught:
        read(content)
    error = caught.value.error
    assert error.param == "messages[2].content" + param
    assert words in error.message
