"""Checks the installed CLI against a stand-in of the model's API: which of the undocumented ways hold in this version.

Once for each binary, in about a second, without a token and without an account. What does not hold is not used; the
way that always works then takes over.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import orjson

from claude_code_api import __version__
from claude_code_api.engine.door import Terms
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.engine.overlay import PLACEHOLDER, whole_request
from claude_code_api.engine.process import ControlRefusedError, ProcessDeadError
from claude_code_api.engine.resident import Handover, Resident
from claude_code_api.engine.starter import Starter
from claude_code_api.engine.translate import Translator
from claude_code_api.turn.errors import TurnRefusedError
from claude_code_api.turn.events import Ended, EndReason, TurnEvent
from claude_code_api.turn.request import ClientTool, JsonObject, Limits, Message, Role, TextBlock, TurnRequest

CACHE_NAME: Final = "proved.json"
# Another word whenever something else is tried: what was found before is then no answer.
_TRIED: Final = "with models"
# Any model will do: the stand-in knows none. This one the CLI does not list: it tries it out before it changes to it.
_MODEL: Final = "claude-sonnet-4-20250514"
# One that it lists, of which it asks other things.
_OTHER_MODEL: Final = "opus"
MODEL_CHANGES: Final = "a model can be changed"
# Of the headers, those by which a model's abilities are asked for.
_ABOUT_ABILITIES: Final = "anthropic-"
# The stand-in answers at once, so a CLI that says nothing for so long will not.
_SILENCE_S: Final = 10.0
_MEANT_FOR_THE_CLI: Final = "/compact @/etc/passwd !ls #note --help"


# How an answer of words can end.
Stop: TypeAlias = Literal["end_turn", "max_tokens"]


class ProvingGround(Protocol):
    """A stand-in of the model's API, as far as it is needed here."""

    @property
    def base_url(self) -> str:
        """Where it listens."""
        ...

    def will_say(self, text: str, stop_reason: Stop) -> None:
        """Answer the next request with a text and a stop reason."""
        ...

    def will_call(self, tool: str) -> None:
        """Answer the next request with a call."""
        ...

    def asked(self) -> Sequence[tuple[Mapping[str, str], Mapping[str, Any]]]:
        """Return what has been asked so far: headers and body."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """What was found: each thing that was tried, and whether it holds."""

    held: Mapping[str, bool]
    # Not so when the CLI could not be asked: that may be the machine's fault and not the CLI's.
    final: bool = True

    @property
    def overlay(self) -> bool:
        """Whether a request may be laid over a warm process."""
        return bool(self.held) and all(holds for name, holds in self.held.items() if name != MODEL_CHANGES)

    @property
    def changes_models(self) -> bool:
        """Whether a warm process may be used for another model than it was started for."""
        return self.overlay and self.held.get(MODEL_CHANGES, False)


NOTHING_PROVED: Final = Proof({})


async def prove(options: EngineOptions, site: Site, ground: ProvingGround) -> Proof:
    """Try everything on one process, which then has to ask what another one asks that was started for its model."""
    silence_s = min(options.silence_s, _SILENCE_S)
    trial = dataclasses.replace(options, anthropic_base_url=ground.base_url, silence_s=silence_s)
    # Its processes are not the engine's, and must not meet them.
    doors = site.doors / "proof" if site.doors is not None else None
    if doors is not None:
        doors.mkdir(mode=0o700, exist_ok=True)
    key = Credentials(api_key="sk-ant-proof")
    ours = dataclasses.replace(site, credentials=key, run_directory=site.run_directory / "proof", doors=doors)
    starter = Starter(trial, ours)
    try:
        trying = _Trial(await starter.start(_MODEL), ground)
        held = await trying.run()
        return Proof({**held, MODEL_CHANGES: await trying.changes_models(starter)})
    except TurnRefusedError as refusal:
        return Proof({f"the CLI runs ({refusal.error.detail})": False}, final=False)
    except ProcessDeadError as error:
        return Proof({f"the CLI lives ({error})": False}, final=False)
    except ControlRefusedError as error:
        return Proof({f"the CLI takes what it is asked ({error})": False})
    except (LookupError, TypeError, AttributeError) as error:
        # What reached the stand-in has another shape than anything that is known.
        return Proof({f"requests have the known shape ({error!r})": False})
    finally:
        await starter.close()
        for directory in (ours.run_directory, doors):
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)


class _Trial:
    def __init__(self, resident: Resident, ground: ProvingGround) -> None:
        self._resident, self._ground = resident, ground
        self._clean = True
        # What its very first turn asked, and with what.
        self._first: JsonObject = {}

    async def run(self) -> dict[str, bool]:
        """Each turn asks for one thing more; the later ones also show that the earlier ones left nothing behind."""
        text = _MEANT_FOR_THE_CLI
        bare = await self._turn(TurnRequest(_MODEL, _says("user", text)))
        self._first = self._last_asked(bare)
        history = (*_says("user", "one"), *_says("assistant", "two"), *_says("user", text))
        limited = TurnRequest(_MODEL, history, limits=Limits(7), system=(TextBlock("be brief"),))
        cut, cut_ending = await self._turn_and_ending(limited, "max_tokens")
        tool = ClientTool("Read", "reads", {"type": "object", "properties": {}})
        several = TurnRequest(_MODEL, history, tools=(tool,), system=(TextBlock("one"), TextBlock("two")))
        called, called_ending = await self._turn_and_ending(several, None)
        return {
            "a conversation arrives as it is": _texts(bare) == [text] and _texts(cut) == ["one", "two", text],
            "nothing is added to it": len(bare.get("system", ())) == 1 and not bare.get("tools"),
            "a system prompt can be set": [part["text"] for part in cut.get("system", ())][1:] == ["be brief"],
            "system blocks can be laid over": [part["text"] for part in called.get("system", ())][1:] == ["one", "two"],
            "parameters take effect": cut.get("max_tokens") == limited.limits.max_output_tokens,
            "a cut answer is one request": cut_ending is EndReason.LENGTH,
            "functions arrive as they are": [entry.get("name") for entry in called.get("tools", ())] == ["Read"],
            "a call is one request": called_ending is EndReason.TOOL_USE,
            "a turn leaves nothing behind": self._clean and called.get("max_tokens") == bare.get("max_tokens"),
        }

    async def changes_models(self, starter: Starter) -> bool:
        """Ask as a process of another model asks, and then as this one has asked when it was new."""
        try:
            fresh = _Trial(await starter.start(_OTHER_MODEL), self._ground)
            return (
                await self._asks_as(_OTHER_MODEL, await fresh.one_turn())
                and await self._asks_as(_MODEL, self._first)
                and self._clean
            )
        except (ProcessDeadError, ControlRefusedError, TurnRefusedError):
            # What was tried before this holds all the same.
            return False

    async def _asks_as(self, model: str, wanted: JsonObject) -> bool:
        changed = await self._resident.change_model(model)
        return changed and bool(wanted) and await self.one_turn() == wanted

    async def one_turn(self) -> JsonObject:
        """What a plain turn asks, and with what."""
        return self._last_asked(await self._turn(TurnRequest(_MODEL, _says("user", _MEANT_FOR_THE_CLI))))

    def _last_asked(self, body: Mapping[str, Any]) -> JsonObject:
        """What was asked just now, without the process's own name; nothing where that was not one request."""
        if not body:
            return {}
        headers, _ = self._ground.asked()[-1]
        return {
            "fields": {name: value for name, value in body.items() if name != "metadata"},
            "headers": {name: value for name, value in headers.items() if name.startswith(_ABOUT_ABILITIES)},
        }

    async def _turn(self, request: TurnRequest) -> Mapping[str, Any]:
        body, _ = await self._turn_and_ending(request, "end_turn")
        return body

    async def _turn_and_ending(
        self, request: TurnRequest, stop: Stop | None
    ) -> tuple[Mapping[str, Any], EndReason | None]:
        """What one turn asked of the model, and how it ended; nothing of either when it asked more than once."""
        before = len(self._ground.asked())
        if stop is None:
            self._ground.will_call("Read")
        else:
            self._ground.will_say("word", stop)
        given = Handover(
            str(uuid.uuid4()), [{"type": "text", "text": PLACEHOLDER}], Terms(fields=whole_request(request))
        )
        turn = await self._resident.begin(Translator(given.uuid, 0), given)
        events: list[TurnEvent] = [event async for batch in turn.mailbox.batches() for event in batch]
        self._clean = await self._resident.clean(turn) and self._clean
        asked = [body for _, body in self._ground.asked()[before:]]
        last = events[-1] if events else None
        ending = last.reason if isinstance(last, Ended) else None
        return (asked[0], ending) if len(asked) == 1 else ({}, None)


def _says(role: Role, text: str) -> tuple[Message, ...]:
    return (Message(role, (TextBlock(text),)),)


def _texts(body: Mapping[str, Any]) -> list[str]:
    return [block.get("text", "") for message in body.get("messages", ()) for block in message["content"]]


# What is known already


def remembered(data_dir: Path, binary: Path) -> Proof | None:
    """Return what was found for this very binary by this very version, if it was ever tried."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found = orjson.loads((data_dir / CACHE_NAME).read_bytes())
        if found["binary"] == _identity(binary):
            held = {str(name): holds is True for name, holds in found["held"].items()}
            return Proof(held) if held else None
    return None


def remember(data_dir: Path, binary: Path, proof: Proof) -> None:
    """Keep what was found. Losing it costs a second at the next start, so nothing depends on it."""
    if not proof.final:
        return
    with suppress(OSError):
        found: JsonObject = {"binary": _identity(binary), "held": proof.held}
        draft = data_dir / f".{CACHE_NAME}.{uuid.uuid4().hex}"
        draft.write_bytes(orjson.dumps(found))
        draft.replace(data_dir / CACHE_NAME)


def _identity(binary: Path) -> list[str]:
    state = binary.stat()
    return [__version__, _TRIED, str(binary), str(state.st_size), str(state.st_mtime_ns)]
