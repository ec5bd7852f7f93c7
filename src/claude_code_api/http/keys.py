"""/v1/keys, for those who manage the gateway."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from claude_code_api.flow.keys import Keys, Made
from claude_code_api.flow.options import AccessOptions
from claude_code_api.flow.stored_keys import StoredKeys
from claude_code_api.http.guarded_route import GuardedRoute
from claude_code_api.http.guards import AdminCaller
from claude_code_api.http.key_json import ChangedKey, KeysWanted, NewKey, key_json
from claude_code_api.http.said import list_json


def key_routes(keys: Keys, known: StoredKeys, options: AccessOptions) -> APIRouter:
    """Make the routes. `known`: what this gateway remembers of keys, and has to forget when one changes."""
    router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=GuardedRoute)

    @router.get("")
    async def list_keys(_: AdminCaller, wanted: Annotated[KeysWanted, Query()]) -> dict[str, Any]:
        """List the keys, the newest first."""
        found = await keys.list(wanted.page(), with_revoked=wanted.revoked)
        return list_json([key_json(one) for one in found.data], has_more=found.has_more, total=found.total)

    @router.post("", status_code=201)
    async def make_key(caller: AdminCaller, wanted: NewKey) -> dict[str, Any]:
        """Make a key. The answer is the only place in which it is ever said."""
        return _told(await keys.add(wanted.terms(options), by=caller.name, highest=caller.highest))

    @router.get("/{key_id}")
    async def get_key(key_id: str, _: AdminCaller) -> dict[str, Any]:
        """Return what is known of a key."""
        return key_json(await keys.get(key_id))

    @router.patch("/{key_id}")
    async def change_key(key_id: str, caller: AdminCaller, wanted: ChangedKey) -> dict[str, Any]:
        """Change what a key may."""
        changed = await keys.change(key_id, wanted.patch(), by=caller.name, highest=caller.highest)
        known.forget()
        return key_json(changed)

    @router.delete("/{key_id}")
    async def revoke_key(key_id: str, caller: AdminCaller) -> dict[str, Any]:
        """Revoke a key, for ever. What was made with it stays, and is nobody's."""
        revoked = await keys.revoke(key_id, by=caller.name)
        known.forget()
        return key_json(revoked)

    @router.post("/{key_id}/rotate")
    async def rotate_key(key_id: str, caller: AdminCaller) -> dict[str, Any]:
        """Put another key in the place of this one, which opens nothing from now on. Sessions and limits stay."""
        made = await keys.rotate(key_id, by=caller.name, highest=caller.highest)
        known.forget()
        return _told(made)

    return router


def _told(made: Made) -> dict[str, Any]:
    return {**key_json(made.stored), "key": made.key}
