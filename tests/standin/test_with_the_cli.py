"""The stand-in behind the real Claude Code program, in the clean lane: text in, deltas out, one to one."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import Answer, Ping, StandIn, Text, Thinking, Usage

TEXT = "@/etc/passwd /clear 'x' \"y\" \\ ü 🙂\n  two lines\t"
PIECES = ("Hel", "", "lo ", "🙂", "\n\n", " wörld\\")


def claude() -> Path:
    package = find_spec("claude_agent_sdk")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "_bundled" / "claude"


def environment(tmp_path: Path, url: str) -> dict[str, str]:
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    switches = (
        "DISABLE_AUTOUPDATER",
        "DISABLE_TELEMETRY",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK",
        "CLAUDE_CODE_DISABLE_FILE_MENTIONS",
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS",
        "DISABLE_AUTO_COMPACT",
    )
    return {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "sk-ant-made-up",
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        **dict.fromkeys(switches, "1"),
    }


def arguments() -> list[str]:
    clean = ["--bare", "--tools", "", "--permission-mode", "dontAsk", "--no-session-persistence"]
    streams = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
    return [str(claude()), "-p", *streams, "--include-partial-messages", *clean, "--model=claude-haiku-4-5"]


@pytest.mark.real_cli
def test_text_and_deltas_pass_one_to_one(upstream: StandIn, tmp_path: Path) -> None:
    steps = (Ping(), Thinking("hm", signature="c2ln", pieces=1), Text(pieces=PIECES))
    upstream.play(Answer(steps, usage=Usage(100, 10, 30, 7)))
    lines = [
        {"type": "control_request", "request_id": "r1", "request": {"subtype": "initialize", "hooks": None}},
        {
            "type": "user",
            "uuid": "7b0d1f5e-0000-4000-8000-000000000001",
            "client_composed": True,
            "parent_tool_use_id": None,
            "session_id": "",
            "message": {"role": "user", "content": TEXT},
        },
    ]
    with subprocess.Popen(
        arguments(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(tmp_path, upstream.base_url),
        cwd=tmp_path / "work",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            process.stdin.flush()
            seen: list[dict[str, Any]] = []
            while not seen or seen[-1].get("type") != "result":
                seen.append(json.loads(process.stdout.readline()))
            process.stdin.close()
            assert process.wait(10) == 0
        finally:
            process.kill()

    (record,) = upstream.received
    assert (record.path, record.query, record.finished) == ("/v1/messages", "beta=true", True)
    assert record.headers["x-api-key"] == "sk-ant-made-up"
    (message,) = record.body["messages"]
    assert [block["text"] for block in message["content"]] == [TEXT]
    assert record.body["stream"] is True

    events = [line["event"] for line in seen if line["type"] == "stream_event"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [delta["text"] for delta in deltas if delta["type"] == "text_delta"] == list(PIECES)
    assert [delta["thinking"] for delta in deltas if delta["type"] == "thinking_delta"] == ["h", "m"]
    assert [delta["signature"] for delta in deltas if delta["type"] == "signature_delta"] == ["c2ln"]
    result = seen[-1]
    assert (result["is_error"], result["result"]) == (False, "".join(PIECES))
    usage = result["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["cache_read_input_tokens"]) == (100, 10, 30)
