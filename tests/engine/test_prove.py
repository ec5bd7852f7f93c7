"""The proof of the installed CLI: what a CLI has to do wrong for it to fail, and how long it is remembered."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine import prove as proving
from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.options import EngineOptions, Seating
from claude_code_api.engine.prove import NOTHING_PROVED, Proof, prove, remember, remembered
from claude_code_api.turn.events import Ended, EndReason
from tests.engine import frames
from tests.engine.fake_cli import Step
from tests.engine.fake_site import FakeSite, end_of, plan, played
from tests.harness.waiting import BOUND_S

PATIENT = EngineOptions(start_s=BOUND_S)
IDENTITY = {"type": "text", "text": "You are Claude."}
SAID = "/compact @/etc/passwd !ls #note --help"
CUT = [frames.start(), frames.opened(), frames.text("word"), frames.closed(), frames.stopped("max_tokens")]
CALL = [frames.start(), frames.opened("tool_use", id="toolu_1", name="Read", input={}), frames.closed()]
TURNS = [
    played(*frames.says("word")),
    played(*CUT, frames.over(), frames.result()),
    played(*CALL, frames.stopped("tool_use"), frames.over(), frames.stepped()),
]
# What a process says to its being cleaned, and to its being given another model.
REWOUND = {"rewind_conversation": {"rewound": True}, "set_model": {"model": "m"}}


def _asked(*texts: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in texts]
    return {"messages": messages, "system": [IDENTITY], "tools": [], "max_tokens": 32_000, **fields}


# What reaches the model from a CLI that does everything right, turn by turn.
RIGHT = [
    _asked(SAID),
    _asked("one", "two", SAID, system=[IDENTITY, {"type": "text", "text": "be brief"}], max_tokens=7),
    _asked(
        "one",
        "two",
        SAID,
        system=[IDENTITY, {"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        tools=[{"name": "Read"}],
    ),
]
# Of a fresh process of another model, of the one that is given that model, and of the same when it has its own again.
OF_ANOTHER = _asked(SAID, max_tokens=64_000)
RIGHT_AGAIN = [OF_ANOTHER, OF_ANOTHER, RIGHT[0]]
CHANGES = "a model can be changed"


@dataclass
class Ground:
    """What reaches the model, one turn after the other."""

    asks: list[list[dict[str, Any]]]
    base_url: str = "http://127.0.0.1:9"
    beta: str = "anthropic-beta"
    _bodies: list[dict[str, Any]] = field(default_factory=list)

    def will_say(self, text: str, stop_reason: str) -> None:
        self._bodies += self.asks.pop(0)

    def will_call(self, tool: str) -> None:
        self._bodies += self.asks.pop(0)

    def asked(self) -> Sequence[tuple[Mapping[str, str], Mapping[str, Any]]]:
        # Asked before a turn is played and after it.
        headers = [{"anthropic-beta": self.beta.format(at=at), "x-id": str(at)} for at in range(len(self._bodies))]
        return list(zip(headers, self._bodies, strict=True))


def ground(change: Callable[[list[dict[str, Any]]], object] = lambda _: None) -> Ground:
    bodies = [copy.deepcopy(body) for body in RIGHT + RIGHT_AGAIN]
    change(bodies)
    return Ground([[body] for body in bodies])


async def found(fake: FakeSite, upstream: Ground, turns: Sequence[list[Step]] = TURNS, **script: Any) -> Proof:
    """Prove the fake, and see that nothing is left of it."""
    fake.script(*turns, *([TURNS[0]] * 2), **{"answers": REWOUND, **script})
    proof = await prove(PATIENT, fake.site, upstream)
    assert list(fake.site.run_directory.iterdir()) == []
    return proof


def wrong(proof: Proof) -> set[str]:
    return {name for name, holds in proof.held.items() if not holds}


async def test_a_cli_that_does_everything_right(fake: FakeSite) -> None:
    proof = await found(fake, ground())
    assert (wrong(proof), proof.overlay, proof.final, len(proof.held)) == (set(), True, True, 10)
    assert proof.changes_models


LEFT = "a turn leaves nothing behind"
WRONG: dict[str, tuple[Callable[[list[dict[str, Any]]], object], set[str]]] = {
    "adds a block": (
        lambda bodies: bodies[0]["messages"][0]["content"].append({"type": "text", "text": "by the way"}),
        {"a conversation arrives as it is"},
    ),
    "adds a prompt": (lambda bodies: bodies[0]["system"].append(IDENTITY), {"nothing is added to it"}),
    "adds tools": (lambda bodies: bodies[0]["tools"].append({"name": "Bash"}), {"nothing is added to it"}),
    "keeps no prompt": (lambda bodies: bodies[1]["system"].pop(), {"a system prompt can be set"}),
    "joins the blocks of a prompt": (
        lambda bodies: bodies[2].update(system=[IDENTITY, {"type": "text", "text": "one\n\ntwo"}]),
        {"system blocks can be laid over"},
    ),
    "keeps its own limit": (lambda bodies: bodies[1].update(max_tokens=32_000), {"parameters take effect"}),
    "keeps our limit": (lambda bodies: bodies[2].update(max_tokens=7), {LEFT}),
    "renames tools": (lambda bodies: bodies[2]["tools"][0].update(name="mcp__x"), {"functions arrive as they are"}),
}


# The turns of the process that is tried: three as it is, one with another model, one with its own again.
LAST = 4
OF_A_CHANGE: dict[str, tuple[Callable[[list[dict[str, Any]]], object], dict[str, Any]]] = {
    "says so to the model": (lambda bodies: bodies[4].update(system=[IDENTITY, IDENTITY]), {}),
    "keeps its limit": (lambda bodies: bodies[4].update(max_tokens=32_000), {}),
    "keeps the other's limit": (lambda bodies: bodies[5].update(max_tokens=64_000), {}),
    "refuses": (lambda _: None, {"refused": {"set_model": "no"}}),
    "does not say to what": (lambda _: None, {"answers": {**REWOUND, "set_model": {}}}),
    "cannot be cleaned any more": (
        lambda _: None,
        {"answers": {**REWOUND, "rewind_conversation": [{"rewound": turn != LAST} for turn in range(LAST + 1)]}},
    ),
    "dies of it": (lambda _: None, {"turns": [*TURNS, [{"kill": 9}]]}),
}


@pytest.mark.parametrize("name", list(OF_A_CHANGE))
async def test_a_cli_that_keeps_its_model_is_used_with_one_model_for_each_process(fake: FakeSite, name: str) -> None:
    change, fields = OF_A_CHANGE[name]
    script = dict(fields)
    proof = await found(fake, ground(change), script.pop("turns", TURNS), **script)
    assert (wrong(proof), proof.overlay, proof.changes_models, proof.final) == ({CHANGES}, True, False, True)


async def test_what_stands_in_the_headers_counts_as_well(fake: FakeSite) -> None:
    upstream = ground()
    upstream.beta = "one-{at}"
    assert wrong(await found(fake, upstream)) == {CHANGES}


async def test_a_change_of_two_requests_is_wrong(fake: FakeSite) -> None:
    upstream = ground()
    upstream.asks[4] *= 2
    assert wrong(await found(fake, upstream)) == {CHANGES}


@pytest.mark.parametrize("name", list(WRONG))
async def test_each_thing_that_is_wrong_is_named(fake: FakeSite, name: str) -> None:
    change, named = WRONG[name]
    proof = await found(fake, ground(change))
    # Where only the first turn is wrong, the last one, which is to be the same, differs from it.
    assert (wrong(proof) - {CHANGES}, proof.overlay, proof.changes_models) == (named, False, False)


async def test_more_than_one_request_is_wrong(fake: FakeSite) -> None:
    upstream = ground()
    upstream.asks[1] *= 2
    assert {"a cut answer is one request", "parameters take effect"} <= wrong(await found(fake, upstream))


@pytest.mark.parametrize("ending", ["length", "call"])
async def test_another_ending_is_wrong(fake: FakeSite, ending: str) -> None:
    turns = [TURNS[0], TURNS[0], TURNS[2]] if ending == "length" else [TURNS[0], TURNS[1], TURNS[0]]
    named = "a cut answer is one request" if ending == "length" else "a call is one request"
    assert wrong(await found(fake, ground(), turns)) == {named}


REFUSALS: dict[str, dict[str, Any]] = {
    "refuses to rewind": {"refused": {"rewind_conversation": "no"}},
    "does not rewind": {"answers": {"rewind_conversation": {"rewound": False, "reason": "stale_target"}}},
    "knows no such answer": {"answers": {}},
    "does not start": {"start": [{"exit": 1}]},
    "refuses to start": {"refused": {"initialize": "no"}},
    "dies": {"turns": [TURNS[0], [{"kill": 9}], TURNS[2]]},
    "dies at once": {"turns": [[{"exit": 1}]]},
}


@pytest.mark.parametrize("name", list(REFUSALS))
async def test_a_cli_that_refuses_is_not_used_that_way(fake: FakeSite, name: str) -> None:
    script = dict(REFUSALS[name])
    proof = await found(fake, ground(), script.pop("turns", TURNS), **script)
    assert not proof.overlay
    engine = ClaudeEngine(PATIENT, fake.site)
    engine.trust(proof)
    engine.prepare("sonnet")
    (fake.directory / "stdin.jsonl").unlink(missing_ok=True)
    fake.script(TURNS[0])
    async with engine.lease(plan()) as lease:
        assert end_of([event async for batch in lease.batches() for event in batch]) == Ended(EndReason.STOP)
    # The message itself was handed over, and the process was not kept.
    assert fake.stdin[-1]["message"]["content"][0] == {"type": "text", "text": "hi"}
    assert engine.live == 0
    await engine.close()


SHAPES: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "content is a string": lambda bodies: bodies[0]["messages"][0].update(content="hi"),
    "system is a string": lambda bodies: bodies[1].update(system="be brief"),
    "no content": lambda bodies: bodies[0]["messages"][0].clear(),
    "system is nothing": lambda bodies: bodies[0].update(system=None),
    "tools are names": lambda bodies: bodies[2].update(tools=["Read"]),
}


@pytest.mark.parametrize("name", list(SHAPES))
async def test_a_request_of_another_shape_is_wrong_and_no_accident(fake: FakeSite, name: str) -> None:
    assert not (await found(fake, ground(SHAPES[name]))).overlay


async def test_trust_wants_a_proof_a_key_and_the_operators_leave(fake: FakeSite) -> None:
    engine = ClaudeEngine(EngineOptions(start_s=BOUND_S, seating=Seating.FRESH), fake.site)
    engine.trust(Proof({"all": True}))
    engine.prepare("sonnet")
    assert not NOTHING_PROVED.overlay
    fake.script(TURNS[0])
    async with engine.lease(plan()) as lease:
        assert [event async for batch in lease.batches() for event in batch]
    assert fake.stdin[-1]["message"]["content"][0]["text"] == "hi"
    await engine.close()


# What is known already

PROVED = Proof({"a": True, "b": False})


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "claude"
    path.write_bytes(b"one")
    return path


def test_it_is_remembered_for_this_binary(tmp_path: Path, binary: Path) -> None:
    assert remembered(tmp_path, binary) is None
    remember(tmp_path, binary, PROVED)
    assert remembered(tmp_path, binary) == PROVED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claude", "proved.json"]


@pytest.mark.parametrize("change", ["size", "time", "place", "version", "gone"])
def test_another_binary_is_another_matter(
    tmp_path: Path, binary: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(tmp_path, binary, PROVED)
    state = binary.stat()
    match change:
        case "size":
            binary.write_bytes(b"more")
            os.utime(binary, ns=(state.st_atime_ns, state.st_mtime_ns))
        case "time":
            os.utime(binary, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
        case "place":
            binary = binary.rename(tmp_path / "claude2")
        case "version":
            monkeypatch.setattr(proving, "__version__", "0.0.0")
        case _:
            binary.unlink()
    assert remembered(tmp_path, binary) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b"null", b"7", b'"x"', b"{}", b'{"binary": 1}', b'{"held": {"a": true}}']
)
def test_a_spoilt_memory_is_none(tmp_path: Path, binary: Path, content: bytes) -> None:
    (tmp_path / "proved.json").write_bytes(content)
    assert remembered(tmp_path, binary) is None


@pytest.mark.parametrize("held", [None, [], {}, 7, "yes", {"a": "true"}, {"a": 1}])
def test_a_spoilt_memory_proves_nothing(tmp_path: Path, binary: Path, held: object) -> None:
    remember(tmp_path, binary, PROVED)
    file = tmp_path / "proved.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "held": held}))
    assert not (remembered(tmp_path, binary) or NOTHING_PROVED).overlay


def test_what_may_be_the_machines_fault_is_tried_again(tmp_path: Path, binary: Path) -> None:
    remember(tmp_path, binary, Proof({"the CLI runs": False}, final=False))
    assert remembered(tmp_path, binary) is None


def test_losing_the_memory_is_no_failure(tmp_path: Path, binary: Path) -> None:
    remember(tmp_path / "nowhere", binary, PROVED)
    remember(tmp_path, tmp_path / "nothing", PROVED)
    assert [path.name for path in tmp_path.iterdir()] == ["claude"]
