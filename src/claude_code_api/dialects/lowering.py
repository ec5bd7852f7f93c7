"""How a request lowers what its agent may do, for itself alone: in the same words in every dialect.

A word that says nothing is refused and not passed over: whoever sends one wants less to be done than could be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from claude_code_api.dialects.fields import shown
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.profile import Profile

PROFILE_HEADER: Final = "x-profile"


def sent_profile(headers: Mapping[str, str], said: str | None = None) -> Profile | None:
    """Read the header, and the word that was `said` in another place; the least counts.

    The header may hold several words, as where a proxy has added its own.
    """
    sent = headers.get(PROFILE_HEADER)
    found = [] if sent is None else [_named(word.strip(), PROFILE_HEADER) for word in sent.split(",")]
    if said is not None:
        found.append(_named(said, "profile"))
    return found[0].at_most(*found) if found else None


def _named(word: str, param: str) -> Profile:
    try:
        return Profile(word)
    except ValueError:
        names = ", ".join(profile.value for profile in Profile)
        raise invalid(f"There is no profile `{shown(word)}`; there are: {names}.", param=param) from None
