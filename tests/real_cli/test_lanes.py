"""The credentials: what goes upstream with each of them, and where they never are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from claude_code_api.engine.options import Credentials
from claude_code_api.turn.events import Ended, EndReason
from claude_code_api.turn.request import TextBlock
from tests.real_cli.living import files_below, processes_of
from tests.real_cli.rig import IDENTITY, Rig, asks, plain, texts_of

SECRET = "made-up-secret-4711-abcdefghijklmnopqrstuvwxyz"


async def test_an_auth_token_takes_the_clean_lane(rig: Rig) -> None:
    rig.credentials = Credentials(auth_token=SECRET)
    result = await rig.answer(asks("@/etc/passwd", system=(TextBlock("be brief"),)))
    assert result.ended == Ended(EndReason.STOP)
    (record,) = rig.calls()
    assert record.headers["authorization"] == f"Bearer {SECRET}"
    assert "x-api-key" not in record.headers
    assert plain(record.body["messages"]) == [{"role": "user", "content": [{"type": "text", "text": "@/etc/passwd"}]}]
    assert texts_of({"content": record.body["system"]}) == [IDENTITY, "be brief"]


REMINDER = re.compile(r"<system-reminder>.*</system-reminder>\s*", re.DOTALL)


async def test_an_oauth_token_takes_the_login_lane_with_its_known_reminders(rig: Rig) -> None:
    rig.credentials = Credentials(oauth_token=f"sk-ant-oat01-{SECRET}")
    result = await rig.answer(asks("/clear @/etc/passwd", system=(TextBlock("be brief"),)))
    assert result.ended == Ended(EndReason.STOP)
    (record,) = rig.calls()
    assert record.headers["authorization"] == f"Bearer sk-ant-oat01-{SECRET}"
    assert "oauth" in record.headers["anthropic-beta"]
    (message,) = record.body["messages"]
    *reminders, last = texts_of(message)
    # The client's words are a block of their own, untouched; before them stands what the CLI adds by itself.
    assert last == "/clear @/etc/passwd"
    assert reminders
    assert all(REMINDER.fullmatch(text) for text in reminders), reminders
    assert "root:x:0" not in str(record.body)
    assert record.body["tools"] == []
    assert texts_of({"content": record.body["system"]})[-1] == "be brief"


@pytest.mark.parametrize("kind", ["api_key", "auth_token", "oauth_token"])
async def test_a_credential_is_in_no_argv_no_file_and_no_words(rig: Rig, kind: str) -> None:
    secret = f"sk-ant-oat01-{SECRET}" if kind == "oauth_token" else SECRET
    rig.credentials = Credentials(**{kind: secret})  # type: ignore[arg-type]
    async with rig.live() as live:
        await live.ask("hi")
        lines = processes_of(live.home.root)
        assert len(lines) >= 2
        assert SECRET not in str(lines)
        assert _files_with(live.home.root, SECRET) == []
        process = live.process
    assert SECRET not in process._child.last_words()  # noqa: SLF001 - its standard error is nowhere else


def _files_with(directory: Path, secret: str) -> list[Path]:
    return [path for path, text in files_below(directory) if secret.encode() in text]


async def test_a_login_directory_without_a_login_is_no_credential(rig: Rig) -> None:
    login = rig.directory / "login"
    login.mkdir()
    rig.credentials = Credentials(login_directory=login)
    result = await rig.answer(asks("hi"))
    assert result.error is not None
    assert result.error.kind.value == "no_credentials"
    assert rig.calls() == []
