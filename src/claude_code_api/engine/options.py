"""What can be set about the engine, and what comes of it on this machine.

In an Options class an annotation's first string is the setting's description; a second one, "secret", keeps its value
out of every listing. Units stand last in the names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated


class Seating(Enum):
    """How a conversation comes into a process."""

    AUTO = "auto"
    FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The engine's settings."""

    claude_binary_path: Annotated[
        Path | None, "The `claude` to run. Default: the bundled one, then the usual places."
    ] = None
    anthropic_api_key: Annotated[str | None, "API key that the CLI uses.", "secret"] = field(default=None, repr=False)
    anthropic_auth_token: Annotated[str | None, "Bearer token that the CLI uses.", "secret"] = field(
        default=None, repr=False
    )
    claude_code_oauth_token: Annotated[str | None, "Token of `claude setup-token`.", "secret"] = field(
        default=None, repr=False
    )
    anthropic_base_url: Annotated[str | None, "Where the CLI finds the model's API. Default: the CLI's own."] = None
    # The CLI itself never gives up on a silent upstream.
    silence_s: Annotated[float, "A turn in which nothing happens for so many seconds is ended."] = 120.0
    # A cold start takes 0.3 s; a loaded machine gets a hundred times that before the process counts as broken.
    start_s: Annotated[float, "A CLI that has not answered for so many seconds after its start is given up."] = 30.0
    # Longer than the silence limit, so that ours is the one to act and to explain.
    api_timeout_s: Annotated[float, "How long the CLI waits for the first byte of the model's API."] = 300.0
    upstream_retries: Annotated[
        int, "How often the model's API is asked again when it is overloaded or fails, before anything was answered."
    ] = 2
    # Each is a request to the model; a task that needs more has usually lost its way.
    agent_steps: Annotated[int, "Steps that an agent may take in one turn."] = 100
    seating: Annotated[
        Seating, "auto: warm processes where the installed CLI allows it; fresh: a new one each turn."
    ] = Seating.AUTO
    # A warm process is about 110 MB. As many as run at once, or a busy gateway would end the ones it needs next.
    max_idle: Annotated[int, "Warm processes that wait for a turn."] = 16
    spares: Annotated[int, "Processes started ahead; each serves whatever model is asked for."] = 1
    # A start keeps a core busy for 0.3 s. More at once are not ready earlier, and everybody else waits for them.
    starts: Annotated[int, "Processes that are started at the same moment; others wait for a start or a free one."] = 4
    idle_s: Annotated[float, "A warm process that nobody used for so many seconds is ended."] = 300.0
    # One grows with use and settles at about 150 MB; a very long prompt makes it much bigger, for good.
    process_turns: Annotated[int, "A warm process is replaced after so many turns."] = 500
    process_mib: Annotated[int, "A warm process that has grown larger than so many MiB is replaced."] = 400
    process_age_s: Annotated[float, "A warm process is replaced after so many seconds."] = 21_600.0
    # Sixteen of them with room to grow. What they share, the program itself, is not counted.
    pool_mib: Annotated[int, "Memory of all warm processes that wait for a turn, in MiB, as measured."] = 4096
    # It may do anything inside its jail, and to its project: nobody should get that by omission.
    full_profile: Annotated[bool, "Let agents work with the profile `full`, where there is a jail for them."] = False
    # The CLI has about 30 threads; a build on all cores fits in, a fork bomb ends before anybody notices it.
    jail_processes: Annotated[int, "Processes and threads that one jail may have."] = 256
    # The CLI takes up to 0.4 GiB of it; what is written to the jail's own /tmp and home counts, too.
    jail_memory_mib: Annotated[int, "Memory of everything in one jail, in MiB."] = 2048
    # Without a bound it could be half of the machine's memory.
    jail_tmp_mib: Annotated[int, "Size of a jail's /tmp, and of its home, in MiB."] = 256
    # Larger than what people keep in a repository.
    jail_file_mib: Annotated[int, "Size of one file that is written in a jail, in MiB."] = 1024
    jail_open_files: Annotated[int, "Files that one process in a jail may have open."] = 4096
    # Half: where both want a core, whoever does not run a tool goes first.
    jail_cpu_percent: Annotated[int, "A jail's share of a busy processor, in percent of what others have."] = 50


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the CLI may speak to the model: at most one of these. Kept out of every representation."""

    api_key: str | None = field(default=None, repr=False)
    auth_token: str | None = field(default=None, repr=False)
    oauth_token: str | None = field(default=None, repr=False)
    login_directory: Path | None = None

    @property
    def source(self) -> str | None:
        """Which one it is, by name; None when there is none."""
        if self.api_key:
            return "ANTHROPIC_API_KEY"
        if self.auth_token:
            return "ANTHROPIC_AUTH_TOKEN"
        if self.oauth_token:
            return "CLAUDE_CODE_OAUTH_TOKEN"
        return "claude login" if self.login_directory else None


@dataclass(frozen=True, slots=True)
class JailSupport:
    """Whether agents can be locked in on this machine: the program that does it, or the reason why not."""

    program: Path | None = None
    reason: str = "nobody has looked whether this machine can make one."
    # What of /proc is covered in a jail.
    masks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """What the engine stands on, on this machine: a binary, credentials, and directories for its processes."""

    binary: Path
    credentials: Credentials
    run_directory: Path
    # For sockets, whose paths have to be short; None: beside the processes' homes.
    doors: Path | None = None
    jail: JailSupport = JailSupport()
