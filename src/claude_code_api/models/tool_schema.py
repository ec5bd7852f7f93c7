"""The schema of a function's arguments → one that the model's API takes. Pure, and remembered: tools come every turn.

The API wants a valid schema of draft 2020-12 whose top is one object. Clients send unions at the top, older drafts and
OpenAPI's own words. What cannot be kept is returned as text, for the description of the function.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator, SchemaError

from claude_code_api.models.native_schema import native_form, resolved
from claude_code_api.turn.request import Json, JsonObject

# A busy client's tool box, several times over.
_REMEMBERED: Final = 512
_UNIONS: Final = ("anyOf", "oneOf", "allOf")
_OPEN: Final[JsonObject] = {"type": "object", "properties": {}}
# Words for which draft 2020-12 has another form.
_BOUNDS: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def accepted_schema(schema: JsonObject) -> tuple[JsonObject, str]:
    """Return a schema that the API takes, and what of the client's is lost in it, as text; "" where nothing is."""
    return _accepted(orjson.dumps(schema))


def without_what_strict_forbids(schema: JsonObject) -> JsonObject | None:
    """Return a schema that the API enforces on a strict function; None: it cannot enforce all of it."""
    native = native_form(schema)
    return native.schema if native is not None else None


@lru_cache(maxsize=_REMEMBERED)
def _accepted(written: bytes) -> tuple[JsonObject, str]:
    schema = orjson.loads(written)
    lost = ""
    topped = _one_object(schema)
    if topped is None or any(name in topped for name in _UNIONS):
        topped = _merged(schema)
        lost = _told(schema)
    if not _is_valid(topped):
        topped = _in_the_newest_draft(topped)
        if not _is_valid(topped):
            return _OPEN, _told(schema)
    return topped, lost


def _told(schema: JsonObject) -> str:
    return f"The arguments have to satisfy this JSON schema: {orjson.dumps(schema).decode()}"


def _is_valid(schema: JsonObject) -> bool:
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return True


def _one_object(schema: JsonObject) -> JsonObject | None:
    """Let the top be an object, if it says so in any way; None: it is something else."""
    top = schema
    if isinstance(top.get("$ref"), str):
        found = resolved(schema, str(top["$ref"]))
        if found is None:
            return None
        top = {**{name: value for name, value in schema.items() if name != "$ref"}, **found}
    kind = top.get("type", "object")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        return {**top, "type": "object"}
    return None


def _merged(schema: JsonObject) -> JsonObject:
    """Make one object of a union: every argument that any of its kinds has, and required what all of them require."""
    properties: dict[str, Json] = {}
    required: list[set[str]] = []
    kept = {name: value for name, value in schema.items() if name in ("$defs", "definitions", "description")}
    for one in _kinds_of(schema, schema, 0):
        for name, value in _properties(one).items():
            properties.setdefault(name, value)
        wanted = one.get("required")
        required.append({str(name) for name in wanted} if isinstance(wanted, list) else set())
    always = _properties(schema)
    listed = schema.get("required")
    certain = set.intersection(*required) if required else set()
    certain |= {str(name) for name in listed} if isinstance(listed, list) else set()
    return {**kept, "type": "object", "properties": {**properties, **always}, "required": sorted(certain)}


# Unions inside of unions: deeper ones are not looked into.
_DEPTH: Final = 4


def _kinds_of(root: JsonObject, schema: JsonObject, depth: int) -> list[JsonObject]:
    found: list[JsonObject] = []
    for union in _UNIONS:
        listed = schema.get(union)
        for part in listed if isinstance(listed, list) else []:
            one = part
            if isinstance(one, Mapping) and isinstance(one.get("$ref"), str):
                one = resolved(root, str(one["$ref"]))
            if not isinstance(one, Mapping):
                continue
            inner = _kinds_of(root, one, depth + 1) if depth < _DEPTH else []
            found += inner or [one]
    return found


def _properties(schema: JsonObject) -> JsonObject:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _in_the_newest_draft(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Say in draft 2020-12 what older drafts, and OpenAPI, say otherwise."""
    if isinstance(value, list):
        return [_in_the_newest_draft(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    made = {name: _in_the_newest_draft(one) for name, one in value.items()}
    for name, bound in _BOUNDS.items():
        if isinstance(made.get(name), bool) and made.pop(name) and isinstance(made.get(bound), (int, float)):
            made[name] = made.pop(bound)
    if isinstance(made.get("items"), list):
        made["prefixItems"] = made.pop("items")
    if isinstance(made.get("required"), bool):
        made.pop("required")
    if made.get("required") is None or made.get("properties") is None:
        made = {name: one for name, one in made.items() if one is not None or name not in ("required", "properties")}
    return made
