"""Temperature, top_p and top_k → those of them that this model accepts beside what else is asked of it."""

from __future__ import annotations

from typing import Final

from claude_code_api.models.draft import Draft
from claude_code_api.models.thinking import thinks
from claude_code_api.turn.request import Sampling

# The model's own value: to ask for it is to ask for nothing.
_OWN: Final = 1
# Beside thinking the model's API takes nothing lower.
_LOWEST_TOP_P_WITH_THINKING: Final = 0.95


def settle_sampling(draft: Draft) -> None:
    """Leave out what the model's API would refuse, and name it unless it asks for what happens anyway."""
    wished = draft.request.sampling
    thinking = thinks(draft)
    temperature = _temperature(draft, wished.temperature, thinking=thinking)
    top_p = _top_p(draft, wished.top_p, thinking=thinking)
    top_k = wished.top_k if draft.model.top_k and not thinking else None
    if temperature is not None and top_p is not None and not draft.model.temperature_with_top_p:
        if temperature == _OWN:
            temperature = None
        else:
            _drop(draft, "top_p", top_p)
            top_p = None
    if top_p is not None and not draft.control.removes_fields and not draft.model.temperature_with_top_p:
        # The CLI's own temperature would stand beside it.
        _drop(draft, "top_p", top_p)
        top_p = None
    if wished.top_k is not None and top_k is None:
        draft.name("top_k")
    draft.change(sampling=Sampling(temperature, top_p, top_k))
    for name, value in (("temperature", temperature), ("top_p", top_p), ("top_k", top_k)):
        if value is None:
            draft.fields[name] = None


def _temperature(draft: Draft, wished: float | None, *, thinking: bool) -> float | None:
    free = draft.model.temperature == "any" and not thinking
    if wished is None or free:
        return wished
    _drop(draft, "temperature", wished)
    return None


def _top_p(draft: Draft, wished: float | None, *, thinking: bool) -> float | None:
    if wished is None or wished == _OWN:
        return None
    if not draft.model.top_p or (thinking and wished < _LOWEST_TOP_P_WITH_THINKING):
        _drop(draft, "top_p", wished)
        return None
    return wished


def _drop(draft: Draft, name: str, wished: float) -> None:
    if wished != _OWN:
        draft.name(name)
