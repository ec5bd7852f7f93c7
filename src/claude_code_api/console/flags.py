"""Flags that several commands share, and what is done with a mistake in them.

Imported by every command, so it imports next to nothing itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

if TYPE_CHECKING:
    from claude_code_api.settings import Settings

# A mistake that a person can put right; 1 is for a command that ran and found something wrong.
MISTAKE: Final = 2
FOUND_WRONG: Final = 1

Host = Annotated[str | None, typer.Option(help="Address to listen on. Any but a loopback one needs a key.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
DataDir = Annotated[Path | None, typer.Option(help="Directory of everything that has to be kept.")]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Ask for no key. On a loopback address only.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
Config = Annotated[Path | None, typer.Option(help="Settings file (TOML).")]
More = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def load(flags: dict[str, Any], config: Path | None) -> Settings:
    """Read the settings, or say what is wrong with them."""
    from claude_code_api.settings import SettingsError  # noqa: PLC0415 - see above
    from claude_code_api.settings import load as read  # noqa: PLC0415 - see above

    try:
        return read(flags, config)
    except SettingsError as error:
        mistake(str(error))


def pairs(given: list[str] | None) -> dict[str, str]:
    """Read what was given by --set."""
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            mistake(f"--set takes NAME=VALUE, not {text!r}.")
        pairs[name.strip().replace("-", "_")] = value
    return pairs


def mistake(text: str) -> NoReturn:
    """Say what a person can put right, and leave."""
    typer.secho(f"error: {text}", fg="red", err=True)
    raise typer.Exit(MISTAKE)
