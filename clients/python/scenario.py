"""What every client is asked to do, and how it tells what it saw: one JSON object, as the last line that it prints.

A client is a program with a function for each scenario. Where the gateway is comes from the environment, in the
variables that the client's library reads by itself.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

MODEL = "sonnet"
NO_MODEL = "llama-3"
QUESTION = "What do you say?"
SUMS = "Add 1 and 2, and add 3 and 4."


class Point(BaseModel):
    """A place with a name."""

    x: int
    label: str


class Adder:
    """A tool that remembers what it was asked."""

    def __init__(self) -> None:
        self.sums: list[str] = []

    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        self.sums.append(f"{a}+{b}")
        return a + b


def told(pieces: list[str]) -> dict[str, Any]:
    """Say what a stream was: its text, and in how many pieces it came."""
    filled = [piece for piece in pieces if piece]
    return {"text": "".join(filled), "pieces": len(filled)}


def perform(*scenarios: Callable[[], Any]) -> None:
    """Do what the command line names, and tell what came of it; an error is an outcome too."""
    scenario = {function.__name__: function for function in scenarios}[sys.argv[1]]
    said: list[str] = []
    try:
        outcome = scenario(said) if inspect.signature(scenario).parameters else scenario()
        if inspect.isawaitable(outcome):
            outcome = asyncio.run(_awaited(outcome))
    except Exception as error:  # noqa: BLE001 - which error it is, is the outcome
        outcome = {**told(said), "error": type(error).__name__, "message": str(error)}
    print(json.dumps(outcome))


async def _awaited(outcome: Any) -> Any:
    return await outcome
