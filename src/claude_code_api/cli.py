"""The command line: reads arguments, and nothing else.

What a command needs is imported inside it: `--help` and completion must not wait for a web server to load.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from claude_code_api import __version__

if TYPE_CHECKING:
    from claude_code_api.settings import Settings

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A gateway: the OpenAI and Anthropic HTTP APIs in front of the Claude Code CLI.",
    epilog="Every flag is also a setting: `claude-code-api settings list` shows them all.",
)
settings_app = typer.Typer(no_args_is_help=True, help="Show the settings.")
app.add_typer(settings_app, name="settings")
db_app = typer.Typer(no_args_is_help=True, help="Look after the database of conversations.")
app.add_typer(db_app, name="db")

# A mistake that a person can put right; 1 is for a command that ran and found something wrong.
MISTAKE = 2
FOUND_WRONG = 1

Host = Annotated[str | None, typer.Option(help="Address to listen on. Any but a loopback one needs a key.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
DataDir = Annotated[Path | None, typer.Option(help="Directory of everything that has to be kept.")]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Ask for no key. On a loopback address only.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
Config = Annotated[Path | None, typer.Option(help="Settings file (TOML).")]
More = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


@app.callback(invoke_without_command=True)
def entry(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"claude-code-api {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def serve(
    *,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    no_auth: NoAuth = False,
    log_level: LogLevel = None,
    config: Config = None,
    more: More = None,
) -> None:
    """Serve with your own credentials. Prints the URL, the key and lines to paste into other tools."""
    flags: dict[str, object] = {"host": host, "port": port, "data_dir": data_dir, "log_level": log_level}
    flags |= {"require_auth": False if no_auth else None, **_pairs(more)}
    settings = _load(flags, config)

    from claude_code_api.app import StartError
    from claude_code_api.console.serving import run_server

    try:
        run_server(settings)
    except StartError as error:
        _mistake(str(error))


@app.command()
def demo(*, port: Port = None, config: Config = None) -> None:
    """Serve on a built-in stand-in for the model: the real CLI runs, without an account and without a network."""
    settings = _load({"port": port, "host": "127.0.0.1", "require_auth": True}, config)

    from claude_code_api.app import StartError
    from claude_code_api.console.serving import run_demo

    try:
        run_demo(settings)
    except StartError as error:
        _mistake(str(error))


@app.command()
def doctor(
    *, host: Host = None, port: Port = None, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Look at everything that a turn needs, and say how to put right what is wrong. Exit code 1 if something is."""
    settings = _load({"host": host, "port": port, "data_dir": data_dir}, config)

    from claude_code_api.console.doctor import examine, report

    if not report(examine(settings), as_json=as_json):
        raise typer.Exit(FOUND_WRONG)


@app.command()
def bench(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute, too few turns for a tail.")] = False,
    turns: Annotated[int | None, typer.Option(help="Turns for each system and scenario.")] = None,
    at_once: Annotated[str | None, typer.Option(help="Turns at once in the parallel scenarios: 1,8,16,32.")] = None,
    against: Annotated[str | None, typer.Option(metavar="URL", help="Another OpenAI-compatible server.")] = None,
    against_model: Annotated[str, typer.Option(help="The model to ask that server for.")] = "sonnet",
    standin_port: Annotated[int, typer.Option(help="A fixed port, so that it can use the same upstream.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the raw figures.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a picture (SVG).")] = None,
    load: Annotated[float | None, typer.Option(metavar="MINUTES", help="Put it under load instead.")] = None,
) -> None:
    """Measure the gateway beside the bare CLI, on a built-in stand-in for the model. No account, no network."""
    from claude_code_api.bench.command import Wanted, run_bench, run_load

    if load is not None:
        raise typer.Exit(run_load(load, json))
    wanted = Wanted(quick, turns, at_once, against, against_model, standin_port, json, picture)
    raise typer.Exit(run_bench(wanted))


@settings_app.command("show")
def settings_show(*, config: Config = None, more: More = None, as_json: AsJson = False) -> None:
    """Print every setting with its value and where the value comes from; secrets are masked."""
    settings = _load(dict(_pairs(more)), config)

    from claude_code_api.console.settings_table import print_values

    print_values(settings, as_json=as_json)


@settings_app.command("list")
def settings_list(*, as_json: AsJson = False) -> None:
    """Print every setting that there is, with its variable and what it does."""
    settings = _load({}, None)

    from claude_code_api.console.settings_table import print_names

    print_names(settings, as_json=as_json)


@db_app.command("status")
def db_status(*, data_dir: DataDir = None, config: Config = None, more: More = None, as_json: AsJson = False) -> None:
    """Print what the database is, and what is in it."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.database_commands import show_status

    with _told():
        show_status(settings.storage, as_json=as_json)


@db_app.command("migrate")
def db_migrate(*, data_dir: DataDir = None, config: Config = None, more: More = None, as_json: AsJson = False) -> None:
    """Make the database, or bring its schema up to date behind a backup; every start of the gateway does the same."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.database_commands import migrate

    with _told():
        migrate(settings.storage, as_json=as_json)


@db_app.command("backup")
def db_backup(
    file: Annotated[Path | None, typer.Argument(help="Where to; by default a new file in the data directory.")] = None,
    *,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database as it is now. A gateway may go on using it."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.database_commands import make_backup

    with _told():
        make_backup(settings.storage, file, as_json=as_json)


@db_app.command("restore")
def db_restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    *,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the database's place. What was there is kept beside it."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.database_commands import put_back

    with _told():
        put_back(settings.storage, file, as_json=as_json)


@db_app.command("check")
def db_check(*, data_dir: DataDir = None, config: Config = None, more: More = None, as_json: AsJson = False) -> None:
    """Read the whole database and say what is wrong with it. Exit code 1 if something is."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.database_commands import check

    with _told():
        if not check(settings.storage, as_json=as_json):
            raise typer.Exit(FOUND_WRONG)


@contextmanager
def _told() -> Iterator[None]:
    """Tell what is wrong with the database as a mistake that a person can put right."""
    from claude_code_api.storage.address import StoreOpenError

    try:
        yield
    except StoreOpenError as error:
        _mistake(str(error))


def _load(flags: dict[str, Any], config: Path | None) -> Settings:
    from claude_code_api.settings import SettingsError, load

    try:
        return load(flags, config)
    except SettingsError as error:
        _mistake(str(error))


def _pairs(given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            _mistake(f"--set takes NAME=VALUE, not {text!r}.")
        pairs[name.strip().replace("-", "_")] = value
    return pairs


def _mistake(text: str) -> NoReturn:
    typer.secho(f"error: {text}", fg="red", err=True)
    raise typer.Exit(MISTAKE)


def main() -> None:
    """Run the command line."""
    app()
