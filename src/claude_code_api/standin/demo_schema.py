"""Values that fit a JSON schema, chosen without chance.

Pure, standard library only. Serves the demo model: arguments for a tool call, and answers in a wanted JSON shape.
Covers what schemas for models use (objects, arrays, enums, formats, bounds, unions, local references); a `pattern` is
not solved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

# A recursive schema is followed this far; below, only required properties and the smallest arrays are made.
MAX_DEPTH = 6

FORMATS: Mapping[str, str] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class SchemaFiller:
    """Makes values for one root schema. `hints` are texts for properties of these names."""

    def __init__(self, root: Schema, hints: Mapping[str, str], *, only_required: bool = False) -> None:
        self._root = root
        self._hints = hints
        self._only_required = only_required

    def value(self) -> object:
        """Return a value that fits the root schema."""
        return self._fill(self._root, "", 0)

    def _fill(self, schema: object, name: str, depth: int) -> object:
        if not isinstance(schema, Mapping):
            return self._text({}, name)
        schema = self._resolved(schema)
        given = _given(schema)
        if given:
            return given[0]
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                rest = {key: item for key, item in schema.items() if key != union}
                return self._fill(_merged([rest, self._resolved(_likeliest(schema[union]))]), name, depth)
        return self._by_kind(schema, name, depth)

    def _by_kind(self, schema: Schema, name: str, depth: int) -> object:
        made: object = None
        match _kind(schema):
            case "object":
                made = self._object(schema, depth)
            case "array":
                made = self._array(schema, name, depth)
            case "integer" | "number" as kind:
                made = _number(schema, whole=kind == "integer")
            case "boolean":
                made = True
            case "null":
                pass
            case _:
                made = self._text(schema, name)
        return made

    def _resolved(self, schema: Schema) -> Schema:
        """Follow local references and join `allOf`."""
        for _ in range(MAX_DEPTH):
            reference = schema.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#"):
                break
            rest = {key: item for key, item in schema.items() if key != "$ref"}
            schema = _merged([self._at(reference), rest])
        if isinstance(schema.get("allOf"), list):
            rest = {key: item for key, item in schema.items() if key != "allOf"}
            schema = _merged([*(self._resolved(part) for part in schema["allOf"]), rest])
        return schema

    def _at(self, reference: str) -> Schema:
        found: object = self._root
        for part in reference.lstrip("#").strip("/").split("/"):
            if part and isinstance(found, Mapping):
                found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
        return found if isinstance(found, Mapping) else {}

    def _object(self, schema: Schema, depth: int) -> dict[str, object]:
        properties = schema.get("properties") or {}
        required = [str(name) for name in schema.get("required") or ()]
        lean = self._only_required or depth >= MAX_DEPTH
        wanted = required if lean else [*properties, *(name for name in required if name not in properties)]
        if not wanted and depth == 0:
            # A call without a single argument shows little; one optional argument does no harm.
            wanted = list(properties)[:1]
        if depth >= 2 * MAX_DEPTH:
            return {}
        return {name: self._fill(properties.get(name, {}), name, depth + 1) for name in wanted}

    def _array(self, schema: Schema, name: str, depth: int) -> list[object]:
        first = [self._fill(item, name, depth + 1) for item in schema.get("prefixItems") or ()]
        least = int(schema.get("minItems", 0))
        wanted = max(least, 0 if depth >= MAX_DEPTH else 1)
        if "maxItems" in schema:
            wanted = min(wanted, int(schema["maxItems"]))
        items = schema.get("items", {})
        if items is False:
            return first
        return first + [self._fill(items, name, depth + 1) for _ in range(wanted - len(first))]

    def _text(self, schema: Schema, name: str) -> str:
        wanted = FORMATS.get(str(schema.get("format", ""))) or self._hints.get(name.lower()) or name or "text"
        least = int(schema.get("minLength", 0))
        most = int(schema.get("maxLength", max(least, len(wanted))))
        return wanted.ljust(least, ".")[:most]


def _given(schema: Schema) -> list[object]:
    """Return the values that the schema itself offers."""
    if "const" in schema:
        return [schema["const"]]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return [schema[key][0]]
    return [schema[key] for key in ("example", "default") if schema.get(key) is not None]


def _likeliest(options: list[Schema]) -> Schema:
    """Return the first option that is not null."""
    return next((option for option in options if option.get("type") != "null"), options[0])


def _merged(parts: list[Schema]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        for key, item in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **item}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *item]
            else:
                merged[key] = item
    return merged


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        if "properties" in schema or "required" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
    return str(kind or "string")


def _number(schema: Schema, *, whole: bool) -> float:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf") or (1 if whole else None)
    low = above if least is None else least
    high = below if most is None else most
    value: float = low if low is not None else (1 if high is None else min(1, high))
    if step:
        value = math.ceil(value / step) * step if low is not None or value > 0 else math.floor(value / step) * step
        if above is not None and value <= above:
            value += step
        if below is not None and value >= below:
            value -= step
    elif above is not None and value <= above:
        value = (above + (below if below is not None else (most if most is not None else above + 2))) / 2
    elif below is not None and value >= below:
        value = below - 1
    return int(value) if whole else value
