"""From one schema to the next: Alembic runs the scripts in `versions`.

Imported only when a database is not at the newest one, because Alembic takes 11 MB and a tenth of a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

# Wherever the package is installed.
_HERE: Final = Path(__file__).parent
PLACES: Final = [_HERE / "versions"]


def scripts() -> ScriptDirectory:
    """Find the scripts."""
    return ScriptDirectory(str(_HERE), version_locations=[str(place) for place in PLACES])


def is_known(version: str) -> bool:
    """Whether this program knows the version."""
    try:
        return scripts().get_revision(version) is not None
    except CommandError:
        return False


def upgrade(connection: Connection, version: str) -> None:
    """Bring the schema to a version, in the transaction that is open."""
    directory = scripts()

    def steps(revision: tuple[str, ...], _context: MigrationContext) -> object:
        return directory._upgrade_revs(version, revision)  # type: ignore[arg-type]  # noqa: SLF001 - what Alembic's own `upgrade` command calls

    with EnvironmentContext(Config(), directory, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
