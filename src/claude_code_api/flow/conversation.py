"""What a client sent + what a session holds → what the model gets and what is new. Pure.

Clients re-send what they have of a conversation: all of it, its last part, or nothing but the new message; they cut the
same text into other parts, strip white space around it, and drop the model's thoughts. So histories are compared by
what was said in them, which leaves those differences out; what then reaches the model are the client's own blocks, and
the stored ones where the client sent none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import orjson

from claude_code_api.flow.records import StoredMessage
from claude_code_api.turn.request import (
    Block,
    Json,
    Message,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    is_thought,
)

# Characters of a title that was taken from the first message.
TITLE_CHARS: Final = 80
# What a client may set anew with every request, beside what it says.
_MARKS: Final = frozenset({"cache_control"})
_KNOWN_BY: Final = 16  # bytes of a digest: nobody gains from two of his own messages that are taken for one

# The things that one message says, each by a digest.
Said: TypeAlias = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """Messages, each with what it says: reading them is the dear part, and is done once."""

    messages: tuple[Message, ...]
    said: tuple[Said, ...]

    def digest(self, count: int | None = None) -> bytes:
        """Name the history of the first `count` messages: two that are the same conversation have the same name."""
        return hashlib.sha256(b"".join(b"".join(said) for said in self.said[:count])).digest()

    def __add__(self, more: Heard) -> Heard:
        return Heard(self.messages + more.messages, self.said + more.said)

    def part(self, start: int, end: int | None = None) -> Heard:
        """Some of the messages."""
        return Heard(self.messages[start:end], self.said[start:end])


def heard(messages: Sequence[Message]) -> Heard:
    """Read messages."""
    return Heard(tuple(messages), tuple(map(_said, messages)))


@dataclass(frozen=True, slots=True)
class Continuation:
    """What becomes of a session with this request."""

    # Everything that the model is to know.
    messages: tuple[Message, ...]
    # The same as clients see it: what the history is known by.
    shown: Heard
    # What the session did not hold yet.
    new: tuple[Message, ...]
    # Ids of cut answers that the client has taken back, by asking again or by going on without them.
    superseded: tuple[str, ...] = ()
    # The ids of `messages`, where the session holds them already; "" else.
    ids: tuple[str, ...] = ()


def names_to_go_on_from(sent: Heard) -> tuple[bytes, ...]:
    """Name the histories that a request may be the continuation of: all it holds, which is then a request that was not
    answered and comes again, and all up to the last answer in it."""
    answered = max((n for n, message in enumerate(sent.messages, 1) if message.role == "assistant"), default=0)
    names = [sent.digest()]
    if 0 < answered < len(sent.messages):
        names.append(sent.digest(answered))
    return tuple(names)


def go_on(
    held: Sequence[StoredMessage], sent: Heard, *, with_thoughts: bool, appends: bool = False
) -> Continuation | None:
    """Recognise what of `sent` the session holds already. None: it is another conversation.

    `with_thoughts`: the model is the one whose thoughts are held, so they go back to it. `appends`: whatever is sent
    comes after what is held.
    """
    turns = _as_clients_see_it(held)
    shown = heard([turn.shown for turn in turns])
    uncut = len(turns) - 1 if turns and turns[-1].entries[-1].truncated else len(turns)
    for count in dict.fromkeys((len(turns), uncut)):
        known = _overlap(shown.part(0, count), sent)
        if known is not None:
            before, repeated = known
            known_to_model = _to_model(turns[:before], turns[before:count], sent.part(0, repeated), with_thoughts)
            superseded = tuple(entry.id for turn in turns[count:] for entry in turn.entries)
            shown_now = shown.part(0, count) + sent.part(repeated)
            return _continuation(known_to_model, sent.messages[repeated:], shown_now, superseded)
    if held and not appends and any(message.role == "assistant" for message in sent.messages):
        return None
    return _continuation(_to_model(turns, (), sent.part(0, 0), with_thoughts), sent.messages, shown + sent)


# A message for the model, and the id under which the session holds it.
_Known: TypeAlias = tuple[Message, str]


def _continuation(
    known: Sequence[_Known], new: tuple[Message, ...], shown: Heard, superseded: tuple[str, ...] = ()
) -> Continuation:
    messages = (*(message for message, _ in known), *new)
    return Continuation(messages, shown, new, superseded, (*(id_ for _, id_ in known), *("" for _ in new)))


def _to_model(
    before: Sequence[_Shown],
    again: Sequence[_Shown],
    sent: Heard,
    with_thoughts: bool,  # noqa: FBT001 - as in `go_on`
) -> Sequence[_Known]:
    """What the model is to know of what is held, some of which was sent `again`."""
    held = [entry for turn in (*before, *again) for entry in turn.entries]
    summed_up = next((n for n in range(len(held) - 1, -1, -1) if held[n].summary is not None), None)
    if summed_up is not None:
        summary = Message("user", (TextBlock(held[summed_up].summary or ""),))
        return [(summary, ""), *((entry.message, entry.id) for entry in held[summed_up:])]
    earlier = [(entry.message, entry.id) for turn in before for entry in turn.entries]
    ids = [entry.id for turn in again for entry in turn.entries]
    messages = _again(again, sent, with_thoughts=with_thoughts)
    if len(ids) != len(messages):
        # Cut in another way: which is which, nobody knows, but all of them are from the first one on.
        ids = ids[:1] * len(messages)
    return [*earlier, *zip(messages, ids, strict=True)]


@dataclass(frozen=True, slots=True)
class _Shown:
    """Some of a session's messages, and the one that clients have of them."""

    shown: Message
    entries: tuple[StoredMessage, ...]


def _as_clients_see_it(held: Sequence[StoredMessage]) -> list[_Shown]:
    """An agent's work is many messages; its client sees one answer, with the words of all of them."""
    turns: list[_Shown] = []
    steps: list[StoredMessage] = []
    for entry in held:
        steps.append(entry)
        if not entry.step:
            turns.append(_Shown(_shown(steps), tuple(steps)))
            steps = []
    return [*turns, _Shown(_shown(steps), tuple(steps))] if steps else turns


def _shown(entries: Sequence[StoredMessage]) -> Message:
    return entries[0].message if len(entries) == 1 else _words(entry.message for entry in entries)


def _words(messages: Iterable[Message]) -> Message:
    said = (message for message in messages if message.role == "assistant")
    return Message("assistant", tuple(b for message in said for b in message.blocks if isinstance(b, TextBlock)))


def shown_answer(messages: Sequence[Message]) -> Heard:
    """An answer, of one message or of an agent's many, as clients see it."""
    return heard(messages if len(messages) <= 1 else [_words(messages)])


def _messages(turns: Sequence[_Shown]) -> Iterator[Message]:
    return (entry.message for turn in turns for entry in turn.entries)


def _again(held: Sequence[_Shown], sent: Heard, *, with_thoughts: bool) -> Sequence[Message]:
    """What was sent again, with what the client could not know or keep of it."""
    if any(len(turn.entries) > 1 for turn in held):
        return tuple(_messages(held))
    return _with_thoughts(heard([turn.shown for turn in held]), sent) if with_thoughts else sent.messages


def _overlap(held: Heard, sent: Heard) -> tuple[int, int] | None:
    """Find the longest end of `held` that `sent` begins with: how many messages come before it, and how many messages
    of `sent` it is. The same things may be cut into messages in another way; where they end, a message must end."""
    mine, my_ends = _in_a_row(held)
    theirs, their_ends = _in_a_row(sent)
    for length in range(min(len(mine), len(theirs)), 0, -1):
        start = len(mine) - length
        if mine[start] != theirs[0] or start not in my_ends or length not in their_ends:
            continue
        if mine[start:] == theirs[:length]:
            return my_ends[start], their_ends[length]
    return None


def _in_a_row(messages: Heard) -> tuple[list[bytes], dict[int, int]]:
    """All things that were said, and after how many things how many messages are over."""
    things: list[bytes] = []
    ends = {0: 0}
    for count, said in enumerate(messages.said, 1):
        things += said
        ends[len(things)] = count
    return things, ends


def _with_thoughts(held: Heard, sent: Heard) -> tuple[Message, ...]:
    """Give the answers that were sent the thoughts which the held ones have."""
    thoughtful = {said: message for message, said in zip(held.messages, held.said, strict=True) if _thinks(message)}
    return tuple(
        _merged(thoughtful[said], message) if said in thoughtful and not _thinks(message) else message
        for message, said in zip(sent.messages, sent.said, strict=True)
    )


def _merged(held: Message, sent: Message) -> Message:
    """Put each thought before the block that it stood before; where the blocks were cut otherwise, before them all."""
    words = [block for block in held.blocks if not is_thought(block)]
    if len(words) != len(sent.blocks):
        return Message(sent.role, (*(block for block in held.blocks if is_thought(block)), *sent.blocks))
    following = iter(sent.blocks)
    return Message(sent.role, tuple(block if is_thought(block) else next(following) for block in held.blocks))


def _thinks(message: Message) -> bool:
    return any(map(is_thought, message.blocks))


# What a message says


def _said(message: Message) -> Said:
    return tuple(
        hashlib.sha256(orjson.dumps([message.role, thing], option=orjson.OPT_SORT_KEYS)).digest()[:_KNOWN_BY]
        for thing in _things(message.blocks)
    )


def _things(blocks: Sequence[Block]) -> Iterator[Json]:
    words: list[str] = []
    for block in blocks:
        if isinstance(block, TextBlock):
            words.append(block.text)
        elif not is_thought(block):
            yield from _text(words)
            words = []
            yield _thing(block)
    yield from _text(words)


def _text(words: list[str]) -> Iterator[Json]:
    text = "".join(words).strip()
    if text:
        yield ["text", text]


def _thing(block: Block) -> Json:
    match block:
        case ToolUseBlock():
            return ["call", block.id, block.name, block.arguments]
        case ToolResultBlock():
            inner = (TextBlock(block.content),) if isinstance(block.content, str) else block.content
            # Whether it failed is left out: not every dialect can say it again.
            return ["result", block.tool_use_id, list(_things(inner))]
        case OpaqueBlock():
            return ["other", {key: value for key, value in block.body.items() if key not in _MARKS}]
        case TextBlock() | ThinkingBlock():  # pragma: no cover (dealt with before)
            return None


# Titles


def title_of(messages: Sequence[Message]) -> str:
    """Take the first words that somebody said: one line, not too long."""
    for message in messages:
        for block in message.blocks:
            if message.role == "user" and isinstance(block, TextBlock) and block.text.strip():
                line = " ".join(block.text.split())
                return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"
    return ""
