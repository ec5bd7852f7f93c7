"""The command line: reads arguments, and nothing else.

What a command needs is imported inside it: `--help` and completion must not wait for a web server to load.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from claude_code_api import __version__
from claude_code_api.console.audit_commands import audit_app
from claude_code_api.console.flags import (
    FOUND_WRONG,
    AsJson,
    Config,
    DataDir,
    Host,
    LogLevel,
    More,
    NoAuth,
    Port,
)
from claude_code_api.console.flags import load as _load
from claude_code_api.console.flags import mistake as _mistake
from claude_code_api.console.flags import pairs as _pairs

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

keys_app = typer.Typer(
    no_args_is_help=True,
    help="Make, list, replace and revoke keys. A gateway that runs on the same database knows within a second.",
)
app.add_typer(keys_app, name="keys")

app.add_typer(audit_app, name="audit")


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
    *,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the model's API what it accepts. Costs some cents.")
    ] = False,
    model: Annotated[list[str] | None, typer.Option(help="With --live: a model to ask. Can be repeated.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --live: do not ask before sending.")] = False,
) -> None:
    """Look at everything that a turn needs, and say how to put right what is wrong. Exit code 1 if something is."""
    settings = _load({"host": host, "port": port, "data_dir": data_dir}, config)
    if live:
        from claude_code_api.console.live_check import live_check

        if not live_check(settings, model or (), yes=yes, as_json=as_json):
            raise typer.Exit(FOUND_WRONG)
        return

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


Ids: TypeAlias = list[str] | None
Number: TypeAlias = int | None
Amount: TypeAlias = float | None
_SCOPES = (
    "turns, manage (its own projects and sessions), usage (its own), monitor (health, metrics), admin (everything)"
)
Scopes = Annotated[Ids, typer.Option(help=f"What it opens: {_SCOPES}. Repeatable; by default the first three.")]


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Who or what it is for; it is shown in lists.")],
    *,
    scope: Scopes = None,
    profile: Annotated[str | None, typer.Option(help="What its agents may do: chat, read, edit, shell, full.")] = None,
    project: Annotated[Ids, typer.Option(help="Id of a project that it may use, and no others; repeatable.")] = None,
    model: Annotated[Ids, typer.Option(help="A model that it may use, and no others; repeatable.")] = None,
    expires_in: Annotated[str | None, typer.Option(metavar="TIME", help="How long it opens: 12h, 30d, 8w.")] = None,
    requests_per_minute: Annotated[Number, typer.Option(help="Requests for turns in any minute.")] = None,
    burst: Annotated[Number, typer.Option(help="How many of them within one second.")] = None,
    concurrent_turns: Annotated[Number, typer.Option(help="Turns at once.")] = None,
    queue: Annotated[Number, typer.Option(help="Turns that may wait for one of those.")] = None,
    budget_usd: Annotated[Amount, typer.Option(help="Dollars in a calendar month (UTC).")] = None,
    budget_usd_per_day: Annotated[Amount, typer.Option(help="Dollars in a day.")] = None,
    budget_tokens: Annotated[Number, typer.Option(help="Tokens in a calendar month (UTC).")] = None,
    budget_tokens_per_day: Annotated[Number, typer.Option(help="Tokens in a day.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it. It is shown this once: only its hash is kept.

    Limits that are not given are those of the settings (`settings list`, names that begin with `key_`).
    """
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)
    wanted: dict[str, object] = {
        "name": name,
        "scopes": scope,
        "profile": profile,
        "projects": project,
        "models": model,
        "requests_per_minute": requests_per_minute,
        "burst": burst,
        "concurrent_turns": concurrent_turns,
        "queue": queue,
        "budget_usd": budget_usd,
        "budget_usd_per_day": budget_usd_per_day,
        "budget_tokens": budget_tokens,
        "budget_tokens_per_day": budget_tokens_per_day,
    }

    from claude_code_api.console.key_commands import create_key

    with _told_of_keys():
        create_key(settings, wanted, expires_in, as_json=as_json)


@keys_app.command("list")
def keys_list(
    *,
    revoked: Annotated[bool, typer.Option("--revoked", help="Revoked ones too.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """List the keys with what they may, and when they were last used. The keys themselves are known to nobody."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.key_commands import list_keys

    with _told_of_keys():
        list_keys(settings, revoked=revoked, as_json=as_json)


@keys_app.command("rotate")
def keys_rotate(
    key_id: Annotated[str, typer.Argument(help="The id, as `keys list` shows it.")],
    *,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Put another key in the place of this one, and print it. Sessions, limits and budgets stay."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.key_commands import rotate_key

    with _told_of_keys():
        rotate_key(settings, key_id, as_json=as_json)


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="The id, as `keys list` shows it.")],
    *,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key, for ever. What was made with it stays in the database, and is nobody's."""
    settings = _load({"data_dir": data_dir, **_pairs(more)}, config)

    from claude_code_api.console.key_commands import revoke_key

    with _told_of_keys():
        revoke_key(settings, key_id, as_json=as_json)


@contextmanager
def _told_of_keys() -> Iterator[None]:
    """Tell what is wrong with a key as a mistake that a person can put right."""
    from claude_code_api.console.key_commands import KeyMistakeError

    try:
        yield
    except KeyMistakeError as error:
        _mistake(str(error))


@contextmanager
def _told() -> Iterator[None]:
    """Tell what is wrong with the database as a mistake that a person can put right."""
    from claude_code_api.storage.address import StoreOpenError

    try:
        yield
    except StoreOpenError as error:
        _mistake(str(error))


def main() -> None:
    """Run the command line."""
    app()
