"""A run as a picture: bars of the first token and of the requests a second, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from claude_code_api.bench.measure import Scenario, Series, median, percentile
from claude_code_api.bench.run import Report

COLOURS: Final = {"floor": "#8a8f98", "cold": "#c9ccd1", "gateway": "#d97757", "other": "#4a7bb5"}
WIDTH: Final = 860
LABEL: Final = 190
BAR: Final = 16
GAP: Final = 14
# The axis ends here: a cold start would press everything else against its beginning.
LONGEST_IN_MEDIANS: Final = 6.0

Row = tuple[str, float, float]


def picture(report: Report) -> bytes:
    """Draw it."""
    singles = [scenario for scenario in report.scenarios if not scenario.name.startswith("parallel")]
    together = [scenario for scenario in report.scenarios if scenario.name.startswith("parallel")]
    parts: list[str] = []
    top = _chart(parts, 20, "First token, ms: median, and p95 as a line (shorter is better)", singles, _first)
    top = _chart(
        parts, top + 20, "Requests a second: median, and the best as a line (longer is better)", together, _rate
    )
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    parts.append(_text(20, top + 16, machine, size=11, colour="#6a6f78"))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 36}" '
        f'viewBox="0 0 {WIDTH} {top + 36}" font-family="system-ui, sans-serif">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"]).encode()


def _first(series: Series) -> Row:
    return series.system, median(series.first_ms), percentile(series.first_ms, 95)


def _rate(series: Series) -> Row:
    return series.system, median(series.requests_per_s), max(series.requests_per_s)


def _chart(
    parts: list[str], top: int, title: str, scenarios: Sequence[Scenario], row_of: Callable[[Series], Row]
) -> int:
    """Draw one chart; returns where it ends."""
    groups = [(scenario.name, [row_of(series) for series in scenario.series]) for scenario in scenarios]
    values = [value for _, rows in groups for _, value, _ in rows]
    if not values:
        return top
    longest = min(max(high for _, rows in groups for _, _, high in rows), LONGEST_IN_MEDIANS * median(values))
    scale = (WIDTH - LABEL - 110) / longest
    parts.append(_text(20, top + 14, title, size=14, weight=600))
    at = top + 32
    for name, rows in groups:
        parts.append(_text(20, at + 12, name, weight=600))
        for system, value, high in rows:
            parts.extend(_bar(at, system, (value, high), scale, longest))
            at += BAR + 3
        at += GAP
    return at


def _bar(at: int, system: str, value_and_high: tuple[float, float], scale: float, longest: float) -> list[str]:
    value, high = value_and_high
    colour = COLOURS.get(system, "#555")
    length, end = min(value, longest) * scale, min(high, longest) * scale
    cut = " →" if value > longest else ""
    middle = at + BAR / 2
    return [
        _text(LABEL - 8, at + 12, system, anchor="end"),
        f'<rect x="{LABEL}" y="{at}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
        f'<line x1="{LABEL + length:.1f}" x2="{LABEL + end:.1f}" y1="{middle}" y2="{middle}" stroke="{colour}"/>',
        _text(LABEL + max(length, end) + 6, at + 12, f"{value:,.1f}{cut}"),
    ]


def _text(x: float, y: float, text: str, **style: str | int) -> str:
    chosen = {"size": 12, "weight": 400, "anchor": "start", "colour": "#222", **style}
    font = f'font-size="{chosen["size"]}" font-weight="{chosen["weight"]}"'
    look = f'text-anchor="{chosen["anchor"]}" fill="{chosen["colour"]}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {font} {look}>{escape(text)}</text>'
