"""An agent whose model came to its `max_tokens`: the answer that there is, and a session that goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.events import Ended, EndReason, PartDelta, PartEnded, PartKind, PartStarted, Phase, Started
from claude_code_api.turn.events import ToolActivity as Tool
from claude_code_api.turn.request import ToolResultBlock, ToolUseBlock
from tests.flow.talk import you
from tests.http.loopback import answer_events, running
from tests.http.test_audit import acts
from tests.http.test_live import frames
from tests.http.test_projects import make
from tests.http.test_request_profiles import BODIES
from tests.http.test_sessions import last_plan, say

# Where each dialect says why the answer ended, and what it says.
ENDS: dict[str, Callable[[Any], bool]] = {
    "/v1/chat/completions": lambda said: said["choices"][0]["finish_reason"] == "length",
    "/v1/completions": lambda said: said["choices"][0]["finish_reason"] == "length",
    "/v1/responses": lambda said: said["incomplete_details"] == {"reason": "max_output_tokens"},
    "/v1/messages": lambda said: said["stop_reason"] == "max_tokens",
}
HALF = {"unreadable": '{"file_pa'}


def cut_in_a_call(plan: Plan) -> Sequence[Step]:
    """The first turn of a session ends in the middle of a call; the others do not."""
    if len(plan.request.messages) > 1:
        return answer_events(plan, "On.")
    words: list[Step] = [PartStarted(0, PartKind.TEXT), PartDelta(0, "So: "), PartEnded(0)]
    call = Tool("toolu_1", "Write", Phase.STARTED, HALF)
    return [Started(plan.turn_id, "claude-test-1", plan.created_s), *words, call, Ended(EndReason.LENGTH)]


async def test_each_dialect_says_that_it_was_cut() -> None:
    async with running(ScriptedEngine(cut_in_a_call)) as gateway:
        project = (await make(gateway, profile="edit"))["id"]
        for path, cut in ENDS.items():
            answer = await gateway.http.post(path, json=BODIES[path], headers={"x-project-id": project})
            assert answer.status_code == 200, answer.text
            assert cut(answer.json()), path
        session = (await gateway.http.post("/v1/sessions", json={"project_id": project})).json()["id"]
        live = await gateway.http.get(f"/claude/stream/{session}", params={"query": "hi"})
        assert (frames(live.text)[-1]["type"], frames(live.text)[-1]["reason"]) == ("complete", "length")


async def test_the_session_goes_on_and_nobody_waits_for_the_call() -> None:
    async with running(ScriptedEngine(cut_in_a_call)) as gateway:
        project = (await make(gateway, profile="edit"))["id"]
        session = (await say(gateway, you("a"), project_id=project)).headers["x-session-id"]
        again = await say(gateway, you("b"), session=session)
        assert again.status_code == 200, again.text
        _, called, told, *_ = last_plan(gateway).request.messages
        assert called.blocks[-1] == ToolUseBlock("toolu_1", "Write", HALF)
        (cut,) = (block for block in told.blocks if isinstance(block, ToolResultBlock))
        assert (cut.tool_use_id, cut.is_error) == ("toolu_1", True)
        ends = [what for kind, what in await acts(gateway) if kind == "call.end"]
        assert [what["outcome"] for what in ends] == ["cut"], "it is on record that it was never made"
