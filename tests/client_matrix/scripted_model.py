"""What the model says in each scenario of the matrix: one set of answers for every client and every dialect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import OfferedModel, Plan
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Ended, EndReason, Failed, PartDelta, PartEnded, PartKind, PartStarted, Usage
from claude_code_api.turn.request import TextBlock, ToolResultBlock
from tests.dialects.event_lines import load_events
from tests.http.loopback import answer_events, plays

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
UNICODE = "".join(
    event.text for event in load_events(GOLDEN / "unicode" / "events.jsonl") if isinstance(event, PartDelta)
)
POINT = '{"x": 1, "label": "ü"}'
MODELS = (OfferedModel("sonnet", "claude-sonnet-4-5", "Sonnet"),)


def model_for(scenario: str) -> ScriptedEngine:
    """Give a model that plays its part in the scenario."""
    name = scenario.removesuffix("_stream")
    if name in {"tools", "structured"} or name.startswith("structured"):
        engine = ScriptedEngine(_adds if name == "tools" else _points)
    elif name == "rate_limited":
        engine = plays([Failed(TurnError(ErrorKind.UPSTREAM_RATE_LIMITED, "Not so fast.", source="upstream"))])
    else:
        golden = {"cut": "error_mid_stream", "thinking": "thinking", "length": "length_stop"}.get(name, "unicode")
        engine = plays(load_events(GOLDEN / golden / "events.jsonl"))
    engine.models = MODELS
    engine.count = lambda _: 42
    return engine


def results_in(plan: Plan) -> list[str]:
    """What the client's functions answered, in order."""
    found = []
    for block in plan.request.messages[-1].blocks:
        if isinstance(block, ToolResultBlock):
            parts = (TextBlock(block.content),) if isinstance(block.content, str) else block.content
            found.append("".join(part.text for part in parts if isinstance(part, TextBlock)))
    return found


def _adds(plan: Plan) -> Sequence[Step]:
    results = results_in(plan)
    if results:
        return answer_events(plan, *" and ".join(results))
    return calls(plan, plan.request.tools[0].name, ('{"a": 1', ', "b": 2}'), ('{"a": 3, "b": 4}',))


def _points(plan: Plan) -> Sequence[Step]:
    if not plan.request.tools:
        return answer_events(plan, POINT[:4], POINT[4:])
    return calls(plan, plan.request.tools[0].name, (POINT[:4], POINT[4:]))


def calls(plan: Plan, name: str, *arguments: Sequence[str]) -> list[Step]:
    """Call a tool of the client's as often as there are arguments, which come in pieces."""
    opening = answer_events(plan)[0]
    steps: list[Step] = [opening]
    for index, pieces in enumerate(arguments):
        steps.append(PartStarted(index, PartKind.TOOL, f"toolu_{plan.turn_id}_{index}", name))
        steps += [PartDelta(index, piece) for piece in pieces]
        steps.append(PartEnded(index))
    return [*steps, Usage(80, 20), Ended(EndReason.TOOL_USE)]
