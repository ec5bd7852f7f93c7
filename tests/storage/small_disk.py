"""What happens on a disk that is full, and then is not. usage: small_disk.py MOUNT_POINT"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from claude_code_api.flow.ports import StoreError
from claude_code_api.storage.opening import open_store
from claude_code_api.storage.options import StorageOptions
from tests.conformance.stores import ANN, Talk, a_session


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def main(disk: Path) -> None:
    async with open_store(StorageOptions(data_dir=disk / "data")) as store:
        running = [Talk(store, a_session(f"s{n}")) for n in range(10)]
        for talk in running:
            await talk.ask("hello")
        fill(disk / "filler")
        try:
            await Talk(store, a_session("new")).ask("x" * 100_000)
        except StoreError as error:
            say(f"full: refused, for want of space: {error.full}")
        say(f"full: reads go on: {len(await store.history('s0'))}")
        try:
            await store.check()
        except StoreError as error:
            say(f"full: not healthy, for want of space: {error.full}")
        for talk in running:
            await talk.hear("hi")
        say(f"full: running turns ended, left {len(await store.unfinished())}")
        try:
            await Talk(store, a_session("new")).ask("x")
        except StoreError as error:
            say(f"full: what was kept for them is not for new ones: {error.full}")
        say(f"full: a session is deleted: {await store.delete_session('s0', ANN)}")
        (disk / "filler").unlink()
        await Talk(store, a_session("new")).round("x" * 100_000, "hi")
        await store.check()
        say("space: a new turn")
    say(f"ballast: {(disk / 'data' / 'ballast').stat().st_size}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
