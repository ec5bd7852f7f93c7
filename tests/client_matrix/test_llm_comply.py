"""`llm-comply` holds every body and every event against the published schemas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import Plan
from claude_code_api.turn.request import ToolChoiceKind
from tests.client_matrix.client_programs import PATIENCE_S, PROGRAMS, environment, runs
from tests.client_matrix.scripted_model import MODELS, calls, results_in
from tests.http.loopback import KEY, answer_events, running

pytestmark = pytest.mark.clients


def model() -> ScriptedEngine:
    engine = ScriptedEngine(_obliges)
    engine.models = MODELS
    return engine


def _obliges(plan: Plan) -> Sequence[Step]:
    """Call the tool that is offered, give the JSON that is asked for, or count."""
    request = plan.request
    if request.tools and request.tool_choice.kind is not ToolChoiceKind.NONE and not results_in(plan):
        return calls(plan, request.tools[0].name, ('{"location": ', '"Rome, Italy"}'))
    if request.output_schema is not None:
        return answer_events(plan, '{"name": "Ada", ', '"age": 36}')
    return answer_events(plan, "1, 2, ", "3, 4, ", "5")


ANTHROPIC = ("--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01")
# How each is asked for, and how many of its tests can be passed: the rest want other models.
FORMATS = {"openai-chat": ((), 8), "anthropic": (ANTHROPIC, 8), "open-responses": ((), 12)}


@pytest.mark.parametrize("form", FORMATS)
async def test_every_body_and_event_is_as_published(form: str, tmp_path: Path) -> None:
    async with running(model(), patience_s=PATIENCE_S) as gateway:
        url = f"{gateway.url}/v1"
        command = ["--json", "--format", form, "-u", url, "-k", KEY, "-m", "sonnet", *FORMATS[form][0]]
        said = await runs(PROGRAMS / "llm-comply", *command, cwd=tmp_path, env=environment(tmp_path, gateway.url))
    report = orjson.loads(said)
    assert [(result["id"], result["errors"]) for result in report["results"] if result["status"] == "failed"] == []
    assert report["summary"]["passed"] == FORMATS[form][1]
