"""The setting `database_url`: what it may be, and what is said when it is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from claude_code_api.storage.address import StoreOpenError, address_of
from claude_code_api.storage.options import StorageOptions


def options(url: str, directory: Path = Path("/data")) -> StorageOptions:
    return StorageOptions(data_dir=directory, database_url=url)


def test_without_it_the_database_is_a_file_in_the_data_directory() -> None:
    address = address_of(options(""))
    assert (address.kind, address.file) == ("sqlite", Path("/data/gateway.db"))


@pytest.mark.parametrize(
    ("url", "file"),
    [("sqlite:////var/x.db", Path("/var/x.db")), ("sqlite:///x.db", Path.cwd() / "x.db")],
)
def test_a_file_is_named_by_its_path(url: str, file: Path) -> None:
    address = address_of(options(url))
    assert (address.kind, address.file, address.data_dir) == ("sqlite", file, Path("/data"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_server_is_named_in_every_usual_way_and_the_password_is_not_shown(scheme: str) -> None:
    address = address_of(options(f"{scheme}://ann:secret@db.example:5433/chats?sslmode=require"))
    assert (address.kind, address.file) == ("postgresql", None)
    assert (address.url.drivername, address.url.port, address.url.database) == ("postgresql+psycopg", 5433, "chats")
    assert address.url.password == "secret"
    assert "secret" not in address.shown


@pytest.mark.parametrize(
    "url",
    [
        "nonsense-secret",
        "mysql://ann:secret@host/name",
        "postgresql+asyncpg://ann:secret@host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:secret?mode=memory",
        "sqlite://host/path",
        "postgresql://ann:secret@host:port/name",
    ],
)
def test_another_url_is_refused_with_the_forms_that_work(url: str) -> None:
    with pytest.raises(StoreOpenError, match="sqlite:///PATH or postgresql://") as refusal:
        address_of(options(url))
    assert "secret" not in str(refusal.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "claude_code_api.storage.address.find_spec", lambda name: None if name == "psycopg" else found(name)
    )
    with pytest.raises(StoreOpenError, match=r"pip install 'claude-code-api\[postgres\]'"):
        address_of(options("postgresql://host/name"))


def test_the_url_does_not_show_in_the_options() -> None:
    assert "secret" not in repr(options("postgresql://ann:secret@host/name"))
