"""What is asked and what is answered: the workloads, and the stand-in's script that plays their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from bench.measure import Conversation, Scenario
from claude_code_api.standin import Answer, Pause, Text, answer_to_json
from claude_code_api.turn.request import Message, TextBlock

TRICKLE: Final = "[bench trickle]"
BURST: Final = "[bench burst]"
SHORT: Final = "[bench short]"
CHUNKS: Final = 20
BURST_CHUNKS: Final = 500
EVERY_MS: Final = 20
_WORD: Final = "word "


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    turns: int
    history_turns: int
    waves: int
    levels: tuple[int, ...] = (1, 4, 8)
    warm_ups: int = 2
    starts: int = 3
    imports: int = 5


FULL: Final = Plan(turns=16, history_turns=8, waves=4)
QUICK: Final = Plan(turns=4, history_turns=2, waves=1, warm_ups=1)


def plan_for(turns: int | None, levels: tuple[int, ...] | None, *, quick: bool) -> Plan:
    """Scale a plan by the number of turns."""
    chosen = QUICK if quick else FULL
    count = turns or chosen.turns
    return Plan(
        turns=count,
        history_turns=max(1, count // 2),
        waves=max(1, count // 4),
        levels=levels or chosen.levels,
        warm_ups=chosen.warm_ups,
    )


def script() -> bytes:
    """Answer by the marker in the question."""
    text = _WORD * CHUNKS
    # A pause after each chunk, the last one included: the answer takes 400 ms at best.
    trickle = Answer((Text(text, len(_WORD), EVERY_MS), Pause(EVERY_MS)))
    burst = Answer((Text(_WORD * BURST_CHUNKS, len(_WORD)),))
    short = Answer((Text(text, len(_WORD)),))
    rules = ((TRICKLE, trickle), (BURST, burst), (SHORT, short))
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
    for size in (10, 100):
        about = f"{size} messages before the question, {CHUNKS} chunks at once"
        found.append((f"history {size}", about, conversation(SHORT, size), plan.history_turns))
    return [Scenario(name, about, talk, 1, rounds, []) for name, about, talk, rounds in found]


def parallel(plan: Plan) -> list[Scenario]:
    """The same trickled answer, several at once."""
    about = f"{CHUNKS} chunks, {EVERY_MS} ms apart; ideal {1000 / (CHUNKS * EVERY_MS):g} requests/s for each at once"
    return [Scenario(f"parallel {width}", about, conversation(TRICKLE), width, plan.waves, []) for width in plan.levels]
