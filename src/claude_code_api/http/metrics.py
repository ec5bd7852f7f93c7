"""GET /metrics: the gateway's counts, in the text form that Prometheus reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from claude_code_api import __version__
from claude_code_api.flow.ports import Engine
from claude_code_api.flow.run_turn import TurnRunner
from claude_code_api.flow.tally import Spread
from claude_code_api.http.guards import MonitorCaller
from claude_code_api.http.record import RequestRecord

_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NAME: Final = "claude_code_api_"


class RequestTally:
    """Counts of requests, by what was answered."""

    def __init__(self) -> None:
        """Begin with none."""
        self.requests: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[str] = Counter()

    def count(self, record: RequestRecord) -> None:
        """Count a request that is over."""
        # By dialect, not by path: a path is a client's own words.
        self.requests[record.dialect or "other", str(record.status or 0)] += 1
        if record.error_kind is not None:
            self.errors[record.error_kind] += 1


def metrics_routes(engine: Engine, runner: TurnRunner, requests: RequestTally) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["gateway"])

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(_: MonitorCaller) -> Response:
        """Count turns, tokens, dollars, first tokens, processes, waiting requests and errors."""
        lines = [line for family in _families(engine, runner, requests) for line in family]
        return PlainTextResponse("\n".join(lines) + "\n", media_type=_TYPE)

    return router


def _families(engine: Engine, runner: TurnRunner, requests: RequestTally) -> Iterator[Iterator[str]]:
    tally, admission = runner.tally, runner.admission
    yield _family("info", "gauge", "Which version runs.", {_labels(version=__version__): 1})
    yield _family(
        "requests_total",
        "counter",
        "HTTP requests, by dialect and status.",
        {_labels(dialect=dialect, status=status): count for (dialect, status), count in requests.requests.items()},
    )
    yield _family("errors_total", "counter", "Requests that failed, by kind.", _by("kind", requests.errors))
    yield _family(
        "turns_total",
        "counter",
        "Turns that are over, by dialect and state.",
        {_labels(dialect=dialect, state=state): count for (dialect, state), count in tally.turns.items()},
    )
    yield _family("turn_failures_total", "counter", "Turns that failed, by kind.", _by("kind", tally.failures))
    yield _family(
        "model_refusals_total",
        "counter",
        "Requests that the model's API refused, by its rule.",
        _by("rule", tally.refusals),
    )
    yield _family("tokens_total", "counter", "Tokens, by kind.", _by("kind", tally.tokens))
    yield _family("cost_usd_total", "counter", "Dollars, as the CLI counts them.", {"": tally.cost_usd})
    yield _spread("first_token_seconds", "From the beginning of a turn to its first word.", tally.first_token_s)
    yield _family("turns_running", "gauge", "Turns that run now.", {"": admission.running})
    yield _family("requests_waiting", "gauge", "Requests that wait for a turn.", {"": admission.waiting})
    yield _family("processes", "gauge", "Processes of the CLI.", {"": engine.live})
    yield _family("draining", "gauge", "Whether the gateway is going.", {"": int(runner.draining)})


def _family(name: str, kind: str, help_: str, samples: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {_NAME}{name} {help_}"
    yield f"# TYPE {_NAME}{name} {kind}"
    for labels, value in samples.items():
        yield f"{_NAME}{name}{labels} {value:g}" if isinstance(value, float) else f"{_NAME}{name}{labels} {value}"


def _spread(name: str, help_: str, spread: Spread) -> Iterator[str]:
    yield f"# HELP {_NAME}{name} {help_}"
    yield f"# TYPE {_NAME}{name} histogram"
    count = 0
    for end, number in zip((*spread.ends, float("inf")), spread.counts, strict=True):
        count += number
        yield f"{_NAME}{name}_bucket{_labels(le='+Inf' if end == float('inf') else f'{end:g}')} {count}"
    yield f"{_NAME}{name}_sum {spread.total:.6f}"
    yield f"{_NAME}{name}_count {count}"


def _by(label: str, counts: Mapping[str, int]) -> dict[str, float]:
    return {_labels(**{label: name}): count for name, count in counts.items()}


def _labels(**values: str) -> str:
    # Every value is a word of ours: nothing in them has to be escaped.
    return "{" + ",".join(f'{name}="{value}"' for name, value in values.items()) + "}"
