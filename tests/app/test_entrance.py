"""The door: an address that others reach is never opened without a key, and a refusal leaves no socket behind."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from claude_code_api.app import Entrance, StartError, access_of, open_entrance
from claude_code_api.flow.access import Access
from claude_code_api.flow.options import AccessOptions
from claude_code_api.http.options import HttpOptions
from claude_code_api.settings import Settings, load
from claude_code_api.storage.key_file import read_or_make_key
from claude_code_api.turn.errors import TurnRefusedError

LOOPBACK = ["127.0.0.1", "127.1.2.3", "localhost", "::1"]
EXPOSED = ["0.0.0.0", "::", ""]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [*os.environ]:
        if name.startswith("CLAUDE_CODE_API_") or name in ("PORT", "REQUIRE_AUTH"):
            monkeypatch.delenv(name)
    return tmp_path


def settings_for(host: str, *, auth: bool = True, port: int = 0, keys: tuple[str, ...] = ()) -> Settings:
    flags = {"host": host, "port": port, "require_auth": auth, "data_dir": Path("data"), "keys": keys or None}
    settings = load(flags)
    # An empty flag counts as none; the room itself has to know what an empty host means.
    return settings if host else replace(settings, http=replace(settings.http, host=""))


def listening() -> set[str]:
    """The inodes of this process's listening sockets."""
    table = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    waiting = {fields[9] for fields in table if fields[3] == "0A"}
    own = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            own.add(str(descriptor.readlink()))
        except OSError:
            continue
    return {inode for inode in waiting if f"socket:[{inode}]" in own}


def opened(settings: Settings) -> Entrance:
    entrance = open_entrance(settings)
    entrance.listener.close()
    return entrance


def name_of(access: Access, key: str | None) -> str:
    return asyncio.run(access.caller(bearer=key, api_key=None)).name


def lets_in(access: Access, key: str | None) -> bool:
    try:
        name_of(access, key)
    except TurnRefusedError:
        return False
    return True


# The table of the house rule


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_without_a_key_makes_one(host: str) -> None:
    entrance = opened(settings_for(host))
    assert entrance.first_key is not None
    assert entrance.first_key.fresh
    assert lets_in(entrance.access, entrance.first_key.key)
    assert not lets_in(entrance.access, None)


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_with_a_key_asks_for_it_and_does_not_call_it_fresh(host: str) -> None:
    first = opened(settings_for(host)).first_key
    second = opened(settings_for(host)).first_key
    assert first is not None
    assert second is not None
    assert (second.key, second.fresh) == (first.key, False)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("has_key", [True, False])
def test_loopback_without_keys_is_open_when_that_is_wanted(host: str, has_key: bool, bare: Path) -> None:
    if has_key:
        read_or_make_key(bare / "data")
    entrance = opened(settings_for(host, auth=False))
    assert entrance.access.open
    assert entrance.first_key is None


@pytest.mark.parametrize("host", EXPOSED)
def test_item_01_exposed_without_a_key_is_refused_and_none_is_made(host: str, bare: Path) -> None:
    before = listening()
    with pytest.raises(StartError, match="there is no key yet") as refusal:
        open_entrance(settings_for(host))
    assert "127.0.0.1" in str(refusal.value)
    assert listening() == before
    assert not (bare / "data").exists()


@pytest.mark.parametrize("host", EXPOSED)
@pytest.mark.parametrize("kind", ["file", "setting"])
def test_exposed_with_a_key_asks_for_it(host: str, kind: str, bare: Path) -> None:
    key = read_or_make_key(bare / "data").key if kind == "file" else "cca-static"
    entrance = opened(settings_for(host, keys=("cca-static",) if kind == "setting" else ()))
    assert lets_in(entrance.access, key)
    assert not lets_in(entrance.access, None)
    assert not lets_in(entrance.access, "cca-other")


@pytest.mark.parametrize("host", EXPOSED)
@pytest.mark.parametrize("has_key", [True, False])
def test_item_01_exposed_without_keys_is_refused_whatever_there_is(host: str, has_key: bool, bare: Path) -> None:
    if has_key:
        read_or_make_key(bare / "data")
    before = listening()
    with pytest.raises(StartError, match="--no-auth"):
        open_entrance(settings_for(host, auth=False, keys=("cca-static",)))
    assert listening() == before


# What is loopback


@pytest.mark.parametrize("auth", [True, False])
def test_a_name_with_several_addresses_is_loopback_only_if_all_are(auth: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*addresses: str) -> None:
        entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)

    found("127.0.0.1", "192.0.2.1")
    with pytest.raises(StartError):
        open_entrance(settings_for("box.example", auth=auth))
    found("127.0.0.1", "127.0.0.2")
    listener = _Listener("192.0.2.1")
    monkeypatch.setattr(socket, "create_server", lambda *_, **__: listener)
    with pytest.raises(StartError, match="name the address itself"):
        open_entrance(settings_for("box.example", auth=auth))
    assert listener.closed


class _Listener:
    """A socket that came out bound to another address than its name had said."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.closed = False

    def getsockname(self) -> tuple[str, int]:
        return self._address, 8000

    def close(self) -> None:
        self.closed = True


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(StartError, match=r"The address 'nowhere\.invalid' is not known here"):
        open_entrance(settings_for("nowhere.invalid"))


# The socket


def test_a_port_that_is_taken_comes_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = listening()
        with pytest.raises(StartError, match=f"Cannot listen on 127.0.0.1:{port}: .*--port"):
            open_entrance(settings_for("127.0.0.1", port=port))
        assert listening() == before


def test_an_address_of_another_machine_comes_with_other_advice() -> None:
    with pytest.raises(StartError, match=r"Cannot listen on 192\.0\.2\.1:0: .*--host"):
        open_entrance(settings_for("192.0.2.1", keys=("cca-static",)))


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("localhost", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("::", "http://[::1]:"),
    ],
)
def test_the_address_that_is_shown_can_be_reached(host: str, shown: str) -> None:
    entrance = open_entrance(settings_for(host, keys=("cca-static",) if host in EXPOSED else ()))
    with entrance.listener:
        assert entrance.url.startswith(shown)
        address = entrance.url.removeprefix("http://").rpartition(":")
        socket.create_connection((address[0].strip("[]"), int(address[2]))).close()


# Keys


def test_a_key_file_that_others_can_read_is_no_start(bare: Path) -> None:
    read_or_make_key(bare / "data").path.chmod(0o644)
    before = listening()
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(StartError, match="chmod 600"):
            open_entrance(settings_for(host))
    assert listening() == before


def test_a_data_directory_that_is_a_file_is_no_start(bare: Path) -> None:
    (bare / "data").write_text("", encoding="utf-8")
    with pytest.raises(StartError):
        open_entrance(settings_for("127.0.0.1"))


def test_static_keys_and_the_first_one_all_open() -> None:
    entrance = opened(settings_for("127.0.0.1", keys=("cca-one", "cca-two")))
    assert entrance.first_key is not None
    for key in ("cca-one", "cca-two", entrance.first_key.key):
        assert lets_in(entrance.access, key)
    assert name_of(entrance.access, "cca-two") == "static-2"
    assert name_of(entrance.access, entrance.first_key.key) == "first"


def test_keys_that_are_set_are_not_looked_at_where_none_is_asked_for() -> None:
    assert access_of(AccessOptions(require_auth=False, keys=("a",)), None).open
    assert not access_of(AccessOptions(), None).open


def test_the_defaults_are_the_safe_ones() -> None:
    assert HttpOptions().host == "127.0.0.1"
    assert HttpOptions().allowed_hosts == HttpOptions().allowed_origins == ()
    assert AccessOptions().require_auth
