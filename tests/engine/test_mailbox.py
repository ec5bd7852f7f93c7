"""One writer, one reader, and a bound between them."""

from __future__ import annotations

import asyncio

import pytest

from claude_code_api.engine.mailbox import MAX_CHARS, MAX_EVENTS, Mailbox
from claude_code_api.turn.events import PartDelta, PartEnded, TurnEvent


def letter(number: int = 0, text: str = "x") -> PartDelta:
    return PartDelta(number, text)


async def taken(mailbox: Mailbox) -> list[list[TurnEvent]]:
    return [list(batch) async for batch in mailbox.batches()]


async def test_what_waits_comes_as_one_batch() -> None:
    mailbox = Mailbox()
    for number in range(3):
        mailbox.offer(letter(number))
    mailbox.close()
    assert await taken(mailbox) == [[letter(0), letter(1), letter(2)]]
    assert await taken(mailbox) == []


async def test_a_reader_waits_for_each_event() -> None:
    mailbox = Mailbox()
    batches = mailbox.batches()
    for number in range(3):
        waiting = asyncio.ensure_future(anext(batches))
        assert (await asyncio.wait({waiting}, timeout=0.01))[0] == set()
        mailbox.offer(letter(number))
        assert await waiting == [letter(number)]
    mailbox.close()
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_a_waiting_reader_notices_the_close() -> None:
    mailbox = Mailbox()
    waiting = asyncio.ensure_future(taken(mailbox))
    assert (await asyncio.wait({waiting}, timeout=0.01))[0] == set()
    mailbox.close()
    assert await waiting == []


async def test_after_the_close_nothing_is_taken_in() -> None:
    mailbox = Mailbox()
    mailbox.offer(letter(0))
    mailbox.close()
    mailbox.offer(letter(1))
    assert await taken(mailbox) == [[letter(0)]]


@pytest.mark.parametrize(
    ("letters", "full"),
    [
        ([letter()] * (MAX_EVENTS - 1), False),
        ([letter()] * MAX_EVENTS, True),
        ([letter(text="x" * (MAX_CHARS - 1)), PartEnded(0)], False),
        ([letter(text="x" * (MAX_CHARS - 1)), letter()], True),
        ([letter(text="ü" * MAX_CHARS)], True),
    ],
)
async def test_the_bounds_are_events_and_characters(letters: list[TurnEvent], full: bool) -> None:
    mailbox = Mailbox()
    for event in letters:
        mailbox.offer(event)
    assert mailbox.full is full
    assert await anext(mailbox.batches()) == letters
    assert not mailbox.full


async def test_a_writer_waits_until_the_reader_has_taken_everything() -> None:
    mailbox = Mailbox()
    written: list[int] = []

    async def write() -> None:
        for number in range(3 * MAX_EVENTS):
            mailbox.offer(letter(number))
            written.append(number)
            await mailbox.wait_for_room()
        mailbox.close()

    writer = asyncio.create_task(write())
    assert (await asyncio.wait({writer}, timeout=0.05))[0] == set()
    assert len(written) == MAX_EVENTS
    batches = await taken(mailbox)
    await writer
    assert [event for batch in batches for event in batch] == [letter(number) for number in range(3 * MAX_EVENTS)]
    assert max(map(len, batches)) <= MAX_EVENTS


async def test_a_reader_that_leaves_lets_the_writer_go_on() -> None:
    mailbox = Mailbox()
    for _ in range(MAX_EVENTS):
        mailbox.offer(letter())
    waiting = asyncio.ensure_future(mailbox.wait_for_room())
    mailbox.close()
    await waiting
    assert not mailbox.full
