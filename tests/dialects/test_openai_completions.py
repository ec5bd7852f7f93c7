"""The completions dialect of old: what it asks, what it answers, and what the official client makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import httpx2
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from claude_code_api.dialects.openai_completions import FINISH_REASONS, HONOURED, NAMED, OPENAI_COMPLETIONS
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import EndReason, PartKind, TurnEvent
from claude_code_api.turn.request import Limits, Message, Sampling, TextBlock, TurnRequest, each_turn
from claude_code_api.turn.result import fold
from tests.dialects.event_lines import load_events
from tests.dialects.test_golden import GOLDEN, SCENARIOS
from tests.turn.legal_events import ended_turns, failed_turns, legal_turns


def parsed(prompt: Any = "say", **fields: Any) -> TurnRequest:
    return OPENAI_COMPLETIONS.parse({"model": "m", "prompt": prompt, **fields}, {})


def said(text: str) -> tuple[Message, ...]:
    return (Message("user", (TextBlock(text),)),)


def test_a_prompt_is_a_message_of_the_users() -> None:
    assert parsed() == TurnRequest(model="m", messages=said("say"), limits=Limits(16))
    assert parsed(["say"]) == parsed()


def test_parameters() -> None:
    request = parsed(
        max_tokens=7,
        stop="x",
        temperature=1.5,
        top_p=0.5,
        user="ada",
        stream=True,
        stream_options={"include_usage": True},
        echo=True,
        suffix="after",
        best_of=3,
        logprobs=0,
        presence_penalty=0,
    )
    assert (request.limits, request.sampling, request.end_user) == (Limits(7, ("x",)), Sampling(1.0, 0.5), "ada")
    assert (request.stream, request.stream_usage, request.echo) == (True, True, True)
    assert request.ignored == ("temperature>1", "suffix", "best_of", "logprobs")


def test_null_is_as_if_it_were_absent() -> None:
    assert parsed(**dict.fromkeys((HONOURED | NAMED | {"odd"}) - {"model", "prompt"})) == parsed()


def test_several_prompts_are_several_conversations_with_n_answers_each() -> None:
    request = parsed(["a", "b"], n=2)
    assert request.answers == 4
    assert [turn.messages for turn in each_turn(request)] == [said("a"), said("a"), said("b"), said("b")]


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (None, "prompt"),
        ([], "prompt"),
        (7, "prompt"),
        ([1, 2], "prompt"),
        ([[1, 2]], "prompt"),
        (["a", None], "prompt[1]"),
        (" \n", "prompt"),
        (["a", ""], "prompt[1]"),
        (list("abcdefghi"), "prompt"),
    ],
)
def test_prompts_that_are_refused(prompt: Any, param: str) -> None:
    with pytest.raises(TurnRefusedError) as caught:
        parsed(prompt)
    assert caught.value.error.param == param


def test_every_reason_has_a_word() -> None:
    assert set(FINISH_REASONS) == set(EndReason)


# Answers


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    @override
    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


class OfficialClient:
    def __init__(self) -> None:
        self.response = httpx2.Response(500)
        http = httpx2.Client(transport=httpx2.MockTransport(lambda _: self.response))
        self.api = openai.OpenAI(api_key="none", base_url="http://gateway.test/v1", http_client=http, max_retries=0)

    def chunks(self, pieces: Sequence[bytes]) -> Iterator[Any]:
        headers = {"content-type": "text/event-stream"}
        self.response = httpx2.Response(200, headers=headers, stream=_Pieces(pieces))
        yield from self.api.completions.create(model="m", prompt="p", stream=True)

    def said_before_the_error(self, pieces: Sequence[bytes]) -> tuple[str, openai.APIError]:
        said = []
        try:
            for chunk in self.chunks(pieces):
                assert all(choice.finish_reason is None for choice in chunk.choices)
                said += [choice.text for choice in chunk.choices]
        except openai.APIError as error:
            return "".join(said), error
        raise AssertionError("the client took a failure for an answer")


@pytest.fixture(scope="module")
def client() -> Iterator[OfficialClient]:
    client = OfficialClient()
    yield client
    client.api.close()


def encoded(turns: Sequence[list[TurnEvent]], request: TurnRequest) -> bytes:
    encoder = OPENAI_COMPLETIONS.encoder(request)
    return b"".join(encoder.push(event) for events in turns for event in events)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def joined(chunks: Iterator[Any]) -> tuple[dict[int, str], dict[int, str | None], Any]:
    texts, reasons, usage = dict[int, str](), dict[int, str | None](), None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            reasons[choice.index] = choice.finish_reason
    return texts, reasons, usage


@given(st.lists(ended_turns(), min_size=1, max_size=3), st.booleans(), st.lists(st.integers(0, 10**6), max_size=6))
def test_the_joined_stream_is_the_whole_answer(
    client: OfficialClient, turns: list[list[TurnEvent]], echo: bool, cuts: list[int]
) -> None:
    prompts = [f"prompt {number}" for number in range(len(turns))]
    request = parsed(prompts, echo=echo, stream_options={"include_usage": True})
    first, *further = (fold(events) for events in turns)
    whole: Any = OPENAI_COMPLETIONS.render(first, request, further)
    texts, reasons, usage = joined(client.chunks(cut(encoded(turns, request), cuts)))
    assert texts == {choice["index"]: choice["text"] for choice in whole["choices"]}
    assert reasons == {choice["index"]: choice["finish_reason"] for choice in whole["choices"]}
    assert (usage is None) == (whole["usage"] is None)
    if usage is not None:
        assert usage.model_dump()["total_tokens"] == whole["usage"]["total_tokens"]
    assert all(choice["text"].startswith(prompts[choice["index"]]) for choice in whole["choices"]) or not echo


@given(failed_turns())
def test_a_failure_is_raised_after_what_was_said(client: OfficialClient, events: list[TurnEvent]) -> None:
    result = fold(events)
    assert result.error is not None
    said, raised = client.said_before_the_error([encoded([events], parsed())])
    assert (said, raised.message) == (result.text_of(PartKind.TEXT), result.error.message)


@given(legal_turns())
def test_every_turn_has_one_terminal_frame(events: list[TurnEvent]) -> None:
    stream = encoded([events], parsed())
    assert stream.endswith(b"data: [DONE]\n\n")
    assert stream.count(b"[DONE]\n\n") == 1
    assert stream.decode().splitlines() == stream.decode().split("\n")[:-1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_golden_streams_byte_by_byte(client: OfficialClient, scenario: str) -> None:
    stream = (GOLDEN / scenario / "openai_completions.stream.sse").read_bytes()
    result = fold(load_events(GOLDEN / scenario / "events.jsonl"))
    chunks = client.chunks(cut(stream, list(range(len(stream)))))
    if result.error is None:
        answer = orjson.loads((GOLDEN / scenario / "openai_completions.answer.json").read_bytes())
        assert joined(chunks)[0] == {0: answer["choices"][0]["text"]}
    else:
        with pytest.raises(openai.APIError, match=result.error.message):
            list(chunks)
