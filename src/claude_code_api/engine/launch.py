"""The only place that builds an argv and an environment for the CLI.

Both are made of constants, of paths and ids that the gateway made, of the operator's settings, and of a model name
out of the gateway's own catalogue. No byte of a request is ever in them: a prompt that begins with `--settings=` would
be code. The environment starts from nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from claude_code_api.engine import jail
from claude_code_api.engine.bounds import process_limits
from claude_code_api.engine.jailer import Prepared
from claude_code_api.engine.modes import with_mode
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.relay import PLACEHOLDER_KEY, PLACEHOLDER_URL
from claude_code_api.flow.records import Mode
from claude_code_api.turn.profile import Profile

WARDEN: Final = Path(__file__).with_name("warden.py")
# What a model name may look like. It comes from the catalogue, so this is a second lock, not the first.
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/\[\]-]{0,127}")

_STREAM_FLAGS: Final = (
    "-p",
    "--input-format=stream-json",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
)
# None of anybody's settings, hooks, MCP servers or CLAUDE.md files; and the truth about a session is kept elsewhere.
_FORGETFUL: Final = ("--no-session-persistence",)
_NOBODYS_SETTINGS: Final = ("--setting-sources=", "--strict-mcp-config", *_FORGETFUL)
# Those of a project that an administrator trusts; its user's are in an empty home.
_THE_PROJECTS_SETTINGS: Final = ("--setting-sources=project", *_FORGETFUL)
_CHAT_FLAGS: Final = (
    *_STREAM_FLAGS,
    *_NOBODYS_SETTINGS,
    # No built-in tools.
    "--tools=",
    # A tool that slipped through is refused, and nobody is asked.
    "--permission-mode=dontAsk",
    # The client runs its functions, not the CLI: after a call there is nothing for the CLI to go on with.
    "--max-turns=1",
)

# The conversation is the client's, and its length too. (An agent's is its own: it may have it summed up.)
_NOTHING_SUMMED_UP: Final[Mapping[str, str]] = {"DISABLE_AUTO_COMPACT": "1"}
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Nothing on the wire that no client asked for; the binary does not change under us.
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    # Nothing in the prompt that no client sent.
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
    # `@path` is text: the second net under `client_composed` and the blank block.
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    # One request upstream for one answer: no silent retry, no second answer, no filler.
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    # 8 to 12 MB less for each process, at no measurable cost.
    "BUN_JSC_useDFGJIT": "0",
}


class Lane(Enum):
    """How plain model traffic travels: it follows from the credentials."""

    CLEAN = "clean"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Home:
    """The directories of one process, all its own: two processes in one home would see each other."""

    root: Path
    # The socket behind which the model is; without one the process speaks to the model by itself.
    door: Path | None = None
    # The jail that was made ready for it, where it needs one.
    prepared: Prepared | None = None

    @property
    def home(self) -> Path:
        """HOME, and with it the CLI's configuration."""
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        """TMPDIR."""
        return self.root / "tmp"

    @property
    def cwd(self) -> Path:
        """An empty working directory."""
        return self.root / "cwd"

    @property
    def transcript(self) -> Path:
        """The history that the process resumes from, where there is one."""
        return self.root / "transcript.jsonl"

    @property
    def jail(self) -> Path:
        """The small files of its jail, where it has one."""
        return self.root / "jail"

    def make(self) -> None:
        """Create them, readable by nobody else."""
        for directory in (self.root, self.home, self.tmp, self.cwd):
            directory.mkdir(mode=0o700, parents=True)


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a process picks a conversation up: a transcript of ours, and the entry to go on from where it matters."""

    transcript: Path
    at_uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent at work: what it may do, where, and whom it asks."""

    profile: Profile
    workplace: Path
    mode: Mode = Mode.AUTO
    # Whether the project's own settings, hooks and servers count: an administrator has said so.
    trusted: bool = False

    @property
    def jailed(self) -> bool:
        """Whether it is locked in: it runs commands, or what its project brings along does."""
        return self.trusted or self.profile in LOCKED_IN

    @property
    def place(self) -> Path:
        """Where it believes to be."""
        return Path(jail.PROJECT) if self.jailed else self.workplace


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that the operating system gets to see of a process."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    # What its warden does for it before it starts.
    options: tuple[str, ...] = ()

    def under_warden(self, lifeline_fd: int) -> tuple[str, ...]:
        """The command line that starts it together with its warden."""
        return (sys.executable, "-I", "-S", str(WARDEN), str(lifeline_fd), *self.options, "--", *self.argv)


def lane_for(credentials: Credentials) -> Lane:
    """A key or an auth token takes the clean lane; a login of the user's cannot."""
    return Lane.CLEAN if credentials.api_key or credentials.auth_token else Lane.LOGIN


def chat_launch(options: EngineOptions, site: Site, home: Home, model: str, resume: Resume | None) -> Launch:
    """Start a process for plain model traffic: no tools, no files, no settings."""
    _check_model(model)
    argv = [str(site.binary), *_CHAT_FLAGS, f"--model={model}"]
    lane = lane_for(site.credentials)
    # `--bare` sends nothing but what we give it, and reads no login; without it the prompt has to be replaceable.
    argv.append("--bare" if lane is Lane.CLEAN else "--system-prompt-snapshot=off")
    argv += _resumed(resume)
    return Launch(tuple(argv), {**_environment(options, site, home), **_NOTHING_SUMMED_UP}, home.cwd)


def _check_model(model: str) -> None:
    if not _MODEL.fullmatch(model):
        msg = f"not a model name: {model!r}"
        raise ValueError(msg)


def _resumed(resume: Resume | None) -> tuple[str, ...]:
    if resume is None:
        return ()
    at = (f"--resume-session-at={resume.at_uuid}",) if resume.at_uuid is not None else ()
    return (f"--resume={resume.transcript}", *at)


LOCKED_IN: Final = frozenset({Profile.SHELL, Profile.FULL})
# The tools are named one by one: whatever else the CLI has, or will have, is not offered. None of these leaves the
# jail: no page is fetched or searched for, no message is sent to another session, nothing is left for later, and no
# agent starts further ones.
_READS: Final = "--tools=Read"
_EDITS: Final = "--tools=Read,Edit,Write"
_TOOLS: Final[Mapping[Profile, tuple[str, ...]]] = {
    Profile.READ: (_READS, "--permission-mode=dontAsk"),
    Profile.EDIT: (_EDITS, "--permission-mode=acceptEdits"),
    # The jail is what holds a command; what the file tools may do is the CLI's to judge, as with `edit`.
    Profile.SHELL: ("--tools=Read,Edit,Write,Bash", "--permission-mode=acceptEdits", "--allowedTools=Bash"),
    Profile.FULL: (
        "--tools=Read,Edit,Write,NotebookEdit,Glob,Grep,Bash,TaskCreate,TaskUpdate,TaskList,TaskGet",
        "--permission-mode=bypassPermissions",
    ),
}
# Outside of a jail the CLI itself has to keep to the project, and does so with this alone.
_RESTRICTED: Final = ("--restricted",)
# A command that goes on behind the turn would have the CLI begin a turn of its own, which nobody asked for.
_NO_BACKGROUND: Final = {"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1"}


def profile_flags(profile: Profile) -> tuple[str, ...]:
    """Return the flags that make a profile: its tools, and what is done without asking."""
    return _TOOLS[profile]


def unworkable(options: EngineOptions, site: Site) -> Mapping[Profile, str]:
    """Say what agents cannot work as here, and why; what is left out they can."""
    reason = site.jail.reason if site.jail.program is None else ""
    if lane_for(site.credentials) is not Lane.CLEAN:
        reason = "a jail has no network, and with a login the CLI speaks to the model itself; set ANTHROPIC_API_KEY."
    found = {profile: f"The profile `{profile.value}` needs a jail: {reason}" for profile in LOCKED_IN if reason}
    if not options.full_profile:
        found[Profile.FULL] = (
            "The profile `full` is switched off; whoever runs the gateway can set CLAUDE_CODE_API_FULL_PROFILE=true."
        )
    return found


def agent_launch(
    options: EngineOptions,
    site: Site,
    home: Home,
    model: str,
    resume: Resume | None,
    agent: Agent,
) -> Launch:
    """Start a process for an agent, in its project's directory, with the tools of its profile.

    Nobody's settings count, unless the project is trusted. Without what was prepared for it, nothing that belongs into
    a jail is started.
    """
    _check_model(model)
    if not agent.jailed:
        flags = (*_STREAM_FLAGS, *_NOBODYS_SETTINGS, *_RESTRICTED, *_agent_flags(options, model, agent))
        argv = (str(site.binary), *flags, *_resumed(resume))
        return Launch(argv, _environment(options, site, home), agent.workplace)
    prepared = home.prepared
    if prepared is None or home.door is None:
        msg = f"no jail for {agent.profile}"
        raise ValueError(msg)
    settings = _THE_PROJECTS_SETTINGS if agent.trusted else _NOBODYS_SETTINGS
    flags = (*_STREAM_FLAGS, *settings, *_agent_flags(options, model, agent))
    inside = None if resume is None else Resume(Path(jail.TRANSCRIPT), resume.at_uuid)
    cell = jail.Cell(
        site.binary,
        prepared.files,
        agent.workplace,
        writable=agent.profile is not Profile.READ,
        door=home.door,
        transcript=resume.transcript if resume is not None else None,
        kept_out=prepared.kept_out,
        env=_environment_inside(options),
        processes=None if prepared.counted else options.jail_processes,
    )
    argv = jail.jailed(site.jail, cell, options, (jail.PROGRAM, *flags, *_resumed(inside)))
    for_warden = (
        *(f"--group={group}" for group in prepared.groups),
        *(f"--limit={name}:{number}" for name, number in process_limits(options)),
        f"--filter={jail.filter_of(prepared.files)}",
    )
    return Launch(argv, {}, home.cwd, for_warden)


def _agent_flags(options: EngineOptions, model: str, agent: Agent) -> tuple[str, ...]:
    steps = f"--max-turns={options.agent_steps}"
    return (*with_mode(_TOOLS[agent.profile], agent.mode), steps, "--system-prompt-snapshot=off", f"--model={model}")


def _environment_inside(options: EngineOptions) -> dict[str, str]:
    """The environment in a jail: nothing in it is of this machine, and none of it is secret."""
    return {
        **_ENVIRONMENT,
        **_NO_BACKGROUND,
        # Whoever installs programs for everybody does it here, too.
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": jail.HOME,
        "TMPDIR": jail.TMP,
        "API_TIMEOUT_MS": str(round(options.api_timeout_s * 1000)),
        **_behind(jail.DOOR),
    }


def _behind(door: str) -> dict[str, str]:
    """The real address and the real key are on the other side of the door."""
    return {
        "ANTHROPIC_UNIX_SOCKET": door,
        "ANTHROPIC_BASE_URL": PLACEHOLDER_URL,
        "ANTHROPIC_API_KEY": PLACEHOLDER_KEY,
    }


def _environment(options: EngineOptions, site: Site, home: Home) -> dict[str, str]:
    built = {
        **_ENVIRONMENT,
        "HOME": str(home.home),
        "TMPDIR": str(home.tmp),
        "API_TIMEOUT_MS": str(round(options.api_timeout_s * 1000)),
    }
    if home.door is not None:
        return {**built, **_behind(str(home.door))}
    if options.anthropic_base_url:
        built["ANTHROPIC_BASE_URL"] = options.anthropic_base_url
    if lane_for(site.credentials) is Lane.LOGIN:
        built["CLAUDE_CODE_DISABLE_ATTACHMENTS"] = "1"
    built.update(_credential(site.credentials))
    return built


def _credential(credentials: Credentials) -> dict[str, str]:
    """Exactly one of them. Chat processes have no tools, so no child of theirs ever sees it."""
    if credentials.api_key:
        return {"ANTHROPIC_API_KEY": credentials.api_key}
    if credentials.auth_token:
        return {"ANTHROPIC_AUTH_TOKEN": credentials.auth_token}
    if credentials.oauth_token:
        return {"CLAUDE_CODE_OAUTH_TOKEN": credentials.oauth_token}
    if credentials.login_directory:
        return {"CLAUDE_CONFIG_DIR": str(credentials.login_directory)}
    return {}
