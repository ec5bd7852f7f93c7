"""A process with its home, ready for turns: given a model and a request, cleaned up after it, and ended.

A resident holds no conversation between turns. Whatever a turn needs is laid over the CLI's own request to the model,
and taken off again afterwards, behind the answer; a resident that cannot be cleaned is ended. The model alone the CLI
has to be told: it derives headers and defaults from it.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import structlog

from claude_code_api.engine.door import Door, Terms
from claude_code_api.engine.launch import Home
from claude_code_api.engine.overlay import PLACEHOLDER
from claude_code_api.engine.process import CliProcess, ControlRefusedError, ProcessDeadError, ProcessState
from claude_code_api.engine.process_turn import RunningTurn
from claude_code_api.engine.protocol import user_line
from claude_code_api.engine.rehearsal import REHEARSALS
from claude_code_api.engine.translate import Translator
from claude_code_api.turn.events import Ended
from claude_code_api.turn.request import Json, JsonObject

_log = structlog.get_logger("claude_code_api.engine")

# A name's end by which the CLI asks for a larger window; it becomes a header, and does not reach the model's API.
_LARGER_WINDOW: Final = re.compile(r"\[[^\[\]]*\]$")
_PAGE_MIB: Final = 4096 / 1024 / 1024


@dataclass(frozen=True, slots=True)
class Handover:
    """What a resident is given for a turn: the message, and what may pass its door."""

    uuid: str
    blocks: Json
    terms: Terms


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process: all that is resident, and what would be free if it ended. The program itself is shared."""

    rss_mib: float
    own_mib: float


class Resident:
    """One warm process."""

    def __init__(
        self, process: CliProcess, home: Home, model: str, door: Door | None, on_end: Callable[[Resident], None]
    ) -> None:
        """Take over a process that was started for `model`, with its door to the model if it has one."""
        self.process, self.home, self.model, self.door = process, home, model, door
        self.born_s = asyncio.get_running_loop().time()
        # Told of each turn after which the process is clean again.
        self.on_clean: Callable[[], None] | None = None
        self._on_end = on_end
        self._rehearsals = 0
        self._cli_pid: object = None
        self._end: asyncio.Task[None] | None = None

    def settle_in(self, answer: Mapping[str, Any]) -> None:
        """Note what the process said of itself when it started."""
        self._cli_pid = answer.get("pid")

    @property
    def alive(self) -> bool:
        """Whether it can take a turn."""
        return self.process.state is ProcessState.READY

    @property
    def ended(self) -> bool:
        """Whether it is gone, of which nothing need have been heard yet: asked just before it is used."""
        return self.process.ended

    @property
    def turns(self) -> int:
        """How many it has had; rehearsals are none."""
        return self.process.turns - self._rehearsals

    @property
    def crashed(self) -> bool:
        """Whether it ended, and nobody had asked it to."""
        return self.process.crashed

    def memory(self) -> Memory:
        """What it occupies now; nothing where the system does not tell."""
        try:
            statm = Path(f"/proc/{self._cli_pid}/statm").read_text(encoding="ascii")
        except OSError:
            return Memory(0.0, 0.0)
        resident, shared = (int(pages) * _PAGE_MIB for pages in statm.split()[1:3])
        return Memory(resident, resident - shared)

    async def begin(self, translator: Translator, given: Handover) -> RunningTurn:
        """Start a turn. Everything goes out in one write, and is carried out in order."""
        controls: list[JsonObject] = []
        if self.door is not None:
            self.door.admit(given.terms)
        elif given.terms.fields:
            controls.append(set_extra_body(orjson.dumps(dict(given.terms.fields)).decode()))
        return await self.process.begin(translator, given.uuid, user_line(given.uuid, given.blocks), controls)

    async def change_model(self, model: str) -> bool:
        """Have it ask another model from now on. False: nobody knows which it would ask, and it is of no use.

        Only where it holds no conversation, as between turns: there the CLI leaves no word of it to the model. One that
        it does not list it would try out first, with a request of its own, which the door answers.
        """
        if self.door is None:
            return False
        self.door.rehearse()
        try:
            answer = await self.process.control({"subtype": "set_model", "model": model})
        except (ProcessDeadError, ControlRefusedError) as error:
            _log.warning("cli_model_not_changed", pid=self.process.pid, model=model, reason=str(error))
            return False
        finally:
            self.door.shut()
        told = answer.get("model")
        if not isinstance(told, str):
            _log.warning("cli_model_not_changed", pid=self.process.pid, model=model, reason="it does not say to which")
            return False
        self.model, self.door.model = model, _LARGER_WINDOW.sub("", told)
        return True

    async def set_out(self, door: Door) -> RunningTurn:
        """Begin a turn of which nothing is known yet: the process comes to its door with the placeholder, and waits.

        It goes on when the door admits what the turn asks.
        """
        door.expect()
        uuid = str(uuid4())
        line = user_line(uuid, [{"type": "text", "text": PLACEHOLDER}])
        return await self.process.begin(Translator(uuid, 0), uuid, line)

    async def rehearse(self, wanted: Callable[[], bool]) -> bool:
        """Have its slow first turns now, answered by its own door, until it is `wanted`. False: it cannot be."""
        if self.door is None:
            return True
        for _ in range(REHEARSALS):
            if wanted():
                break
            uuid = str(uuid4())
            self.door.rehearse()
            self._rehearsals += 1
            line = user_line(uuid, [{"type": "text", "text": PLACEHOLDER}])
            try:
                turn = await self.process.begin(Translator(uuid, 0), uuid, line, [])
            except (ProcessDeadError, ControlRefusedError) as error:
                _log.warning("cli_not_rehearsed", pid=self.process.pid, reason=str(error))
                return False
            events = [event async for batch in turn.mailbox.batches() for event in batch]
            if not isinstance(events[-1], Ended) or not await self.clean(turn):
                _log.warning("cli_not_rehearsed", pid=self.process.pid, reason=repr(events[-1]))
                return False
        return True

    async def clean(self, turn: RunningTurn) -> bool:
        """Undo what a turn left behind. False: it cannot be used again, as without a door, where more is left."""
        if self.door is None:
            return False
        if not await self.process.end(turn):
            return False
        if turn.dropped:
            return True
        rewind: JsonObject = {
            "subtype": "rewind_conversation",
            "target_message_uuid": turn.uuid,
            "last_seen_user_message_uuid": turn.uuid,
        }
        try:
            (rewound,) = await self.process.controls([rewind])
        except (ProcessDeadError, ControlRefusedError) as error:
            _log.warning("cli_not_cleaned", pid=self.process.pid, reason=str(error))
            return False
        clean = bool(rewound.get("rewound"))
        if clean and self.on_clean is not None:
            self.on_clean()
        return clean

    async def retire(self) -> None:
        """End the process and remove its home. Asked again, it waits for the same end."""
        if self._end is None:
            self._end = asyncio.create_task(self._retire(), name=f"end of cli {self.process.pid}")
        await asyncio.shield(self._end)

    async def _retire(self) -> None:
        try:
            await self.process.stop()
        finally:
            if self.door is not None:
                await self.door.close()
            await asyncio.to_thread(shutil.rmtree, self.home.root, ignore_errors=True)
            self._on_end(self)
        if self.process.unread:
            _log.debug("cli_unread_frames", pid=self.process.pid, counts=self.process.unread)


def set_extra_body(text: str) -> JsonObject:
    """Ask for fields to be laid over every request; "" takes them off."""
    return {"subtype": "apply_flag_settings", "settings": {"env": {"CLAUDE_CODE_EXTRA_BODY": text}}}
