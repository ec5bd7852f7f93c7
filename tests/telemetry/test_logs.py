"""Log lines: one shape for ours and the libraries', and a second net for secrets."""

from __future__ import annotations

import io
import logging

import orjson
import pytest
import structlog
from typing_extensions import override

from claude_code_api.telemetry import LogFormat, LogLevel, TelemetryOptions
from tests.http.loopback import logging_to


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_and_level() -> None:
    stream = io.StringIO()
    with logging_to(stream, TelemetryOptions()):
        structlog.get_logger("room").info("thing_happened", count=3, what={"a": (1, 2)}, other=LogLevel)
    (line,) = lines_of(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "thing_happened",
        "level": "info",
        "count": 3,
        "what": {"a": [1, 2]},
        "other": "<enum 'LogLevel'>",
    }


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.WARNING, ["warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_a_level_is_the_least_that_is_written(level: LogLevel, seen: list[str]) -> None:
    stream = io.StringIO()
    with logging_to(stream, TelemetryOptions(level)):
        log = structlog.get_logger()
        for say in (log.debug, log.info, log.warning, log.error):
            say("x")
    assert [line["level"] for line in lines_of(stream)] == seen


@pytest.mark.parametrize(
    ("stream", "chosen", "as_json"),
    [
        (io.StringIO, LogFormat.AUTO, True),
        (io.StringIO, LogFormat.CONSOLE, False),
        (Terminal, LogFormat.AUTO, False),
        (Terminal, LogFormat.JSON, True),
    ],
)
def test_json_unless_a_person_is_looking(stream: type[io.StringIO], chosen: LogFormat, as_json: bool) -> None:
    target = stream()
    with logging_to(target, TelemetryOptions(log_format=chosen)):
        structlog.get_logger().warning("hello_there")
    assert target.getvalue().startswith("{") is as_json
    assert "hello_there" in target.getvalue()


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
def test_an_exception_comes_with_its_traceback_and_without_values(log_format: LogFormat) -> None:
    stream = io.StringIO()
    private = "marker-of-a-value"
    with logging_to(stream, TelemetryOptions(log_format=log_format)):
        try:
            raise KeyError(len(private))
        except KeyError:
            structlog.get_logger().exception("broken")
            logging.getLogger("library").exception("broken as well")
    text = stream.getvalue()
    assert text.count("KeyError: 17") == 2
    assert text.count("Traceback") == 2
    assert private not in text.replace('private = "marker-of-a-value"', "")


@pytest.mark.parametrize(
    "secret", ["cca-abc123", "sk-ant-api03-abc", "Authorization: Bearer abc", "at x sk-ant-y at z"]
)
def test_what_looks_like_a_key_is_hidden_wherever_it_stands(secret: str) -> None:
    stream = io.StringIO()
    with logging_to(stream, TelemetryOptions(LogLevel.DEBUG)):
        structlog.get_logger().info("said", detail=secret, deep={"list": ["fine", secret]})
        structlog.get_logger().info(f"said {secret}")
        logging.getLogger("library").warning("said %s", secret)
        try:
            raise ValueError(secret)
        except ValueError:
            structlog.get_logger().exception("broken")
    assert secret not in stream.getvalue()
    assert len(lines_of(stream)) == 4
    assert lines_of(stream)[0]["detail"] == "[hidden]"


def test_libraries_are_heard_from_a_warning_on() -> None:
    stream = io.StringIO()
    with logging_to(stream, TelemetryOptions(LogLevel.DEBUG)):
        log = logging.getLogger("some.library")
        log.info("chatter")
        log.warning("100%% sure of %s", "it")
        log.log(35, "a level of its own")
    assert [(line["event"], line["level"]) for line in lines_of(stream)] == [
        ("100% sure of it", "warning"),
        ("a level of its own", "warning"),
    ]


@pytest.mark.parametrize("kind", [LogFormat.JSON, LogFormat.CONSOLE])
def test_what_somebody_put_into_an_address_moves_no_cursor_and_ends_no_line(kind: LogFormat) -> None:
    stream = io.StringIO()
    with logging_to(stream, TelemetryOptions(log_format=kind)):
        structlog.get_logger("room").info("request", path="/a\x1b[2Jb\x85c\u2028d\u202ee\x7f", names=["\x9b"], said="ö")
    (line,) = stream.getvalue().splitlines()
    for unseen in ("\x1b[2J", "\x85", "\u2028", "\u202e", "\x7f", "\x9b"):
        assert unseen not in line
    assert "ö" in line
    if kind is LogFormat.JSON:
        assert orjson.loads(line)["path"] == r"/a\x1b[2Jb\x85c\u2028d\u202ee\x7f"
