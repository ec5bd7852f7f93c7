"""Whom an agent asks, in the CLI's own words."""

from __future__ import annotations

import pytest

from claude_code_api.engine.modes import cli_mode, free_in, tools_in, with_mode
from claude_code_api.flow.records import Mode

EDIT = ("--restricted", "--tools=Read,Edit", "--permission-mode=acceptEdits")
SHELL = ("--tools=Read,Bash", "--permission-mode=acceptEdits", "--allowedTools=Bash")
FULL = ("--tools=Read,Bash", "--permission-mode=bypassPermissions")
ASKING = "--permission-prompt-tool=stdio"


def test_where_nobody_is_asked_the_profile_stays_as_it_is() -> None:
    assert with_mode(EDIT, Mode.AUTO) == (*EDIT, ASKING)


@pytest.mark.parametrize(
    ("mode", "said"), [(Mode.ASK, "default"), (Mode.PLAN, "plan"), (Mode.ACCEPT_EDITS, "acceptEdits")]
)
def test_where_somebody_is_asked_the_agent_can_talk(mode: Mode, said: str) -> None:
    tools = "--tools=AskUserQuestion,Edit,ExitPlanMode,Read"
    assert with_mode(EDIT, mode) == ("--restricted", tools, f"--permission-mode={said}", ASKING)
    assert cli_mode(EDIT, mode) == said


@pytest.mark.parametrize("mode", Mode)
def test_what_is_free_is_for_the_gateway_to_say(mode: Mode) -> None:
    assert not any(flag.startswith("--allowedTools") for flag in with_mode(SHELL, mode))
    assert tools_in(SHELL) == {"Read", "Bash"}
    assert free_in(SHELL) == {"Bash"}
    assert not free_in(EDIT)


def test_a_profile_that_asks_for_nothing_can_be_told_to_ask_and_told_back() -> None:
    flags = with_mode(FULL, Mode.ASK)
    assert "--permission-mode=bypassPermissions" not in flags
    assert "--allow-dangerously-skip-permissions" in flags
    assert cli_mode(FULL, Mode.AUTO) == "bypassPermissions"
    assert "--allow-dangerously-skip-permissions" not in with_mode(EDIT, Mode.ASK)
