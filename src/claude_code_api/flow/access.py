"""token → Caller: who is asking. Keys are looked up by their hash; the keys themselves are nowhere in here."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from claude_code_api.flow.amounts import ANY_RATE, NO_BUDGET, Budget, Rates
from claude_code_api.flow.key_records import DEFAULT_SCOPES, Scope
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError
from claude_code_api.turn.profile import Profile

# What it begins with is for those who look for lost keys; the rest is 256 random bits.
KEY_PREFIX: Final = "cca-"
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may use the gateway. `admin` may also manage it; `highest` is the most that his agents may do."""

    # What he makes belongs to this name.
    name: str
    admin: bool
    highest: Profile = Profile.CHAT
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    # None: the projects that he made; else exactly these.
    projects: tuple[str, ...] | None = None
    # None: all of them.
    models: tuple[str, ...] | None = None
    rates: Rates = ANY_RATE
    budget: Budget = NO_BUDGET
    # His key is one that can be changed, and taken back, at any time.
    stored: bool = False

    def may(self, scope: Scope) -> bool:
        """Whether this is open to him."""
        return self.admin or scope in self.scopes


NOBODY_ASKED = Caller(name="no-auth", admin=True, highest=Profile.FULL)


def new_key() -> str:
    """Make a key."""
    return KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def digest_of(key: str) -> bytes:
    """Hash a key for storage and look-up. Keys are random, so a fast hash is the right one."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


class MoreKeys(Protocol):
    """Keys that are kept elsewhere, and come and go."""

    def knows(self, digest: bytes) -> bool:
        """Whether this one has been a key not long ago: then it is no guess."""
        ...

    async def caller(self, digest: bytes) -> Caller | None:
        """Say who holds the key."""
        ...


class Patience(Protocol):
    """How many wrong keys somebody may come with."""

    def lost(self, peer: str) -> bool:
        """Whether it is lost with whoever is at this address."""
        ...

    def wrong_key(self, peer: str) -> None:
        """Count a wrong key."""
        ...

    def refusal(self, peer: str) -> TurnRefusedError:
        """Say when to come again."""
        ...


class Access:
    """Knows the keys by their hashes. None of them at all: everybody may come in (only ever on loopback)."""

    def __init__(
        self, callers: Mapping[bytes, Caller] | None, more: MoreKeys | None = None, patience: Patience | None = None
    ) -> None:
        """Take the callers by the digests of their keys."""
        self._callers, self._more, self._patience = callers, more, patience

    def beside(self, more: MoreKeys, patience: Patience) -> Access:
        """Return an access that knows other keys as well."""
        return Access(self._callers, more, patience)

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return self._callers is None

    async def caller(self, *, bearer: str | None, api_key: str | None, peer: str = "") -> Caller:
        """Say who holds the key; two different keys in one request are nobody's. `peer`: from which address."""
        if self._callers is None:
            return NOBODY_ASKED
        presented = {key for key in (bearer, api_key) if key}
        if len(presented) == 1:
            found = await self._holder(digest_of(presented.pop()), peer)
            if found is not None:
                return found
        if self._patience is not None:
            if self._patience.lost(peer):
                raise self._patience.refusal(peer)
            self._patience.wrong_key(peer)
        raise not_let_in()

    async def _holder(self, digest: bytes, peer: str) -> Caller | None:
        found = self._callers.get(digest) if self._callers is not None else None
        if found is not None or self._more is None:
            return found
        # Who only guesses costs no look into the database; who has a key is not kept out by others at his address.
        if self._patience is not None and self._patience.lost(peer) and not self._more.knows(digest):
            return None
        return await self._more.caller(digest)


def not_let_in() -> TurnRefusedError:
    """Refuse whoever has no key that opens anything: one constant answer, whatever is wrong with it."""
    message = "A valid API key is needed: send it as `Authorization: Bearer <key>` or as `x-api-key: <key>`."
    return TurnRefusedError(TurnError(ErrorKind.UNAUTHENTICATED, message, source="client"))
