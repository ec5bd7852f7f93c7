"""Everything that a directory can plant for Claude Code: nothing of it runs, nothing of it reaches the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from claude_code_api.engine.launch import Launch
from claude_code_api.engine.options import Credentials
from claude_code_api.turn.events import Ended, EndReason
from tests.real_cli.rig import KEY, Rig, terminal

EVENTS = (
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "Stop",
    "SessionEnd",
    "Notification",
    "Setup",
)
MARK = "PLANTED-93fd"


def plant(directory: Path, traces: Path, name: str) -> None:
    """Fill a directory with everything that Claude Code would load or run."""

    def touch(what: str) -> str:
        return f"touch {traces}/{name}-{what}"

    hooks = {event: [{"matcher": "", "hooks": [{"type": "command", "command": touch(event)}]}] for event in EVENTS}
    settings = {
        "hooks": hooks,
        "apiKeyHelper": f"{touch('apiKeyHelper')}; echo sk-planted",
        "statusLine": {"type": "command", "command": touch("statusLine")},
        "env": {"ANTHROPIC_CUSTOM_HEADERS": f"x-planted: {MARK}", "ANTHROPIC_MODEL": MARK},
        "outputStyle": MARK,
        "enableAllProjectMcpServers": True,
        "model": MARK,
    }
    server = {"command": "/bin/sh", "args": ["-c", touch("mcp")]}
    files = {
        ".claude/settings.json": json.dumps(settings),
        ".claude/settings.local.json": json.dumps(settings),
        ".mcp.json": json.dumps({"mcpServers": {"planted": server}}),
        ".claude.json": json.dumps({"mcpServers": {"planted": server}}),
        "CLAUDE.md": MARK,
        "CLAUDE.local.md": MARK,
        "AGENTS.md": MARK,
        ".claude/CLAUDE.md": MARK,
        ".claude/rules/planted.md": MARK,
        ".claude/skills/planted/SKILL.md": f"---\nname: planted\ndescription: {MARK}\n---\n{MARK}",
        ".claude/agents/planted.md": f"---\nname: planted\ndescription: {MARK}\n---\n{MARK}",
        ".claude/commands/planted.md": MARK,
        ".claude/output-styles/planted.md": f"---\nname: {MARK}\n---\n{MARK}",
        ".claude/plugins/planted/.claude-plugin/plugin.json": json.dumps({"name": "planted", "hooks": hooks}),
    }
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)


@pytest.mark.parametrize(
    "credentials",
    [Credentials(api_key=KEY), Credentials(oauth_token="sk-ant-oat01-made-up")],
    ids=["clean lane", "login lane"],
)
async def test_nothing_planted_runs_or_reaches_the_model(rig: Rig, credentials: Credentials) -> None:
    rig.credentials = credentials
    traces = rig.directory / "traces"
    traces.mkdir()

    def planted(launch: Launch) -> Launch:
        home, cwd = Path(launch.env["HOME"]), launch.cwd
        for name, directory in (
            ("home", home),
            ("cwd", cwd),
            ("parent", cwd.parent),
            ("grandparent", cwd.parent.parent),
        ):
            plant(directory, traces, name)
        return launch

    async with rig.live(system="be brief", adapt=planted) as live:
        for text in ("hi", "/planted", "@CLAUDE.md"):
            assert terminal(await live.ask(text)) == Ended(EndReason.STOP)
    assert [path.name for path in traces.iterdir()] == []
    for record in rig.calls():
        assert MARK.encode() not in record.raw
        assert "x-planted" not in record.headers
        assert record.body["tools"] == []
    assert len(rig.calls()) == 3


async def test_the_planting_itself_works(rig: Rig) -> None:
    """Without our flags the same directories do run and do reach the model: the test above can fail."""
    traces = rig.directory / "traces"
    traces.mkdir()
    ours = ("--bare", "--setting-sources=", "--strict-mcp-config")

    def open_to_all(launch: Launch) -> Launch:
        plant(launch.cwd, traces, "cwd")
        env = {name: value for name, value in launch.env.items() if name != "CLAUDE_CODE_DISABLE_ATTACHMENTS"}
        return replace(launch, argv=tuple(word for word in launch.argv if word not in ours), env=env)

    async with rig.live(adapt=open_to_all) as live:
        await live.ask("hi")
    assert any(MARK.encode() in record.raw for record in rig.calls())
    assert {"cwd-SessionStart", "cwd-UserPromptSubmit"} <= {path.name for path in traces.iterdir()}
