"""A conversation → one that the model's API takes: it refuses texts that say nothing, answers that come first, and, at
many models, answers that have begun.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Final

from claude_code_api.models.draft import Draft
from claude_code_api.models.thinking import thinks
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Block, Message, OpaqueBlock, TextBlock, ToolResultBlock, ToolUseBlock

WORD: Final = "messages"
# What is said in the place of the user's words that are missing before an answer.
OPENING: Final = "(The conversation begins with your answer.)"
GO_ON: Final = (
    "Your answer above has been cut off. Go on with it exactly where it ends, in the middle of a word if need be: "
    "write only what comes next, and repeat nothing of it."
)
# What the model's API takes for the id of a call.
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_OF_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST_CHARS: Final = 8
# What the CLI asks for where nothing is said; some older models cannot give that much.
OWN_LIMIT: Final = 32_000
MAX_END_USER_CHARS: Final = 256


def settle_conversation(draft: Draft) -> None:
    """Leave out what says nothing, let the user speak first and last, and give calls ids that are accepted."""
    request = draft.request
    system = tuple(block for block in request.system if block.text.strip())
    if any(block.text for block in request.system if not block.text.strip()):
        draft.name("system")
    messages = list(_speaking(draft, request.messages))
    if not messages:
        raise invalid("Every message is blank: say something.", param=request.field_names.get(WORD, WORD))
    if messages[0].role == "assistant":
        messages.insert(0, Message("user", (TextBlock(OPENING),)))
        draft.name(WORD, ".assistant_first")
    draft.change(system=system, messages=tuple(map(_Ids().message, messages)))
    settle_begun(draft)
    _settle_end_user(draft)
    _settle_length(draft)


def _speaking(draft: Draft, messages: Iterable[Message]) -> Iterator[Message]:
    for message in messages:
        blocks = tuple(_said(draft, message.blocks))
        if blocks:
            yield message if blocks == message.blocks else replace(message, blocks=blocks)


def _said(draft: Draft, blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        match block:
            case TextBlock(text) if not text.strip():
                if text:
                    draft.name(WORD, ".blank_text")
            case ToolResultBlock(content=tuple(content)):
                yield replace(block, content=tuple(_said(draft, content)))
            case _:
                yield block


def settle_begun(draft: Draft) -> None:
    """An answer that has begun: many models cannot be made to go on with it, so they are asked to."""
    last = draft.request.messages[-1]
    if last.role != "assistant":
        return
    text = "".join(block.text for block in last.blocks if isinstance(block, TextBlock))
    if any(isinstance(block, ToolUseBlock) for block in last.blocks):
        # A call that is open: the dialects have seen to it that there is none.
        raise invalid("The conversation ends with a call without a result.", param=WORD)
    if draft.control.whole_conversation and draft.model.prefill and not thinks(draft):
        _end_without_space(draft, last)
        return
    draft.name(WORD, ".begun_answer")
    draft.begun = text
    draft.change(messages=(*draft.request.messages, Message("user", (TextBlock(GO_ON),))))


def _end_without_space(draft: Draft, last: Message) -> None:
    # The model's API refuses a begun answer that ends with white space; the model writes that again by itself.
    *before, end = last.blocks
    if isinstance(end, TextBlock) and end.text != end.text.rstrip():
        draft.name(WORD, ".trailing_space")
        cut = replace(end, text=end.text.rstrip())
        draft.change(messages=(*draft.request.messages[:-1], replace(last, blocks=(*before, cut))))


def _settle_end_user(draft: Draft) -> None:
    end_user = draft.request.end_user
    if end_user is not None and len(end_user) > MAX_END_USER_CHARS:
        # It tells end users apart, and a digest does so as well.
        draft.name("end_user")
        draft.change(end_user=sha256(end_user.encode("utf-8", "surrogatepass")).hexdigest())


def _settle_length(draft: Draft) -> None:
    limits = draft.request.limits
    most = draft.model.max_output_tokens
    if limits.max_output_tokens is None and most is not None and most < OWN_LIMIT:
        limits = replace(limits, max_output_tokens=most)
    if limits.max_output_tokens is not None and most is not None and limits.max_output_tokens > most:
        draft.name("max_tokens")
        limits = replace(limits, max_output_tokens=most)
    stop = tuple(text for text in limits.stop if text.strip())
    if stop != limits.stop:
        draft.name("stop")
        limits = replace(limits, stop=stop)
    draft.change(limits=limits)


# Ids of calls. They are told to the model alone: what it answers bears ids of its own.


class _Ids:
    """Gives each call an id that the model's API takes, and its result the same one."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        # The newest call under a client's id: some clients count anew in every answer.
        self._given: dict[str, str] = {}

    def message(self, message: Message) -> Message:
        blocks = tuple(map(self._block, message.blocks))
        return message if blocks == message.blocks else replace(message, blocks=blocks)

    def _block(self, block: Block) -> Block:
        match block:
            case ToolUseBlock(id=call_id):
                return replace(block, id=self._new(call_id))
            case ToolResultBlock(tool_use_id=call_id):
                return replace(block, tool_use_id=self._given.get(call_id) or plain_id(call_id))
            case OpaqueBlock({"type": "tool_use", "id": str(call_id)}):
                return OpaqueBlock({**block.body, "id": self._new(call_id)})
            case _:
                return block

    def _new(self, call_id: str) -> str:
        given = plain = plain_id(call_id)
        number = 1
        while given in self._taken:
            number += 1
            given = f"{plain}_{number}"
        self._taken.add(given)
        self._given[call_id] = given
        return given


def plain_id(call_id: str) -> str:
    """Return an id that the model's API takes, the same one for the same id."""
    if _CALL_ID.fullmatch(call_id):
        return call_id
    return f"{_NOT_OF_AN_ID.sub('_', call_id)}_{_digest(call_id)}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
