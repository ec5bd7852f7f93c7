"""What a request says of its profile: the least word counts, and a word that says nothing is refused."""

from __future__ import annotations

import pytest

from claude_code_api.dialects.lowering import sent_profile
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.profile import Profile


def test_a_request_that_says_nothing_lowers_nothing() -> None:
    assert sent_profile({}) is None
    assert sent_profile({"x-project-id": "read"}) is None
    assert Profile.FULL.at_most(None) is Profile.FULL


@pytest.mark.parametrize("profile", Profile)
def test_each_word_is_known(profile: Profile) -> None:
    assert sent_profile({"x-profile": profile.value}) is profile
    assert sent_profile({}, profile.value) is profile


@pytest.mark.parametrize(
    ("header", "said", "least"),
    [
        ("full, read", None, Profile.READ),
        ("chat,full", None, Profile.CHAT),
        ("full", "edit", Profile.EDIT),
        ("edit", "full", Profile.EDIT),
        ("shell , edit", "full", Profile.EDIT),
    ],
)
def test_of_several_the_least_counts(header: str, said: str | None, least: Profile) -> None:
    assert sent_profile({"x-profile": header}, said) is least


@pytest.mark.parametrize(
    ("header", "said", "param", "shown"),
    [
        ("", None, "x-profile", "``"),
        ("read, root", None, "x-profile", "`root`"),
        ("read", "", "profile", "``"),
        ("read", "read, edit", "profile", "`read??edit`"),
        ("a\nb" + "c" * 100, None, "x-profile", f"`a?b{'c' * 61}...`"),
    ],
)
def test_what_is_no_profile_is_named(header: str, said: str | None, param: str, shown: str) -> None:
    with pytest.raises(TurnRefusedError) as refused:
        sent_profile({"x-profile": header}, said)
    error = refused.value.error
    assert (error.kind, error.param) == (ErrorKind.INVALID_REQUEST, param)
    assert f"There is no profile {shown};" in error.message
