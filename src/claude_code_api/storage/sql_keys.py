"""Keys, by the hashes of what they are. Each function is what one transaction does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Connection, bindparam, exists, insert, or_, select, true, update

from claude_code_api.flow.amounts import Budget, Rates
from claude_code_api.flow.key_records import ApiKey, KeyList, KeyPatch, KeyTerms, Scope, changed
from claude_code_api.flow.records import Page
from claude_code_api.storage.paging import Order, page_of
from claude_code_api.storage.rows import AnyRow, Values
from claude_code_api.storage.tables import api_keys
from claude_code_api.turn.profile import Profile

_BY_DIGEST: Final = select(api_keys).where(api_keys.c.digest == bindparam("of_digest"))
_USED: Final = (
    update(api_keys)
    .where(
        api_keys.c.id == bindparam("of_key"),
        or_(api_keys.c.last_used_s.is_(None), api_keys.c.last_used_s < bindparam("at_s")),
    )
    .values(last_used_s=bindparam("at_s"))
)


def add_key(connection: Connection, new: ApiKey) -> None:
    values = {"id": new.id, "digest": new.digest, "created_s": new.created_s, "created_by": new.created_by}
    ends = {"revoked_s": new.revoked_s, "last_used_s": new.last_used_s}
    connection.execute(insert(api_keys), values | ends | _terms_values(new.terms))


def key(connection: Connection, key_id: str) -> ApiKey | None:
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
    return None if row is None else _key_of(row)


def key_with_digest(connection: Connection, digest: bytes) -> ApiKey | None:
    row = connection.execute(_BY_DIGEST, {"of_digest": digest}).first()
    return None if row is None else _key_of(row)


def list_keys(connection: Connection, page: Page, *, with_revoked: bool) -> KeyList:
    order = Order(api_keys, (api_keys.c.created_s, api_keys.c.id), true())
    part = page_of(connection, order, true() if with_revoked else api_keys.c.revoked_s.is_(None), page)
    return KeyList(part.has_more, part.total, tuple(map(_key_of, part.rows)))


def change_key(connection: Connection, key_id: str, patch: KeyPatch) -> ApiKey | None:
    # Locked, where more than one writes at a time: what is written is made of old parts and new ones.
    found = _locked(connection, key_id)
    if found is None:
        return None
    values = _terms_values(changed(found.terms, patch))
    row = connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(values).returning(api_keys)).one()
    return _key_of(row)


def replace_key(connection: Connection, key_id: str, digest: bytes) -> ApiKey | None:
    values = {"digest": digest}
    row = connection.execute(_still_valid(key_id).values(values).returning(api_keys)).first()
    return None if row is None else _key_of(row)


def revoke_key(connection: Connection, key_id: str, now_s: float) -> ApiKey | None:
    connection.execute(_still_valid(key_id).values(revoked_s=now_s))
    return key(connection, key_id)


def note_use(connection: Connection, used: Mapping[str, float]) -> None:
    if used:
        # In one order, so that two gateways that do it at once never wait for each other.
        connection.execute(_USED, [{"of_key": key_id, "at_s": at_s} for key_id, at_s in sorted(used.items())])


def any_key(connection: Connection, now_s: float) -> bool:
    """Whether there is one that opens."""
    unexpired = or_(api_keys.c.expires_s.is_(None), api_keys.c.expires_s > now_s)
    found = select(exists().where(api_keys.c.revoked_s.is_(None), unexpired))
    return bool(connection.execute(found).scalar_one())


def _still_valid(key_id: str) -> Any:  # noqa: ANN401 - SQLAlchemy's own type for it
    # Revoked is for ever.
    return update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_s.is_(None))


def _locked(connection: Connection, key_id: str) -> ApiKey | None:
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id).with_for_update()).first()
    return None if row is None else _key_of(row)


# Records and rows


def _terms_values(terms: KeyTerms) -> Values:
    return {
        "name": terms.name,
        "scopes": _json(sorted(scope.value for scope in terms.scopes)),
        "projects": None if terms.projects is None else _json(terms.projects),
        "models": None if terms.models is None else _json(terms.models),
        "profile": terms.profile.value,
        "expires_s": terms.expires_s,
        "requests_per_minute": terms.rates.requests_per_minute,
        "burst": terms.rates.burst,
        "concurrent_turns": terms.rates.concurrent_turns,
        "queue": terms.rates.queue,
        "usd_per_month": terms.budget.usd_per_month,
        "usd_per_day": terms.budget.usd_per_day,
        "tokens_per_month": terms.budget.tokens_per_month,
        "tokens_per_day": terms.budget.tokens_per_day,
    }


def _key_of(row: AnyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        digest=bytes(row.digest),
        terms=KeyTerms(
            name=row.name,
            scopes=frozenset(map(Scope, orjson.loads(row.scopes))),
            projects=None if row.projects is None else tuple(orjson.loads(row.projects)),
            models=None if row.models is None else tuple(orjson.loads(row.models)),
            profile=Profile(row.profile),
            expires_s=row.expires_s,
            rates=Rates(row.requests_per_minute, row.burst, row.concurrent_turns, row.queue),
            budget=Budget(row.usd_per_month, row.usd_per_day, row.tokens_per_month, row.tokens_per_day),
        ),
        created_s=row.created_s,
        created_by=row.created_by,
        revoked_s=row.revoked_s,
        last_used_s=row.last_used_s,
    )


def _json(value: Any) -> str:  # noqa: ANN401 - a list of texts
    return orjson.dumps(value).decode()
