"""Claude Code itself as a client: a gateway in front of a gateway, with the stand-in behind both."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import Answer, Received, StandIn, Text, Thinking, ToolUse
from tests.clients.whole_way import whole_way
from tests.http.loopback import KEY

pytestmark = pytest.mark.real_cli
NOTE = "seven green lighthouses"


def claude() -> str:
    package = find_spec("claude_agent_sdk")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).parent / "_bundled" / "claude")


def environment(directory: Path, url: str) -> dict[str, str]:
    for name in ("home", "tmp", "work"):
        (directory / name).mkdir()
    return {
        "HOME": str(directory / "home"),
        "TMPDIR": str(directory / "tmp"),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
    }


async def runs(directory: Path, url: str, prompt: str, *arguments: str) -> dict[str, Any]:
    """Run `claude -p` as a person would, and return what it says at its end."""
    process = await asyncio.create_subprocess_exec(
        claude(),
        "-p",
        prompt,
        "--output-format=json",
        "--model=claude-haiku-4-5",
        f"--add-dir={directory}",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(directory, url),
        cwd=directory / "work",
    )
    try:
        said, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (said, complaints)
    result: dict[str, Any] = json.loads(said)
    return result


def results_in(record: Received) -> list[Any]:
    blocks = [block for message in record.body["messages"] for block in message["content"] if isinstance(block, dict)]
    return [block for block in blocks if block["type"] == "tool_result"]


async def test_it_reads_a_file_and_answers(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    for directory in (inner, outer):
        directory.mkdir()
    note = outer / "note.txt"
    note.write_text(NOTE, encoding="utf-8")
    with StandIn(pace_ms=0) as upstream:
        upstream.play(
            # It asks for thoughts, and so they come before the call: without them its next request would be refused.
            Answer(
                (Thinking("hm", signature="c2ln"), ToolUse("toolu_1", "Read", {"file_path": str(note)})),
                stop_reason="tool_use",
            ),
            Answer((Text("The note is about "), Text("lighthouses."))),
        )
        async with whole_way(inner, upstream, warm=True) as (gateway, _):
            result = await runs(outer, gateway.url, f"What is in {note}?", "--allowed-tools=Read")
            lines = await gateway.logs.until(lambda lines: sum(line["path"] == "/v1/messages" for line in lines) == 2)
    assert (result["is_error"], result["num_turns"]) == (False, 2)
    assert "lighthouses." in result["result"]
    first, second = upstream.messages
    assert {"Read", "Bash", "Edit"} <= {tool["name"] for tool in first.body["tools"]}
    assert len(first.body["system"]) > 2, "its system blocks arrive one by one"
    (told,) = results_in(second)
    assert told["tool_use_id"] == "toolu_1"
    assert NOTE in json.dumps(told["content"])
    assert {line["status"] for line in lines} == {200}
    assert [line["outcome"] for line in lines if line["path"] == "/v1/messages"] == ["tool_use", "stop"]
    marks = json.dumps(second.body).count('"cache_control"')
    assert 1 <= marks <= 4, "the model's API takes no more"
