"""Short ways to write down a request and to fit it to a model."""

from __future__ import annotations

from typing import Any

from claude_code_api.models.capabilities import CapabilityTable
from claude_code_api.models.fit import fit
from claude_code_api.models.fitted import Fitted, RequestControl
from claude_code_api.turn.request import Block, Message, Role, TextBlock, TurnRequest

TABLE = CapabilityTable()
# One of each kind: thinks by budget, adaptively or not, adaptively unless told, always.
BUDGET, EITHER, UNLESS_TOLD, ALWAYS = "claude-haiku-4-5", "claude-opus-4-7", "claude-opus-5", "claude-opus-5-5"
ALL = tuple(row.id for row in TABLE.rows)


def said(role: Role, *blocks: str | Block) -> Message:
    return Message(role, tuple(TextBlock(block) if isinstance(block, str) else block for block in blocks))


def asks(*messages: Message, **fields: Any) -> TurnRequest:
    return TurnRequest("m", messages or (said("user", "hi"),), **fields)


def fitted(
    model: str, request: TurnRequest, *, removes_fields: bool = True, whole_conversation: bool = True, marks: int = 4
) -> Fitted:
    return fit(request, TABLE.of(model), RequestControl(removes_fields, whole_conversation, marks))


def words(model: str, request: TurnRequest) -> dict[str, Any]:
    """The model's own words of a fitted request."""
    return dict(fitted(model, request).request.as_is)
