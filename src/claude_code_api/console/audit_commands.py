"""`audit`: look at the record, and check that nobody has changed it, also beside gateways that write it.

What a command needs is imported inside it, as in `cli.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from claude_code_api.console.flags import FOUND_WRONG, AsJson, Config, DataDir, More, load, mistake, pairs

if TYPE_CHECKING:
    from claude_code_api.flow.audit_records import AuditEntry
    from claude_code_api.flow.ports import Store
    from claude_code_api.settings import Settings

audit_app = typer.Typer(
    no_args_is_help=True, help="Look at the record of what agents and administrators did, and check that it is whole."
)

# Entries that are read at once.
_PART: Final = 1000
_HASH_BYTES: Final = 32

Since = Annotated[datetime | None, typer.Option(help="The first moment, in UTC.")]
Key = Annotated[str | None, typer.Option(help="The id of a key: only what was done with it.")]
Kind = Annotated[str | None, typer.Option(help="call, call.end, key.created, project.changed, …")]
Head = Annotated[str | None, typer.Option(metavar="HASH", help="A hash that was noted earlier: it has to be there.")]
Limit = Annotated[int, typer.Option(min=1, max=_PART, help="Entries at most.")]

Result = TypeVar("Result")


@audit_app.command("verify")
def verify(
    *, head: Head = None, data_dir: DataDir = None, config: Config = None, more: More = None, as_json: AsJson = False
) -> None:
    """Read the whole record. Exit code 1 if an entry was changed, removed or put elsewhere.

    Entries that are missing at the end can only be noticed by who has noted a hash: note the one that is printed, at a
    place that the gateway's user cannot write to, and give it as --head the next time.
    """
    settings = load({"data_dir": data_dir, **pairs(more)}, config)
    wanted = _hash(head) if head is not None else None
    said = _run(settings, lambda store: _verified(store, wanted))
    if as_json:
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
    elif said["problem"] is None:
        sys.stdout.write(f"{said['entries']} entries, and nothing was changed.\nhead {said['head']}\n")
    else:
        sys.stdout.write(f"{said['entries']} entries are whole; then {said['problem']}.\n")
    if said["problem"] is not None:
        raise typer.Exit(FOUND_WRONG)


@audit_app.command("list")
def list_entries(
    *,
    since: Since = None,
    key: Key = None,
    kind: Kind = None,
    limit: Limit = 50,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest entries."""
    settings = load({"data_dir": data_dir, **pairs(more)}, config)

    from claude_code_api.flow.audit_records import AuditQuery
    from claude_code_api.flow.records import Page
    from claude_code_api.http.audit_json import entry_json

    query = AuditQuery(_unix(since), None, key, kind, Page(limit))

    async def read(store: Store) -> list[dict[str, Any]]:
        return [entry_json(entry) for entry in (await store.audit(query)).data]

    found = _run(settings, read)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for one in found:
        at = datetime.fromtimestamp(one["at"], UTC).isoformat(sep=" ", timespec="seconds")
        what = json.dumps({name: value for name, value in one["what"].items() if value is not None})
        sys.stdout.write(f"{one['number']}  {at}  {one['key']}  {one['kind']}  {what}\n")


@audit_app.command("export")
def export(
    *,
    since: Since = None,
    key: Key = None,
    data_dir: DataDir = None,
    config: Config = None,
    more: More = None,
) -> None:
    """Print everything, oldest first, as one JSON object a line: with the exact text that each hash covers."""
    settings = load({"data_dir": data_dir, **pairs(more)}, config)
    since_s = _unix(since) or 0.0

    async def write(store: Store) -> None:
        async for entry in _everything(store):
            if entry.at_s >= since_s and key in {None, entry.key}:
                sys.stdout.write(json.dumps({"body": entry.body, "hash": entry.hash.hex()}) + "\n")

    _run(settings, write)


async def _verified(store: Store, wanted: bytes | None) -> dict[str, Any]:
    from claude_code_api.flow.audit_records import START, Chain

    chain, met, problem = Chain(), wanted in {None, START}, None
    async for entry in _everything(store):
        problem = chain.follow(entry)
        if problem is not None:
            break
        met = met or entry.hash == wanted
    if problem is None and not met:
        problem = "the entry with the hash that was noted is missing: the end was cut, or the record is another one"
    return {"entries": chain.length, "head": chain.head.hex(), "problem": problem}


async def _everything(store: Store) -> AsyncIterator[AuditEntry]:
    after = 0
    while part := await store.chain(after=after, limit=_PART):
        for entry in part:
            yield entry
        after = part[-1].number


def _run(settings: Settings, act: Callable[[Store], Coroutine[Any, Any, Result]]) -> Result:
    from claude_code_api.flow.ports import StoreError
    from claude_code_api.storage.address import StoreOpenError
    from claude_code_api.storage.opening import open_store

    async def acted() -> Result:
        async with open_store(settings.storage) as store:
            return await act(store)

    try:
        return asyncio.run(acted())
    except (StoreOpenError, StoreError) as error:
        mistake(str(error))


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


def _hash(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != _HASH_BYTES:
        mistake(f"--head takes a hash of {2 * _HASH_BYTES} hexadecimal digits, and not {text!r}.")
    return found
