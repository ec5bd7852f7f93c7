"""What is printed and what is written: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from claude_code_api.bench.load import LoadReport, load_figures
from claude_code_api.bench.measure import Repeated, Scenario, Series, median, percentile, ratio
from claude_code_api.bench.run import Report

# Tables in a file or a pipe are not broken at 80 columns.
PLAIN_WIDTH: Final = 150
NOT_MEASURED: Final = "-"

EXPLANATION: Final = """\
(…x) is the ratio to the floor in the same run. floor: one live CLI, rewound between turns, driven by a minimal loop.
cold: a new CLI for each turn. Total: until the CLI's result line, or `[DONE]` over HTTP. Gap: between two chunks.
CPU of the gateway's own process, without its children, over the whole scenario, divided by its turns or its chunks.
Nothing is subtracted: what a turn costs beside its chunks is in every chunk, and so is the gateway's idling while the
others have their turns. In the row of the floor: the CLI's own CPU, in its turns alone. With n below 20, p95 is nearly
the largest value.\
"""


class Bar:
    """Progress on standard error: a line that moves on a terminal, one line for each scenario elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        # Drawn between two waves only: a thread that draws would get in the way of the turns.
        columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._progress = Progress(
            *columns, TimeElapsedColumn(), console=self._console, transient=True, auto_refresh=False
        )
        self._task: TaskID | None = None
        self._last = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, total: int) -> None:
        """So many steps will follow."""
        self._task = self._progress.add_task("starting", total=total)

    def step(self, what: str) -> None:
        """One of them is done."""
        if self._console.is_terminal and self._task is not None:
            self._progress.update(self._task, advance=1, description=what, refresh=True)
        elif what != self._last:
            self._console.print(f"bench: {what}", highlight=False)
        self._last = what


def figure(value: float | None, floor: float | None, digits: int = 0) -> str:
    """Write a figure with its ratio to the floor."""
    if value is None:
        return NOT_MEASURED
    compared = ratio(value, floor) if floor is not None else None
    return f"{value:,.{digits}f}" + ("" if compared is None else f" ({_times(compared)})")


def _times(value: float) -> str:
    return f"{value:.2f}x" if value < 10 else f"{value:,.0f}x"


def between(values: Sequence[float], digits: int = 0) -> str:
    """Write how far values lie apart."""
    return f"{min(values):,.{digits}f}..{max(values):,.{digits}f}"


def _chunks(series: Series) -> str:
    low, high = min(series.chunks), max(series.chunks)
    return str(low) if low == high else f"{low}..{high}"


def _cpu(series: Series, floor: Series) -> tuple[str, str]:
    return (
        figure(series.cpu_per_turn_ms, floor.cpu_per_turn_ms, 2),
        figure(series.cpu_per_chunk_us, floor.cpu_per_chunk_us),
    )


def scenario_table(scenario: Scenario) -> Table:
    """One scenario with one turn at a time."""
    table = _table(f"{scenario.name}: {scenario.about}; n = {len(scenario.series[0].turns)}")
    heads = ("first token ms p50", "p95", "min..max", "total ms p50", "min..max", "chunks", "gap ms p95")
    for head in (*heads, "CPU ms/turn", "CPU µs/chunk"):
        table.add_column(head, justify="right")
    floor = scenario.series[0]
    for series in scenario.series:
        first, total, gaps = series.first_ms, series.total_ms, series.gaps_ms
        table.add_row(
            series.system,
            figure(median(first), median(floor.first_ms), 1),
            figure(percentile(first, 95), percentile(floor.first_ms, 95), 1),
            between(first),
            figure(median(total), median(floor.total_ms)),
            between(total),
            _chunks(series),
            figure(_p95(gaps), _p95(floor.gaps_ms), 1),
            *_cpu(series, floor),
        )
    return table


def _p95(gaps: list[float]) -> float | None:
    return percentile(gaps, 95) if gaps else None


def parallel_table(scenarios: Sequence[Scenario]) -> Table:
    """The scenarios with several turns at once."""
    rounds = scenarios[0].rounds
    table = _table(f"parallel: {scenarios[0].about}; n = {rounds} wave{'s' if rounds > 1 else ''} each")
    heads = ("requests/s p50", "min..max", "first token ms p50", "p95", "total ms p50", "chunks", "gap ms p95")
    for head in (*heads, "CPU ms/turn", "CPU µs/chunk"):
        table.add_column(head, justify="right")
    for scenario in scenarios:
        floor = scenario.series[0]
        for series in scenario.series:
            rates, first = series.requests_per_s, series.first_ms
            table.add_row(
                f"{series.system}, {scenario.width} at once",
                figure(median(rates), median(floor.requests_per_s), 1),
                between(rates, 1),
                figure(median(first), median(floor.first_ms), 1),
                figure(percentile(first, 95), percentile(floor.first_ms, 95), 1),
                figure(median(series.total_ms), median(floor.total_ms)),
                _chunks(series),
                figure(_p95(series.gaps_ms), _p95(floor.gaps_ms), 1),
                *_cpu(series, floor),
            )
        table.add_section()
    return table


def process_table(repeated: Sequence[Repeated]) -> Table:
    """The gateway itself."""
    table = _table("the gateway itself")
    for head in ("median", "min..max", "n", "compared with", "its median"):
        table.add_column(head, justify="right")
    for one in repeated:
        floor = median(one.floor) if one.floor else None
        table.add_row(
            f"{one.name} ({one.unit})",
            figure(median(one.values), floor, 1),
            between(one.values, 1),
            str(len(one.values)),
            one.floor_name,
            figure(floor, None, 1),
        )
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    return table


def show(report: Report, console: Console | None = None) -> None:
    """Print everything."""
    console = console or Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    machine = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report.machine.items())
    console.print(machine, highlight=False)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False)
    singles = [scenario for scenario in report.scenarios if scenario.width == 1 and "parallel" not in scenario.name]
    together = [scenario for scenario in report.scenarios if scenario not in singles]
    tables = [*map(scenario_table, singles), *([parallel_table(together)] if together else [])]
    for table in (*tables, process_table(report.repeated)):
        console.print()
        console.print(table)
    console.print()
    console.print(EXPLANATION, style="dim", highlight=False, markup=False)


def as_json(report: Report) -> bytes:
    """Write the raw figures."""
    body = {
        "machine": report.machine,
        "notes": report.notes,
        "scenarios": [_scenario_json(scenario) for scenario in report.scenarios],
        "gateway": [dataclasses.asdict(one) for one in report.repeated],
    }
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def _scenario_json(scenario: Scenario) -> dict[str, Any]:
    about = {
        "name": scenario.name,
        "about": scenario.about,
        "messages": scenario.conversation.size,
        "at_once": scenario.width,
    }
    return {**about, "systems": {series.system: _series_json(series) for series in scenario.series}}


def _series_json(series: Series) -> dict[str, Any]:
    return {
        "cpu_s": series.cpu_s,
        "requests_per_s": [round(rate, 3) for rate in series.requests_per_s],
        "turns": [
            {"total_ms": round(turn.total_ms, 3), "chunks_ms": [round(at_ms, 3) for at_ms in turn.chunks_ms]}
            for turn in series.turns
        ],
    }


def show_load(report: LoadReport, console: Console | None = None) -> None:
    """Print what came of a load."""
    console = console or Console()
    plan = report.plan
    about = f"{plan.conversations} conversations, {plan.at_once} turns at once, {plan.idle_clients} idle clients"
    table = _table(f"load: {about}")
    table.add_column("", justify="right")
    for name, value in load_figures(report).items():
        table.add_row(name, f"{value:,.1f}".removesuffix(".0"))
    console.print(table)
    for failure in report.failures:
        console.print(f"failed: {failure}", style="red", highlight=False, markup=False)


def load_json(report: LoadReport) -> bytes:
    """Write the figures of a load, and how they went."""
    samples = [dataclasses.asdict(sample) for sample in report.samples]
    body = {"figures": load_figures(report), "failures": report.failures, "samples": samples}
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)
