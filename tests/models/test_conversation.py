"""Conversations that the model's API refuses → ones that it takes."""

from __future__ import annotations

import pytest

from claude_code_api.models.conversation import GO_ON, OPENING, plain_id
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.request import (
    Effort,
    Limits,
    OpaqueBlock,
    Reasoning,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from tests.models.asking import ALL, ALWAYS, BUDGET, TABLE, asks, fitted, said


def test_texts_that_say_nothing_are_left_out() -> None:
    call = ToolUseBlock("t", "look", {})
    result = ToolResultBlock("t", (TextBlock("\n"), TextBlock("blue")))
    found = fitted(
        BUDGET,
        asks(
            said("user", " \n", "q"),
            said("assistant", "", call),
            said("user", result),
            said("assistant", " "),
            said("user", "a "),
            system=(TextBlock("\t"), TextBlock("s ")),
        ),
    )
    assert found.request.messages == (
        said("user", "q"),
        said("assistant", call),
        said("user", ToolResultBlock("t", (TextBlock("blue"),))),
        said("user", "a "),
    )
    assert found.request.system == (TextBlock("s "),)
    assert found.changed == ("system", "messages.blank_text")


def test_an_empty_text_beside_a_call_is_no_loss() -> None:
    found = fitted(BUDGET, asks(said("user", "q", "")))
    assert (found.request.messages, found.changed) == ((said("user", "q"),), ())


def test_nothing_but_blanks_is_refused_by_name() -> None:
    with pytest.raises(TurnRefusedError) as refusal:
        fitted(BUDGET, asks(said("user", " "), field_names={"messages": "input"}))
    assert refusal.value.error.param == "input"


def test_an_answer_that_comes_first_gets_something_before_it() -> None:
    found = fitted(ALWAYS, asks(said("assistant", "Hello!"), said("user", "hi")))
    assert found.request.messages == (said("user", OPENING), said("assistant", "Hello!"), said("user", "hi"))
    assert found.changed == ("messages.assistant_first",)


@pytest.mark.parametrize("model", ALL)
def test_a_begun_answer(model: str) -> None:
    found = fitted(model, asks(said("user", "q"), said("assistant", "It is \n")))
    if TABLE.of(model).prefill:
        assert found.request.messages == (said("user", "q"), said("assistant", "It is"))
        assert (found.shape.begun, found.changed) == ("", ("messages.trailing_space",))
    else:
        assert found.request.messages == (said("user", "q"), said("assistant", "It is \n"), said("user", GO_ON))
        assert (found.shape.begun, found.changed) == ("It is \n", ("messages.begun_answer",))


def test_a_model_that_thinks_does_not_go_on_with_a_begun_answer() -> None:
    found = fitted(BUDGET, asks(said("user", "q"), said("assistant", "It"), reasoning=Reasoning(Effort.LOW)))
    assert found.changed == ("messages.begun_answer",)


def test_a_process_that_goes_on_from_a_transcript_is_asked_in_words() -> None:
    request = asks(said("user", "q"), said("assistant", "It"))
    found = fitted(BUDGET, request, whole_conversation=False)
    assert (found.shape.begun, found.changed) == ("It", ("messages.begun_answer",))


def test_lengths_stops_and_end_users() -> None:
    request = asks(limits=Limits(1_000_000, ("\n", "END", " ")), end_user="ü" * 300)
    found = fitted(BUDGET, request)
    assert found.request.limits == Limits(64_000, ("END",))
    assert found.request.end_user is not None
    assert len(found.request.end_user) == 64
    assert found.changed == ("end_user", "max_tokens", "stop")


def test_ids_of_calls_become_plain_and_stay_pairs() -> None:
    other = OpaqueBlock({"type": "tool_use", "id": "a:1", "name": "look", "input": []})
    calls = (ToolUseBlock("functions.look:0", "look", {}), ToolUseBlock("plain-1", "look", {}), other)
    results = tuple(ToolResultBlock(id_, "x") for id_ in ("functions.look:0", "plain-1", "a:1"))
    found = fitted(BUDGET, asks(said("user", "q"), said("assistant", *calls), said("user", *results)))
    _, asked, answered = found.request.messages
    ids = [getattr(block, "id", None) or getattr(block, "body", {}).get("id") for block in asked.blocks]
    assert ids == [getattr(block, "tool_use_id", None) for block in answered.blocks]
    assert ids == [plain_id("functions.look:0"), "plain-1", plain_id("a:1")]
    assert plain_id("a:1") != plain_id("a.1")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"type": "base64", "media_type": "image/tiff", "data": "AA=="}, "png"),
        ({"type": "base64", "media_type": "image/png", "data": "A" * (5 * 1024 * 1024 + 1)}, "5 MiB"),
    ],
)
def test_images_that_no_model_takes_are_refused_by_their_place(source: dict[str, str], problem: str) -> None:
    image = OpaqueBlock({"type": "image", "source": source})
    nested = ToolResultBlock("t", (image,))
    for request in (asks(said("user", image)), asks(said("user", nested))):
        with pytest.raises(TurnRefusedError, match=problem) as refusal:
            fitted(BUDGET, request)
        assert refusal.value.error.param == "messages[0]"


def test_ids_that_come_again_are_told_apart() -> None:
    call, result = ToolUseBlock("call_0", "look", {}), ToolResultBlock("call_0", "x")
    messages = (said("user", "q"), *(said("assistant", call), said("user", result)) * 3)
    found = fitted(BUDGET, asks(*messages)).request.messages
    asked = [block.id for message in found for block in message.blocks if isinstance(block, ToolUseBlock)]
    answered = [
        block.tool_use_id for message in found for block in message.blocks if isinstance(block, ToolResultBlock)
    ]
    assert asked == answered == ["call_0", "call_0_2", "call_0_3"]


@pytest.mark.parametrize("model", ALL)
def test_in_the_models_own_words_as_well_where_only_the_cli_cannot_say_it(model: str) -> None:
    request = asks(said("user", "q"), said("assistant", "It"), exact=True)
    assert fitted(model, request).request.messages == request.messages
    found = fitted(model, request, whole_conversation=False)
    if TABLE.of(model).prefill:
        assert found.request.messages == (*request.messages, said("user", GO_ON))
        assert (found.shape.begun, found.changed) == ("It", ("messages.begun_answer",))
    else:
        # The model's API refuses it, and so its words are what the client gets.
        assert (found.request.messages, found.changed) == (request.messages, ())
