"""While nothing flows a stream gets comments; before its first event too, and then its failure is told inside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import openai
import pytest
from typing_extensions import override

from claude_code_api.engine.scripted import ScriptedEngine, WaitFor
from claude_code_api.http.options import HttpOptions
from claude_code_api.http.pulse import Pulse
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Failed
from tests.harness.waiting import BOUND_S
from tests.http.loopback import CHAT, KEY, Door, asking, running, stops_at

QUICK = HttpOptions(heartbeat_s=0.01)
NEVER = HttpOptions(heartbeat_s=1000)
COMMENT = ": \n\n"


async def read_until(pieces: AsyncIterator[str], text: str, times: int = 1) -> str:
    seen = ""
    while seen.count(text) < times:
        seen += await anext(pieces)
    return seen


async def test_comments_flow_while_the_model_is_silent() -> None:
    door = Door()
    async with (
        running(stops_at(3, door, "a", "b"), http=QUICK) as gateway,
        gateway.http.stream("POST", CHAT, json=asking(stream=True)) as response,
    ):
        pieces = response.aiter_text()
        seen = await read_until(pieces, COMMENT, times=3)
        assert '"content":"a"' in seen
        assert '"content":"b"' not in seen
        door.set()
        seen += await read_until(pieces, "data: [DONE]")
    frames = [frame for frame in seen.split("\n\n") if frame and frame != ": "]
    assert all(frame.startswith("data: ") for frame in frames), "a comment never stands inside a frame"
    assert (await gateway.logs.request())["outcome"] == "stop"


async def test_comments_flow_before_the_first_event() -> None:
    door = Door()
    async with (
        running(stops_at(0, door, "a"), http=QUICK) as gateway,
        gateway.http.stream("POST", CHAT, json=asking(stream=True, seed=1)) as response,
    ):
        assert response.status_code == 200
        assert response.headers["x-ignored-params"] == "seed"
        assert "x-claude-model" not in response.headers, "nobody knows it yet"
        pieces = response.aiter_text()
        await read_until(pieces, COMMENT, times=2)
        door.set()
        assert '"content":"a"' in await read_until(pieces, "data: [DONE]")


async def test_a_failure_after_the_first_comment_is_told_in_the_stream() -> None:
    door = Door()
    error = TurnError(ErrorKind.UPSTREAM_OVERLOADED, "The model is overloaded.", "529", source="upstream")
    engine = ScriptedEngine(lambda _: [WaitFor(door), Failed(error)])
    async with running(engine, http=QUICK) as gateway:
        async with gateway.http.stream("POST", CHAT, json=asking(stream=True)) as response:
            assert response.status_code == 200
            pieces = response.aiter_text()
            await read_until(pieces, COMMENT)
            door.set()
            seen = await read_until(pieces, "data: [DONE]")
        line = await gateway.logs.request()
    assert '"code":"upstream_overloaded"' in seen
    assert (line["status"], line["outcome"], line["error_kind"]) == (200, "failed", "upstream_overloaded")


async def test_a_comment_is_nothing_to_the_official_client() -> None:
    door = Door()
    async with running(stops_at(3, door, "a", "b"), http=QUICK) as gateway:
        client = openai.AsyncOpenAI(
            api_key=KEY, base_url=gateway.url + "/v1", http_client=httpx2.AsyncClient(timeout=BOUND_S)
        )
        async with client:
            messages = asking()["messages"]
            stream = await client.chat.completions.create(model="sonnet", messages=messages, stream=True)
            first = [await anext(stream), await anext(stream)]
            await door.reached.wait()
            door.set()
            texts = [choice.delta.content for chunk in first for choice in chunk.choices]
            texts += [choice.delta.content async for chunk in stream for choice in chunk.choices]
    assert "".join(text or "" for text in texts) == "ab"


async def test_no_comment_while_there_is_something_to_say() -> None:
    async with running(http=NEVER) as gateway:
        assert COMMENT not in (await gateway.post(stream=True)).text


async def test_a_whole_answer_gets_no_comments() -> None:
    door = Door()
    async with running(stops_at(3, door, "a", "b"), http=QUICK) as gateway:
        asked = asyncio.create_task(gateway.post(stream=False))
        await door.reached.wait()
        # A stream that beats meanwhile shows that time has passed.
        other = Door()
        gateway.engine.script = stops_at(0, other).script
        async with gateway.http.stream("POST", CHAT, json=asking(stream=True)) as response:
            await read_until(response.aiter_text(), COMMENT, times=2)
        door.set()
        assert (await asked).json()["choices"][0]["message"]["content"] == "ab"


# The pulse alone


class Heart:
    """A stream that is silent for ever."""

    def __init__(self, pulse: Pulse, beats: int) -> None:
        self.pulse, self.left, self.done = pulse, beats, asyncio.Event()
        self.beats = 0

    @property
    def silent_since_s(self) -> float:
        return -1000.0

    async def beat(self) -> None:
        self.beats += 1
        if self.beats == self.left:
            self.pulse.leave(self)
            self.done.set()


async def test_one_timer_beats_for_every_stream_until_it_leaves() -> None:
    pulse = Pulse(every_s=0.001)
    hearts = [Heart(pulse, beats) for beats in (1, 2, 5)]
    for heart in hearts:
        pulse.join(heart)
    for heart in hearts:
        await heart.done.wait()
    assert [heart.beats for heart in hearts] == [1, 2, 5]


async def test_who_leaves_between_the_tick_and_the_beat_is_left_alone() -> None:
    """Its answer is complete by then: one more byte would be an error of the server's."""
    pulse = Pulse(every_s=0.001)
    witness = Heart(pulse, 2)

    class Leaving(Heart):
        @property
        @override
        def silent_since_s(self) -> float:
            # The tick looks at it; its last bytes go out before the beat has begun.
            asyncio.get_running_loop().call_soon(self.pulse.leave, self)
            return -1000.0

    leaving = Leaving(pulse, 1)
    pulse.join(leaving)
    pulse.join(witness)
    await witness.done.wait()
    assert leaving.beats == 0


async def test_the_timer_stops_with_the_last_stream_and_starts_again() -> None:
    pulse = Pulse(every_s=0.001)
    for _ in range(2):
        heart = Heart(pulse, 1)
        pulse.join(heart)
        await heart.done.wait()
        assert heart.beats == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_between_comments(stream: bool) -> None:
    door = Door()
    async with running(stops_at(0, door), http=QUICK) as gateway:
        with pytest.raises(httpx2.ReadTimeout):
            await gateway.http.post(CHAT, json=asking(stream=stream), timeout=httpx2.Timeout(BOUND_S, read=0.001))
        assert (await gateway.logs.request())["outcome"] == "client_left"
