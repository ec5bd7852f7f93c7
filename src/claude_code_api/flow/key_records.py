"""A key, and what it may. Nouns only: the key itself is nowhere, its hash stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from claude_code_api.flow.amounts import ANY_RATE, NO_BUDGET, Budget, Rates
from claude_code_api.flow.records import Listed
from claude_code_api.turn.profile import Profile


class Scope(Enum):
    """What a key opens."""

    # Every route that runs a turn, counts tokens or lists models.
    TURNS = "turns"
    # The key's own projects and sessions.
    MANAGE = "manage"
    # What the key itself has used.
    USAGE = "usage"
    # How the gateway as a whole does: health and metrics count everybody's turns.
    MONITOR = "monitor"
    # Keys, and everything else.
    ADMIN = "admin"


DEFAULT_SCOPES: Final = frozenset({Scope.TURNS, Scope.MANAGE, Scope.USAGE})


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """Everything about a key that can be set, and be changed later."""

    name: str
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    # None: the projects that it makes itself; else exactly these, whoever made them.
    projects: tuple[str, ...] | None = None
    # None: all of them. A model may be named by an alias.
    models: tuple[str, ...] | None = None
    # The most that its agents may do.
    profile: Profile = Profile.CHAT
    expires_s: float | None = None
    rates: Rates = ANY_RATE
    budget: Budget = NO_BUDGET


# Fields of `KeyTerms`, of `Rates` and of `Budget` with their new values.
KeyPatch = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored. What it makes belongs to its id, which stays when the key itself is replaced."""

    id: str
    # SHA-256. Keys are random, so nothing slower would be safer.
    digest: bytes = field(repr=False)
    terms: KeyTerms
    created_s: float
    # The name of the caller who had it made.
    created_by: str
    revoked_s: float | None = None
    last_used_s: float | None = None

    def opens_at(self, now_s: float) -> bool:
        """Whether it is a key at this time."""
        expires_s = self.terms.expires_s
        return self.revoked_s is None and (expires_s is None or now_s < expires_s)


@dataclass(frozen=True, slots=True)
class KeyList(Listed):
    """Keys."""

    data: tuple[ApiKey, ...] = ()


_RATES: Final = frozenset(Rates.__dataclass_fields__)
_BUDGET: Final = frozenset(Budget.__dataclass_fields__)


def changed(terms: KeyTerms, patch: KeyPatch) -> KeyTerms:
    """Return the terms with the fields of a patch."""
    rates = {name: value for name, value in patch.items() if name in _RATES}
    budget = {name: value for name, value in patch.items() if name in _BUDGET}
    others = {name: value for name, value in patch.items() if name not in _RATES | _BUDGET}
    return replace(terms, rates=replace(terms.rates, **rates), budget=replace(terms.budget, **budget), **others)
