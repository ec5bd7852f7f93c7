"""Each kind of step, as the exact sequence of events a client reads."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from claude_code_api.standin import (
    Answer,
    Break,
    Echo,
    Pause,
    Ping,
    RawEvent,
    RedactedThinking,
    StandIn,
    Text,
    Thinking,
    ToolUse,
    Usage,
    calls,
    fails,
    says,
)
from tests.standin.conftest import Api, joined, names, request

TOLD = """\
event: message_start
data: {"type":"message_start","message":{"id":"MSG","type":"message","role":"assistant","model":"claude-other",\
"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":100,"cache_creation_input_tokens":7,\
"cache_read_input_tokens":30,"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":100,\
"cache_creation_input_tokens":7,"cache_read_input_tokens":30,"output_tokens":10,\
"output_tokens_details":{"thinking_tokens":2}}}

event: message_stop
data: {"type":"message_stop"}

"""


def test_a_text_is_told_in_the_real_apis_words(upstream: StandIn, api: Api) -> None:
    usage = Usage(100, 10, 30, 7, extra={"output_tokens_details": {"thinking_tokens": 2}})
    upstream.play(Answer((Text(pieces=("Hel", "lo")),), usage=usage, model="claude-other"))
    response = api.post(stream=True)
    assert response.headers["request-id"] == "req_standin_000001"
    frames = response.text.split("\n\n")
    message_id = orjson.loads(frames[0].split("data: ")[1])["message"]["id"]
    assert response.text == TOLD.replace("MSG", message_id)


def test_every_kind_of_block_has_its_own_deltas(upstream: StandIn, api: Api) -> None:
    steps = (
        Thinking("hm hm", signature="sig", pieces=3),
        RedactedThinking("secret"),
        Ping(),
        ToolUse("toolu_1", "look", {"at": "sea"}, pieces=5),
        RawEvent("message_odd", '{"type":"message_odd"}'),
    )
    upstream.play(Answer(steps, stop_reason="tool_use"))
    found = api.stream()[1:]
    start, delta, stop = "content_block_start", "content_block_delta", "content_block_stop"
    assert names(found) == [
        *(start, delta, delta, delta, stop),
        *(start, stop),
        "ping",
        *(start, delta, delta, delta, stop),
        "message_odd",
        *("message_delta", "message_stop"),
    ]
    kinds = [data["content_block"]["type"] for name, data in found if name == start]
    assert kinds == ["thinking", "redacted_thinking", "tool_use"]
    deltas = [data["delta"] for name, data in found if name == delta]
    assert deltas[:3] == [
        {"type": "thinking_delta", "thinking": "hm "},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "sig"},
    ]
    assert orjson.loads(joined(found, "partial_json", 2)) == {"at": "sea"}
    assert found[-2][1]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n",
        "a\r\nb",
        'data: {"x"}\n\nevent: y',
        "Grüße 你好 🙂👩‍👩‍👧‍👦",
        "\u2028\u2029\x00\x7f\ufeff",
        "🙂" * 5000,
    ],
)
@pytest.mark.parametrize("size", [0, 1, 7])
def test_texts_arrive_byte_for_byte(upstream: StandIn, api: Api, text: str, size: int) -> None:
    upstream.play(says(text, pieces=size), says(text))
    assert joined(api.stream()) == text
    assert api.final()["content"] == [{"type": "text", "text": text}]


def test_pieces_are_sent_as_they_are_given_even_empty_ones(upstream: StandIn, api: Api) -> None:
    upstream.play(Answer((Text(pieces=("", "a", Ping(), Pause(1), "")),)))
    found = api.stream()
    deltas = [data["delta"]["text"] for name, data in found if name == "content_block_delta"]
    assert deltas == ["", "a", ""]
    assert names(found)[4] == "ping"


def test_an_answer_may_be_empty(upstream: StandIn, api: Api) -> None:
    upstream.play(Answer(), Answer(stop_reason=None))
    assert names(api.stream()) == ["message_start", "message_delta", "message_stop"]
    assert api.final()["stop_reason"] is None


def test_broken_tool_input_is_streamed_as_it_is(upstream: StandIn, api: Api) -> None:
    upstream.always(calls(ToolUse("toolu_1", "look", '{"at": "se')))
    assert joined(api.stream(), "partial_json") == '{"at": "se'
    assert api.final()["content"][0]["input"] == {}


def test_an_echo_quotes_the_body_as_received(upstream: StandIn, api: Api) -> None:
    upstream.play(Answer((Echo(pieces=9),)))
    body = (
        '{ "model":"claude-haiku-4-5", "max_tokens":9,"stream":true,  '
        '"messages":[{"role":"user","content":"ü\\u00fc"}] }'
    )
    response = api.http.post("/v1/messages", content=body.encode())
    deltas = [line[6:] for line in response.text.splitlines() if "text_delta" in line]
    assert "".join(orjson.loads(delta)["delta"]["text"] for delta in deltas) == body


def test_a_json_message_equals_its_stream(upstream: StandIn, api: Api) -> None:
    answer = Answer(
        (Thinking("why"), Text("because"), ToolUse("toolu_1", "look", {"n": [1, None]})),
        stop_reason="stop_sequence",
        stop_sequence="END",
    )
    upstream.always(answer)
    message = api.final(stream=False)
    assert message["content"] == [
        {"type": "thinking", "thinking": "why", "signature": "c3RhbmQtaW4="},
        {"type": "text", "text": "because"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"n": [1, None]}},
    ]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    streamed = api.stream()[-2][1]
    assert streamed["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert streamed["usage"]["output_tokens"] == message["usage"]["output_tokens"] == 3


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        (fails(400, "bad"), 400, "invalid_request_error"),
        (fails(429, "slow down", retry_after_s=7), 429, "rate_limit_error"),
        (fails(529), 529, "overloaded_error"),
        (fails(418, error_type="teapot_error"), 418, "teapot_error"),
    ],
)
def test_errors_have_the_apis_shape(upstream: StandIn, api: Api, answer: Answer, status: int, kind: str) -> None:
    upstream.play(answer)
    response = api.post(stream=True)
    assert response.status_code == status
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)
    assert response.json() == {
        "type": "error",
        "error": {"type": kind, "message": answer.error_message},
        "request_id": response.headers["request-id"],
    }


def test_an_error_event_ends_the_stream_without_a_message_stop(upstream: StandIn, api: Api) -> None:
    broken = Answer((Text(pieces=("so far", Break("error", "api_error", "oh"), "never")), Text("never")))
    upstream.always(broken)
    found = api.stream()
    assert names(found)[-2:] == ["content_block_delta", "error"]
    assert found[-1][1]["error"] == {"type": "api_error", "message": "oh"}
    response = api.post()
    assert (response.status_code, response.json()["error"]["type"]) == (500, "api_error")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"m"}', b'{"messages":[{"role":"user"}]}'])
def test_what_no_model_would_see_is_refused(upstream: StandIn, api: Api, body: bytes) -> None:
    response = api.http.post("/v1/messages", content=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert upstream.received[0].raw == body


def test_the_other_routes(upstream: StandIn, api: Api) -> None:
    assert api.http.head("/").status_code == api.http.head("/api/hello").status_code == 200
    models: dict[str, Any] = api.http.get("/v1/models").json()
    assert api.http.get(f"/v1/models/{models['first_id']}").json() == models["data"][0]
    asked = {name: value for name, value in request("one two three").items() if name in ("model", "messages")}
    counted = api.http.post("/v1/messages/count_tokens", json=asked).json()
    assert counted == {"input_tokens": 3}
    for method, path in (("GET", "/v1/messages"), ("GET", "/nope"), ("PUT", "/"), ("GET", "/v1/models/none")):
        response = api.http.request(method, path)
        assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert [record.path for record in upstream.received][:2] == ["/", "/api/hello"]


def test_large_prompts_are_accepted(upstream: StandIn, api: Api) -> None:
    upstream.play("ok")
    text = (299 * "w" + " ") * 100_000
    assert api.final(text)["content"][0]["text"] == "ok"
    assert upstream.received[0].body["messages"][0]["content"] == text
