"""The sum of the option groups that the rooms define, read once.

A setting comes from a command-line flag, the environment, `.env`, a TOML file or its default, in this order. The
fields of the Options classes are the settings: nothing is listed twice, and nothing is read anywhere else.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_type_hints

from dotenv import dotenv_values
from pydantic import TypeAdapter, ValidationError

from claude_code_api.engine.options import EngineOptions
from claude_code_api.flow.options import AccessOptions, FlowOptions
from claude_code_api.http.options import HttpOptions
from claude_code_api.models.capabilities import CapabilityError, CapabilityTable
from claude_code_api.storage.options import StorageOptions
from claude_code_api.telemetry import TelemetryOptions

PREFIX: Final = "CLAUDE_CODE_API_"
CONFIG_VARIABLE: Final = PREFIX + "CONFIG"
SECTIONS: Final = (HttpOptions, AccessOptions, FlowOptions, EngineOptions, StorageOptions, TelemetryOptions)
# Names without our prefix that people have set already, or that other programs give.
ALSO_FROM: Final[Mapping[str, str]] = {
    "port": "PORT",
    "require_auth": "REQUIRE_AUTH",
    "database_url": "DATABASE_URL",
    "claude_binary_path": "CLAUDE_BINARY_PATH",
    "anthropic_api_key": "ANTHROPIC_API_KEY",
    "anthropic_auth_token": "ANTHROPIC_AUTH_TOKEN",
    "anthropic_base_url": "ANTHROPIC_BASE_URL",
    "claude_code_oauth_token": "CLAUDE_CODE_OAUTH_TOKEN",
}
# Variables of the CLI's own that happen to begin with our prefix.
_THE_CLIS_OWN: Final = frozenset({"CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"})
_CONFIG_PLACES: Final = ("claude-code-api.toml", "~/.config/claude-code-api/config.toml")
_MASKED: Final = "********"
# No number may be negative; these have an upper end as well, and those make no sense as nothing.
_LARGEST: Final[Mapping[str, int]] = {"port": 65535}
_NOT_ZERO: Final = frozenset(
    {
        "agent_steps",
        "api_timeout_s",
        "body_mib",
        "body_silence_s",
        "heartbeat_s",
        "max_turns",
        "process_turns",
        "silence_s",
        "start_s",
        "starts",
    }
    | {"turn_s"}
)

Section = TypeVar("Section")


class SettingsError(Exception):
    """A setting is wrong; the text says which one and what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as it came out."""

    name: str
    variable: str
    value: object
    origin: str
    description: str
    secret: bool

    @property
    def shown(self) -> str:
        """The value, fit for a screen."""
        if self.value is None or self.value in ((), ""):
            return ""
        return _MASKED if self.secret else _as_text(self.value)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option group, filled in, and the same as a list with origins."""

    http: HttpOptions
    access: AccessOptions
    flow: FlowOptions
    engine: EngineOptions
    storage: StorageOptions
    telemetry: TelemetryOptions
    listing: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where values come from; `names` says under which names it knows a setting."""

    origin: str
    values: Mapping[str, object]
    by_variable: bool

    def find(self, name: str) -> tuple[object, str] | None:
        for key in variables_of(name) if self.by_variable else (name,):
            value = self.values.get(key)
            # An empty variable is one that somebody meant to unset.
            if value is not None and value != "":
                return value, f"{self.origin} {key}" if self.by_variable else self.origin
        return None


def variables_of(name: str) -> tuple[str, ...]:
    """Name the environment variables of a setting, the strongest first."""
    own, other = PREFIX + name.upper(), ALSO_FROM.get(name)
    if other is None:
        return (own,)
    # What is handed to the CLI keeps the one name that the CLI gave it.
    return (other,) if other.startswith(("ANTHROPIC_", "CLAUDE_")) else (own, other)


def load(flags: Mapping[str, object] | None = None, config: Path | None = None) -> Settings:
    """Read the settings from everywhere; `flags` are the ones given on the command line."""
    sources = _sources(flags or {}, config)
    found = {name: place for name in _hints() if (place := _first(sources, name)) is not None}
    http, access, flow = _fill(HttpOptions, found), _fill(AccessOptions, found), _fill(FlowOptions, found)
    _check_capabilities(flow, found)
    engine, storage = _fill(EngineOptions, found), _fill(StorageOptions, found)
    telemetry = _fill(TelemetryOptions, found)
    values: dict[str, object] = {}
    for group in (http, access, flow, engine, storage, telemetry):
        values |= {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    listing = tuple(
        Setting(name, variables_of(name)[0], values[name], found[name][1] if name in found else "default", *notes)
        for name, notes in _notes().items()
    )
    return Settings(http, access, flow, engine, storage, telemetry, listing)


def _first(sources: list[_Source], name: str) -> tuple[object, str] | None:
    return next((found for source in sources if (found := source.find(name)) is not None), None)


# Sources


def _sources(flags: Mapping[str, object], config: Path | None) -> list[_Source]:
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_unknown(given, "flag", _hints())
    environment = dict(os.environ)
    env_file = _env_file()
    for values, origin in ((environment, "environment variable"), (env_file, "variable in .env")):
        known = [variable for name in _hints() for variable in variables_of(name)]
        ours = {key: value for key, value in values.items() if key.startswith(PREFIX) and key not in _THE_CLIS_OWN}
        _refuse_unknown(ours, origin, [*known, CONFIG_VARIABLE])
    return [
        _Source("flag", given, by_variable=False),
        _Source("environment", environment, by_variable=True),
        _Source(".env", env_file, by_variable=True),
        *_toml(config or _path(environment.get(CONFIG_VARIABLE))),
    ]


def _env_file() -> dict[str, str | None]:
    try:
        return dict(dotenv_values(".env"))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The file .env cannot be read: {error}"
        raise SettingsError(msg) from error


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _toml(chosen: Path | None) -> Iterator[_Source]:
    places = [chosen] if chosen else [Path(place).expanduser() for place in _CONFIG_PLACES]
    for place in places:
        if not place.is_file():
            continue
        try:
            values = tomllib.loads(place.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            msg = f"The settings file {place} cannot be read: {error}"
            raise SettingsError(msg) from error
        _refuse_unknown(values, f"setting in {place}", _hints())
        yield _Source(str(place), values, by_variable=False)
        return
    if chosen:
        msg = f"There is no settings file {chosen}."
        raise SettingsError(msg)


def _refuse_unknown(given: Mapping[str, object], what: str, known: Mapping[str, object] | list[str]) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1)
            hint = f" Did you mean {near[0]}?" if near else " `claude-code-api settings list` shows all of them."
            msg = f"Unknown {what}: {name}.{hint}"
            raise SettingsError(msg)


# Values


def _fill(section: type[Section], found: Mapping[str, tuple[object, str]]) -> Section:
    hints = get_type_hints(section)
    given = {name: _prepared(found[name][0], hints[name], found[name][1]) for name in hints if name in found}
    try:
        filled = TypeAdapter(section).validate_python(given)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise _wrong(str(problem["loc"][0]), found, problem["msg"]) from None
    for name in given:
        value = getattr(filled, name)
        if not isinstance(value, (int, float)):
            continue
        if not 0 <= value <= _LARGEST.get(name, math.inf) or (value == 0 and name in _NOT_ZERO):
            raise _wrong(name, found, f"{value} is out of range")
    return filled


def _check_capabilities(flow: FlowOptions, found: Mapping[str, tuple[object, str]]) -> None:
    try:
        CapabilityTable(flow.model_capabilities)
    except CapabilityError as error:
        raise _wrong("model_capabilities", found, str(error)) from None


def _wrong(name: str, found: Mapping[str, tuple[object, str]], why: str) -> SettingsError:
    return SettingsError(f"The setting {name} ({found[name][1]}) is wrong: {why}.")


def _prepared(value: object, hint: object, origin: str) -> object:
    """Bring a text into the form that the type wants: lists by commas, mappings as JSON."""
    if isinstance(value, str) and Path in (hint, *get_args(hint)):
        value = Path(value)
    if isinstance(value, Path):
        # The CLI runs in directories of its own, where a relative path would mean something else.
        return value.expanduser().absolute()
    if not isinstance(value, str):
        return value
    base = getattr(hint, "__origin__", None)
    if base is tuple:
        return tuple(item.strip() for item in value.split(",") if item.strip())
    if isinstance(base, type) and issubclass(base, Mapping):
        try:
            return json.loads(value)
        except ValueError as error:
            msg = f"The value of {origin} has to be a JSON object: {error}"
            raise SettingsError(msg) from error
    return value


def _as_text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# What there is


def _hints() -> dict[str, Any]:
    return {name: hint for section in SECTIONS for name, hint in get_type_hints(section, include_extras=True).items()}


def _notes() -> dict[str, tuple[str, bool]]:
    """Each setting's description, and whether it is secret."""
    return {name: (hint.__metadata__[0], "secret" in hint.__metadata__[1:]) for name, hint in _hints().items()}
