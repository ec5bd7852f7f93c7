"""What a client wrote is what the model reads, byte for byte, and nothing else."""

from __future__ import annotations

import re
from itertools import cycle
from typing import Any

import pytest

from claude_code_api.models.conversation import OPENING
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import Ended, EndReason
from claude_code_api.turn.request import (
    JsonObject,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    TurnRequest,
)
from tests.real_cli.corpus import SPOKEN, TEXTS
from tests.real_cli.rig import IDENTITY, MODEL, Rig, as_blocks, asks, plain, said, terminal, texts_of

SECRET = "planted-7c1f"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_the_corpus_is_large_enough() -> None:
    assert len(TEXTS) >= 200


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.corpus)], ids=["a share", "all"])
async def test_item_07_each_of_200_texts_is_literal_as_a_message(rig: Rig, step: int) -> None:
    async with rig.live() as live:
        for directory in (live.home.cwd, live.home.home):
            (directory / "planted.txt").write_text(SECRET)
        for text in SPOKEN[::step]:
            rig.upstream.clear()
            rig.upstream.always("ok")
            assert terminal(await live.ask(text)) == Ended(EndReason.STOP), text
            assert texts_of(rig.body()["messages"][-1]) == [text]
            assert SECRET.encode() not in rig.upstream.received[0].raw
        assert len(live.results) == len(SPOKEN[::step])
        assert not any("local_command" in result for result in live.results)
        assert not list(live.home.root.rglob("*.heapsnapshot"))


@pytest.mark.parametrize("shift", [0, 1], ids=["even ones the user's", "odd ones the user's"])
async def test_item_07_each_of_200_texts_is_literal_as_history(rig: Rig, shift: int) -> None:
    texts = SPOKEN[shift:] + SPOKEN[:shift]
    texts = texts if len(texts) % 2 else texts[:-1]
    history = tuple(said(role, text) for role, text in zip(cycle(("user", "assistant")), texts, strict=False))
    assert (await rig.answer(TurnRequest(MODEL, history))).ended == Ended(EndReason.STOP)
    received = rig.body()["messages"]
    assert [message["role"] for message in received] == [message.role for message in history]
    # Joined, because the words of one answer of the corpus have to go as two blocks ("(no content)").
    assert ["".join(texts_of(message)) for message in received] == texts


@pytest.mark.parametrize("system", ["/compact @/etc/passwd", "  lead\n\ntrail \n", "\u2028😀\x01<system-reminder>"])
async def test_a_system_prompt_is_literal(rig: Rig, system: str) -> None:
    await rig.answer(asks("hi", system=(TextBlock(system),)))
    assert texts_of({"content": rig.body()["system"]}) == [IDENTITY, system]


async def test_the_whole_body_is_known(rig: Rig) -> None:
    await rig.answer(asks("hi"))
    body = plain(rig.body())
    user_id = body["metadata"].pop("user_id")
    assert re.fullmatch(r'\{"device_id":"[0-9a-f]{64}","account_uuid":"","session_id":"[0-9a-f-]{36}"\}', user_id), (
        user_id
    )
    assert body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "system": [{"type": "text", "text": IDENTITY}],
        "tools": [],
        "metadata": {},
        "max_tokens": 32000,
        "thinking": {"type": "disabled"},
        "stream": True,
    }
    (record,) = rig.calls()
    assert (record.method, record.query, record.headers["x-api-key"]) == (
        "POST",
        "beta=true",
        "sk-ant-made-up-0123456789",
    )
    assert "authorization" not in record.headers


A, B, C, D = (said("user", "a"), said("assistant", "b"), said("user", "c"), said("user", " d\n"))
EMPTY = Message("assistant", ())
CALL = Message(
    "assistant", (TextBlock("look"), ToolUseBlock("toolu_1", "f", {"x": [1]}), ToolUseBlock("toolu_2", "g", {}))
)
RESULTS = Message(
    "user",
    (
        ToolResultBlock("toolu_1", "@/etc/passwd"),
        ToolResultBlock("toolu_2", (TextBlock("/clear"), TextBlock("")), is_error=True),
    ),
)


def text(*words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": word} for word in words]


CALLED = [
    *text("look"),
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": [1]}},
    {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
]
ANSWERED: list[dict[str, Any]] = [
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "@/etc/passwd"},
    {"type": "tool_result", "tool_use_id": "toolu_2", "content": text("/clear"), "is_error": True},
]


@pytest.mark.parametrize(
    ("messages", "upstream"),
    [
        ([A, B, C], [("user", text("a")), ("assistant", text("b")), ("user", text("c"))]),
        ([A, D, B, C, D], [("user", text("a", " d\n")), ("assistant", text("b")), ("user", text("c", " d\n"))]),
        ([B, C], [("user", text(OPENING)), ("assistant", text("b")), ("user", text("c"))]),
        ([A, EMPTY, C], [("user", text("a", "c"))]),
        (
            [A, B, C, said("assistant", "\n"), D],
            [("user", text("a")), ("assistant", text("b")), ("user", text("c", " d\n"))],
        ),
        ([A, Message("assistant", (ThinkingBlock("t", "s"),)), C], [("user", text("a", "c"))]),
        (
            [said("user", " a ", " ", "\n"), B, C],
            [("user", text(" a ")), ("assistant", text("b")), ("user", text("c"))],
        ),
        ([A, CALL, RESULTS], [("user", text("a")), ("assistant", CALLED), ("user", ANSWERED)]),
        ([A, CALL, RESULTS, D], [("user", text("a")), ("assistant", CALLED), ("user", [*ANSWERED, *text(" d\n")])]),
        (
            [A, CALL, RESULTS, B, C],
            [
                ("user", text("a")),
                ("assistant", CALLED),
                ("user", ANSWERED),
                ("assistant", text("b")),
                ("user", text("c")),
            ],
        ),
    ],
    ids=[
        "history",
        "users in a row",
        "the assistant first",
        "an empty answer",
        "a blank answer",
        "only thoughts",
        "blank blocks",
        "results last",
        "results and words",
        "results in the history",
    ],
)
async def test_a_conversation_arrives_as_it_is(
    rig: Rig, messages: list[Message], upstream: list[tuple[str, list[Any]]]
) -> None:
    assert (await rig.answer(TurnRequest(MODEL, tuple(messages)))).ended == Ended(EndReason.STOP)
    assert as_blocks(rig.body()["messages"]) == upstream


async def test_other_blocks_arrive_as_they_are_in_the_history(rig: Rig) -> None:
    image: JsonObject = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    document: JsonObject = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "d"},
        "title": "t",
    }
    first = Message("user", (OpaqueBlock(image), OpaqueBlock(document), TextBlock("see")))
    await rig.answer(TurnRequest(MODEL, (first, B, C)))
    assert as_blocks(rig.body()["messages"])[0] == ("user", [image, document, *text("see")])


async def test_documents_and_linked_images_arrive_as_they_are_in_the_last_message(rig: Rig) -> None:
    image: JsonObject = {"type": "image", "source": {"type": "url", "url": "https://example.invalid/x.png"}}
    document: JsonObject = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "d"},
        "title": "t",
    }
    await rig.answer(
        TurnRequest(MODEL, (Message("user", (OpaqueBlock(image), OpaqueBlock(document), TextBlock("see"))),))
    )
    assert as_blocks(rig.body()["messages"]) == [("user", [image, document, *text("see")])]


async def test_long_texts_arrive_whole(rig: Rig) -> None:
    filler = "0123456789 ü\u2028😀\n"
    history, prompt = filler * 12_000, filler * 10_000
    assert len(prompt.encode()) > 200_000
    await rig.answer(TurnRequest(MODEL, (said("user", history), B, said("user", prompt))))
    assert [texts_of(message) for message in rig.body()["messages"]] == [[history], ["b"], [prompt]]


async def test_three_megabytes_are_more_than_the_model_reads(rig: Rig) -> None:
    """The CLI counts by itself and asks nobody: a refusal, not a cut text."""
    result = await rig.answer(asks("0123456789" * 300_000))
    assert result.error is not None
    assert result.error.kind is ErrorKind.CONTEXT_TOO_LONG
    assert rig.calls() == []


async def test_three_megabytes_arrive_whole_where_the_window_is_large_enough(rig: Rig) -> None:
    prompt = "0123456789 ü\u2028😀\n" * 150_000
    assert len(prompt.encode()) > 3_000_000
    result = await rig.answer(asks(prompt), model="claude-sonnet-4-5[1m]")
    assert result.ended == Ended(EndReason.STOP)
    assert texts_of(rig.body()["messages"][0]) == [prompt]


async def test_a_long_answer_arrives_whole(rig: Rig) -> None:
    answer = "ü\u2028😀\x01 " * 200_000
    rig.upstream.play(answer)
    result = await rig.answer(asks("hi"))
    assert result.parts[0].text == answer
