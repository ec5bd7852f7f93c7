"""The examples of docs/approvals.md are run as they are printed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from string import Template
from typing import Any

import pytest

from tests.http.loopback import KEY, Running
from tests.http.test_approvals import agent, at_work
from tests.http.test_live import socket, told_until

PAGE = Path(__file__).parents[2] / "docs" / "approvals.md"


def printed(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


async def run(gateway: Running, command: str, **names: str) -> Any:
    environment = {"PATH": os.environ["PATH"], "URL": f"http://127.0.0.1:{gateway.port}", "KEY": KEY, **names}
    shell = await asyncio.create_subprocess_exec("bash", "-c", command, env=environment, stdout=asyncio.subprocess.PIPE)
    out, _ = await shell.communicate()
    assert shell.returncode == 0
    return json.loads(out)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are for curl")
async def test_the_examples_for_curl() -> None:
    mode, listed, denied, files, rewind = printed("bash")
    engine = agent()
    async with at_work(engine, mode="auto") as (gateway, session), socket(gateway, session) as talk:
        assert (await run(gateway, mode, SESSION=session))["mode"] == "ask"
        await talk.send("go")
        wanted = (await told_until(talk, "approval_wanted"))[-1]
        (one,) = (await run(gateway, listed, SESSION=session))["data"]
        named = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in fields_of_the_page())))
        assert named <= one.keys()
        answer = await run(gateway, denied, SESSION=session, APPROVAL=one["id"])
        assert answer["decision"] == "deny"
        assert engine.verdicts[0].message == "Not this file."
        await told_until(talk, "complete")
        turn = wanted["turn_id"]
        assert (await run(gateway, files, SESSION=session, TURN=turn))["data"] == []
        assert (await run(gateway, rewind, SESSION=session, TURN=turn))["files_changed"] == []


def fields_of_the_page() -> list[str]:
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("| field | |") : page.index("One is decided like this")]
    return [line for line in table.splitlines()[2:] if line.startswith("|")]


async def test_the_messages_for_the_socket() -> None:
    mode, decision = printed("json")
    async with at_work(agent()) as (gateway, session), socket(gateway, session) as talk:
        await talk.send(mode)
        assert (await told_until(talk, "mode", "error"))[-1]["mode"] == "ask"
        await talk.send("go")
        wanted = (await told_until(talk, "approval_wanted"))[-1]
        await talk.send(Template(decision).substitute(APPROVAL=wanted["approval_id"]))
        told = await told_until(talk, "complete", "error")
        assert {"approval_answered", "approval_settled"} <= {one["type"] for one in told}
