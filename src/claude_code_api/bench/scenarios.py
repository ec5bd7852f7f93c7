"""What is asked and what is answered: the workloads, and the stand-in's script that plays their answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import orjson

from claude_code_api.bench.measure import Conversation, Kind, Scenario
from claude_code_api.standin import Answer, Pause, Text, ToolUse, answer_to_json
from claude_code_api.turn.request import Message, TextBlock

TRICKLE: Final = "[bench trickle]"
BURST: Final = "[bench burst]"
SHORT: Final = "[bench short]"
CALL: Final = "[bench call]"
RETURNED: Final = "[bench returned]"
LONG: Final = "[bench long]"
FLOOD: Final = "[bench flood]"
SILENT: Final = "[bench silent]"
FOLLOWED: Final = "[bench followed]"
CHUNKS: Final = 20
BURST_CHUNKS: Final = 500
EVERY_MS: Final = 20
# A stream that is watched for a while: 8 s.
LONG_CHUNKS: Final = 400
# More than the buffers of two sockets and a mailbox hold together.
FLOOD_CHUNKS: Final = 60_000
SILENT_MS: Final = 60_000
# A turn that many follow and that hardly ever says anything: 27 minutes, just below what a turn may take.
FOLLOWED_MS: Final = 20_000
FOLLOWED_WORDS: Final = 80
CALLED: Final = "look_up"
_WORD: Final = "word "
_FLOOD: Final = "a word in a flood of words that nobody reads " * 2
SAID: Final = _WORD * CHUNKS


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    turns: int
    history_turns: int
    waves: int
    levels: tuple[int, ...] = (1, 8, 16, 32)
    sizes: tuple[int, ...] = (10, 100, 1000)
    idle_clients: int = 1000
    slow_readers: int = 8
    # A CLI's first turns are its slowest; all systems get as many.
    warm_ups: int = 3
    # On two cores, many at once do not get far with it in one wave.
    wide_warm_ups: int = 10
    starts: int = 3
    imports: int = 5


FULL: Final = Plan(turns=20, history_turns=10, waves=4)
QUICK: Final = Plan(
    turns=4, history_turns=2, waves=1, levels=(1, 8), sizes=(10, 100), idle_clients=200, warm_ups=2, wide_warm_ups=3
)


def plan_for(turns: int | None, levels: tuple[int, ...] | None, *, quick: bool) -> Plan:
    """Scale a plan by the number of turns."""
    chosen = QUICK if quick else FULL
    count = turns or chosen.turns
    return replace(
        chosen,
        turns=count,
        history_turns=max(1, count // 2),
        waves=max(1, count // 5),
        levels=levels or chosen.levels,
    )


def script() -> bytes:
    """Answer by the marker in the question."""
    text = SAID
    # A pause after each chunk, the last one included: the answer takes 400 ms at best.
    trickle = Answer((Text(text, len(_WORD), EVERY_MS), Pause(EVERY_MS)))
    burst = Answer((Text(_WORD * BURST_CHUNKS, len(_WORD)),))
    short = Answer((Text(text, len(_WORD)),))
    rules = (
        *((TRICKLE, trickle), (BURST, burst), (SHORT, short), (RETURNED, short)),
        (CALL, Answer((ToolUse("toolu_bench", CALLED, {"word": "here"}),), stop_reason="tool_use")),
        (LONG, Answer((Text(_WORD * LONG_CHUNKS, len(_WORD), EVERY_MS),))),
        (FLOOD, Answer((Text(_FLOOD * FLOOD_CHUNKS, len(_FLOOD)),))),
        (SILENT, Answer((Text(_WORD), Pause(SILENT_MS), Text(_WORD)))),
        (FOLLOWED, Answer((Text(pieces=(_WORD, Pause(FOLLOWED_MS)) * FOLLOWED_WORDS),))),
    )
    return orjson.dumps([{"match": marker, "answer": answer_to_json(answer)} for marker, answer in rules])


def conversation(marker: str, history: int = 0) -> Conversation:
    """Make a conversation with so many messages before the question."""
    messages = tuple(
        Message("user" if at % 2 == 0 else "assistant", (TextBlock(f"Message {at}. " + "Some text of the past. " * 8),))
        for at in range(history)
    )
    return Conversation(messages, f"{marker} Say something.")


def sequential(plan: Plan) -> list[Scenario]:
    """The scenarios with one turn at a time."""
    ideal = f"ideal total {CHUNKS * EVERY_MS} ms"
    found = [
        ("trickle", f"{CHUNKS} chunks, {EVERY_MS} ms apart, {ideal}", conversation(TRICKLE), plan.turns),
        ("burst", f"{BURST_CHUNKS} chunks at once", conversation(BURST), plan.turns),
    ]
    for size in plan.sizes:
        about = f"{size} messages before the question, {CHUNKS} chunks at once"
        found.append((f"history {size}", about, conversation(SHORT, size), plan.history_turns))
    return [Scenario(name, about, talk, 1, rounds, []) for name, about, talk, rounds in found]


def staying(plan: Plan) -> list[Scenario]:
    """The scenarios in which one turn follows from another. A process for each turn would show nothing new in them."""
    growing = Conversation((), f"{SHORT} And then?", Kind.GROWING, SAID)
    calling = Conversation((), f"{CALL} Look it up.", Kind.TOOL)
    found = [
        ("session", "each turn carries on from the last answer, for up to 10 turns", growing),
        ("tool", "a call and its result; first token: of the answer to the result. floor: two plain turns", calling),
    ]
    return [Scenario(name, about, talk, 1, plan.turns, []) for name, about, talk in found]


def parallel(plan: Plan) -> list[Scenario]:
    """The same trickled answer, several at once."""
    about = f"{CHUNKS} chunks, {EVERY_MS} ms apart; ideal {1000 / (CHUNKS * EVERY_MS):g} requests/s for each at once"
    return [Scenario(f"parallel {width}", about, conversation(TRICKLE), width, plan.waves, []) for width in plan.levels]
