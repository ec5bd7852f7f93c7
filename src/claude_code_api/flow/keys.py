"""What can be done with keys: made, looked at, changed, replaced, revoked. The key itself is told once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from claude_code_api.flow.access import digest_of, new_key
from claude_code_api.flow.acts import Act
from claude_code_api.flow.key_records import ApiKey, KeyList, KeyPatch, KeyTerms, changed
from claude_code_api.flow.options import AccessOptions
from claude_code_api.flow.ports import Clock, Store
from claude_code_api.flow.records import Page
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Json

KEY_CREATED: Final = "key.created"
KEY_CHANGED: Final = "key.changed"
KEY_ROTATED: Final = "key.rotated"
KEY_REVOKED: Final = "key.revoked"


@dataclass(frozen=True, slots=True)
class Made:
    """A key as it is stored, and the key itself: this is the only time that both are in one place."""

    stored: ApiKey
    key: str = field(repr=False)


class Keys:
    """The keys of one gateway."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take what there is."""
        self._store, self._clock = store, clock

    async def add(self, terms: KeyTerms, *, by: str, highest: Profile) -> Made:
        """Make a key. `highest`: the most that its maker may give."""
        self._check(terms.profile, terms.expires_s, highest)
        key = new_key()
        stored = ApiKey(f"key_{uuid.uuid4().hex}", digest_of(key), terms, self._clock.now_s(), by)
        what = {**_said(terms), "id": stored.id}
        await self._store.add_key(stored, act=Act(stored.created_s, by, KEY_CREATED, what))
        return Made(stored, key)

    async def get(self, key_id: str) -> ApiKey:
        """Return a key."""
        found = await self._store.key(key_id)
        if found is None:
            raise _no_such_key()
        return found

    async def list(self, page: Page, *, with_revoked: bool) -> KeyList:
        """List the keys."""
        return await self._store.keys(page, with_revoked=with_revoked)

    async def change(self, key_id: str, patch: KeyPatch, *, by: str, highest: Profile) -> ApiKey:
        """Change what a key may; it holds from the next request on."""
        self._check(patch.get("profile", Profile.CHAT), patch.get("expires_s"), highest)
        before = await self.get(key_id)
        if before.revoked_s is not None:
            raise _revoked()
        after = _said(changed(before.terms, patch))
        what = {"id": key_id, **{name: value for name, value in after.items() if _said(before.terms)[name] != value}}
        found = await self._store.change_key(key_id, patch, act=self._act(by, KEY_CHANGED, what))
        if found is None:
            raise _no_such_key()
        return found

    async def rotate(self, key_id: str, *, by: str, highest: Profile) -> Made:
        """Put another key in the place of this one: what was made with it stays its own.

        Whoever does that holds the key afterwards, so it is as if he made it.
        """
        self._check((await self.get(key_id)).terms.profile, None, highest)
        key = new_key()
        stored = await self._store.replace_key(key_id, digest_of(key), act=self._act(by, KEY_ROTATED, {"id": key_id}))
        if stored is None:
            raise _revoked()
        return Made(stored, key)

    async def revoke(self, key_id: str, *, by: str) -> ApiKey:
        """Let a key open nothing any more. What was made with it stays, and is nobody's."""
        found = await self.get(key_id)
        act = self._act(by, KEY_REVOKED, {"id": key_id}) if found.revoked_s is None else None
        revoked = await self._store.revoke_key(key_id, now_s=self._clock.now_s(), act=act)
        if revoked is None:
            raise _no_such_key()
        return revoked

    def _act(self, by: str, kind: str, what: Mapping[str, Json]) -> Act:
        return Act(self._clock.now_s(), by, kind, what)

    def _check(self, profile: Profile, expires_s: float | None, highest: Profile) -> None:
        if profile.at_most(highest) is not profile:
            # Also of one that he rotates: he holds it then.
            message = f"Your own key's agents may be {highest.value!r} at most, and so may those of keys that you make."
            raise TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client", param="profile"))
        if expires_s is not None and expires_s <= self._clock.now_s():
            raise invalid("`expires_at` is over already; to end a key, revoke it.", param="expires_at")


def _said(terms: KeyTerms) -> dict[str, Json]:
    """Say what a key may, for the record."""
    return {
        "name": terms.name,
        "scopes": sorted(scope.value for scope in terms.scopes),
        "projects": None if terms.projects is None else list(terms.projects),
        "models": None if terms.models is None else list(terms.models),
        "profile": terms.profile.value,
        "expires_at": terms.expires_s,
        **asdict(terms.rates),
        **asdict(terms.budget),
    }


def _no_such_key() -> TurnRefusedError:
    return TurnRefusedError(TurnError(ErrorKind.NOT_FOUND, "There is no key with this id.", source="client"))


def _revoked() -> TurnRefusedError:
    message = "This key is revoked, and stays so; make a new one."
    return TurnRefusedError(TurnError(ErrorKind.CONFLICT, message, source="client"))


def new_terms(name: str, wanted: KeyPatch, options: AccessOptions) -> KeyTerms:
    """Say what a new key may: what is wanted of it, and for the rest what the settings say."""
    usual = {
        "requests_per_minute": options.key_requests_per_minute or None,
        "burst": options.key_burst or None,
        "concurrent_turns": options.key_concurrent_turns or None,
        "queue": options.key_queue,
    }
    return changed(KeyTerms(name), {**usual, **wanted})
