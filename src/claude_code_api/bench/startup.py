"""How long the command line takes to be there. The start of the gateway is measured where it is started."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Final

from claude_code_api.bench.measure import BenchError, Repeated
from claude_code_api.bench.processes import clean_environment, deadline, end

PYTHON_S: Final = 30.0
IMPORT: Final = "import claude_code_api.cli"
NOTHING: Final = "pass"


async def import_time(directory: Path, count: int) -> Repeated:
    """Python with the command line's modules, minus Python without them; in pairs, each pair right after another."""
    # The first one may have to write byte code.
    await _run_ms(directory, IMPORT)
    pairs = [(await _run_ms(directory, IMPORT), await _run_ms(directory, NOTHING)) for _ in range(count)]
    added = tuple(loaded - bare for loaded, bare in pairs)
    return Repeated("import of the command line", "ms", added, "python -c pass", tuple(bare for _, bare in pairs))


async def _run_ms(directory: Path, code: str) -> float:
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=directory,
        env=clean_environment(directory),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with deadline(PYTHON_S, f"the end of python -c {code!r}"):
            code_of_exit = await process.wait()
    finally:
        await asyncio.shield(end(process))
    if code_of_exit:
        raise BenchError(f"python -c {code!r} ended with {code_of_exit}")
    return (time.perf_counter() - began_s) * 1000
