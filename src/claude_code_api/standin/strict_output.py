"""Rules about enforced schemas: of the answer (`output_config.format`) and of strict tools.

The API compiles such a schema into a grammar, so it takes a part of JSON Schema only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from claude_code_api.standin.strict_request import Request
from claude_code_api.standin.strict_rows import Check, Found
from claude_code_api.standin.strict_tools import is_valid

# What the grammars of one request may hold together.
MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16
MAX_STRICT_TOOLS: Final = 20

_SCHEMAS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_ANY: Final = frozenset({"type", "title", "description", "default", "enum", "const", "$ref", "$defs", "definitions"})
_ANY_REMARK: Final = frozenset({"$schema", "$id", "$comment", "examples", "anyOf", "allOf"})
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format", "pattern"}),
}
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_SAYS_SOMETHING: Final = frozenset({"type", "$ref", "enum", "const", "anyOf", "allOf", "oneOf"})
# A pattern has to be one that a grammar knows: no looking around, no going back, no edges of words.
_UNKNOWN_IN_PATTERNS: Final = ("(?=", "(?!", "(?<", "\\b", "\\B", *(f"\\{digit}" for digit in range(1, 10)))


def _roots(request: Request) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schemas to be enforced, with what the API calls their place."""
    form = request.part("output_config").get("format")
    schema = form.get("schema") if isinstance(form, dict) else None
    if isinstance(schema, dict):
        yield "output_config.format.schema", schema
    for index, tool in enumerate(request.get("tools") or ()):
        if isinstance(tool, dict) and tool.get("strict") is True and isinstance(tool.get("input_schema"), dict):
            yield f"tools.{index}.custom", tool["input_schema"]


def _nodes(request: Request) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All schemas in them, each with its root's place."""
    for place, root in _roots(request):
        for node in _within(root):
            yield place, node


def _within(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict):
            continue
        yield node
        for name in _SCHEMAS:
            inner = node.get(name)
            waiting.extend(inner.values() if isinstance(inner, dict) else ())
        for name in _LISTS:
            listed = node.get(name)
            waiting.extend(listed if isinstance(listed, list) else ())
        waiting.append(node.get("items"))


def _kinds(node: Mapping[str, Any]) -> list[str]:
    kind = node.get("type")
    return [str(one) for one in kind] if isinstance(kind, list) else [str(kind)] if kind is not None else []


def _closed(request: Request) -> Found | None:
    for place, node in _nodes(request):
        if "object" in _kinds(node) and node.get("additionalProperties") is not False:
            return {"place": place}
    return None


def _keyword(request: Request) -> Found | None:
    for place, node in _nodes(request):
        kinds = _kinds(node)
        if not kinds:
            continue
        known = _ANY.union(_ANY_REMARK, *(_KNOWN.get(kind, frozenset()) for kind in kinds))
        unknown = sorted(set(node) - known)
        if unknown:
            return {"place": place, "kind": kinds[0], "found": ", ".join(unknown)}
    return None


def _one_of(request: Request) -> Found | None:
    return next(({"place": place} for place, node in _nodes(request) if "oneOf" in node), None)


def _min_items(request: Request) -> Found | None:
    for place, node in _nodes(request):
        if "array" in _kinds(node) and node.get("minItems", 0) not in (0, 1):
            return {"place": place, "found": node["minItems"]}
    return None


def _pattern(request: Request) -> Found | None:
    for place, node in _nodes(request):
        pattern = node.get("pattern")
        if isinstance(pattern, str) and any(one in pattern for one in _UNKNOWN_IN_PATTERNS):
            return {"place": place, "found": pattern}
    return None


def _format(request: Request) -> Found | None:
    for place, node in _nodes(request):
        if "string" in _kinds(node) and node.get("format", "date") not in _FORMATS:
            return {"place": place, "found": node["format"]}
    return None


def _untyped(request: Request) -> Found | None:
    return next(({"place": place} for place, node in _nodes(request) if not _SAYS_SOMETHING & set(node)), None)


def _plain_values(request: Request) -> Found | None:
    for place, node in _nodes(request):
        listed = node.get("enum")
        values = [*(listed if isinstance(listed, list) else ()), node.get("const")]
        if any(isinstance(value, (dict, list)) for value in values):
            return {"place": place}
    return None


def _external(request: Request) -> Found | None:
    for place, node in _nodes(request):
        if isinstance(node.get("$ref"), str) and not node["$ref"].startswith("#"):
            return {"place": place, "found": node["$ref"]}
    return None


def _recursive(request: Request) -> Found | None:
    return next(({"place": place} for place, root in _roots(request) if _recurs(root, root, (), set())), None)


def _recurs(root: Mapping[str, Any], schema: Mapping[str, Any], above: tuple[str, ...], seen: set[str]) -> bool:
    """Whether a reference leads back to where it stands. `seen`: those that have been followed, each once."""
    for node in _within({name: value for name, value in schema.items() if name not in ("$defs", "definitions")}):
        target = node.get("$ref")
        if not isinstance(target, str):
            continue
        if target in above or target == "#":
            return True
        found = _resolved(root, target)
        if found is None or target in seen:
            continue
        seen.add(target)
        if _recurs(root, found, (*above, target), seen):
            return True
    return False


def _resolved(root: Mapping[str, Any], target: str) -> Mapping[str, Any] | None:
    found: Any = root
    for step in target.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _dangling(request: Request) -> Found | None:
    for place, root in _roots(request):
        for node in _within(root):
            target = node.get("$ref")
            if isinstance(target, str) and target.startswith("#") and _resolved(root, target) is None:
                return {"place": place, "found": target}
    return None


def _optional(request: Request) -> Found | None:
    count = 0
    for _, node in _nodes(request):
        properties, required = node.get("properties"), node.get("required")
        if isinstance(properties, dict):
            count += len(set(properties) - set(required if isinstance(required, list) else ()))
    return {"found": count, "most": MAX_OPTIONAL} if count > MAX_OPTIONAL else None


def _unions(request: Request) -> Found | None:
    count = sum(1 for _, node in _nodes(request) if "anyOf" in node or isinstance(node.get("type"), list))
    return {"found": count, "most": MAX_UNIONS} if count > MAX_UNIONS else None


def _strict_tools(request: Request) -> Found | None:
    count = sum(1 for place, _ in _roots(request) if place.startswith("tools."))
    return {"found": count, "most": MAX_STRICT_TOOLS} if count > MAX_STRICT_TOOLS else None


def _valid(request: Request) -> Found | None:
    return next(({"place": place} for place, root in _roots(request) if not is_valid(root)), None)


def _citations(request: Request) -> Found | None:
    if not isinstance(request.part("output_config").get("format"), dict):
        return None
    for block in request.blocks("document", "search_result"):
        citations = block.value.get("citations")
        if isinstance(citations, dict) and citations.get("enabled") is True:
            return {"place": block.at}
    return None


CHECKS: Final[Mapping[str, Check]] = {
    "output_closed": _closed,
    "output_keyword": _keyword,
    "output_one_of": _one_of,
    "output_min_items": _min_items,
    "output_pattern": _pattern,
    "output_format": _format,
    "output_untyped": _untyped,
    "output_plain_values": _plain_values,
    "output_external": _external,
    "output_recursive": _recursive,
    "output_dangling": _dangling,
    "output_optional": _optional,
    "output_unions": _unions,
    "output_strict_tools": _strict_tools,
    "output_valid": _valid,
    "output_citations": _citations,
}
