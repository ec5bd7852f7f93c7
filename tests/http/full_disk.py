"""A gateway on a disk that is full, and then is not. usage: full_disk.py MOUNT_POINT

Prints one line of JSON: what clients were told, and what is stored.
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from claude_code_api.engine.scripted import ScriptedEngine, Step, WaitFor
from claude_code_api.flow.ports import Plan
from tests.flow.talk import you
from tests.http.loopback import CHAT, Door, Running, answer_events, asking, running

# More than is kept for the end of running turns.
TOO_LONG = "x" * 3_000_000


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def told(gateway: Running, path: str, **more: Any) -> dict[str, Any]:
    """What a client is told that wants something new."""
    answer = await gateway.http.post(path, json=asking("new", **more))
    error = answer.json().get("error", {})
    return {"status": answer.status_code, "retry_after": answer.headers.get("retry-after"), "type": error.get("type")}


async def state(gateway: Running, answer: httpx2.Response) -> list[str]:
    session = answer.headers["x-session-id"]
    turns = await gateway.store.turns_of(session, "tests", from_fence=1)
    return [turn.state.value for turn in turns]


async def main(disk: Path) -> None:
    doors = {"short": Door(), "long": Door(), "streamed": Door()}

    def script(plan: Plan) -> list[Step]:
        said = plan.request.messages[-1]
        for word, door in doors.items():
            if said == you(word):
                steps = answer_events(plan, TOO_LONG if word == "long" else "kept")
                return [steps[0], WaitFor(door), *steps[1:]]
        return answer_events(plan, "kept")

    seen: dict[str, Any] = {}
    async with running(ScriptedEngine(script), data_dir=disk / "data") as gateway:
        await gateway.post("before")
        asked = {word: asyncio.create_task(gateway.post(word, stream=word == "streamed")) for word in doors}
        for door in doors.values():
            await door.reached.wait()
        fill(disk / "filler")
        plans = len(gateway.engine.plans)
        seen["openai"] = await told(gateway, CHAT)
        seen["openai, streamed"] = await told(gateway, CHAT, stream=True)
        seen["anthropic"] = await told(gateway, "/v1/messages", max_tokens=10)
        seen["reached the engine"] = len(gateway.engine.plans) - plans
        sessions = await gateway.http.get("/v1/sessions")
        seen["sessions"] = [sessions.status_code, sessions.json()["total"]]
        for word, door in doors.items():
            door.set()
            answer = await asked[word]
            ended = answer.text.strip().endswith("data: [DONE]") if word == "streamed" else "kept" in answer.text
            seen[word] = [answer.status_code, ended, await state(gateway, answer)]
        (disk / "filler").unlink()
        seen["with space"] = (await gateway.post("after")).status_code
        await gateway.gateway.upkeep.round()
        seen["long, with space"] = await state(gateway, await asked["long"])
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
