"""ClaudeEngine over the fake CLI: what it leaves behind (nothing), and how a bad CLI looks from above."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.options import Credentials, EngineOptions, Site
from claude_code_api.turn.errors import ErrorKind, TurnRefusedError
from claude_code_api.turn.events import Ended, EndReason, Failed, TurnEvent
from claude_code_api.turn.request import Limits, Message, Sampling, TextBlock
from tests.engine import frames
from tests.engine.fake_site import KEY, FakeSite, alive, end_of, plan, played
from tests.harness.waiting import BOUND_S, until_in_loop

STARTED = played(frames.start(), frames.opened(), frames.text("a"))
SAYS = played(*frames.says("a"))
PATIENT = EngineOptions(start_s=BOUND_S, silence_s=BOUND_S)
# For a start that never comes.
IMPATIENT = EngineOptions(start_s=0.5)


def nothing_left(fake: FakeSite, engine: ClaudeEngine) -> None:
    assert engine.live == 0
    assert list(fake.site.run_directory.iterdir()) == []
    assert not (fake.directory / "seen.json").exists() or not alive(fake.seen["pid"])


async def turn(engine: ClaudeEngine, *messages: Message, **fields: Any) -> list[TurnEvent]:
    async with engine.lease(plan(*messages, **fields)) as lease:
        return [event async for batch in lease.batches() for event in batch]


async def refused(engine: ClaudeEngine) -> ErrorKind:
    with pytest.raises(TurnRefusedError) as caught:
        await turn(engine)
    # What the CLI said is for the log alone.
    assert "secret" not in caught.value.error.message
    return caught.value.error.kind


async def test_a_turn_and_nothing_left(fake: FakeSite) -> None:
    engine = ClaudeEngine(PATIENT, fake.site)
    fake.script(SAYS)
    system = (TextBlock("one"),)
    events = await turn(engine, system=system, limits=Limits(7))
    assert end_of(events) == Ended(EndReason.STOP)
    nothing_left(fake, engine)
    # Parameters and the system prompt are laid over the request, at the door.
    initialize, thinking, message = fake.stdin
    assert initialize["request"]["systemPrompt"] == []
    assert thinking["request"] == {"subtype": "set_max_thinking_tokens", "max_thinking_tokens": 0}
    assert message["message"]["content"][0] == {"type": "text", "text": "hi"}
    assert Path(fake.seen["cwd"]).parent.parent == fake.site.run_directory


async def test_without_credentials_nothing_is_started(fake: FakeSite) -> None:
    engine = ClaudeEngine(PATIENT, Site(fake.site.binary, Credentials(), fake.site.run_directory))
    assert await refused(engine) is ErrorKind.NO_CREDENTIALS
    assert not (fake.directory / "seen.json").exists()
    nothing_left(fake, engine)


BROKEN: dict[str, dict[str, Any]] = {
    "exits": {"start": [{"stderr": "secret"}, {"exit": 1}]},
    "is killed": {"start": [{"kill": 9}]},
    "says garbage": {"start": [{"raw": "secret\n"}]},
    "closes its output": {"start": [{"close": 1}, {"hang": 1}]},
    "never answers": {"unanswered": ["initialize"]},
    "refuses to initialize": {"refused": {"initialize": "secret"}},
    "refuses a parameter": {"refused": {"set_max_thinking_tokens": "secret"}},
}


@pytest.mark.parametrize("name", list(BROKEN))
async def test_a_cli_that_cannot_start_is_unavailable_and_gone(fake: FakeSite, name: str) -> None:
    engine = ClaudeEngine(IMPATIENT if name == "never answers" else PATIENT, fake.site)
    fake.script(**BROKEN[name])
    assert await refused(engine) is ErrorKind.ENGINE_UNAVAILABLE
    nothing_left(fake, engine)
    # The next request finds a working one, which may be slow to start.
    if name == "never answers":
        engine = ClaudeEngine(PATIENT, fake.site)
    fake.script(SAYS)
    assert end_of(await turn(engine)) == Ended(EndReason.STOP)


@pytest.mark.parametrize("binary", ["/no/such/claude", "/etc/hostname", "/etc"])
async def test_no_program_is_unavailable(fake: FakeSite, binary: str) -> None:
    engine = ClaudeEngine(PATIENT, Site(Path(binary), Credentials(api_key=KEY), fake.site.run_directory))
    assert await refused(engine) is ErrorKind.ENGINE_UNAVAILABLE
    nothing_left(fake, engine)


async def test_a_directory_that_cannot_be_made_is_unavailable(fake: FakeSite) -> None:
    file = fake.directory / "a-file"
    file.touch()
    engine = ClaudeEngine(PATIENT, Site(fake.site.binary, Credentials(api_key=KEY), file))
    assert await refused(engine) is ErrorKind.ENGINE_UNAVAILABLE


@pytest.mark.parametrize("end", [{"exit": 1}, {"raw": "garbage\n"}, {"kill": 9}])
async def test_a_death_in_the_middle_is_one_failure_and_nothing_left(fake: FakeSite, end: dict[str, Any]) -> None:
    engine = ClaudeEngine(PATIENT, fake.site)
    fake.script([*STARTED, end])
    failed = end_of(await turn(engine))
    assert isinstance(failed, Failed)
    assert failed.error.kind is ErrorKind.ENGINE_DIED
    nothing_left(fake, engine)


async def test_leaving_before_a_word_was_read_interrupts(fake: FakeSite) -> None:
    engine = ClaudeEngine(PATIENT, fake.site)
    fake.script([*STARTED, {"wait": 1}, *played(frames.aborted())])
    async with engine.lease(plan()):
        assert engine.live == 1
    nothing_left(fake, engine)
    assert fake.stdin[-1]["request"] == {"subtype": "interrupt", "cancel_queued": True}


async def test_leaving_by_an_error_leaves_nothing(fake: FakeSite) -> None:
    engine = ClaudeEngine(PATIENT, fake.site)
    fake.script([*STARTED, {"wait": 1}, *played(frames.aborted())])

    async def fails() -> None:
        async with engine.lease(plan()) as lease:
            await anext(lease.batches())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    nothing_left(fake, engine)


# What the CLI does, and how many lines it has been told by then.
SLOW: dict[str, tuple[dict[str, Any], int]] = {
    "starting": ({"start": [{"hang": 1}]}, 0),
    "initializing": ({"unanswered": ["initialize"]}, 1),
    "seating": ({"unanswered": ["set_max_thinking_tokens"]}, 2),
    "answering": ({"turns": [[*STARTED, {"wait": 1}, *played(frames.aborted())]]}, 3),
    "stuck": ({"turns": [[*STARTED, {"hang": 1}]], "ignore_sigterm": True}, 3),
}


@pytest.mark.parametrize("phase", list(SLOW))
async def test_a_request_that_is_cancelled_leaves_nothing(
    fake: FakeSite, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("process.DRAIN_S", "child.EOF_S", "child.TERM_S"):
        monkeypatch.setattr(f"claude_code_api.engine.{name}", 0.3)
    engine = ClaudeEngine(PATIENT, fake.site)
    script, lines = SLOW[phase]
    fake.script(**{"turns": [], **script})
    request = asyncio.create_task(turn(engine))
    await until_in_loop(lambda: fake.started and fake.lines_told >= lines, f"a CLI that is {phase}")
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    await engine.close()
    nothing_left(fake, engine)


@pytest.mark.parametrize("after_s", [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08])
async def test_cancelled_at_any_moment_of_the_start_it_leaves_nothing(fake: FakeSite, after_s: float) -> None:
    engine = ClaudeEngine(EngineOptions(), fake.site)
    fake.script([*STARTED, {"wait": 1}, *played(frames.aborted())])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turn(engine), after_s)
    await engine.close()
    nothing_left(fake, engine)


async def test_each_turn_has_a_home_of_its_own(fake: FakeSite) -> None:
    engine = ClaudeEngine(PATIENT, fake.site)
    homes = set()
    for _ in range(2):
        fake.script([*STARTED, {"wait": 1}, *played(frames.aborted())])
        async with engine.lease(plan()) as lease:
            await anext(lease.batches())
            homes.add(fake.seen["env"]["HOME"])
            assert len(list(fake.site.run_directory.iterdir())) == 1
    assert len(homes) == 2


async def test_many_turns_at_once(fake: FakeSite) -> None:
    engine = ClaudeEngine(EngineOptions(), fake.site)
    fake.script(SAYS)
    ends = await asyncio.gather(*(turn(engine) for _ in range(6)))
    assert [end_of(events) for events in ends] == [Ended(EndReason.STOP)] * 6
    nothing_left(fake, engine)


async def test_closing_ends_what_runs(fake: FakeSite) -> None:
    engine = ClaudeEngine(PATIENT, fake.site)
    fake.script([*STARTED, {"wait": 1}, *played(frames.aborted())])
    async with engine.lease(plan()) as lease:
        batches = lease.batches()
        await anext(batches)
        await engine.close()
        assert not alive(fake.seen["pid"])
    nothing_left(fake, engine)


async def test_the_offer_is_asked_once_and_again_after_a_failure(fake: FakeSite) -> None:
    engine = ClaudeEngine(PATIENT, fake.site)
    fake.script(refused={"initialize": "not now"})
    with pytest.raises(TurnRefusedError):
        await engine.offer()
    fake.script()
    first, second = await asyncio.gather(engine.offer(), engine.offer())
    assert first is second
    assert (first.version, first.models) == ("99.0.0", ())
    assert sum(line["request"]["subtype"] == "initialize" for line in fake.stdin) == 2
    await engine.close()
    nothing_left(fake, engine)


TEXTS = ["--settings={}", "-p", "@/etc/passwd", "/model x", "'; rm -rf /", "ü\u2028😀", "$(id)", "%s", "\t"]


@pytest.mark.parametrize("number", range(6))
async def test_item_06_no_byte_of_a_request_is_in_argv_or_environment(fake: FakeSite, number: int) -> None:
    marks = (f"MARK{index}{text}" for index, text in zip(itertools.count(), itertools.cycle(TEXTS[number:] + TEXTS)))
    messages = [Message("user", (TextBlock(next(marks)),))]
    for _ in range(number):
        messages += [Message("assistant", (TextBlock(next(marks)),)), Message("user", (TextBlock(next(marks)),))]
    engine = ClaudeEngine(PATIENT, fake.site)
    fake.script(SAYS)
    fields: dict[str, Any] = {
        "system": (TextBlock(next(marks)),),
        "limits": Limits(424242, (next(marks),)),
        "sampling": Sampling(0.424242, 0.434343, 424344),
        "end_user": next(marks),
        "session_id": next(marks),
        "project_id": next(marks),
    }
    await turn(engine, *messages, **fields)
    seen = fake.seen
    visible = json.dumps([seen["argv"], seen["env"], seen["cwd"]], ensure_ascii=False)
    for trace in ("MARK", "424242", "434343", "424344", *(text for text in TEXTS if len(text) > 2)):
        assert trace not in visible
    # The environment is ours to the last variable; the interpreter of the fake adds nothing.
    assert set(seen["env"]) == {
        *("PATH", "LANG", "HOME", "TMPDIR", "API_TIMEOUT_MS", "ANTHROPIC_API_KEY", "BUN_JSC_useDFGJIT"),
        *("ANTHROPIC_BASE_URL", "ANTHROPIC_UNIX_SOCKET"),
        *("DISABLE_AUTOUPDATER", "DISABLE_TELEMETRY", "DISABLE_AUTO_COMPACT", "CLAUDE_CODE_MAX_RETRIES"),
        *("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "CLAUDE_CODE_ATTRIBUTION_HEADER"),
        *("CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS", "CLAUDE_CODE_DISABLE_FILE_MENTIONS"),
        *("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK",),
        *("CLAUDE_CODE_DISABLE_REFUSAL_RETRY", "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK"),
    }
