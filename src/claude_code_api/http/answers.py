"""A turn's events → an HTTP answer, whole or streamed; several turns', where the request wants several answers.

The status is chosen on the first event: a turn that fails before it began answers with its true status. After that
the status is said, and a failure can only be an error inside the stream. A client that leaves closes the turn's
context, and with it the turn.

Several turns run one after another: a request never holds one place while it waits for the next, and so a few of them
cannot block each other. One that fails is the end of the answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TypeAlias

import orjson
from starlette.types import Message, Receive, Scope, Send

from claude_code_api.dialects.dialect import Dialect
from claude_code_api.flow.detached import WatchedTurn
from claude_code_api.flow.ports import Clock
from claude_code_api.http.errors import error_answer
from claude_code_api.http.pulse import Pulse
from claude_code_api.http.record import CLIENT_LEFT, RequestRecord, record_of
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import Failed, PartDelta, Started, TurnEvent
from claude_code_api.turn.request import TurnRequest, each_turn
from claude_code_api.turn.result import TurnResult

# Opens one of the request's turns: its number, counted from 1, and the turn that it is a further answer beside.
Begin: TypeAlias = Callable[[TurnRequest, int, WatchedTurn | None], AbstractAsyncContextManager[WatchedTurn]]


@dataclass(frozen=True, slots=True)
class TurnAnswer:
    """Answers one request with its turns, each begun by `begin`. An ASGI application of its own, as a response is."""

    dialect: Dialect
    request: TurnRequest
    begin: Begin
    pulse: Pulse
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves first."""
        answer = _Answer(self, scope, send)
        task = asyncio.current_task()
        client = asyncio.create_task(_until_the_client_leaves(receive), name="client watch")

        def left(_: object) -> None:
            # The server also reports a client as gone once its answer is complete: that is no reason to stop.
            if task is not None and not client.cancelled() and not answer.told:
                answer.abandoned = True
                task.cancel()

        client.add_done_callback(left)
        try:
            await answer.give()
        except asyncio.CancelledError:
            if task is None or not answer.abandoned:
                raise
            task.uncancel()
            record_of(scope).outcome = CLIENT_LEFT
        finally:
            client.cancel()


async def _until_the_client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Answer:
    """The state of one answer while it is being given."""

    def __init__(self, ask: TurnAnswer, scope: Scope, send: Send) -> None:
        self._ask, self._scope, self._send = ask, scope, send
        self._record = record_of(scope)
        self._began_s = ask.clock.monotonic_s()
        self._encoder = ask.dialect.encoder(ask.request)
        self._results: list[TurnResult] = []
        self._first_token_seen = False
        self._stream_begun = False
        self._first: WatchedTurn | None = None
        self._asked: Sequence[object] = ()
        # The session, and the project, of the first turn.
        self._kept_in: tuple[str, str | None] | None = None
        self.silent_since_s = asyncio.get_running_loop().time()
        self.told = False
        self.abandoned = False

    async def give(self) -> None:
        """Open the turns and say what becomes of them."""
        request = self._ask.request
        self._record.dialect, self._record.model = self._ask.dialect.name, request.model
        turns = tuple(each_turn(request))
        try:
            for number, part in enumerate(turns, 1):
                if not await self._give_turn(part, number, last=number == len(turns)):
                    return
        except TurnRefusedError as refusal:
            # Once a turn has run, the request must not be sent again by itself, whoever refuses the next one.
            ran = self._results or self._stream_begun
            await self._refuse(TurnRefusedError(replace(refusal.error, source="engine")) if ran else refusal)

    async def _give_turn(self, part: TurnRequest, number: int, *, last: bool) -> bool:
        """Say one turn, and with the last one the end. False: it failed, and that was the end."""
        # Several answers to one question are told beside the first; another question is a conversation of its own.
        beside = self._first if self._first is not None and part.messages is self._asked else None
        async with self._ask.begin(part, number, beside) as turn:
            self._record.turn_id, self._record.session_id = turn.turn_id, turn.session_id
            if beside is None:
                self._first, self._asked = turn, part.messages
            self._kept_in = self._kept_in or (turn.session_id, turn.project_id)
            try:
                if self._ask.request.stream:
                    return await self._give_stream(turn, last=last)
                return await self._give_whole(turn, last=last)
            finally:
                _note_result(self._record, turn)

    async def _refuse(self, refusal: TurnRefusedError) -> None:
        if self._stream_begun:
            # An earlier turn has streamed, and this one cannot begin.
            await self._send_piece(self._encoder.push(Failed(refusal.error)))
            await self._end_stream()
            return
        self.told = True
        answer = error_answer(self._scope, refusal.error)
        for name, value in self._kept_headers():
            answer.headers[name.decode()] = value.decode()
        await answer(self._scope, _nothing_more, self._send)

    # Whole

    async def _give_whole(self, turn: WatchedTurn, *, last: bool) -> bool:
        async for batch in turn.batches():
            for event in batch:
                self._notice(event)
        result = turn.result
        if result.error is not None:
            await self._refuse(TurnRefusedError(result.error))
            return False
        self._results.append(result)
        if last:
            await self._send_whole()
        return True

    async def _send_whole(self) -> None:
        first, *further = self._results
        body = orjson.dumps(self._ask.dialect.render(first, self._ask.request, further))
        self.told = True
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers + self._turn_headers()})
        await self._send({"type": "http.response.body", "body": body})

    # Streamed

    async def _give_stream(self, turn: WatchedTurn, *, last: bool) -> bool:
        self._ask.pulse.join(self)
        try:
            async for batch in turn.batches():
                for event in batch:
                    self._notice(event)
                if not self._stream_begun and isinstance(batch[0], Failed):
                    await self._refuse(TurnRefusedError(batch[0].error))
                    return False
                await self._write(batch)
        finally:
            self._ask.pulse.leave(self)
        well = turn.result.error is None
        if last or not well:
            await self._end_stream()
        return well

    async def _end_stream(self) -> None:
        self.told = True
        await self._send({"type": "http.response.body", "body": b""})

    async def _write(self, batch: Sequence[TurnEvent]) -> None:
        """Send a batch as one piece: a burst of tokens costs one write."""
        if not self._stream_begun:
            await self._begin_stream()
        data = b"".join([self._encoder.push(event) for event in batch])
        if data:
            await self._send_piece(data)

    async def _send_piece(self, data: bytes) -> None:
        self.silent_since_s = math.inf
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.silent_since_s = asyncio.get_running_loop().time()

    async def beat(self) -> None:
        """Send a heartbeat. A turn that has not begun after that long gets its status first, so that nobody between
        here and the client gives up; its failure is then told inside the stream."""
        self.silent_since_s = math.inf
        if not self._stream_begun:
            await self._begin_stream()
        await self._send_piece(self._ask.dialect.heartbeat)

    async def _begin_stream(self) -> None:
        self._stream_begun = True
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            # Proxies of the nginx kind would hold the stream back.
            (b"x-accel-buffering", b"no"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers + self._turn_headers()})

    # Notes

    def _kept_headers(self) -> list[tuple[bytes, bytes]]:
        if self._kept_in is None:
            return []
        session_id, project_id = self._kept_in
        headers = [(b"x-session-id", session_id.encode())]
        return [*headers, (b"x-project-id", project_id.encode())] if project_id is not None else headers

    def _turn_headers(self) -> list[tuple[bytes, bytes]]:
        headers = self._kept_headers()
        if self._record.claude_model:
            headers.append((b"x-claude-model", self._record.claude_model.encode()))
        first = self._first
        ignored = dict.fromkeys((*self._ask.request.ignored, *(first.ignored if first is not None else ())))
        if ignored:
            headers.append((b"x-ignored-params", ", ".join(ignored).encode()))
        if first is not None and first.structured is not None:
            headers.append((b"x-structured-output", first.structured.encode()))
        return headers

    def _notice(self, event: TurnEvent) -> None:
        if isinstance(event, Started):
            self._record.claude_model = event.model
        elif isinstance(event, PartDelta) and not self._first_token_seen:
            self._first_token_seen = True
            self._record.first_token_ms = round((self._ask.clock.monotonic_s() - self._began_s) * 1000, 1)


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


def _note_result(record: RequestRecord, turn: WatchedTurn) -> None:
    result = turn.result
    record.add_usage(result.usage)
    if result.ended is not None:
        record.outcome = result.ended.reason.value
    elif result.error is not None:
        record.outcome = "failed"
        record.error_kind, record.error_detail = result.error.kind.value, result.error.detail or None
