"""Each way in which a turn can fail at the CLI or above it, as what the client and the log are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.engine.failures import as_told, engine_died, failure_of, upstream_broke, upstream_silent
from claude_code_api.turn.errors import ErrorKind, TurnError

Row = tuple[dict[str, Any], str, ErrorKind]


def row(kind: ErrorKind, status: int | None, word: str, reason: str = "api_error") -> Row:
    return {"is_error": True, "api_error_status": status, "terminal_reason": reason}, word, kind


ROWS: list[Row] = [
    row(ErrorKind.UPSTREAM_INVALID, 400, "invalid_request"),
    row(ErrorKind.UPSTREAM_INVALID, 400, "unknown"),
    row(ErrorKind.CONTEXT_TOO_LONG, 400, "invalid_request", "prompt_too_long"),
    row(ErrorKind.UPSTREAM_AUTH, 401, "authentication_failed"),
    row(ErrorKind.UPSTREAM_AUTH, 403, "authentication_failed"),
    row(ErrorKind.MODEL_NOT_FOUND, 404, "model_not_found"),
    row(ErrorKind.UPSTREAM_TIMEOUT, 408, "server_error"),
    row(ErrorKind.BODY_TOO_LARGE, 413, "invalid_request", "image_error"),
    row(ErrorKind.UPSTREAM_RATE_LIMITED, 429, "rate_limit"),
    row(ErrorKind.UPSTREAM_ERROR, 500, "server_error"),
    row(ErrorKind.UPSTREAM_ERROR, 418, "unknown"),
    row(ErrorKind.UPSTREAM_OVERLOADED, 503, "server_error"),
    row(ErrorKind.UPSTREAM_TIMEOUT, 504, "server_error"),
    row(ErrorKind.UPSTREAM_OVERLOADED, 529, "server_error"),
    # No headers in time, and a connection that was cut.
    row(ErrorKind.UPSTREAM_ERROR, None, "server_error"),
    row(ErrorKind.CONTEXT_TOO_LONG, None, "invalid_request", "blocking_limit"),
    # No login, or none that works.
    row(ErrorKind.NO_CREDENTIALS, None, "authentication_failed"),
    row(ErrorKind.INTERRUPTED, None, "", "aborted_streaming"),
    row(ErrorKind.INTERRUPTED, None, "", "aborted_tools"),
]


@pytest.mark.parametrize(("body", "word", "kind"), ROWS)
def test_each_row_has_its_kind(body: dict[str, Any], word: str, kind: ErrorKind) -> None:
    secret = "check your inference gateway (127.0.0.1:41977) /srv/.claude"
    error = failure_of({**body, "result": f"API Error: {secret}"}, word).error
    assert (error.kind, error.source) == (kind, "upstream")
    assert secret not in error.message
    assert secret in error.detail


SAID = {"type": "error", "error": {"type": "invalid_request_error", "message": "temperature: too hot"}}


@pytest.mark.parametrize("text", ["temperature: too hot", f"{json.dumps(SAID)} · host 10.0.0.1"])
def test_what_the_api_said_about_a_bad_request_is_passed_on(text: str) -> None:
    known = {"api_error_status": 400, "api_error_type": "invalid_request_error"}
    body = {**known, "result": f"API Error: 400 {text}"}
    assert failure_of(body, "invalid_request").error.message == "temperature: too hot"
    # Of other failures only the status is told, and of a stranger in between (a proxy) nothing.
    assert "too hot" not in failure_of({**body, "api_error_status": 401}, "").error.message
    assert "too hot" not in failure_of({**body, "api_error_type": None}, "").error.message


@pytest.mark.parametrize("text", ["", "API Error: 400", "API Error: 400 ", "Something of the CLI's own /root"])
def test_without_its_words_the_refusal_has_words_of_ours(text: str) -> None:
    error = failure_of({"api_error_status": 400, "api_error_type": "x", "result": text}, "").error
    assert error.message == "The model's API refused the request."


@pytest.mark.parametrize("text", ["{", '{"error": 5}', '{"error": {"message": 5}}', '{"error":{}}', "{x} is odd"])
def test_braces_in_its_words_are_words(text: str) -> None:
    body = {"api_error_status": 400, "api_error_type": "x", "result": f"API Error: 400 {text}"}
    assert failure_of(body, "").error.message == text


def test_a_refused_start_names_its_errors_for_the_log() -> None:
    error = failure_of({"subtype": "error_during_execution", "errors": ["No conversation found"]}, "").error
    assert "No conversation found" in error.detail
    assert error.kind is ErrorKind.UPSTREAM_ERROR


def test_our_own_findings() -> None:
    found = [upstream_broke("d").error, upstream_silent(120.0).error, engine_died("d").error]
    assert [(error.kind, error.source) for error in found] == [
        (ErrorKind.UPSTREAM_ERROR, "upstream"),
        (ErrorKind.UPSTREAM_TIMEOUT, "upstream"),
        (ErrorKind.ENGINE_DIED, "engine"),
    ]
    assert found[1].message == "The model sent nothing for 120 seconds."


@pytest.mark.parametrize(
    ("made", "status", "kind", "message"),
    [
        # The upstream's own status and words win over what the CLI made of them.
        (ErrorKind.UPSTREAM_ERROR, 429, ErrorKind.UPSTREAM_RATE_LIMITED, "limits the rate"),
        (ErrorKind.UPSTREAM_TIMEOUT, 500, ErrorKind.UPSTREAM_ERROR, "status 500"),
        (ErrorKind.UPSTREAM_INVALID, 400, ErrorKind.UPSTREAM_INVALID, "its own words"),
        (ErrorKind.UPSTREAM_ERROR, None, ErrorKind.UPSTREAM_ERROR, "could not be reached"),
        # These no status says.
        (ErrorKind.CONTEXT_TOO_LONG, 400, ErrorKind.CONTEXT_TOO_LONG, "the CLI's"),
        (ErrorKind.INTERRUPTED, 500, ErrorKind.INTERRUPTED, "the CLI's"),
        # It had begun to answer.
        (ErrorKind.UPSTREAM_OVERLOADED, 200, ErrorKind.UPSTREAM_OVERLOADED, "the CLI's"),
    ],
)
def test_what_the_upstream_told_counts(made: ErrorKind, status: int | None, kind: ErrorKind, message: str) -> None:
    error = as_told(TurnError(made, "the CLI's", "detail", source="upstream"), status, "its own words")
    assert (error.kind, error.detail, error.source) == (kind, "detail", "upstream")
    assert message in error.message


def test_our_own_failures_are_no_matter_of_the_upstreams() -> None:
    error = engine_died("d").error
    assert as_told(error, 429, "words") is error


def test_the_log_is_not_flooded() -> None:
    assert len(failure_of({"result": "x" * 10_000}, "").error.detail) <= 500
    assert len(engine_died("x" * 10_000).error.detail) <= 500


JSON = st.sampled_from([None, True, 0, 400, "", "x", "API Error: 400 x", [], [1], {}, {"a": None}, "prompt_too_long"])
FIELDS = ("result", "errors", "terminal_reason", "subtype", "api_error_status", "api_error_type")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_no_shape_of_a_result_breaks_the_reader(body: dict[str, Any]) -> None:
    assert failure_of(body, "").error.message
