"""Logs: structlog set up once, JSON on standard output unless a person is looking."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, TextIO

import orjson
import structlog
from typing_extensions import override


class LogFormat(Enum):
    """How a log line looks."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(Enum):
    """What is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """The log's settings."""

    log_level: Annotated[LogLevel, "The least important lines to write: debug, info, warning or error."] = LogLevel.INFO
    log_format: Annotated[LogFormat, "json, console, or auto: console on a terminal, JSON elsewhere."] = LogFormat.AUTO


# What is never to be seen in a line, as a second net: the first one is that no field holds it.
_SECRET_PREFIXES: Final = ("cca-", "sk-ant-", "Bearer ")
_HIDDEN: Final = "[hidden]"
# What moves a terminal's cursor, turns the direction of writing, or ends a line for some readers and not for others:
# anybody can put it into an address. Tracebacks have lines.
_UNSHOWN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def set_up_logs(options: TelemetryOptions, stream: TextIO | None = None) -> None:
    """Send every log line to `stream` (standard output)."""
    target = stream or sys.stdout
    as_json = options.log_format is LogFormat.JSON or (options.log_format is LogFormat.AUTO and not target.isatty())
    level = logging.getLevelNamesMapping()[options.log_level.name]
    renderer: Callable[..., Any] = (
        structlog.processors.JSONRenderer(serializer=_json) if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _make_fit_to_read,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    _join_standard_logs(level)


def _json(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _make_fit_to_read(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: _fit_to_read(value) for name, value in line.items()}


def _fit_to_read(value: object) -> object:
    match value:
        case str():
            return _HIDDEN if any(prefix in value for prefix in _SECRET_PREFIXES) else _UNSHOWN.sub(_escaped, value)
        case dict():
            return {name: _fit_to_read(entry) for name, entry in value.items()}
        case list() | tuple():
            return [_fit_to_read(entry) for entry in value]
        case _:
            return value


class _ToStructlog(logging.Handler):
    """Lets the libraries' own log lines come out in the same shape."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        # structlog knows the five levels only; a library's own counts as the one below it.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        structlog.get_logger(record.name).log(level, record.getMessage(), exc_info=record.exc_info)


def _join_standard_logs(level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    # The libraries' chatter is worth a line from a warning on.
    root.setLevel(max(level, logging.WARNING))
