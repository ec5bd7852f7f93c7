"""Keys as /v1/keys takes and says them. Times are Unix seconds, budgets those of a calendar month or day in UTC."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from claude_code_api.flow.key_records import DEFAULT_SCOPES, ApiKey, KeyTerms, Scope
from claude_code_api.flow.keys import new_terms
from claude_code_api.flow.options import AccessOptions
from claude_code_api.http.wanted import ModelName, Name, PageWanted
from claude_code_api.turn.profile import Profile

# More is a mistake, and null says "any number".
MAX_COUNT: Final = 1_000_000
MAX_TOKENS: Final = 2**53
MAX_USD: Final = 1e9
# Of one key; the whole list is looked at with every request.
MAX_LISTED: Final = 1000
# The last second of the year 9999.
MAX_TIME_S: Final = 253_402_300_799

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Waiting = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Usd = Annotated[float, Field(ge=0, le=MAX_USD)]
Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
Time = Annotated[float, Field(gt=0, le=MAX_TIME_S)]
Projects = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=MAX_LISTED)]
Models = Annotated[list[ModelName], Field(min_length=1, max_length=MAX_LISTED)]
Scopes = Annotated[list[Scope], Field(min_length=1)]

# As they are called here → as the key's terms call them.
_TERMS: Final = {
    "expires_at": "expires_s",
    "budget_usd": "usd_per_month",
    "budget_usd_per_day": "usd_per_day",
    "budget_tokens": "tokens_per_month",
    "budget_tokens_per_day": "tokens_per_day",
}


class _Wanted(BaseModel):
    # A misspelt limit would be one that does not hold.
    model_config = ConfigDict(extra="forbid", strict=False)

    projects: Projects | None = Field(None, description="The projects that it may use; null: those that it makes.")
    models: Models | None = Field(None, description="The models that it may use, by id or alias; null: all.")
    expires_at: Time | None = Field(None, description="Unix seconds; null: never.")
    requests_per_minute: Count | None = Field(None, description="null: any number.")
    burst: Count | None = Field(None, description="How many of those may come within one second; null: any number.")
    concurrent_turns: Count | None = Field(None, description="Turns at once; null: any number.")
    queue: Waiting | None = Field(None, description="Turns that may wait for one of those; null: any number.")
    budget_usd: Usd | None = Field(None, description="Dollars in a calendar month (UTC); null: any amount.")
    budget_usd_per_day: Usd | None = None
    budget_tokens: Tokens | None = Field(None, description="Tokens in a calendar month (UTC), in and out together.")
    budget_tokens_per_day: Tokens | None = None

    def patch(self) -> dict[str, Any]:
        """Say what was sent, in the words of the key's terms."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        terms = {_TERMS.get(name, name): value for name, value in sent.items()}
        for name, kind in (("projects", tuple), ("models", tuple), ("scopes", frozenset)):
            if terms.get(name) is not None:
                terms[name] = kind(terms[name])
        return terms


class NewKey(_Wanted):
    """A key to be made. Limits that are left out are those of the settings."""

    name: Name
    scopes: Scopes = Field(default_factory=lambda: sorted(DEFAULT_SCOPES, key=lambda scope: scope.value))
    profile: Profile = Field(Profile.CHAT, description="The most that its agents may do.")

    def terms(self, options: AccessOptions) -> KeyTerms:
        """Say it as a key's terms."""
        return new_terms(self.name, self.patch(), options)


class ChangedKey(_Wanted):
    """What changes about a key."""

    name: Name = ""
    scopes: Scopes = Field(default_factory=list)
    profile: Profile = Profile.CHAT


class KeysWanted(PageWanted):
    """Which keys."""

    revoked: Annotated[bool, Field(description="Revoked ones too.")] = False


def key_json(key: ApiKey) -> dict[str, Any]:
    """Say a key, without itself."""
    terms = key.terms
    return {
        "id": key.id,
        "object": "key",
        "name": terms.name,
        "scopes": [scope.value for scope in Scope if scope in terms.scopes],
        "projects": None if terms.projects is None else list(terms.projects),
        "models": None if terms.models is None else list(terms.models),
        "profile": terms.profile.value,
        "requests_per_minute": terms.rates.requests_per_minute,
        "burst": terms.rates.burst,
        "concurrent_turns": terms.rates.concurrent_turns,
        "queue": terms.rates.queue,
        "budget_usd": terms.budget.usd_per_month,
        "budget_usd_per_day": terms.budget.usd_per_day,
        "budget_tokens": terms.budget.tokens_per_month,
        "budget_tokens_per_day": terms.budget.tokens_per_day,
        "created_at": int(key.created_s),
        "created_by": key.created_by,
        "expires_at": _whole(terms.expires_s),
        "revoked_at": _whole(key.revoked_s),
        "last_used_at": _whole(key.last_used_s),
    }


def _whole(time_s: float | None) -> int | None:
    return None if time_s is None else int(time_s)
