"""One WebSocket: somebody talks in a session, and sees everything that happens in it.

In: plain text is a prompt; a JSON object has a `type`: `auth`, `prompt`, `interrupt`, `approval`, `mode`, `resume`,
`ping`. Out: every event of every turn of the session, with an id that only grows. A client that comes back says the
last id that it saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from claude_code_api.dialects.lowering import sent_profile
from claude_code_api.dialects.native import Teller, error_json, place_of, plain_prompt, read_prompt
from claude_code_api.flow.access import Caller
from claude_code_api.flow.detached import Detached, WatchedTurn
from claude_code_api.flow.key_records import Scope
from claude_code_api.flow.ledger import store_refusal
from claude_code_api.flow.ports import StoreError
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.flow.sessions import Sessions
from claude_code_api.http.approvals import answered_json
from claude_code_api.http.guards import caller_of, count_request, refuse_without
from claude_code_api.http.json_body import decode_object
from claude_code_api.http.sent_headers import headers_of
from claude_code_api.http.wanted import Decided, WantedMode, read_body
from claude_code_api.turn.errors import TurnRefusedError, invalid
from claude_code_api.turn.request import JsonObject, TurnRequest

_log = structlog.get_logger("claude_code_api.request")

# The protocol's name, and what a key is announced with, in `Sec-WebSocket-Protocol`: the one place in which a page can
# put it, and no log does.
SUBPROTOCOL: Final = "claude-code-api"
KEY_PROTOCOL: Final = "key."
# Seconds for the first message, where that has to bring the key.
KEY_WAIT_S: Final = 10.0
# Seconds between two looks at whether its key still opens: with what is remembered of a key, less than one in all.
LOOK_AGAIN_S: Final = 0.4
# Seconds that a client may take to receive one event. It can come back, and go on after the last one it has seen.
SEND_WAIT_S: Final = 20.0
# Seconds in which it may take the reason why it is let go.
CLOSE_WAIT_S: Final = 5.0
# Prompts of one client that may wait for each other.
MAX_PROMPTS: Final = 8
# Turns of the session that one client has not read yet.
MAX_UNREAD_TURNS: Final = 64

POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
UNAUTHORIZED: Final = 4401


@dataclass(frozen=True, slots=True)
class Talk:
    """What a conversation needs."""

    detached: Detached
    runner: TurnRunner
    sessions: Sessions


class LiveSocket:
    """The state of one connection."""

    def __init__(self, socket: WebSocket, session_id: str, talk: Talk) -> None:
        """Begin before the handshake."""
        self._socket, self._session_id, self._talk = socket, session_id, talk
        self._sending = asyncio.Lock()
        self._unread: asyncio.Queue[tuple[WatchedTurn, int]] = asyncio.Queue(MAX_UNREAD_TURNS)
        self._told: set[str] = set()
        # As it was said in a subprotocol or in the first message; else it is in a header.
        self._key: str | None = None
        self._prompts: asyncio.Queue[TurnRequest] = asyncio.Queue(MAX_PROMPTS)
        self._watching = ExitStack()
        # Set when the client does not keep up, to what it is told.
        self._too_slow: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def talk(self) -> None:
        """Hold the conversation until one side goes."""
        try:
            caller = await self._let_in()
        except StoreError as error:
            await self._close(TRY_AGAIN_LATER, store_refusal(error).error.message)
            return
        if caller is None:
            return
        works = (self._listen(), self._ask_in_turn(), self._tell_turns(), self._look_again(caller))
        tasks = [asyncio.create_task(work) for work in works]
        with self._watching:
            self._watch(caller)
            try:
                ends: list[asyncio.Future[Any]] = [*tasks, self._too_slow]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if self._too_slow.done():
                    await self._close(TRY_AGAIN_LATER, self._too_slow.result())
            finally:
                await _end(tasks)

    # Who it is

    async def _let_in(self) -> Caller | None:
        """Shake hands, and learn who it is: by a header, a subprotocol, or the first message."""
        offered = [name.strip() for name in self._socket.headers.get("sec-websocket-protocol", "").split(",")]
        key = next((name.removeprefix(KEY_PROTOCOL) for name in offered if name.startswith(KEY_PROTOCOL)), None)
        self._key = key
        caller, refusal = None, None
        try:
            caller = await self._caller()
        except TurnRefusedError as found:
            refusal = found
        finally:
            # Only now: as soon as it is in, a client that is known may send a large prompt, which a stranger may not.
            await self._socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        if refusal is None:
            return caller
        if key is None and {"authorization", "x-api-key"}.isdisjoint(self._socket.headers.keys()):
            return await self._introduced(refusal)
        await self._close(UNAUTHORIZED, refusal.error.message)
        return None

    async def _introduced(self, refusal: TurnRefusedError) -> Caller | None:
        try:
            async with asyncio.timeout(KEY_WAIT_S):
                message = _object(await self._socket.receive_text())
            if message.get("type") == "auth":
                self._key = str(message.get("key"))
                return await self._caller()
        except WebSocketDisconnect:
            return None
        except (TimeoutError, TurnRefusedError, KeyError):
            # Whatever was wrong, one answer.
            pass
        await self._close(UNAUTHORIZED, refusal.error.message)
        return None

    async def _caller(self) -> Caller:
        """Say who it is, and what his key allows by now."""
        return await caller_of(self._socket, self._key, Scope.TURNS)

    async def _look_again(self, caller: Caller) -> None:
        """End the conversation when the key is revoked, or has expired."""
        while not self._too_slow.done():
            await asyncio.wait([self._too_slow], timeout=LOOK_AGAIN_S if caller.stored else None)
            try:
                await self._caller()
            except TurnRefusedError as refusal:
                await self._close(UNAUTHORIZED, refusal.error.message)
                return
            except StoreError as error:
                # Nothing is known against the key, and nothing is done with it meanwhile.
                _log.debug("live_socket_key_not_looked_at", reason=str(error))

    # What comes in

    async def _listen(self) -> None:
        while True:
            try:
                text = await self._socket.receive_text()
            except WebSocketDisconnect:
                return
            except KeyError:
                await self._close(POLICY_VIOLATION, "Send text, not bytes.")
                return
            async with self._telling_what_is_wrong():
                await self._heard(text, await self._caller())

    @asynccontextmanager
    async def _telling_what_is_wrong(self) -> AsyncIterator[None]:
        try:
            yield
        except TurnRefusedError as refusal:
            await self._send({**error_json(refusal.error), "session_id": self._session_id})
        except StoreError as error:
            await self._send({**error_json(store_refusal(error).error), "session_id": self._session_id})

    async def _heard(self, text: str, caller: Caller) -> None:
        if not text.lstrip().startswith("{"):
            most = sent_profile(headers_of(self._socket))
            model = await self._model(caller)
            self._prompt(plain_prompt(text, model=model, session_id=self._session_id, profile=most))
            return
        message = _object(text)
        match message.get("type"):
            case "prompt":
                self._prompt(await self._read(message, caller))
            case "interrupt":
                count = self._talk.runner.interrupt(self._session_id, caller.name)
                await self._send({"type": "interrupted", "count": count, "session_id": self._session_id})
            case "resume":
                await self._resume(message.get("after"), caller)
            case "approval":
                refuse_without(Scope.MANAGE, caller)
                await self._decide(message, caller)
            case "mode":
                refuse_without(Scope.MANAGE, caller)
                wanted = read_body(WantedMode, {"mode": message.get("mode")})
                count = await self._talk.sessions.set_mode(self._session_id, caller, wanted.mode)
                said: JsonObject = {"type": "mode", "mode": wanted.mode.value, "running_turns": count}
                await self._send({**said, "session_id": self._session_id})
            case "ping":
                await self._send({"type": "pong"})
            case "auth":
                await self._send({"type": "welcome", "session_id": self._session_id})
            case _:
                raise invalid("`type` must be prompt, interrupt, approval, mode, resume, ping or auth.", param="type")

    async def _read(self, message: JsonObject, caller: Caller) -> TurnRequest:
        headers, model = headers_of(self._socket), await self._model(caller)
        return read_prompt(message, model=model, session_id=self._session_id, headers=headers)

    async def _model(self, caller: Caller) -> str:
        return await self._talk.sessions.model_of(self._session_id, caller)

    async def _decide(self, message: JsonObject, caller: Caller) -> None:
        approval_id = str(message.get("id"))
        named = ("decision", "input", "message")
        decided = read_body(Decided, {name: message[name] for name in named if name in message})
        await self._talk.sessions.approve(self._session_id, caller, approval_id, decided.verdict())
        said = {"type": "approval_answered", "approval_id": approval_id, **answered_json(decided.verdict())}
        await self._send({**said, "session_id": self._session_id})

    def _prompt(self, request: TurnRequest) -> None:
        try:
            self._prompts.put_nowait(request)
        except asyncio.QueueFull:
            msg = f"{MAX_PROMPTS} prompts are waiting already; let one be answered first."
            raise invalid(msg, param="type") from None

    async def _ask_in_turn(self) -> None:
        """Begin one turn after the other. Each waits for its session; meanwhile the client can say other things."""
        while True:
            request = await self._prompts.get()
            async with self._telling_what_is_wrong():
                caller = await self._caller()
                await count_request(self._socket, caller)
                asked = replace(request, session_id=self._session_id)
                turn = await self._talk.detached.begin(asked, caller, "native")
                if turn.session_id != self._session_id:
                    self._session_id = turn.session_id
                    self._watch(caller)
                self._to_tell(turn)

    async def _resume(self, after: object, caller: Caller) -> None:
        if not isinstance(after, int) or isinstance(after, bool) or after < 0:
            raise invalid("`after` must be the id of an event.", param="after")
        turn_number, known = place_of(after)
        for turn in await self._talk.detached.turns_from(self._session_id, caller, turn_number):
            self._to_tell(turn, known if turn.turn_number == turn_number else 0)

    # What goes out

    def _watch(self, caller: Caller) -> None:
        """Hear of every turn that begins in the session, whoever asked for it."""
        self._watching.enter_context(self._talk.detached.watched(self._session_id, caller.name, self._to_tell))

    def _to_tell(self, turn: WatchedTurn, known: int = 0) -> None:
        if turn.turn_id in self._told:
            return
        self._told.add(turn.turn_id)
        try:
            self._unread.put_nowait((turn, known))
        except asyncio.QueueFull:
            self._give_up("Too many turns were not read; come back, and say the last id that you have.")

    async def _tell_turns(self) -> None:
        while True:
            turn, known = await self._unread.get()
            teller = Teller(session_id=turn.session_id, turn_id=turn.turn_id, turn_number=turn.turn_number)
            async for batch in turn.batches():
                for event in batch:
                    told = teller.tell(event)
                    if teller.told > known:
                        await self._send(told)

    async def _send(self, message: JsonObject) -> None:
        try:
            async with self._sending, asyncio.timeout(SEND_WAIT_S):
                await self._socket.send_text(orjson.dumps(message).decode())
        except TimeoutError:
            self._give_up("You read too slowly; come back, and say the last id that you have.")
        except (WebSocketDisconnect, RuntimeError) as gone:
            # It went while this was on its way; who listens is told, and ends the conversation.
            _log.debug("live_socket_gone", reason=str(gone))

    def _give_up(self, reason: str) -> None:
        if not self._too_slow.done():
            _log.warning("live_socket_too_slow", session_id=self._session_id)
            self._too_slow.set_result(reason)

    async def _close(self, code: int, reason: str) -> None:
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                await self._socket.close(code, reason)
        except (TimeoutError, WebSocketDisconnect):
            # It does not even read the reason; the server ends the connection when this returns.
            _log.debug("live_socket_not_told", code=code)


def _object(text: str) -> JsonObject:
    return decode_object(text.encode())


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            _log.error("live_socket_broken", exc_info=result)
