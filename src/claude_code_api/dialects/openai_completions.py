"""The OpenAI completions dialect of old, `POST /v1/completions`: a prompt in, text out.

The prompt becomes one user message. Several prompts are several conversations, each with `n` answers, and every answer
is a choice of its own. Stands where `openai_chat.py` stands. `docs/dialects/openai-completions.md` is its page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from claude_code_api.dialects.blank import is_blank
from claude_code_api.dialects.dialect import Dialect, ErrorAnswer
from claude_code_api.dialects.fields import (
    Notes,
    optional_bool,
    optional_number,
    optional_positive_int,
    optional_string,
    required_string,
    wrong_kind,
)
from claude_code_api.dialects.json_text import dump, dump_text
from claude_code_api.dialects.lowering import sent_profile
from claude_code_api.dialects.openai_parameters import (
    MOST_ANSWERS,
    name_the_rest,
    read_answers,
    read_stop,
    read_stream,
    read_temperature,
)
from claude_code_api.dialects.openai_shared import error_answer, error_body, usage_body
from claude_code_api.dialects.sse import COMMENT, DONE, data_frame
from claude_code_api.turn.errors import TurnError, TurnRefusedError, invalid
from claude_code_api.turn.events import (
    ApprovalSettled,
    ApprovalWanted,
    Compacted,
    Ended,
    EndReason,
    Failed,
    PartDelta,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    ToolActivity,
    TurnEvent,
    Usage,
    total_usage,
)
from claude_code_api.turn.request import Json, JsonObject, Limits, Message, Sampling, TextBlock, TurnRequest
from claude_code_api.turn.result import TurnResult

HONOURED = frozenset(
    {
        "echo",
        "max_tokens",
        "model",
        "n",
        "profile",
        "project_id",
        "prompt",
        "session_id",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "user",
    }
)

# Known and not honoured.
NAMED = frozenset(
    {"best_of", "frequency_penalty", "logit_bias", "logprobs", "metadata", "presence_penalty", "seed", "suffix"}
)

# Values that ask for what happens anyway. They are not named.
DEFAULTS: Mapping[str, tuple[Json, ...]] = {
    "best_of": (1,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "metadata": ({},),
    "presence_penalty": (0,),
    "suffix": ("",),
}

# OpenAI's own, and clients of this dialect know it.
DEFAULT_MAX_TOKENS = 16

FINISH_REASONS: Mapping[EndReason, str] = {
    EndReason.STOP: "stop",
    EndReason.STOP_SEQUENCE: "stop",
    EndReason.LENGTH: "length",
    # Nothing is offered to call, so this is only an end.
    EndReason.TOOL_USE: "stop",
    EndReason.REFUSAL: "content_filter",
}


class OpenAICompletions:
    """The dialect; it holds nothing, one object serves all requests."""

    name = "openai_completions"
    heartbeat = COMMENT

    def parse(self, body: JsonObject, headers: Mapping[str, str]) -> TurnRequest:
        """Read a request body."""
        notes = Notes()
        model = required_string(body, "model")
        conversations = tuple((Message("user", (TextBlock(text),)),) for text in _prompts(body.get("prompt")))
        answers = read_answers(body) * len(conversations)
        if answers > MOST_ANSWERS:
            message = f"`prompt` and `n` ask for {answers} answers; {MOST_ANSWERS} at most: each is a turn of its own."
            raise invalid(message, param="prompt")
        temperature = read_temperature(body, notes)
        stream, stream_usage = read_stream(body, notes)
        name_the_rest(body, HONOURED, NAMED, DEFAULTS, notes)
        limit = optional_positive_int(body, "max_tokens") or DEFAULT_MAX_TOKENS
        return TurnRequest(
            model=model,
            messages=conversations[0],
            variants=conversations if len(conversations) > 1 else (),
            limits=Limits(max_output_tokens=limit, stop=read_stop(body.get("stop"))),
            sampling=Sampling(temperature=temperature, top_p=optional_number(body, "top_p", 1)),
            end_user=optional_string(body, "user") or None,
            session_id=optional_string(body, "session_id") or headers.get("x-session-id") or None,
            project_id=optional_string(body, "project_id") or headers.get("x-project-id") or None,
            profile=sent_profile(headers, optional_string(body, "profile")),
            stream=stream,
            stream_usage=stream_usage,
            answers=answers,
            echo=optional_bool(body, "echo") is True,
            ignored=notes.names(),
            field_names={"messages": "prompt", "end_user": "user"},
        )

    def encoder(self, request: TurnRequest) -> CompletionsEncoder:
        """Make the encoder of one streamed answer."""
        return CompletionsEncoder(request)

    def render(self, result: TurnResult, request: TurnRequest, further: Sequence[TurnResult] = ()) -> JsonObject:
        """Say a whole answer. A turn that did not end well has none: asking for it is the caller's bug."""
        if result.started is None:
            raise ValueError("only a turn that ended well can be rendered")
        results = (result, *further)
        usage = total_usage(each.usage for each in results)
        return {
            **_head(result.started, request.model),
            "choices": [_whole_choice(index, each, request) for index, each in enumerate(results)],
            "usage": None if usage is None else usage_body(usage),
        }

    def render_error(self, error: TurnError) -> ErrorAnswer:
        """Say a failure as a whole answer."""
        return error_answer(error)


def _prompts(value: Json) -> list[str]:
    if isinstance(value, str):
        prompts = {"prompt": value}
    elif isinstance(value, list) and value:
        prompts = {f"prompt[{index}]": _prompt(entry, index) for index, entry in enumerate(value)}
    else:
        raise wrong_kind(value, "prompt", "a string or a list of strings")
    for path, text in prompts.items():
        if is_blank(text):
            raise invalid(f"`{path}` is blank: say something.", param=path)
    return list(prompts.values())


def _prompt(value: Json, index: int) -> str:
    if isinstance(value, str):
        return value
    raise _no_tokens() if isinstance(value, (int, list)) else wrong_kind(value, f"prompt[{index}]", "a string")


def _no_tokens() -> TurnRefusedError:
    message = "`prompt` is given as token numbers, which mean nothing to this model: send it as text."
    return invalid(message, param="prompt")


def _echoed(index: int, request: TurnRequest) -> str:
    """The prompt of an answer, where it is to be said again."""
    if not request.echo:
        return ""
    conversations = request.variants or (request.messages,)
    asked = conversations[index * len(conversations) // request.answers]
    return "".join(block.text for message in asked for block in message.blocks if isinstance(block, TextBlock))


def _head(started: Started, model: str) -> dict[str, Json]:
    return {
        "id": f"cmpl-{started.turn_id}",
        "object": "text_completion",
        "created": started.created_s,
        "model": model,
    }


def _whole_choice(index: int, result: TurnResult, request: TurnRequest) -> JsonObject:
    if result.ended is None:
        raise ValueError("only a turn that ended well can be rendered")
    text = _echoed(index, request) + result.text_of(PartKind.TEXT)
    return {"text": text, "index": index, "logprobs": None, "finish_reason": FINISH_REASONS[result.ended.reason]}


class CompletionsEncoder:
    """One streamed answer; of several turns, one after another, each a choice with its own index."""

    __slots__ = ("_number", "_prefix", "_request", "_shown", "_spent", "_suffix", "_usage")

    def __init__(self, request: TurnRequest) -> None:
        """Wait for the first event."""
        self._request = request
        self._prefix = self._suffix = b""
        self._number = -1
        self._shown = False
        # Of this turn so far, and of the turns before it.
        self._usage: Usage | None = None
        self._spent: Usage | None = None

    def push(self, event: TurnEvent) -> bytes:
        """Encode one event."""
        match event:
            case PartDelta():
                return self._choice(event.text) if self._shown and event.text else b""
            case PartStarted():
                # There is no place for anything else.
                self._shown = event.kind is PartKind.TEXT
            case Started():
                return self._start(event)
            case Usage():
                self._usage = event
            case Ended():
                return self._end(event)
            case Failed():
                return data_frame(dump(error_body(event.error))) + DONE
            case (
                PartEnded() | ToolActivity() | Compacted() | ApprovalWanted() | ApprovalSettled()
            ):  # pragma: no branch (the union ends here)
                pass
        return b""

    def _start(self, started: Started) -> bytes:
        self._number += 1
        if not self._number:
            self._prefix = b"data: " + dump(_head(started, self._request.model))[:-1] + b',"choices":['
            self._suffix = b'],"usage":null}\n\n' if self._request.stream_usage else b"]}\n\n"
        echoed = _echoed(self._number, self._request)
        return self._choice(echoed) if echoed else b""

    def _choice(self, text: str, finish_reason: bytes = b"null") -> bytes:
        choice = b'{"text":%b,"index":%d,"logprobs":null,"finish_reason":%b}'
        return self._prefix + choice % (dump_text(text), self._number, finish_reason) + self._suffix

    def _end(self, ended: Ended) -> bytes:
        last = self._choice("", dump_text(FINISH_REASONS[ended.reason]))
        self._spent, self._usage = total_usage((self._spent, self._usage)), None
        if self._number + 1 < self._request.answers:
            return last
        if self._spent is not None and self._request.stream_usage:
            last += self._prefix + b'],"usage":%b}\n\n' % dump(usage_body(self._spent))
        return last + DONE


OPENAI_COMPLETIONS: Dialect = OpenAICompletions()
