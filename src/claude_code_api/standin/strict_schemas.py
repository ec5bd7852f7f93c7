"""The rules about JSON schemas: those of functions, and those that are enforced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError

from claude_code_api.standin.strict_rules import Body, Breach, rules

MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
# What is not enforced, by the type that it belongs to.
_REFUSED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
    **dict.fromkeys(("minLength", "maxLength"), "string"),
    **dict.fromkeys(("maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems"), "array"),
    **dict.fromkeys(("minProperties", "maxProperties", "patternProperties", "propertyNames"), "object"),
    **dict.fromkeys(("not", "if", "then", "else", "oneOf", "dependentRequired", "dependentSchemas"), "any"),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), "any"),
}
_SAYS_A_KIND: Final = frozenset({"type", "$ref", "enum", "const", "anyOf", "allOf"})


def is_valid(schema: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether it is a schema of draft 2020-12."""
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return True


def check_enforced(schema: Any) -> None:  # noqa: ANN401 - JSON
    """Hold the schema of the answer against the rules."""
    if not isinstance(schema, dict) or not is_valid(schema):
        raise Breach("output_schema_valid")
    _Enforced(schema).check()


def check_strict(index: int, schema: Body) -> None:
    """Hold the schema of a strict function against the same rules."""
    try:
        _Enforced(schema).check()
    except Breach as breach:
        words = rules()[breach.rule].words.format(**breach.values)
        raise Breach("tool_strict_schema", index=index, why=words.rpartition("schema: ")[2]) from None


class _Enforced:
    """One schema that is enforced."""

    def __init__(self, root: Body) -> None:
        self._root = root
        self.optional = self.unions = 0

    def check(self) -> None:
        """Raise the first breach."""
        if self._root.get("type") != "object":
            raise Breach("output_top")
        self._look(self._root, ())
        if self.optional > MAX_OPTIONAL:
            raise Breach("output_optional", found=self.optional)
        if self.unions > MAX_UNIONS:
            raise Breach("output_unions", found=self.unions)

    def _look(self, schema: Any, above: tuple[str, ...]) -> None:  # noqa: ANN401 - JSON
        if not isinstance(schema, dict) or not _SAYS_A_KIND & schema.keys():
            raise Breach("output_untyped")
        for rule in _RULES:
            rule(schema)
        if "$ref" in schema:
            self._follow(schema["$ref"], above)
        self.unions += "anyOf" in schema or isinstance(schema.get("type"), list)
        properties = schema.get("properties", {})
        self.optional += len(set(properties) - set(schema.get("required", ())))
        for inner in _inner(schema):
            self._look(inner, above)

    def _follow(self, target: object, above: tuple[str, ...]) -> None:
        if not isinstance(target, str) or not target.startswith("#"):
            raise Breach("output_external")
        if target in above or target == "#":
            raise Breach("output_recursion")
        found: Any = self._root
        for step in target.split("/")[1:]:
            found = found.get(step) if isinstance(found, dict) else None
        self._look(found, (*above, target))


def _inner(schema: Body) -> Iterator[Any]:
    yield from schema.get("properties", {}).values()
    if "items" in schema:
        yield schema["items"]
    for name in ("anyOf", "allOf"):
        yield from schema.get(name, ())


def _closed(schema: Body) -> None:
    kinds = schema.get("type")
    is_object = kinds == "object" or (isinstance(kinds, list) and "object" in kinds)
    if is_object and schema.get("additionalProperties") is not False:
        raise Breach("output_closed")


def _no_refused_keyword(schema: Body) -> None:
    for name in schema:
        if name in _REFUSED:
            raise Breach("output_keyword", found=name, kind=_REFUSED[name])
    if "pattern" in schema:
        raise Breach("output_keyword", found="pattern", kind="string")


def _few_items(schema: Body) -> None:
    if schema.get("minItems", 0) not in (0, 1):
        raise Breach("output_min_items")


def _known_format(schema: Body) -> None:
    if "format" in schema and schema["format"] not in _FORMATS:
        raise Breach("output_format_word", found=schema["format"])


def _plain_values(schema: Body) -> None:
    listed = [*schema.get("enum", ()), schema.get("const")]
    if any(isinstance(value, (dict, list)) for value in listed):
        raise Breach("output_enum")


def _required_are_there(schema: Body) -> None:
    for name in schema.get("required", ()):
        if name not in schema.get("properties", {}):
            raise Breach("output_required", found=name)


_RULES: Final[tuple[Callable[[Body], None], ...]] = (
    _no_refused_keyword,
    _closed,
    _few_items,
    _known_format,
    _plain_values,
    _required_are_there,
)
