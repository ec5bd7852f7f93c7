"""A client's JSON schema → the form that the model's API enforces by itself, where there is one.

The API takes a part of JSON Schema. What of a schema is outside of that part is told to the model in descriptions, and
the answer is then checked here. A schema that has no such form (it recurses, it is open, it is too large) is told to
the model as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from claude_code_api.turn.request import Json, JsonObject

# What the API takes, all schemas of a request together.
MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16
# Deeper ones are refused as too complex long before.
_MAX_DEPTH: Final = 30

_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_KEPT: Final = frozenset({"title", "description", "default"})
# They say nothing about what is valid.
_REMARKS: Final = frozenset(
    {"$schema", "$id", "$comment", "$anchor", "examples", "example", "deprecated", "readOnly", "writeOnly"}
)
_READ_BY_TYPE: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "format", "minItems", "nullable", "$defs"}
    | {"definitions", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"}
)


@dataclass(frozen=True, slots=True)
class Native:
    """What the API enforces. `weaker`: it lets answers through that the client's schema does not."""

    schema: dict[str, Json]
    weaker: bool


class _NoFormError(Exception):
    """The API has no form for this."""


def native_form(schema: JsonObject) -> Native | None:
    """Write a schema as the API takes it; None: it cannot be written so."""
    writer = _Writer(schema)
    try:
        written = writer.write(schema, ())
        if written.get("type") != "object":
            return None
    except _NoFormError:
        return None
    if writer.optional > MAX_OPTIONAL or writer.unions > MAX_UNIONS:
        return None
    return Native(written, writer.weaker)


class _Writer:
    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self.weaker = False
        self.optional = self.unions = 0

    def write(self, schema: Any, above: tuple[str, ...], depth: int = 0) -> dict[str, Json]:  # noqa: ANN401 - JSON
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            raise _NoFormError
        if "$ref" in schema:
            return self._followed(schema, above, depth)
        written: dict[str, Json] = {name: schema[name] for name in _KEPT if name in schema}
        if "enum" in schema or "const" in schema:
            written |= self._listed(schema)
        elif union := schema.get("anyOf") or schema.get("oneOf"):
            written |= self._union(schema, union, above, depth)
        elif "allOf" in schema:
            return self._all_of(schema, above, depth)
        else:
            written |= self._typed(schema, above, depth)
        self._tell_the_rest(schema, written)
        return written

    def _followed(self, schema: JsonObject, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        """Put what a reference leads to in its place."""
        target = schema["$ref"]
        if not isinstance(target, str) or target in above:
            raise _NoFormError
        beside = {name: value for name, value in schema.items() if name not in ("$ref", "$defs", "definitions")}
        found = resolved(self._root, target)
        if found is None:
            raise _NoFormError
        return self.write({**found, **beside}, (*above, target), depth + 1)

    def _listed(self, schema: JsonObject) -> dict[str, Json]:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise _NoFormError
        if any(isinstance(value, (Mapping, list)) for value in values):
            raise _NoFormError
        if "enum" in schema and "const" in schema:
            self.weaker = True
        return {"enum": list(values)}

    def _union(self, schema: JsonObject, union: Json, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        if not isinstance(union, Sequence) or isinstance(union, str):
            raise _NoFormError
        if "properties" in schema or ("anyOf" in schema and "oneOf" in schema):
            raise _NoFormError
        if "oneOf" in schema:
            # One and no other: that is for the check.
            self.weaker = True
        self.unions += 1
        return {"anyOf": [self.write(one, above, depth + 1) for one in union]}

    def _all_of(self, schema: JsonObject, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        """One part is the same as that part; several have no form that is sure to mean the same."""
        parts = schema["allOf"]
        if not isinstance(parts, Sequence) or len(parts) != 1 or not isinstance(parts[0], Mapping):
            raise _NoFormError
        beside = {name: value for name, value in schema.items() if name != "allOf"}
        if set(beside) & set(parts[0]) - _KEPT:
            raise _NoFormError
        return self.write({**parts[0], **beside}, above, depth + 1)

    def _typed(self, schema: JsonObject, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        kinds = schema.get("type")
        if isinstance(kinds, list) or schema.get("nullable") is True:
            return self._of_several_types(schema, kinds, above, depth)
        if kinds is None and "properties" in schema:
            kinds = "object"
        if kinds not in _TYPES:
            raise _NoFormError
        match kinds:
            case "object":
                return self._object(schema, above, depth)
            case "array":
                return self._array(schema, above, depth)
            case _:
                form = schema.get("format")
                return {"type": str(kinds), **({"format": form} if form in _FORMATS else {})}

    def _of_several_types(self, schema: JsonObject, kinds: Json, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        listed = [*kinds] if isinstance(kinds, list) else [kinds]
        if schema.get("nullable") is True and "null" not in listed:
            listed.append("null")
        plain = {name: value for name, value in schema.items() if name not in ("type", "nullable", *_KEPT)}
        if len(listed) == 1:
            return self._typed({**plain, "type": listed[0]}, above, depth)
        self.unions += 1
        return {"anyOf": [self._typed({**plain, "type": kind}, above, depth + 1) for kind in listed]}

    def _object(self, schema: JsonObject, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        properties, further = schema.get("properties"), schema.get("additionalProperties")
        if isinstance(further, Mapping) and further:
            raise _NoFormError
        if not isinstance(properties, Mapping) or not properties:
            # Closed, it could only be empty, which is what the client says, or else an open one.
            if further is not False:
                raise _NoFormError
            properties = {}
        required = schema.get("required") or []
        if not isinstance(required, list) or not set(required) <= set(properties):
            raise _NoFormError
        self.optional += len(properties) - len(required)
        return {
            "type": "object",
            "properties": {name: self.write(one, above, depth + 1) for name, one in properties.items()},
            "required": list(required),
            "additionalProperties": False,
        }

    def _array(self, schema: JsonObject, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        if "items" not in schema:
            raise _NoFormError
        least = schema.get("minItems")
        kept: dict[str, Json] = {"minItems": least} if least in (0, 1) and not isinstance(least, bool) else {}
        return {"type": "array", "items": self.write(schema["items"], above, depth + 1), **kept}

    def _tell_the_rest(self, schema: JsonObject, written: dict[str, Json]) -> None:
        """Say in the description what has no other place."""
        rest = {
            name: value
            for name, value in schema.items()
            if name not in _KEPT | _REMARKS | _READ_BY_TYPE and not name.startswith("x-")
        }
        for name in ("format", "minItems"):
            if name in schema and name not in written and "anyOf" not in written:
                rest[name] = schema[name]
        if not rest:
            return
        self.weaker = True
        said = orjson.dumps(rest).decode()
        written["description"] = f"{schema.get('description', '')}\n\n{said}".strip()


def resolved(root: JsonObject, target: str) -> JsonObject | None:
    """Follow a reference inside of a schema; None: it leads out of it, or nowhere."""
    if not target.startswith("#"):
        return None
    found: Json = root
    for step in target.removeprefix("#").split("/")[1:]:
        if not isinstance(found, Mapping):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, Mapping) else None
