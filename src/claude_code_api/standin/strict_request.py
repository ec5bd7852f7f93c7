"""A request to the Messages API as the rules look at it: places by their path, blocks by their kind, the model's row.

A path names a field: `tools[].name` is the name of each tool, `messages[].content[image].source` the source of each
image, `thinking{enabled}.budget_tokens` the budget of a thinking of that type. Knows no rule.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Final

from claude_code_api.standin.model_table import Model

# A step of a path: a field, then `[]` or `[kind]` for the entries of a list, or `{kind}` for an object of that type.
_STEP: Final = re.compile(r"(?P<name>\w+)(?:\[(?P<entries>\w*)\]|\{(?P<kind>\w+)\})?")
_KIND_WITHOUT_TYPE: Final = {"tools": "custom"}


class Missing:
    """Stands where a field is not there."""


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the body and what is there. `parts`: the way to it, as the API writes it."""

    value: Any
    parts: tuple[str | int, ...] = ()

    @property
    def at(self) -> str:
        """The place in the API's words, for example `messages.0.content.1.image.source`."""
        return ".".join(map(str, self.parts))

    @property
    def numbers(self) -> list[int]:
        """The indexes on the way."""
        return [part for part in self.parts if isinstance(part, int)]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path."""

    name: str
    entries: str | None
    kind: str | None


@cache
def steps_of(path: str) -> tuple[Step, ...]:
    """Read a path."""
    found = []
    for part in path.split("."):
        read = _STEP.fullmatch(part)
        if read is None:
            raise ValueError(f"not a path: {path!r}")
        found.append(Step(read["name"], read["entries"], read["kind"]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Block:
    """A content block of a message."""

    value: Mapping[str, Any]
    kind: str
    role: str
    message: int
    index: int

    @property
    def at(self) -> str:
        """The block's place in the API's words."""
        return f"messages.{self.message}.content.{self.index}"


@dataclass(slots=True)
class Turn:
    """Messages of one role in a row. `blocks`: with the number of their message and their own."""

    role: str
    first: int
    last: int = 0
    blocks: list[tuple[int, int, Mapping[str, Any]]] = field(default_factory=list)

    def ids(self, kind: str, key: str) -> list[str]:
        """Return a field of all blocks of a kind."""
        return [str(block.get(key)) for _, _, block in self.blocks if block.get("type") == kind]


@dataclass
class Request:
    """One request. `model`: its row of the table, None as long as it is not known."""

    body: Any
    model: Model | None = None
    betas: frozenset[str] = frozenset()
    counting: bool = False
    size: int = 0
    _spots: dict[tuple[Step, ...], list[Spot]] = field(default_factory=dict)
    _by_kind: dict[tuple[Step, ...], dict[str, list[Spot]]] = field(default_factory=dict)

    def get(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return a field of the body, None where it is not there."""
        return self.body.get(name) if isinstance(self.body, dict) else None

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a field that is an object, an empty one where it is not."""
        found = self.get(name)
        return found if isinstance(found, dict) else {}

    def spots(self, steps: tuple[Step, ...]) -> list[Spot]:
        """Return all places that a path leads to; at its last step also those that are not there."""
        if not steps:
            return [Spot(self.body)]
        if steps not in self._spots:
            self._spots[steps] = self._found(steps[:-1], steps[-1])
        return self._spots[steps]

    def _found(self, before: tuple[Step, ...], step: Step) -> list[Spot]:
        if step.entries is None:
            holders = (holder for holder in self.spots(before) if isinstance(holder.value, dict))
            return [spot for holder in holders for spot in _at(holder, step)]
        entries = self._entries(before, step.name)
        if not step.entries:
            return [spot for spots in entries.values() for spot in spots]
        named = step.entries
        return [Spot(spot.value, (*spot.parts, named)) for spot in entries.get(named, ())]

    def _entries(self, before: tuple[Step, ...], name: str) -> dict[str, list[Spot]]:
        """Return the entries of lists by their kind."""
        key = (*before, Step(name, "", None))
        if key not in self._by_kind:
            kinds = self._by_kind[key] = defaultdict(list)
            for holder in self.spots(before):
                listed = holder.value.get(name) if isinstance(holder.value, dict) else None
                for index, entry in enumerate(listed if isinstance(listed, list) else ()):
                    kinds[_kind(entry, name)].append(Spot(entry, (*holder.parts, name, index)))
        return self._by_kind[key]

    @cached_property
    def messages(self) -> list[Mapping[str, Any]]:
        """The messages that are objects."""
        found = self.get("messages")
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def blocks(self, *kinds: str) -> Iterator[Block]:
        """Return the blocks of these kinds; a content that is one string counts as a text."""
        for kind in kinds:
            yield from self._blocks.get(kind, ())

    @cached_property
    def _blocks(self) -> dict[str, list[Block]]:
        found = defaultdict(list)
        for block in self._all_blocks():
            found[block.kind].append(block)
        return found

    def _all_blocks(self) -> Iterator[Block]:
        for number, message in enumerate(self.messages):
            role, content = str(message.get("role")), message.get("content")
            if isinstance(content, str):
                yield Block({"type": "text", "text": content}, "text", role, number, 0)
            elif isinstance(content, list):
                for index, one in enumerate(content):
                    if isinstance(one, dict):
                        yield Block(one, str(one.get("type")), role, number, index)

    @cached_property
    def turns(self) -> list[Turn]:
        """The messages, those of one role in a row as one: so the API reads them."""
        return _joined(self.messages)

    @cached_property
    def marked(self) -> list[tuple[str, Mapping[str, Any]]]:
        """All that bears a mark for the cache, in the order in which the API caches, with its place."""
        return list(_marked(self))


def _marked(request: Request) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in ("tools", "system"):
        listed = request.get(name)
        for index, one in enumerate(listed if isinstance(listed, list) else ()):
            if _bears_mark(one):
                yield f"{name}.{index}", one
    for number, message in enumerate(request.messages):
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            inner = block.get("content") if isinstance(block, dict) else None
            for place, one in enumerate(inner if isinstance(inner, list) else ()):
                if _bears_mark(one):
                    yield f"messages.{number}.content.{index}.content.{place}", one
            if _bears_mark(block):
                yield f"messages.{number}.content.{index}", block
    if _bears_mark(request.body):
        yield "", request.body


def _bears_mark(thing: object) -> bool:
    return isinstance(thing, dict) and thing.get("cache_control") is not None


def _joined(messages: list[Mapping[str, Any]]) -> list[Turn]:
    found: list[Turn] = []
    for number, message in enumerate(messages):
        role = str(message.get("role"))
        # What the system says in between stands beside the conversation.
        if role == "system":
            continue
        if not found or found[-1].role != role:
            found.append(Turn(role, number))
        found[-1].last = number
        found[-1].blocks.extend((number, index, block) for index, block in enumerate(blocks_of(message)))
    return found


def blocks_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the blocks of one message; a string is one text."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _at(holder: Spot, step: Step) -> Iterator[Spot]:
    value = holder.value.get(step.name, MISSING)
    if step.kind is None:
        yield Spot(value, (*holder.parts, step.name))
    elif _kind(value, step.name) == step.kind:
        yield Spot(value, (*holder.parts, step.name, step.kind))


def _kind(entry: object, name: str) -> str:
    found = entry.get("type") if isinstance(entry, dict) else None
    return _KIND_WITHOUT_TYPE.get(name, "") if found is None else str(found)
