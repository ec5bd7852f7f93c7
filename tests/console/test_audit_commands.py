"""`audit`: the record is checked, listed and taken out, also after somebody has had his hands in the database."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from claude_code_api.storage.options import StorageOptions
from tests.conformance.postgres_server import postgres_server
from tests.conformance.test_audit_stores import change
from tests.console.gateway_process import run

WRONG, MISTAKE = 1, 2


class Place:
    """A database in a file or on a server, with a record of four entries."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        made = self.run("keys", "create", "ci", "--profile", "read", "--json")
        self.key = json.loads(made.stdout)
        for _ in range(2):
            assert self.run("keys", "rotate", self.key["id"]).returncode == 0
        assert self.run("keys", "revoke", self.key["id"]).returncode == 0

    def run(self, *arguments: str) -> CompletedProcess[str]:
        env = {"DATABASE_URL": self.url} if self.url else {}
        return run(*arguments, "--data-dir", "data", home=self.home, env=env)

    def verify(self, *arguments: str) -> tuple[int, str]:
        ended = self.run("audit", "verify", *arguments)
        return ended.returncode, ended.stdout

    def change(self, *statements: str) -> None:
        change(StorageOptions(data_dir=self.home / "data", database_url=self.url), *statements)

    @property
    def head(self) -> str:
        return self.verify()[1].split()[-1]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, "" if request.param == "sqlite" else postgres_server().new_database())


def test_a_whole_record_is_verified_listed_and_exported(place: Place) -> None:
    ended, said = place.verify()
    assert (ended, said.splitlines()[0]) == (0, "4 entries, and nothing was changed.")
    listed = json.loads(place.run("audit", "list", "--json").stdout)
    assert [(one["kind"], one["key"], one["what"]["id"]) for one in listed] == [
        (kind, "command line", place.key["id"]) for kind in ("key.revoked", "key.rotated", "key.rotated", "key.created")
    ]
    assert listed[-1]["what"]["profile"] == "read"
    assert place.key["key"] not in json.dumps(listed)
    assert len(json.loads(place.run("audit", "list", "--json", "--kind", "key.rotated").stdout)) == 2
    assert json.loads(place.run("audit", "list", "--json", "--since", "2999-01-01").stdout) == []
    assert place.run("audit", "list", "--limit", "1").stdout.startswith("4  ")
    head = bytes(32)
    for line in place.run("audit", "export").stdout.splitlines():
        # What another program has to do to check it, in two lines.
        one = json.loads(line)
        head = hashlib.sha256(head + one["body"].encode()).digest()
        assert head.hex() == one["hash"]
    assert head.hex() == place.head


def test_a_changed_byte_is_told_with_its_number(place: Place) -> None:
    place.change("UPDATE audit SET body = replace(body, 'rotated', 'Rotated') WHERE number = 2")
    assert place.verify() == (WRONG, "1 entries are whole; then entry 2 is not the one that was written.\n")
    said = json.loads(place.verify("--json")[1])
    assert (said["entries"], said["problem"]) == (1, "entry 2 is not the one that was written")


def test_a_missing_entry_is_told_with_its_number(place: Place) -> None:
    place.change("DELETE FROM audit WHERE number = 3")
    assert place.verify() == (WRONG, "2 entries are whole; then entry 3 is missing.\n")


def test_a_cut_end_is_noticed_by_who_has_noted_a_hash(place: Place) -> None:
    head = place.head
    assert place.verify("--head", head)[0] == 0
    place.run("keys", "create", "later")
    assert place.verify("--head", head)[0] == 0, "it may have grown since"
    place.change("DELETE FROM audit WHERE number >= 4")
    assert place.verify()[0] == 0, "nothing in it tells how long it was"
    ended, said = place.verify("--head", head)
    assert ended == WRONG
    assert "the end was cut" in said


def test_a_head_that_is_no_hash_is_a_mistake(place: Place) -> None:
    ended = place.run("audit", "verify", "--head", "abc")
    assert (ended.returncode, ended.stdout) == (MISTAKE, "")
    assert "64 hexadecimal digits" in ended.stderr
