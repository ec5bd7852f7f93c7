"""The error table: complete, in the right types, with the headers that keep clients from repeating a turn."""

from __future__ import annotations

import pytest

from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.dialects.openai_shared import ERRORS
from claude_code_api.dialects.retry_advice import NEVER_RETRY
from claude_code_api.turn.errors import ErrorKind, Source, TurnError


def test_every_kind_has_its_row() -> None:
    assert set(ERRORS) == set(ErrorKind)


def test_codes_differ() -> None:
    codes = [code for _, _, code in ERRORS.values()]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", ErrorKind, ids=lambda kind: kind.value)
def test_the_shape(kind: ErrorKind) -> None:
    answer = OPENAI_CHAT.render_error(TurnError(kind, "public", detail="private"))
    status, type_, code = ERRORS[kind]
    assert 400 <= status < 600
    assert answer.status == status
    assert answer.body == {"error": {"message": "public", "type": type_, "param": None, "code": code}}
    assert answer.headers == ({"x-should-retry": "false"} if kind in NEVER_RETRY else {})


@pytest.mark.parametrize(
    ("source", "expected"), [("client", None), ("gateway", None), ("engine", "false"), ("upstream", "false")]
)
def test_a_turn_that_reached_the_model_is_not_sent_again(source: Source, expected: str | None) -> None:
    answer = OPENAI_CHAT.render_error(TurnError(ErrorKind.INTERNAL, "x", source=source))
    assert answer.headers.get("x-should-retry") == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, None), (0, "0"), (-1, "0"), (0.1, "1"), (12, "12"), (12.01, "13")]
)
def test_retry_after_is_whole_seconds_rounded_up(seconds: float | None, expected: str | None) -> None:
    answer = OPENAI_CHAT.render_error(TurnError(ErrorKind.RATE_LIMITED, "x", retry_after_s=seconds))
    assert answer.headers.get("retry-after") == expected
