"""token → Caller: who is asking. Keys are looked up by their hash; the keys themselves are nowhere in here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from claude_code_api.flow.records import Profile
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may use the gateway. `admin` may also manage it; `highest` is the most that his agents may do."""

    name: str
    admin: bool
    highest: Profile = Profile.CHAT


NOBODY_ASKED = Caller(name="no-auth", admin=True, highest=Profile.FULL)


def digest_of(key: str) -> bytes:
    """Hash a key for storage and look-up. Keys are random, so a fast hash is the right one."""
    return hashlib.sha256(key.encode()).digest()


class Access:
    """Knows the keys by their hashes. None of them at all: everybody may come in (only ever on loopback)."""

    def __init__(self, callers: Mapping[bytes, Caller] | None) -> None:
        """Take the callers by the digests of their keys."""
        self._callers = callers

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return self._callers is None

    def caller(self, *, bearer: str | None, api_key: str | None) -> Caller:
        """Say who holds the key; two different keys in one request are nobody's."""
        if self._callers is None:
            return NOBODY_ASKED
        presented = {key for key in (bearer, api_key) if key}
        if len(presented) == 1:
            found = self._callers.get(digest_of(presented.pop()))
            if found is not None:
                return found
        # One constant answer, whatever was wrong with the key.
        message = "A valid API key is needed: send it as `Authorization: Bearer <key>` or as `x-api-key: <key>`."
        raise TurnRefusedError(TurnError(ErrorKind.UNAUTHENTICATED, message, source="client"))
