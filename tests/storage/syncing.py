"""Talks for some rounds, and says of each step that it is done. usage: syncing.py DIRECTORY ROUNDS"""

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from claude_code_api.storage.opening import open_store
from claude_code_api.storage.options import StorageOptions
from tests.conformance.stores import Talk


async def main(directory: str, rounds: str) -> None:
    async with open_store(StorageOptions(data_dir=Path(directory))) as store:
        talk = Talk(store)
        for n in range(int(rounds)):
            await talk.ask(f"question {n}")
            os.write(1, b"told %d\n" % n)
            await talk.hear(f"answer {n}")
            os.write(1, b"told %d\n" % n)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
