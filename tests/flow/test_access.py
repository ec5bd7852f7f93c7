"""Who holds which key."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.flow.access import Access, Caller, digest_of
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError

ANNA, BELA = Caller("anna", admin=True), Caller("bela", admin=False)
ACCESS = Access({digest_of("key-a"): ANNA, digest_of("key-b"): BELA})


@pytest.mark.parametrize(
    ("bearer", "api_key", "who"),
    [
        ("key-a", None, ANNA),
        (None, "key-a", ANNA),
        ("key-a", "key-a", ANNA),
        ("key-b", "", BELA),
        ("", "key-b", BELA),
    ],
)
async def test_a_key_by_either_way(bearer: str | None, api_key: str | None, who: Caller) -> None:
    assert await ACCESS.caller(bearer=bearer, api_key=api_key) == who


@pytest.mark.parametrize(
    ("bearer", "api_key"),
    [
        (None, None),
        ("", ""),
        ("key-c", None),
        (None, "key-c"),
        ("key-a", "key-b"),
        ("key-a", "key-c"),
        ("key-a ", None),
        ("KEY-A", None),
        (hashlib.sha256(b"key-a").hexdigest(), None),
    ],
)
async def test_everything_else_is_refused_with_the_same_words(bearer: str | None, api_key: str | None) -> None:
    with pytest.raises(TurnRefusedError) as refusal:
        await ACCESS.caller(bearer=bearer, api_key=api_key)
    with pytest.raises(TurnRefusedError) as nothing_given:
        await ACCESS.caller(bearer=None, api_key=None)
    assert refusal.value.error == nothing_given.value.error
    assert refusal.value.error.kind is ErrorKind.UNAUTHENTICATED


async def test_without_keys_everybody_comes_in() -> None:
    access = Access(None)
    assert access.open
    assert (await access.caller(bearer="whatever", api_key="else")).name == "no-auth"


async def test_no_keys_at_all_is_not_the_same_as_no_key_asked() -> None:
    access = Access({})
    assert not access.open
    with pytest.raises(TurnRefusedError):
        await access.caller(bearer=None, api_key=None)


def test_the_keys_themselves_are_nowhere() -> None:
    assert "key-a" not in repr(vars(ACCESS))


@given(st.text(), st.text())
def test_no_text_is_a_key_by_accident(bearer: str, api_key: str) -> None:
    with pytest.raises(TurnRefusedError):
        asyncio.run(ACCESS.caller(bearer=bearer, api_key=api_key))
