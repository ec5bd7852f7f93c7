"""`doctor --live`: what is sent, what is said before, and what is found wrong in the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.console import live_check as live
from claude_code_api.engine.options import EngineOptions
from claude_code_api.models.capabilities import CapabilityTable
from claude_code_api.models.probes import probes_of
from claude_code_api.settings import Settings, load
from claude_code_api.standin import Answer, StandIn

MODEL = "claude-haiku-4-5"


@pytest.fixture
def upstream() -> Iterator[StandIn]:
    with StandIn(pace_ms=0) as standin:
        yield standin


@pytest.fixture
def settings(upstream: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-made-up")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", upstream.base_url)
    return load()


def asked(settings: Settings, capsys: pytest.CaptureFixture[str], *models: str) -> tuple[bool, Any, str]:
    right = live.live_check(settings, models, yes=True, as_json=True)
    said = capsys.readouterr()
    return right, json.loads(said.out), said.err


@pytest.mark.parametrize("model", [row.id for row in CapabilityTable().rows])
def test_every_row_agrees_with_the_stand_in(model: str, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    right, found, announced = asked(settings, capsys, model)
    assert [line for line in found["findings"] if line["table"] != line["api"]] == []
    assert right
    probes = probes_of(CapabilityTable().of(model))
    assert f"{model}: {len(probes)} small requests" in announced
    assert found["asked"] == len(probes)
    assert all(line["rule"] not in ("other", "unknown_field") for line in found["findings"])


def test_a_row_that_is_wrong_is_found(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CODE_API_MODEL_CAPABILITIES", json.dumps({MODEL: {"prefill": False}}))
    right, found, _ = asked(load(), capsys, MODEL)
    assert not right
    wrong = [line for line in found["findings"] if line["table"] != line["api"]]
    assert [line["cell"] for line in wrong] == ["prefill"]
    # For people as well, with the way to put it right.
    assert not live.live_check(load(), [MODEL], yes=True, as_json=False)
    shown = capsys.readouterr().out
    assert "1 of which the table has wrong" in shown
    assert "model_capabilities" in shown


def test_nothing_is_sent_without_a_yes(
    upstream: StandIn, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert live.live_check(settings, (), yes=False, as_json=False)
    assert upstream.received == []
    said = capsys.readouterr().err
    assert "for at most $0.01" in said
    assert "Nothing was sent" in said


def test_an_account_that_cannot_pay_ends_it_at_once(
    upstream: StandIn, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.always(Answer(status=429, error_message="slow down"))
    assert not live.live_check(settings, (), yes=True, as_json=False)
    assert "Stopped: status 429" in capsys.readouterr().err
    assert len(upstream.received) == 1


def test_a_login_cannot_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "tok")
    settings = load()
    assert settings.engine == EngineOptions(claude_code_oauth_token="tok")
    assert not live.live_check(settings, (), yes=True, as_json=False)
    assert "API key" in capsys.readouterr().err
