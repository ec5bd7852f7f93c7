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

from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.relay import PLACEHOLDER_KEY, PLACEHOLDER_URL
from claude_code_api.flow.records import Profile

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
_NOBODYS_SETTINGS: Final = ("--setting-sources=", "--strict-mcp-config", "--no-session-persistence")
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
    # One request upstream for one turn of ours: no silent retry, no second answer, no compaction, no filler.
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    "DISABLE_AUTO_COMPACT": "1",
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
    """An agent at work: what it may do, and where."""

    profile: Profile
    workplace: Path


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that the operating system gets to see of a process."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path

    def under_warden(self, lifeline_fd: int) -> tuple[str, ...]:
        """The command line that starts it together with its warden."""
        return (sys.executable, "-I", "-S", str(WARDEN), str(lifeline_fd), "--", *self.argv)


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
    return Launch(tuple(argv), _environment(options, site, home), home.cwd)


def _check_model(model: str) -> None:
    if not _MODEL.fullmatch(model):
        msg = f"not a model name: {model!r}"
        raise ValueError(msg)


def _resumed(resume: Resume | None) -> tuple[str, ...]:
    if resume is None:
        return ()
    at = (f"--resume-session-at={resume.at_uuid}",) if resume.at_uuid is not None else ()
    return (f"--resume={resume.transcript}", *at)


# The tools are named one by one: whatever else the CLI has, or will have, is not offered.
_PROFILE_FLAGS: Final[Mapping[Profile, tuple[str, ...]]] = {
    Profile.READ: ("--restricted", "--tools=Read", "--permission-mode=dontAsk"),
    Profile.EDIT: ("--restricted", "--tools=Read,Edit,Write", "--permission-mode=acceptEdits"),
}


# The others need a sandbox around them.
WORKABLE: Final = frozenset({Profile.CHAT, *_PROFILE_FLAGS})


def agent_launch(
    options: EngineOptions, site: Site, home: Home, model: str, resume: Resume | None, agent: Agent
) -> Launch:
    """Start a process for an agent, in its project's directory, with the tools of its profile and nobody's settings."""
    _check_model(model)
    flags = (*_STREAM_FLAGS, *_NOBODYS_SETTINGS, *_PROFILE_FLAGS[agent.profile], f"--max-turns={options.agent_steps}")
    argv = (str(site.binary), *flags, "--system-prompt-snapshot=off", f"--model={model}", *_resumed(resume))
    return Launch(argv, _environment(options, site, home), agent.workplace)


def _environment(options: EngineOptions, site: Site, home: Home) -> dict[str, str]:
    built = {
        **_ENVIRONMENT,
        "HOME": str(home.home),
        "TMPDIR": str(home.tmp),
        "API_TIMEOUT_MS": str(round(options.api_timeout_s * 1000)),
    }
    if home.door is not None:
        # The real ones are on the other side of the door.
        door = {"ANTHROPIC_UNIX_SOCKET": str(home.door), "ANTHROPIC_BASE_URL": PLACEHOLDER_URL}
        return {**built, **door, "ANTHROPIC_API_KEY": PLACEHOLDER_KEY}
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
