"""What the gateway's own endpoints take: bodies and query parameters, checked before a handler sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from claude_code_api.flow.records import Mode, Page, SessionPatch, SessionQuery, UsageGroup, UsageQuery
from claude_code_api.turn.approvals import Decision, Verdict
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import TextBlock

MAX_NAME_CHARS: Final = 200
MAX_DESCRIPTION_CHARS: Final = 10_000
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 20
# A hundred years: more is a mistake, and null says "for ever".
MAX_TTL_S: Final = 100 * 365 * 86_400

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"\S")]
Title = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS)]
Ttl = Annotated[float, Field(gt=0, le=MAX_TTL_S)]
ModelName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]


def _with_underscores(decision: object) -> object:
    return decision.replace("-", "_") if isinstance(decision, str) else decision


def _writable(value: object) -> object:
    # Half a character, or an integer of more than 64 bits: it is passed on, and written down, as JSON.
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return value


class _Body(BaseModel):
    # A misspelt field would be a wish that nobody grants.
    model_config = ConfigDict(extra="forbid", strict=False)


BodyT = TypeVar("BodyT", bound=_Body)


def read_body(kind: type[BodyT], value: Mapping[str, Any]) -> BodyT:
    """Read what came by another way than a request's body."""
    try:
        return kind.model_validate(value)
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise invalid(f"`{field}`: {first['msg']}", param=field) from None


class NewProject(_Body):
    """A project to be made."""

    name: Name
    description: Description = ""
    profile: Profile = Profile.CHAT
    mode: Mode = Mode.AUTO
    # Whether its own settings, hooks, servers and CLAUDE.md count: only an administrator can say so.
    trusted: bool = False


class ChangedProject(_Body):
    """What changes about a project."""

    name: Name | None = None
    description: Description | None = None
    profile: Profile | None = None
    mode: Mode | None = None
    trusted: bool | None = None
    is_active: bool | None = None


class WantedSession(_Body):
    """What a session is to be; what is left out stays as it is, or as it would be."""

    project_id: str | None = None
    title: Title | None = None
    model: ModelName | None = None
    system_prompt: str | None = None
    profile: Profile | None = None
    mode: Mode | None = None
    # Seconds after the last use; null: for ever.
    expires_after: Ttl | None = None

    def patch(self) -> SessionPatch:
        """Say it as a change."""
        return SessionPatch(
            title=self.title,
            model=self.model,
            system=_system(self.system_prompt) if "system_prompt" in self.model_fields_set else None,
            profile=self.profile,
            mode=self.mode,
            project_id=self.project_id,
            ttl_s=(self.expires_after,) if "expires_after" in self.model_fields_set else None,
        )


class Decided(_Body):
    """What becomes of a call that waits for a person."""

    decision: Annotated[Decision, BeforeValidator(_with_underscores)]
    # What the call is made with, instead of what the model wanted.
    input: Annotated[dict[str, Any] | None, BeforeValidator(_writable)] = None
    # What the model is told of a denial.
    message: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS), BeforeValidator(_writable)] = ""

    def verdict(self) -> Verdict:
        """Say it in our words."""
        return Verdict(self.decision, message=self.message, arguments=self.input)


class WantedMode(_Body):
    """Whom an agent is to ask."""

    mode: Mode


class WantedRewind(_Body):
    """Before which turn files are wanted; a message stands for its turn."""

    turn_id: str | None = None
    message_id: str | None = None
    # Only say what it would do.
    dry_run: bool = False


class ImportedSession(WantedSession):
    """A session to be made of a transcript: the text of the file, one JSON object a line."""

    transcript: str


class Fork(_Body):
    """Where to fork: after this message; without one, at the end."""

    message_id: str | None = None
    title: Title | None = None


def _system(prompt: str | None) -> tuple[TextBlock, ...]:
    return (TextBlock(prompt),) if prompt else ()


class PageWanted(BaseModel):
    """Which part of a list is wanted."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="Entries at most.")] = DEFAULT_PAGE
    after: Annotated[str | None, Field(description="The id of the entry after which the page begins.")] = None
    order: Annotated[Literal["asc", "desc"], Field(description="asc: the oldest first.")] = "desc"

    def page(self) -> Page:
        """Say it in our words."""
        return Page(limit=self.limit, after=self.after, ascending=self.order == "asc")


class MessagesWanted(PageWanted):
    """Which part of what was said."""

    order: Annotated[Literal["asc", "desc"], Field(description="asc: the oldest first.")] = "asc"


class ProjectsWanted(PageWanted):
    """Which projects."""

    search: Annotated[str, Field(description="Words in the name or the description.")] = ""


class SessionsWanted(PageWanted):
    """Which sessions."""

    project_id: str | None = None
    search: Annotated[str, Field(description="Words in the title, or in what was said.")] = ""
    expired: Annotated[bool, Field(description="Expired ones too.")] = False

    def query(self) -> SessionQuery:
        """Say it in our words."""
        return SessionQuery(project_id=self.project_id, text=self.search, with_expired=self.expired, page=self.page())


class UsageWanted(BaseModel):
    """Whose usage, of when, and how it is added up."""

    group_by: Annotated[str, Field(description="day, key, project, session, model; several by commas.")] = "day"
    since: Annotated[float | None, Field(description="Unix seconds; the first moment that counts.")] = None
    until: Annotated[float | None, Field(description="Unix seconds; the first moment that does not count.")] = None
    project_id: str | None = None
    session_id: str | None = None
    model: str | None = None

    def query(self, owner: str | None) -> UsageQuery:
        """Say it in our words."""
        return UsageQuery(
            owner=owner,
            groups=_groups(self.group_by),
            since_s=self.since,
            until_s=self.until,
            project_id=self.project_id,
            session_id=self.session_id,
            model=self.model,
        )


def _groups(text: str) -> tuple[UsageGroup, ...]:
    try:
        return tuple(dict.fromkeys(UsageGroup(name.strip()) for name in text.split(",")))
    except ValueError as error:
        names = ", ".join(group.value for group in UsageGroup)
        raise invalid(f"`group_by` takes {names}, and several of them by commas.", param="group_by") from error
