"""Both ways to seat a conversation lead to the same request upstream, and no turn leaves anything for the next.

Whether a model accepts the request is another question (`tests/models`): anything has to arrive as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.prove import MODEL_CHANGES, Proof
from claude_code_api.standin import StandIn
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.events import Ended, EndReason
from claude_code_api.turn.request import Message, TextBlock, ThinkingBlock, TurnRequest
from tests.real_cli.conversations import expected, normal, own_fields, requests, tool_rounds, whole
from tests.real_cli.rig import MODEL, Rig, asks, checked, said, unfitted

# Nothing is made smaller: a difference is told as it was found, in seconds and not in minutes.
BOUNDED = settings(
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
PROVED = Proof({"all": True, MODEL_CHANGES: True})
# Names that the CLI lists, whole names, one with a larger window, and names that it does not know.
MODELS = (
    MODEL,
    "default",
    "opus",
    "sonnet",
    "haiku",
    "claude-sonnet-4-20250514",
    "claude-sonnet-4-5-20250929[1m]",
    "claude-3-5-haiku-20241022",
    "claude-made-up-1",
)
models = st.sampled_from(MODELS)
# What the CLI derives from the model, of the headers; the others are the process's own, or the connection's.
_ABOUT_ABILITIES = "anthropic-"
_FILLER = {"role": "assistant", "content": [{"type": "text", "text": "(no content)"}]}


class Ways:
    """An engine for each way, over one stand-in."""

    def __init__(self, rig: Rig) -> None:
        self.upstream = rig.upstream
        self.warm = ClaudeEngine(replace(rig.options, spares=0), rig.site)
        self.warm.trust(PROVED)
        fresh = Rig(rig.upstream, rig.directory / "fresh")
        fresh.directory.mkdir()
        self.fresh = ClaudeEngine(fresh.options, fresh.site)
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

        # What a fresh process asks of each model by itself.
        self._own: dict[str, dict[str, Any]] = {}

    async def _body(self, engine: ClaudeEngine, request: TurnRequest, model: str) -> dict[str, Any]:
        self.upstream.clear()
        self.upstream.always("ok")
        async with engine.lease(unfitted(request, model=model)) as lease:
            result = checked([event async for batch in lease.batches() for event in batch])
        assert result.ended == Ended(EndReason.STOP), result.error
        (record,) = self.upstream.received
        abilities = {name: value for name, value in record.headers.items() if name.startswith(_ABOUT_ABILITIES)}
        return {**normal(record.body), **abilities}

    def overlaid(self, request: TurnRequest, model: str = MODEL) -> dict[str, Any]:
        return self.runner.run(self._body(self.warm, request, model))

    def freshly(self, request: TurnRequest, model: str = MODEL) -> dict[str, Any]:
        return self.runner.run(self._body(self.fresh, request, model))

    def both(self, request: TurnRequest, model: str = MODEL) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.overlaid(request, model), self.freshly(request, model)

    def expected(self, request: TurnRequest, model: str = MODEL) -> dict[str, Any]:
        if model not in self._own:
            self._own[model] = own_fields(self.freshly(asks("hi"), model))
        return expected(request, self._own[model])

    def agree(self, request: TurnRequest, model: str = MODEL) -> None:
        wanted = self.expected(request, model)
        # The one thing that arrives in another form the fresh way; see below.
        assume(_FILLER not in wanted["messages"])
        assert self.overlaid(request, model) == wanted
        assert self.freshly(request, model) == wanted

    def close(self) -> None:
        with self.runner:
            self.runner.run(self._close())

    async def _close(self) -> None:
        await self.warm.close()
        await self.fresh.close()


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    with ExitStack() as stack:
        upstream = stack.enter_context(StandIn(pace_ms=0, strict=False))
        found = Ways(Rig(upstream, tmp_path))
        stack.callback(found.close)
        yield found


@settings(BOUNDED, max_examples=20)
@given(request=requests, model=models)
def test_any_request_is_the_same_in_both_ways(ways: Ways, request: TurnRequest, model: str) -> None:
    ways.agree(request, model)


def test_what_the_cli_itself_asks_of_a_model_is_what_is_known(ways: Ways) -> None:
    abilities = {"anthropic-beta", "anthropic-version", "anthropic-dangerous-direct-browser-access"}
    found = ways.overlaid(asks("hi"))
    assert {name: value for name, value in found.items() if name not in abilities} == expected(asks("hi"))
    assert found.keys() >= abilities


@settings(BOUNDED, max_examples=15)
@given(messages=st.lists(tool_rounds(), min_size=1, max_size=3))
def test_rounds_of_tools_are_the_same_in_both_ways(ways: Ways, messages: Sequence[list[Message]]) -> None:
    ways.agree(TurnRequest(MODEL, whole(messages)))


@settings(BOUNDED, max_examples=100)
@given(request=requests, model=models)
def test_a_process_that_is_used_again_knows_nothing_of_before(ways: Ways, request: TurnRequest, model: str) -> None:
    # One without a prompt could not use what one with a prompt has left, so all have one: it is one process.
    # Several blocks are laid over, and are no prompt of the process's.
    request = replace(request, system=request.system[:1] or (TextBlock("be brief"),))
    # Whatever model it was asked for before, it asks of this one what a fresh process would.
    assert ways.overlaid(request, model) == ways.expected(request, model)
    assert ways.warm.live == 1


# Where they differ, and why: docs/decisions/0006


@pytest.mark.parametrize(
    "messages",
    [
        (said("user", "a", " \n"), said("assistant", "b"), said("user", "c")),
        (said("user", "a"), Message("assistant", (ThinkingBlock("hm", "sig"),)), said("user", "c")),
    ],
    ids=["blank text", "nothing but thoughts"],
)
def test_what_the_cli_would_replace_is_left_out_by_the_fresh_way_alone(
    ways: Ways, messages: tuple[Message, ...]
) -> None:
    overlaid, fresh = ways.both(TurnRequest(MODEL, messages))
    # The model's API is the one to judge what it is sent.
    assert [len(message["content"]) for message in overlaid["messages"]] == [len(one.blocks) for one in messages]
    kept = sum(len(message["content"]) for message in fresh["messages"])
    assert kept == sum(len(one.blocks) for one in messages) - 1


def test_the_clis_own_filler_is_in_two_blocks_the_fresh_way(ways: Ways) -> None:
    request = TurnRequest(MODEL, (said("user", "a"), said("assistant", "(no content)"), said("user", "c")))
    overlaid, fresh = ways.both(request)
    assert overlaid == ways.expected(request)
    assert [[block["text"] for block in message["content"]] for message in fresh["messages"]] == [
        ["a"],
        ["(no", " content)"],
        ["c"],
    ]


def test_a_begun_answer_can_be_continued_by_an_overlay_alone(ways: Ways) -> None:
    request = TurnRequest(MODEL, (said("user", "a"), Message("assistant", (TextBlock("be"),))))
    assert ways.overlaid(request) == ways.expected(request)
    with pytest.raises(TurnRefusedError) as caught:
        ways.both(request)
    assert caught.value.error.kind is ErrorKind.INVALID_REQUEST


@pytest.mark.faults
@pytest.mark.timeout(300)
@settings(BOUNDED, max_examples=2_000)
@given(request=requests, model=models)
def test_two_thousand_requests_over_warm_processes(ways: Ways, request: TurnRequest, model: str) -> None:
    assert ways.overlaid(request, model) == ways.expected(request, model)
    assert ways.warm.live == 1


@pytest.mark.faults
@pytest.mark.timeout(900)
@settings(BOUNDED, max_examples=300)
@given(request=requests, model=models)
def test_hundreds_of_requests_in_both_ways(ways: Ways, request: TurnRequest, model: str) -> None:
    ways.agree(request, model)
