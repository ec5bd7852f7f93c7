"""Argv and environment, exactly: what is not listed here is not there."""

from __future__ import annotations

import re
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.engine.jail import PROGRAM, TRANSCRIPT
from claude_code_api.engine.jailer import Prepared
from claude_code_api.engine.launch import (
    LOCKED_IN,
    WARDEN,
    Agent,
    Home,
    Lane,
    Launch,
    Resume,
    agent_launch,
    chat_launch,
    lane_for,
    unworkable,
)
from claude_code_api.engine.options import Credentials, EngineOptions, JailSupport, Site
from claude_code_api.engine.seat import arrange
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Message, TextBlock
from tests.turn.legal_events import TEXT

HOME = Home(Path("/run/1"))
KEY = Credentials(api_key="sk-made-up")
TOKEN = Credentials(auth_token="at-made-up")
OAUTH = Credentials(oauth_token="oat-made-up")
LOGIN = Credentials(login_directory=Path("/home/me/.claude"))

ARGV = (
    "/bin/claude",
    "-p",
    "--input-format=stream-json",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--setting-sources=",
    "--strict-mcp-config",
    "--no-session-persistence",
    "--tools=",
    "--permission-mode=dontAsk",
    "--max-turns=1",
    "--model=opus",
)
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/run/1/home",
    "TMPDIR": "/run/1/tmp",
    "API_TIMEOUT_MS": "300000",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    "DISABLE_AUTO_COMPACT": "1",
    "BUN_JSC_useDFGJIT": "0",
}


def launch(
    credentials: Credentials = KEY,
    options: EngineOptions | None = None,
    model: str = "opus",
    resume: Resume | None = None,
) -> Launch:
    site = Site(Path("/bin/claude"), credentials, Path("/run"))
    return chat_launch(options or EngineOptions(), site, HOME, model, resume)


@pytest.mark.parametrize(
    ("credentials", "lane", "flag", "variables"),
    [
        (KEY, Lane.CLEAN, "--bare", {"ANTHROPIC_API_KEY": "sk-made-up"}),
        (TOKEN, Lane.CLEAN, "--bare", {"ANTHROPIC_AUTH_TOKEN": "at-made-up"}),
        (
            OAUTH,
            Lane.LOGIN,
            "--system-prompt-snapshot=off",
            {"CLAUDE_CODE_OAUTH_TOKEN": "oat-made-up", "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1"},
        ),
        (
            LOGIN,
            Lane.LOGIN,
            "--system-prompt-snapshot=off",
            {"CLAUDE_CONFIG_DIR": "/home/me/.claude", "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1"},
        ),
        (Credentials(), Lane.LOGIN, "--system-prompt-snapshot=off", {"CLAUDE_CODE_DISABLE_ATTACHMENTS": "1"}),
    ],
)
def test_a_lane_is_exactly_this(credentials: Credentials, lane: Lane, flag: str, variables: dict[str, str]) -> None:
    made = launch(credentials)
    assert lane_for(credentials) is lane
    assert made.argv == (*ARGV, flag)
    assert made.env == {**ENVIRONMENT, **variables}
    assert made.cwd == Path("/run/1/cwd")


def test_the_first_credential_is_the_only_one_passed_on() -> None:
    all_of_them = Credentials("sk", "at", "oat", Path("/x"))
    assert launch(all_of_them).env == {**ENVIRONMENT, "ANTHROPIC_API_KEY": "sk"}


def test_behind_a_door_there_is_no_key_and_no_address() -> None:
    made = chat_launch(
        EngineOptions(anthropic_base_url="http://127.0.0.1:1"),
        Site(Path("/bin/claude"), Credentials(api_key="sk-made-up"), Path("/run")),
        Home(Path("/run/1"), Path("/doors/1")),
        "opus",
        None,
    )
    assert made.env == {
        **ENVIRONMENT,
        "ANTHROPIC_UNIX_SOCKET": "/doors/1",
        "ANTHROPIC_BASE_URL": "http://model.invalid",
        "ANTHROPIC_API_KEY": "sk-ant-relay",
    }


def test_nothing_of_the_gateways_own_environment_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "NODE_OPTIONS", "LD_PRELOAD", "ANTHROPIC_BASE_URL", "IS_SANDBOX"):
        monkeypatch.setenv(name, "leak")
    assert "leak" not in launch().env.values()


def test_options_that_reach_the_environment() -> None:
    env = launch(options=EngineOptions(anthropic_base_url="http://127.0.0.1:1", api_timeout_s=1.5)).env
    changed = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "API_TIMEOUT_MS": "1500"}
    assert env == {**ENVIRONMENT, "ANTHROPIC_API_KEY": "sk-made-up", **changed}


def test_resuming_is_by_path_and_where_it_matters_by_entry() -> None:
    file = Path("/run/1/transcript.jsonl")
    assert launch(resume=Resume(file)).argv[-1:] == (f"--resume={file}",)
    assert launch(resume=Resume(file, "u-1")).argv[-2:] == (f"--resume={file}", "--resume-session-at=u-1")


def test_the_warden_comes_first_isolated_from_its_surroundings() -> None:
    line = launch().under_warden(7)
    assert line == (sys.executable, "-I", "-S", str(WARDEN), "7", "--", *ARGV, "--bare")
    assert WARDEN.is_file()


@pytest.mark.parametrize(
    "model", ["", "-x", "--settings={}", "a b", "a\n", "a;b", "x" * 129, "ü", "{}", 'a"', "a\u2028", " a"]
)
def test_what_is_no_model_name_starts_nothing(model: str) -> None:
    with pytest.raises(ValueError, match="not a model name"):
        launch(model=model)


@pytest.mark.parametrize("model", ["opus", "claude-opus-4-5[1m]", "us.anthropic.claude:0", "a/b@20250101"])
def test_model_names(model: str) -> None:
    assert f"--model={model}" in launch(model=model).argv


def test_a_home_is_private_and_new(tmp_path: Path) -> None:
    home = Home(tmp_path / "run" / "1")
    (tmp_path / "run").mkdir()
    home.make()
    for directory in (home.root, home.home, home.tmp, home.cwd):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert list(home.cwd.iterdir()) == []
    with pytest.raises(FileExistsError):
        home.make()


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MARKED = TEXT.map(lambda text: f"MARK{text}")


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), MARKED), max_size=4), MARKED)
def test_item_06_no_byte_of_a_request_is_in_argv_or_environment(said: list[tuple[str, str]], last: str) -> None:
    messages = [Message(role, (TextBlock(text),)) for role, text in said]  # type: ignore[arg-type]
    seating = arrange([*messages, Message("user", (TextBlock(last),))])
    resume = Resume(HOME.transcript, seating.entry_uuids[-1]) if seating.entry_uuids else None
    made = launch(resume=resume)
    extra = [] if resume is None else [f"--resume={HOME.transcript}", f"--resume-session-at={resume.at_uuid}"]
    assert made.argv == (*ARGV, "--bare", *extra)
    assert all(UUID.fullmatch(found) for found in seating.entry_uuids)
    assert made.env == {**ENVIRONMENT, "ANTHROPIC_API_KEY": "sk-made-up"}


class TestAgents:
    """An agent starts in its project's directory, with exactly the tools of its profile."""

    @pytest.mark.parametrize(
        ("profile", "flags"),
        [
            (Profile.READ, ("--restricted", "--tools=Read", "--permission-mode=dontAsk")),
            (Profile.EDIT, ("--restricted", "--tools=Read,Edit,Write", "--permission-mode=acceptEdits")),
        ],
    )
    def test_what_it_may_do(self, profile: Profile, flags: tuple[str, ...]) -> None:
        site = Site(Path("/bin/claude"), KEY, Path("/run"))
        agent = Agent(profile, Path("/projects/1"))
        launch = agent_launch(EngineOptions(agent_steps=7), site, HOME, "opus", None, agent)
        assert launch.cwd == Path("/projects/1")
        assert launch.argv == (
            *ARGV[:6],
            "--setting-sources=",
            "--strict-mcp-config",
            "--no-session-persistence",
            *flags,
            "--permission-prompt-tool=stdio",
            "--max-turns=7",
            "--system-prompt-snapshot=off",
            "--model=opus",
        )
        # A long conversation of an agent's may be summed up.
        summed_up = chat_launch(EngineOptions(), site, HOME, "opus", None).env.items() - launch.env.items()
        assert summed_up == {("DISABLE_AUTO_COMPACT", "1")}

    def test_what_it_goes_on_from(self) -> None:
        site = Site(Path("/bin/claude"), KEY, Path("/run"))
        agent = Agent(Profile.READ, Path("/projects/1"))
        resume = Resume(Path("/run/1/transcript.jsonl"), "u-1")
        launch = agent_launch(EngineOptions(), site, HOME, "opus", resume, agent)
        assert launch.argv[-2:] == ("--resume=/run/1/transcript.jsonl", "--resume-session-at=u-1")

    @pytest.mark.parametrize(
        "agent",
        [
            Agent(Profile.FULL, Path("/projects/1")),
            Agent(Profile.SHELL, Path("/projects/1")),
            Agent(Profile.READ, Path("/projects/1"), trusted=True),
        ],
        ids=["full", "shell", "trusted"],
    )
    def test_what_needs_a_jail_is_not_started_without_one(self, agent: Agent) -> None:
        site = Site(Path("/bin/claude"), KEY, Path("/run"))
        with pytest.raises(ValueError, match="no jail"):
            agent_launch(EngineOptions(), site, HOME, "opus", None, agent)


PREPARED = Prepared(Path("/run/1/jail"), Path("/projects/1"), (Path("/groups/1"),), ("--kept", "out"), counted=True)
JAIL = JailSupport(Path("/usr/bin/bwrap"), "", ("--masks",))
DOOR = Home(Path("/run/1"), Path("/doors/1"))


class TestLockedIn:
    """What is told to the kernel is bubblewrap's command line; what is in it is the CLI's, as it sees the world."""

    def launched(self, agent: Agent, resume: Resume | None = None, prepared: Prepared = PREPARED) -> Launch:
        site = Site(Path("/bin/claude"), KEY, Path("/run"), jail=JAIL)
        home = replace(DOOR, prepared=prepared)
        return agent_launch(EngineOptions(agent_steps=7), site, home, "opus", resume, agent)

    def inside(self, launch: Launch) -> tuple[str, ...]:
        return launch.argv[launch.argv.index(PROGRAM, launch.argv.index("--clearenv")) :]

    @pytest.mark.parametrize(
        ("profile", "flags"),
        [
            (
                Profile.SHELL,
                ("--tools=Read,Edit,Write,Bash", "--permission-mode=acceptEdits"),
            ),
            (
                Profile.FULL,
                (
                    "--tools=Read,Edit,Write,NotebookEdit,Glob,Grep,Bash,TaskCreate,TaskUpdate,TaskList,TaskGet",
                    "--permission-mode=bypassPermissions",
                ),
            ),
        ],
    )
    def test_what_it_may_do(self, profile: Profile, flags: tuple[str, ...]) -> None:
        assert self.inside(self.launched(Agent(profile, Path("/projects/1")))) == (
            PROGRAM,
            *ARGV[1:6],
            "--setting-sources=",
            "--strict-mcp-config",
            "--no-session-persistence",
            *flags,
            "--permission-prompt-tool=stdio",
            "--max-turns=7",
            "--system-prompt-snapshot=off",
            "--model=opus",
        )

    def test_a_trusted_project_s_settings_count(self) -> None:
        inside = self.inside(self.launched(Agent(Profile.EDIT, Path("/projects/1"), trusted=True)))
        assert "--setting-sources=project" in inside
        assert not {"--setting-sources=", "--strict-mcp-config", "--restricted"} & set(inside)
        assert "--tools=Read,Edit,Write" in inside

    def test_what_it_goes_on_from_lies_in_the_jail(self) -> None:
        resume = Resume(Path("/run/1/transcript.jsonl"), "u-1")
        launch = self.launched(Agent(Profile.FULL, Path("/projects/1")), resume)
        assert launch.argv[-2:] == ("--resume=/run/gateway/transcript.jsonl", "--resume-session-at=u-1")
        shown = launch.argv.index("/run/1/transcript.jsonl")
        assert launch.argv[shown - 1 : shown + 2] == ("--ro-bind", "/run/1/transcript.jsonl", TRANSCRIPT)

    def test_the_project_is_read_only_for_a_reader(self) -> None:
        for profile, bind in ((Profile.READ, "--ro-bind"), (Profile.EDIT, "--bind")):
            argv = self.launched(Agent(profile, Path("/projects/1"), trusted=True)).argv
            assert argv[argv.index("/projects/1") - 1] == bind

    def test_nothing_of_this_machine_is_in_its_environment(self) -> None:
        argv = self.launched(Agent(Profile.FULL, Path("/projects/1"))).argv
        found = {argv[n + 1]: argv[n + 2] for n, word in enumerate(argv) if word == "--setenv"}
        kept = {name: value for name, value in ENVIRONMENT.items() if name != "DISABLE_AUTO_COMPACT"}
        assert found == {
            **kept,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/agent",
            "TMPDIR": "/tmp",
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
            "ANTHROPIC_UNIX_SOCKET": "/run/gateway/model.sock",
            "ANTHROPIC_BASE_URL": "http://model.invalid",
            "ANTHROPIC_API_KEY": "sk-ant-relay",
        }
        assert self.launched(Agent(Profile.FULL, Path("/projects/1"))).env == {}

    def test_its_warden_bounds_it(self) -> None:
        line = self.launched(Agent(Profile.SHELL, Path("/projects/1"))).under_warden(7)
        assert line[:10] == (
            *(sys.executable, "-I", "-S", str(WARDEN), "7", "--group=/groups/1"),
            *("--limit=FSIZE:1073741824", "--limit=NOFILE:4096", "--filter=/run/1/jail/calls", "--"),
        )

    def test_where_nothing_counts_its_processes_it_is_told_to(self) -> None:
        agent = Agent(Profile.FULL, Path("/projects/1"))
        assert "/bin/sh" not in self.launched(agent).argv
        uncounted = self.launched(agent, prepared=Prepared(Path("/run/1/jail"), Path("/projects/1"))).argv
        assert uncounted[uncounted.index("/bin/sh") + 3] == "256"


@pytest.mark.parametrize(
    ("credentials", "jail", "full", "missing"),
    [
        (KEY, JAIL, True, {}),
        (KEY, JAIL, False, {Profile.FULL: "switched off"}),
        (KEY, JailSupport(reason="no such program."), True, dict.fromkeys(LOCKED_IN, "no such program")),
        (LOGIN, JAIL, True, dict.fromkeys(LOCKED_IN, "with a login")),
    ],
    ids=["all", "not switched on", "no jail", "a login"],
)
def test_what_agents_cannot_work_as_and_why(
    credentials: Credentials, jail: JailSupport, full: bool, missing: dict[Profile, str]
) -> None:
    site = Site(Path("/bin/claude"), credentials, Path("/run"), jail=jail)
    found = unworkable(EngineOptions(full_profile=full), site)
    assert found.keys() == missing.keys()
    assert all(missing[profile] in reason for profile, reason in found.items())
