"""Which models there are, and which one a name stands for.

The list is the union of what the installed CLI offers and of a table of well-known ids. What is not known of a model
(its context, its price) is None: nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from claude_code_api.flow.options import FlowOptions, UnknownModel
from claude_code_api.flow.ports import EngineOffer, OfferedModel
from claude_code_api.models.capabilities import CapabilityTable, Offer
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError


@dataclass(frozen=True, slots=True)
class Model:
    """One model. `value` is what the CLI takes for it; prices are US dollars per million tokens."""

    id: str
    name: str
    value: str
    created_s: int
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    input_usd: float | None = None
    output_usd: float | None = None
    effort_levels: tuple[str, ...] = ()
    adaptive: bool | None = None
    thinking_off: bool | None = None
    thinking: bool | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name came to; `fell_back` when nobody knew it."""

    value: str
    fell_back: bool
    # What is known of it.
    model: Model | None = None

    @property
    def offer(self) -> Offer:
        """What the CLI says of what it accepts."""
        found = self.model
        return Offer() if found is None else Offer(found.effort_levels, found.adaptive, found.thinking_off)

    @property
    def id(self) -> str:
        """The name by which the model's API knows it, as far as that is known."""
        return self.value if self.model is None else self.model.id


_CONTEXT: Final = 200_000


def _known(id_: str, name: str, created_s: int, output: int, prices: tuple[float, float]) -> Model:
    thinking = "3-5" not in id_
    return Model(id_, name, id_, created_s, _CONTEXT, output, prices[0], prices[1], thinking=thinking)


# The days on which they came out, as Unix time at midnight UTC.
TABLE: Final = (
    _known("claude-opus-4-1-20250805", "Opus 4.1", 1754352000, 32_000, (15, 75)),
    _known("claude-opus-4-20250514", "Opus 4", 1747180800, 32_000, (15, 75)),
    _known("claude-sonnet-4-20250514", "Sonnet 4", 1747180800, 64_000, (3, 15)),
    _known("claude-3-7-sonnet-20250219", "Sonnet 3.7", 1739923200, 64_000, (3, 15)),
    _known("claude-3-5-sonnet-20241022", "Sonnet 3.5", 1729555200, 8_192, (3, 15)),
    _known("claude-3-5-haiku-20241022", "Haiku 3.5", 1729555200, 8_192, (0.80, 4)),
)
# The CLI tells no dates; clients want one.
UNDATED_S: Final = 1735689600
# "Opus 5.5 · Best for everyday, complex tasks · $4/$20 per Mtok": the CLI tells prices in its description alone.
_PRICES: Final = re.compile(r"\$(\d+(?:\.\d+)?)/\$(\d+(?:\.\d+)?) per Mtok")


# A whole name, perhaps with the larger window that the CLI asks for.
_CLAUDE: Final = re.compile(r"claude-[a-z0-9-]+(\[1m\])?")


class Catalogue:
    """Answers for every model name."""

    def __init__(self, options: FlowOptions, offer: Callable[[], Awaitable[EngineOffer]]) -> None:
        """Take the aliases and the policy from the options; the CLI is asked when the list is wanted."""
        self._options = options
        self._offer = offer
        self._capabilities = CapabilityTable(options.model_capabilities)
        # What was made of which offer: the CLI is asked once, and every request looks its model up.
        self._listed: tuple[EngineOffer, tuple[Model, ...]] | None = None

    async def models(self) -> tuple[Model, ...]:
        """List every model once, the CLI's own first."""
        offer = await self._offer()
        if self._listed is None or self._listed[0] is not offer:
            listed = _with_aliases(_union(offer.models), offer.models, self._options.model_aliases.items())
            self._listed = offer, listed
        return self._listed[1]

    async def find(self, name: str) -> Model | None:
        """Look a model up by its id or by an alias."""
        models = await self.models()
        return next((model for model in models if name == model.id or name in model.aliases), None)

    async def resolve(self, name: str, *, only: Collection[str] | None = None) -> Resolved:
        """Say which name the CLI is to be started with. An unknown one falls back, or is refused; so is one that is
        not among `only`, where those are given: whatever both are called."""
        resolved = await self._resolve(name)
        if only is not None and resolved.value not in {*only, *(model.value for model in await self.among(only))}:
            raise _not_allowed(name)
        return resolved

    async def among(self, names: Collection[str]) -> tuple[Model, ...]:
        """List the models that have one of these names."""
        wanted = frozenset(names)
        return tuple(model for model in await self.models() if wanted & {model.id, *model.aliases})

    async def _resolve(self, name: str) -> Resolved:
        found = await self.find(name)
        if found is not None:
            return Resolved(found.value, fell_back=False, model=found)
        if _CLAUDE.fullmatch(name) and self._capabilities.row(name) is not None:
            # No list has it, but it is known: the CLI asks what it is told to ask.
            return Resolved(name, fell_back=False)
        if self._options.unknown_model is UnknownModel.REFUSE:
            raise _unknown(name)
        fallback = await self.find(self._options.default_model)
        if fallback is None:
            return Resolved(self._options.default_model, fell_back=True)
        return Resolved(fallback.value, fell_back=True, model=fallback)


def _union(offered: Iterable[OfferedModel]) -> list[Model]:
    told: dict[str, list[OfferedModel]] = {}
    for entry in offered:
        if entry.resolved:
            told.setdefault(entry.resolved, []).append(entry)
    table = {model.id: model for model in TABLE}
    # "default" stands for a model that has an entry of its own as well, and says less of it.
    offers = {id_: table.get(id_) or _from_offer(max(entries, key=_how_much)) for id_, entries in told.items()}
    return list((offers | {id_: model for id_, model in table.items() if id_ not in offers}).values())


def _how_much(entry: OfferedModel) -> tuple[bool, int]:
    return _PRICES.search(entry.description) is not None, len(entry.effort_levels)


def _from_offer(entry: OfferedModel) -> Model:
    prices = _PRICES.search(entry.description)
    name = entry.description.partition(" · ")[0] or entry.title
    return Model(
        id=entry.resolved,
        name=name.removeprefix("Use the default model (currently ").removesuffix(")"),
        value=entry.resolved,
        created_s=UNDATED_S,
        input_usd=float(prices[1]) if prices else None,
        output_usd=float(prices[2]) if prices else None,
        effort_levels=entry.effort_levels,
        adaptive=entry.adaptive,
        thinking_off=entry.thinking_off,
        thinking=True if entry.effort_levels else None,
    )


def _with_aliases(
    models: list[Model], offered: Iterable[OfferedModel], aliases: Iterable[tuple[str, str]]
) -> tuple[Model, ...]:
    names: dict[str, list[str]] = {model.id: [] for model in models}
    stands_for = {entry.value: entry.resolved for entry in offered if entry.resolved not in ("", entry.value)}
    for value, id_ in stands_for.items():
        names[id_].append(value)
    for alias, target in aliases:
        id_ = stands_for.get(target, target)
        if id_ in names and alias not in names:
            names[id_].append(alias)
    return tuple(replace(model, aliases=tuple(names[model.id])) for model in models)


def _not_allowed(name: str) -> TurnRefusedError:
    message = f"This key may not use the model {name!r}; GET /v1/models lists the ones that it may."
    return TurnRefusedError(TurnError(ErrorKind.FORBIDDEN, message, source="client", param="model"))


def _unknown(name: str) -> TurnRefusedError:
    message = f"The model {name!r} does not exist; GET /v1/models lists the ones that do."
    return TurnRefusedError(TurnError(ErrorKind.MODEL_NOT_FOUND, message, source="client", param="model"))
