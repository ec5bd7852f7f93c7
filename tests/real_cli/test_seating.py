"""Both ways to seat a conversation lead to the same request upstream, and no turn leaves anything for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.prove import Proof
from claude_code_api.standin import StandIn
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.events import Ended, EndReason
from claude_code_api.turn.request import Message, TextBlock, ThinkingBlock, TurnRequest
from tests.real_cli.conversations import expected, normal, requests, tool_rounds, whole
from tests.real_cli.rig import MODEL, Rig, checked, plan, said

# Nothing is made smaller: a difference is told as it was found, in seconds and not in minutes.
BOUNDED = settings(
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
PROVED = Proof({"all": True})


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

    async def _body(self, engine: ClaudeEngine, request: TurnRequest) -> dict[str, Any]:
        self.upstream.clear()
        self.upstream.always("ok")
        async with engine.lease(plan(request)) as lease:
            result = checked([event async for batch in lease.batches() for event in batch])
        assert result.ended == Ended(EndReason.STOP), result.error
        (record,) = self.upstream.received
        return normal(record.body)

    def overlaid(self, request: TurnRequest) -> dict[str, Any]:
        return self.runner.run(self._body(self.warm, request))

    def both(self, request: TurnRequest) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.overlaid(request), self.runner.run(self._body(self.fresh, request))

    def close(self) -> None:
        with self.runner:
            self.runner.run(self._close())

    async def _close(self) -> None:
        await self.warm.close()
        await self.fresh.close()


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    with ExitStack() as stack:
        upstream = stack.enter_context(StandIn(pace_ms=0))
        found = Ways(Rig(upstream, tmp_path))
        stack.callback(found.close)
        yield found


@settings(BOUNDED, max_examples=20)
@given(request=requests)
def test_any_request_is_the_same_in_both_ways(ways: Ways, request: TurnRequest) -> None:
    overlaid, fresh = ways.both(request)
    assert overlaid == fresh == expected(request)


@settings(BOUNDED, max_examples=15)
@given(messages=st.lists(tool_rounds(), min_size=1, max_size=3))
def test_rounds_of_tools_are_the_same_in_both_ways(ways: Ways, messages: Sequence[list[Message]]) -> None:
    request = TurnRequest(MODEL, whole(messages))
    overlaid, fresh = ways.both(request)
    assert overlaid == fresh == expected(request)


@settings(BOUNDED, max_examples=100)
@given(request=requests)
def test_a_process_that_is_used_again_knows_nothing_of_before(ways: Ways, request: TurnRequest) -> None:
    # One without a prompt could not use what one with a prompt has left, so all have one: it is one process.
    # Several blocks are laid over, and are no prompt of the process's.
    request = replace(request, system=request.system[:1] or (TextBlock("be brief"),))
    assert ways.overlaid(request) == expected(request)
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
    assert overlaid == expected(request)
    assert [[block["text"] for block in message["content"]] for message in fresh["messages"]] == [
        ["a"],
        ["(no", " content)"],
        ["c"],
    ]


def test_a_begun_answer_can_be_continued_by_an_overlay_alone(ways: Ways) -> None:
    request = TurnRequest(MODEL, (said("user", "a"), Message("assistant", (TextBlock("be"),))))
    assert ways.overlaid(request) == expected(request)
    with pytest.raises(TurnRefusedError) as caught:
        ways.both(request)
    assert caught.value.error.kind is ErrorKind.INVALID_REQUEST


@pytest.mark.faults
@pytest.mark.timeout(300)
@settings(BOUNDED, max_examples=2_000)
@given(request=requests)
def test_two_thousand_requests_over_warm_processes(ways: Ways, request: TurnRequest) -> None:
    assert ways.overlaid(request) == expected(request)


@pytest.mark.faults
@pytest.mark.timeout(900)
@settings(BOUNDED, max_examples=300)
@given(request=requests)
def test_hundreds_of_requests_in_both_ways(ways: Ways, request: TurnRequest) -> None:
    overlaid, fresh = ways.both(request)
    assert overlaid == fresh == expected(request)
