"""One turn is one request to the model, whatever its end: the door lets no second one through, in either way to seat.

What the bare CLI would do instead is in test_ends.py; the login lane, which has no door, still lives with that.
"""

from __future__ import annotations

import pytest

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.prove import Proof
from claude_code_api.standin import Answer, Break, RedactedThinking, Text, Thinking, ToolUse, calls, fails, says
from claude_code_api.turn.errors import ErrorKind
from claude_code_api.turn.events import Ended, EndReason
from claude_code_api.turn.result import TurnResult
from tests.real_cli.rig import Rig, asks, checked, plan

UNKNOWN = ToolUse("toolu_1", "nobody_knows", {"a": 1})
ENDS: dict[str, tuple[Answer, EndReason | ErrorKind]] = {
    "length": (Answer((Text("a"),), stop_reason="max_tokens"), EndReason.LENGTH),
    "length at once": (Answer((), stop_reason="max_tokens"), EndReason.LENGTH),
    "nothing": (Answer(()), EndReason.STOP),
    "white space": (says(" \n"), EndReason.STOP),
    "thoughts alone": (Answer((Thinking("hm"),)), EndReason.STOP),
    "hidden thoughts alone": (Answer((RedactedThinking("ZGF0YQ=="),)), EndReason.STOP),
    "stop sequence at once": (Answer((), stop_reason="stop_sequence", stop_sequence="S"), EndReason.STOP_SEQUENCE),
    "pause": (Answer((Text("a"),), stop_reason="pause_turn"), EndReason.STOP),
    "refusal": (Answer((Text("a"),), stop_reason="refusal"), EndReason.REFUSAL),
    "refusal without words": (Answer((), stop_reason="refusal"), EndReason.REFUSAL),
    "a call": (calls(UNKNOWN), EndReason.TOOL_USE),
    "words and calls": (
        Answer((Text("a"), UNKNOWN, ToolUse("toolu_2", "Bash", {"command": "id"})), stop_reason="tool_use"),
        EndReason.TOOL_USE,
    ),
    "a call that is cut": (Answer((UNKNOWN,), stop_reason="max_tokens"), EndReason.LENGTH),
    "400": (fails(400), ErrorKind.UPSTREAM_INVALID),
    "too long": (fails(400, "prompt is too long: 250000 tokens > 200000 maximum"), ErrorKind.CONTEXT_TOO_LONG),
    "401": (fails(401), ErrorKind.UPSTREAM_AUTH),
    "403": (fails(403), ErrorKind.UPSTREAM_AUTH),
    "404": (fails(404), ErrorKind.MODEL_NOT_FOUND),
    "413": (fails(413), ErrorKind.BODY_TOO_LARGE),
    "429": (fails(429, retry_after_s=1), ErrorKind.UPSTREAM_RATE_LIMITED),
    "500": (fails(500), ErrorKind.UPSTREAM_ERROR),
    "529": (fails(529), ErrorKind.UPSTREAM_OVERLOADED),
    "an error in the middle": (Answer((Text(pieces=("a", Break("error"))),)), ErrorKind.UPSTREAM_OVERLOADED),
    "a cut in the middle": (Answer((Text(pieces=("a", Break("cut"))),)), ErrorKind.UPSTREAM_ERROR),
    "a cut before the answer": (Answer(hold=Break("cut")), ErrorKind.UPSTREAM_ERROR),
}


async def _turn(engine: ClaudeEngine) -> TurnResult:
    async with engine.lease(plan(asks("hi"))) as lease:
        return checked([event async for batch in lease.batches() for event in batch])


async def _one_request_each(rig: Rig, engine: ClaudeEngine, name: str, turns: int) -> None:
    answer, wanted = ENDS[name]
    for _ in range(turns):
        rig.upstream.clear()
        rig.upstream.play(answer)
        rig.upstream.always("unasked")
        result = await _turn(engine)
        found = result.ended.reason if isinstance(result.ended, Ended) else result.error and result.error.kind
        assert (name, found, len(rig.calls())) == (name, wanted, 1)
    # There is nothing left to ask for, now or later.
    assert (await _turn(engine)).ended == Ended(EndReason.STOP)
    (_, body) = rig.bodies()
    assert [[block["text"] for block in message["content"]] for message in body["messages"]] == [["hi"]], name


@pytest.mark.parametrize("name", list(ENDS))
async def test_every_end_of_a_fresh_process_is_one_request(rig: Rig, name: str) -> None:
    async with rig.engine() as engine:
        await _one_request_each(rig, engine, name, turns=1)


async def test_every_end_of_a_warm_process_is_one_request(rig: Rig) -> None:
    async with rig.engine() as engine:
        engine.trust(Proof({"all": True}))
        for name in ENDS:
            await _one_request_each(rig, engine, name, turns=3)
