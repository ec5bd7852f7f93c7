"""A turn's events → an HTTP answer, whole or streamed.

The status is chosen on the first event: a turn that fails before it began answers with its true status. After that
the status is said, and a failure can only be an error inside the stream. A client that leaves closes the turn's
context, and with it the turn.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import orjson
from starlette.types import Message, Receive, Scope, Send

from claude_code_api.dialects.dialect import Dialect, Encoder
from claude_code_api.flow.ports import Clock
from claude_code_api.flow.run_turn import RunningTurn
from claude_code_api.http.errors import error_answer
from claude_code_api.http.pulse import Pulse
from claude_code_api.http.record import CLIENT_LEFT, RequestRecord, record_of
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import Failed, PartDelta, Started, TurnEvent
from claude_code_api.turn.request import TurnRequest


@dataclass(frozen=True, slots=True)
class TurnAnswer:
    """Answers one request with one turn. An ASGI application of its own, as a response is."""

    dialect: Dialect
    request: TurnRequest
    turn: AbstractAsyncContextManager[RunningTurn]
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
        self._first_token_seen = False
        self._stream_begun = False
        self.silent_since_s = asyncio.get_running_loop().time()
        self.told = False
        self.abandoned = False

    async def give(self) -> None:
        """Open the turn and say what becomes of it."""
        record = self._record
        record.dialect, record.model = self._ask.dialect.name, self._ask.request.model
        try:
            async with self._ask.turn as turn:
                record.turn_id = turn.plan.turn_id
                try:
                    await (self._give_stream(turn) if self._ask.request.stream else self._give_whole(turn))
                finally:
                    _note_result(record, turn)
        except TurnRefusedError as refusal:
            await self._refuse(refusal)

    async def _refuse(self, refusal: TurnRefusedError) -> None:
        # The turn never began, so nothing can have been streamed.
        self.told = True
        await error_answer(self._scope, refusal.error)(self._scope, _nothing_more, self._send)

    # Whole

    async def _give_whole(self, turn: RunningTurn) -> None:
        async for batch in turn.batches():
            for event in batch:
                self._notice(event)
        result = turn.result
        if result.error is not None:
            await self._refuse(TurnRefusedError(result.error))
            return
        body = orjson.dumps(self._ask.dialect.render(result, self._ask.request))
        self.told = True
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers + self._turn_headers()})
        await self._send({"type": "http.response.body", "body": body})

    # Streamed

    async def _give_stream(self, turn: RunningTurn) -> None:
        encoder = self._ask.dialect.encoder(self._ask.request)
        self._ask.pulse.join(self)
        try:
            async for batch in turn.batches():
                for event in batch:
                    self._notice(event)
                if not self._stream_begun and isinstance(batch[0], Failed):
                    await self._refuse(TurnRefusedError(batch[0].error))
                    return
                await self._write(encoder, batch)
        finally:
            self._ask.pulse.leave(self)
        self.told = True
        await self._send({"type": "http.response.body", "body": b""})

    async def _write(self, encoder: Encoder, batch: Sequence[TurnEvent]) -> None:
        """Send a batch as one piece: a burst of tokens costs one write."""
        if not self._stream_begun:
            await self._begin_stream()
        data = b"".join([encoder.push(event) for event in batch])
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

    def _turn_headers(self) -> list[tuple[bytes, bytes]]:
        headers = []
        if self._record.claude_model:
            headers.append((b"x-claude-model", self._record.claude_model.encode()))
        if self._ask.request.ignored:
            headers.append((b"x-ignored-params", ", ".join(self._ask.request.ignored).encode()))
        return headers

    def _notice(self, event: TurnEvent) -> None:
        if isinstance(event, Started):
            self._record.claude_model = event.model
        elif isinstance(event, PartDelta) and not self._first_token_seen:
            self._first_token_seen = True
            self._record.first_token_ms = round((self._ask.clock.monotonic_s() - self._began_s) * 1000, 1)


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


def _note_result(record: RequestRecord, turn: RunningTurn) -> None:
    result = turn.result
    record.add_usage(result.usage)
    if result.ended is not None:
        record.outcome = result.ended.reason.value
    elif result.error is not None:
        record.outcome = "failed"
        record.error_kind, record.error_detail = result.error.kind.value, result.error.detail or None
