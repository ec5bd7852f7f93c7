"""From one schema to the next: every schema that was released can be opened, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from claude_code_api.storage import migrations, schema
from claude_code_api.storage.address import Address, StoreOpenError, address_of
from claude_code_api.storage.backups import KEPT, own_backups
from claude_code_api.storage.engines import postgres_engine, sqlite_engine
from claude_code_api.storage.opening import open_store, prepare
from claude_code_api.storage.options import StorageOptions
from claude_code_api.storage.tables import HEAD, metadata, versions
from claude_code_api.turn.events import Usage
from claude_code_api.turn.request import TextBlock
from tests.conformance.stores import ANN, Talk, a_session, postgresql, sqlite

HERE = Path(__file__).parent
# Dumps of databases as each schema was when it was released, with the same content: `talk_a_little`.
RELEASED = sorted(HERE.glob("schema_*.sql"))
NEXT = '''
"""A script that does not exist yet."""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("mood", sa.Text(), nullable=False, server_default="good"))
    {more}
'''


async def talk_a_little(options: StorageOptions) -> None:
    async with open_store(options) as store:
        talk = Talk(store)
        await talk.round("hello", "hi\x00there")
        await talk.ask("unanswered")


async def what_was_said(options: StorageOptions) -> list[object]:
    async with open_store(options) as store:
        session = await store.session("s1", ANN)
        assert session is not None
        texts = [entry.message.blocks for entry in await store.history("s1")]
        return [session.system, session.usage, *texts, len(await store.unfinished())]


SAID = [
    a_session().system,
    Usage(1, 2, 3, 4, 5, cost_usd=0.25),
    (TextBlock("hello"),),
    (TextBlock("hi\x00there"),),
    (TextBlock("unanswered"),),
    1,
]


def engine_of(address: Address) -> Engine:
    return postgres_engine(address) if address.file is None else sqlite_engine(address)


def opened(options: StorageOptions) -> None:
    held = prepare(address_of(options))
    if held is not None:
        held.close()


@pytest.fixture(params=[sqlite, postgresql])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> StorageOptions:
    made: Callable[[Path], StorageOptions] = request.param
    found = made(tmp_path)
    found.data_dir.mkdir(mode=0o700)
    return found


@pytest.fixture
def next_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let there be a newer schema."""

    def release(more: str) -> None:
        (tmp_path / "scripts").mkdir()
        (tmp_path / "scripts" / "v9999_next.py").write_text(NEXT.format(head=HEAD, more=more))
        monkeypatch.setattr(migrations, "PLACES", [*migrations.PLACES, tmp_path / "scripts"])
        monkeypatch.setattr(schema, "HEAD", "9999")

    yield release
    sys.modules.pop("v9999_next_py", None)


def test_the_newest_script_is_the_tables_version() -> None:
    assert migrations.scripts().get_heads() == [HEAD]


def test_the_scripts_make_the_tables(options: StorageOptions) -> None:
    engine = engine_of(address_of(options))
    with engine.begin() as connection:
        migrations.upgrade(connection, HEAD)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert schema.version_of(connection) == HEAD
    engine.dispose()


# How SQLite describes what it has made of a schema.
LOOKS = (
    "SELECT name, type, ncol, wr, strict FROM pragma_table_list WHERE schema = 'main'",
    "SELECT t.name, c.* FROM pragma_table_list t JOIN pragma_table_xinfo(t.name) c",
    "SELECT t.name, k.* FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) k",
    "SELECT t.name, i.name, i.[unique], i.origin, i.partial FROM pragma_table_list t JOIN pragma_index_list(t.name) i",
    "SELECT name, sql FROM sqlite_schema WHERE type = 'index'",
)


def test_both_ways_to_a_new_schema_are_the_same(tmp_path: Path) -> None:
    made = []
    for name, make in (("scripts", lambda c: migrations.upgrade(c, HEAD)), ("tables", schema.make)):
        address = address_of(StorageOptions(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/{name}.db"))
        engine = sqlite_engine(address)
        with engine.begin() as connection:
            make(connection)
            rows = [str(row) for look in LOOKS for row in connection.exec_driver_sql(look)]
            made.append({row for row in rows if "alembic_version" not in row})
        engine.dispose()
    assert made[0] == made[1]
    assert len(made[0]) > len(metadata.tables) * 5


def test_every_released_schema_has_a_dump() -> None:
    released = {f"schema_{script.revision}.sql" for script in migrations.scripts().walk_revisions()}
    assert {dump.name for dump in RELEASED} == released


@pytest.mark.parametrize("dump", RELEASED, ids=lambda dump: dump.stem)
def test_every_released_schema_can_be_opened(tmp_path: Path, dump: Path) -> None:
    options = sqlite(tmp_path)
    file = address_of(options).file
    assert file is not None
    options.data_dir.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    file.chmod(0o600)
    assert asyncio.run(what_was_said(options)) == SAID
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_a_migration_keeps_everything(options: StorageOptions, next_schema: Callable[[str], None]) -> None:
    asyncio.run(talk_a_little(options))
    next_schema("")
    assert asyncio.run(what_was_said(options)) == SAID
    engine = engine_of(address_of(options))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT mood FROM sessions").scalar() == "good"
        assert schema.version_of(connection) == "9999"
    engine.dispose()


def test_a_migration_that_fails_changes_nothing(options: StorageOptions, next_schema: Callable[[str], None]) -> None:
    asyncio.run(talk_a_little(options))
    next_schema("op.execute('SELECT nonsense FROM nowhere')")
    with pytest.raises(StoreOpenError, match=r"cannot be used: .*nowhere"):
        opened(options)
    engine = engine_of(address_of(options))
    with engine.connect() as connection:
        assert schema.version_of(connection) == HEAD
        columns = connection.exec_driver_sql("SELECT * FROM sessions").keys()
        assert "mood" not in columns
    engine.dispose()


def test_a_backup_is_made_before_a_migration(tmp_path: Path, next_schema: Callable[[str], None]) -> None:
    options = sqlite(tmp_path)
    asyncio.run(talk_a_little(options))
    directory = options.data_dir / "backups"
    directory.mkdir(mode=0o700)
    for n in range(KEPT + 2):
        (directory / f"2020010{n}T000000.000000Z-schema-0000.db").touch()
    (directory / "mine.db").touch()
    next_schema("")
    opened(options)
    opened(options)
    backups = own_backups(options.data_dir)
    assert len(backups) == KEPT
    assert (directory / "mine.db").exists()
    assert backups[0].name.endswith(f"-schema-{HEAD}.db")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, backups[0])] == [0o700, 0o600]
    with contextlib.closing(sqlite3.connect(backups[0])) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert connection.execute("SELECT count(*) FROM messages").fetchall() == [(3,)]
        assert "mood" not in {row[1] for row in connection.execute("PRAGMA table_info(sessions)")}


def test_without_space_for_a_backup_there_is_no_migration(tmp_path: Path, next_schema: Callable[[str], None]) -> None:
    options = sqlite(tmp_path)
    asyncio.run(talk_a_little(options))
    (options.data_dir / "backups").write_text("not a directory")
    next_schema("")
    with pytest.raises(StoreOpenError, match="backups"):
        opened(options)
    (options.data_dir / "backups").unlink()
    opened(options)


def test_many_gateways_start_at_once_and_one_migrates(
    options: StorageOptions, next_schema: Callable[[str], None]
) -> None:
    asyncio.run(talk_a_little(options))
    next_schema("")
    with ThreadPoolExecutor(4) as gateways:
        for _ in gateways.map(lambda _: opened(options), range(4)):
            pass
    assert len(own_backups(options.data_dir)) == (1 if not options.database_url else 0)
    assert asyncio.run(what_was_said(options)) == SAID


def test_processes_that_make_one_database_at_once(options: StorageOptions) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from claude_code_api.storage.opening import prepare;"
        "from claude_code_api.storage.address import address_of;"
        "from claude_code_api.storage.options import StorageOptions;"
        "sys.stdin.read();"
        "prepare(address_of(StorageOptions(data_dir=Path(sys.argv[1]), database_url=sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(options.data_dir), options.database_url]
    gateways = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    # They wait for the end of their input, so they go on together.
    for gateway in gateways:
        assert gateway.stdin is not None
        gateway.stdin.close()
        gateway.stdin = None
    told = [gateway.communicate()[1] for gateway in gateways]
    assert [gateway.returncode for gateway in gateways] == [0, 0, 0], told
    engine = engine_of(address_of(options))
    with engine.connect() as connection:
        assert schema.version_of(connection) == HEAD
    engine.dispose()


def test_an_older_gateway_is_not_migrated_under(tmp_path: Path, next_schema: Callable[[str], None]) -> None:
    options = sqlite(tmp_path)
    older = prepare(address_of(options))
    assert older is not None
    next_schema("")
    with pytest.raises(StoreOpenError, match="older gateway still uses"):
        opened(options)
    older.close()
    opened(options)


def test_a_newer_schema_is_refused_and_left_alone(options: StorageOptions) -> None:
    asyncio.run(talk_a_little(options))
    engine = engine_of(address_of(options))
    with engine.begin() as connection:
        connection.execute(versions.update().values(version_num="8888"))
    with pytest.raises(StoreOpenError, match=r"schema 8888.*newer.*db restore"):
        opened(options)
    with engine.begin() as connection:
        assert schema.version_of(connection) == "8888"
    engine.dispose()


def test_somebody_elses_database_is_refused(options: StorageOptions) -> None:
    engine = engine_of(address_of(options))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (x INTEGER)")
    for file in options.data_dir.iterdir():
        file.chmod(0o600)
    with pytest.raises(StoreOpenError, match="not the gateway's"):
        opened(options)
    engine.dispose()


def test_opening_what_is_up_to_date_does_not_load_alembic(tmp_path: Path) -> None:
    options = sqlite(tmp_path)
    asyncio.run(talk_a_little(options))
    code = (
        "import sys; from pathlib import Path;"
        "from claude_code_api.storage.opening import prepare;"
        "from claude_code_api.storage.address import address_of;"
        "from claude_code_api.storage.options import StorageOptions;"
        f"prepare(address_of(StorageOptions(data_dir=Path({str(options.data_dir)!r}))));"
        "print([name for name in ('alembic', 'mako', 'psycopg', 'sqlalchemy.orm') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
