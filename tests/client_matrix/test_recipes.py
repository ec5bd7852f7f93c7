"""Every page of docs/clients is tried as it is printed, or says that it is not."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from claude_code_api.engine.scripted import ScriptedEngine, Step
from claude_code_api.flow.ports import Plan
from tests.client_matrix.client_programs import AIDER, PATIENCE_S, PROGRAMS, ROOT, environment, runs
from tests.client_matrix.scripted_model import MODELS, POINT, calls
from tests.http.loopback import answer_events, running

pytestmark = pytest.mark.clients
PAGES = ROOT / "docs" / "clients"
NODE_PROGRAMS = ROOT / "clients" / "node" / "node_modules" / ".bin"
NOT_RUN = "Not run by our tests"
FENCE = re.compile(r"^```(python|js|sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = dict.fromkeys(("instructor", "langchain", "litellm", "openai-agents", "pydantic-ai"), PROGRAMS / "python")
PYTHON |= dict.fromkeys(("anthropic-python", "openai-python"), Path(sys.executable))
NODE = ("anthropic-node", "openai-node", "vercel-ai-sdk")
SHELL = ("aider", "claude-code", "codex", "llm")
GOODBYE = "greeting.py\n```\nprint('Goodbye!')\n```\n"
NO_AIDER = pytest.mark.skipif(sys.version_info >= (3, 13), reason="aider wants an older Python")


def blocks(page: str, language: str) -> list[str]:
    """What a page prints in a language, in order."""
    return [text for name, text in FENCE.findall((PAGES / f"{page}.md").read_text("utf-8")) if name == language]


def obliging() -> ScriptedEngine:
    engine = ScriptedEngine(_says)
    engine.models = MODELS
    return engine


def _says(plan: Plan) -> Sequence[Step]:
    """Give a point where one is asked for, the file for an editor, and a greeting to everybody else."""
    names = [tool.name for tool in plan.request.tools]
    if names == ["Point"]:
        return calls(plan, "Point", (POINT,))
    if "greeting.py" in str(plan.request.messages):
        return answer_events(plan, GOODBYE)
    return answer_events(plan, "Hello", "!")


@pytest.mark.parametrize("page", sorted(PYTHON))
async def test_a_page_in_python(page: str, tmp_path: Path) -> None:
    await _prints(page, "python", tmp_path, [PYTHON[page], "-W", "error::SyntaxWarning"], ".py")


@pytest.mark.parametrize("page", NODE)
async def test_a_page_in_javascript(page: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(ROOT / "clients" / "node" / "node_modules")
    await _prints(page, "js", tmp_path, [PROGRAMS / "node"], ".mjs")


async def _prints(page: str, language: str, home: Path, command: list[str | Path], ending: str) -> None:
    printed = blocks(page, language)
    assert printed
    async with running(obliging(), patience_s=PATIENCE_S) as gateway:
        for number, text in enumerate(printed):
            program = home / f"recipe_{number}{ending}"
            program.write_text(text, encoding="utf-8")
            said = await runs(*command, program, cwd=home, env=environment(home, gateway.url))
            assert "Hello!" in said or "ü" in said


@pytest.mark.parametrize("page", [pytest.param(page, marks=NO_AIDER if page == "aider" else ()) for page in SHELL])
async def test_a_page_for_the_shell(page: str, tmp_path: Path) -> None:
    script = "\n".join(blocks(page, "sh"))
    assert script
    bundled = find_spec("claude_agent_sdk")
    assert bundled is not None
    assert bundled.origin is not None
    async with running(obliging(), patience_s=PATIENCE_S) as gateway:
        env = environment(tmp_path, gateway.url)
        places = (AIDER.parent, Path(bundled.origin).parent / "_bundled", NODE_PROGRAMS, env["PATH"])
        env["PATH"] = ":".join(map(str, places))
        # Only what the page itself says is set, beside the lines that the gateway prints.
        env |= {"OPENAI_API_BASE": "", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        said = await runs("/bin/sh", "-euc", script, cwd=tmp_path, env=env)
    if page == "aider":
        assert (tmp_path / "greeting.py").read_text("utf-8") == "print('Goodbye!')\n"
    else:
        assert "Hello!" in said


def test_every_page_is_run_or_says_that_it_is_not() -> None:
    pages = {page.stem: page.read_text("utf-8") for page in PAGES.glob("*.md") if page.stem != "README"}
    said = {name for name, text in pages.items() if NOT_RUN in text}
    assert said == pages.keys() - {*PYTHON, *NODE, *SHELL}


def test_the_index_names_every_page() -> None:
    index = (PAGES / "README.md").read_text("utf-8")
    assert [page.name for page in sorted(PAGES.glob("*.md")) if f"({page.name})" not in index] == ["README.md"]
