"""`doctor --live`: asks the real model's API, with the user's credentials, whether the table of models is right.

It says beforehand what it sends and what that costs at most, and sends nothing without a yes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson
import typer
from rich.console import Console
from rich.table import Table

from claude_code_api.engine.discover import find_credentials
from claude_code_api.engine.model_api import api_client, api_url, json_of, words_of
from claude_code_api.models.api_words import OTHER, refusal_in
from claude_code_api.models.capabilities import Capabilities, CapabilityTable
from claude_code_api.models.probes import Probe, most_usd, probes_of
from claude_code_api.settings import Settings
from claude_code_api.turn.errors import TurnRefusedError

# One of each: a model that is told not to think, and one that thinks as it likes. Both are cheap.
DEFAULT_MODELS: Final = ("claude-haiku-4-5", "claude-haiku-5-5")
# An answer of some words.
_ANSWER_S: Final = 120.0
# These are no judgement of the request: there is no use in sending more.
_NO_JUDGEMENT: Final = frozenset({401, 403, 404, 408, 429, 500, 502, 503, 504, 529})
_SHOWN_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class Judged:
    """One request, and what the API made of it."""

    model: str
    probe: Probe
    status: int
    words: str | None

    @property
    def accepted(self) -> bool:
        """Whether it was answered."""
        return self.status == HTTPStatus.OK

    @property
    def table_is_right(self) -> bool:
        """Whether the table said so."""
        return self.accepted is self.probe.accepted

    @property
    def rule(self) -> str:
        """By which rule it was refused; "" where it was not."""
        return "" if self.accepted else refusal_in(self.words or "").rule


class StoppedError(Exception):
    """The API did not judge a request, and would not judge the next one."""


def live_check(settings: Settings, models: Sequence[str], *, yes: bool, as_json: bool) -> bool:
    """Ask, print what came of it, and return whether the table is right."""
    table = CapabilityTable(settings.flow.model_capabilities)
    rows = [table.row(name) or table.of(name) for name in models or DEFAULT_MODELS]
    sys.stderr.write(_announced(settings, rows))
    if not yes and not typer.confirm("Send them?", default=False, err=True):
        sys.stderr.write("Nothing was sent.\n")
        return True
    try:
        judged = asyncio.run(_judge(settings, rows))
    except (StoppedError, TurnRefusedError) as problem:
        reason = problem.error.message if isinstance(problem, TurnRefusedError) else str(problem)
        sys.stderr.write(f"Stopped: {reason}\n")
        return False
    _report(judged, as_json=as_json)
    return all(one.table_is_right for one in judged)


def _announced(settings: Settings, rows: Sequence[Capabilities]) -> str:
    lines = []
    for row in rows:
        probes = probes_of(row)
        cost = most_usd(row, probes)
        price = "at prices that are not known here" if cost is None else f"for at most ${cost:.3f}"
        paid = sum(probe.accepted for probe in probes)
        lines.append(f"{row.id}: {len(probes)} small requests, of which {paid} should be answered, {price}.")
    return f"This asks {api_url(settings.engine)} with your credentials.\n" + "\n".join(lines) + "\n"


async def _judge(settings: Settings, rows: Sequence[Capabilities]) -> list[Judged]:
    credentials = find_credentials(settings.engine, Path.home())
    async with api_client(credentials, "`doctor --live` asks the model's API") as client:
        return [await _ask(client, api_url(settings.engine), row.id, probe) for row in rows for probe in probes_of(row)]


async def _ask(client: httpx2.AsyncClient, url: str, model: str, probe: Probe) -> Judged:
    try:
        async with asyncio.timeout(_ANSWER_S):
            answer = await client.post(f"{url}/v1/messages", content=orjson.dumps(probe.body))
    except (httpx2.TransportError, TimeoutError) as error:
        raise StoppedError(f"{url} cannot be reached: {error!r}") from error
    words = words_of(json_of(answer))
    if answer.status_code in _NO_JUDGEMENT:
        raise StoppedError(f"status {answer.status_code} for {probe.cell!r} of {model}: {words or 'no words'}")
    return Judged(model, probe, answer.status_code, words)


def _report(judged: Sequence[Judged], *, as_json: bool) -> None:
    wrong = [one for one in judged if not one.table_is_right]
    strange = [one for one in judged if one.rule == OTHER]
    if as_json:
        whole = {"ok": not wrong, "asked": len(judged), "findings": [_line(one) for one in judged]}
        sys.stdout.write(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    console = Console()
    table = Table("model", "what was tried", "the table says", "the API says", box=None, pad_edge=False)
    for one in judged:
        mark = "[green]ok[/]" if one.table_is_right else "[red]wrong[/]"
        said = "accepted" if one.accepted else f"refused ({one.rule}): {(one.words or '')[:_SHOWN_CHARS]}"
        table.add_row(one.model, one.probe.cell, f"{'accepted' if one.probe.accepted else 'refused'} {mark}", said)
    console.print(table)
    console.print(f"{len(judged)} requests, {len(wrong)} of which the table has wrong.")
    if wrong:
        console.print("Put it right with the setting model_capabilities, and please tell the project: docs/models.md.")
    if strange:
        console.print(f"{len(strange)} refusals in words that are not known yet: please tell the project.")


def _line(one: Judged) -> dict[str, Any]:
    return {
        "model": one.model,
        "cell": one.probe.cell,
        "table": one.probe.accepted,
        "api": one.accepted,
        "rule": one.rule,
        "words": one.words,
    }
