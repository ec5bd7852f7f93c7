"""Where the database is: the setting `database_url`, read."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from claude_code_api.storage.options import StorageOptions

FILE_NAME: Final = "gateway.db"
# As people and hosting platforms write it; the driver is ours to choose.
_POSTGRES: Final = frozenset({"postgres", "postgresql", "postgresql+psycopg"})


class StoreOpenError(Exception):
    """The store cannot be opened; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """A database: a file, or a server."""

    url: URL
    # Of SQLite.
    file: Path | None
    # Where backups, locks and the ballast are.
    data_dir: Path

    @property
    def kind(self) -> str:
        """Which database it is: "sqlite" or "postgresql"."""
        return "postgresql" if self.file is None else "sqlite"

    @property
    def shown(self) -> str:
        """The file, or the URL without its password."""
        return str(self.file) if self.file else self.url.render_as_string(hide_password=True)


def address_of(options: StorageOptions) -> Address:
    """Read the setting; without one, it is a file in the data directory."""
    if not options.database_url:
        return _file(options.data_dir / FILE_NAME, options.data_dir)
    try:
        url = make_url(options.database_url)
    except (ArgumentError, ValueError):
        # The reason would repeat the URL, and with it a password.
        raise StoreOpenError("The setting database_url is not a URL. " + _FORMS) from None
    if url.drivername in _POSTGRES:
        if find_spec("psycopg") is None:
            raise StoreOpenError("PostgreSQL needs psycopg: pip install 'claude-code-api[postgres]'.")
        return Address(url.set(drivername="postgresql+psycopg"), None, options.data_dir)
    if url.drivername != "sqlite":
        raise StoreOpenError(f"A database of the kind {url.drivername} is not known here. {_FORMS}")
    if not url.database or url.host or url.database.startswith(("file:", ":memory:")):
        raise StoreOpenError("The setting database_url names no file. " + _FORMS)
    return _file(Path(url.database).expanduser().absolute(), options.data_dir)


def _file(path: Path, data_dir: Path) -> Address:
    return Address(URL.create("sqlite+pysqlite", database=str(path)), path, data_dir)


_FORMS: Final = "Write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME, or leave it out."
