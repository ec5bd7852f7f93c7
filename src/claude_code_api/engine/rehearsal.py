"""What the door says in a rehearsal: a short answer, as the model's API would give it, streamed or whole. Pure.

The first turns of a process are its slowest: what they need is read and compiled then. A spare has them before anybody
waits for it, and before a door that answers by itself: nobody is asked, and nothing is paid. A model that the CLI does
not list is tried out by it before it is set, with a word that nobody wants answered: that is a rehearsal, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from claude_code_api.turn.request import JsonObject

# The second turn is still slow, the third hardly. Each takes some 50 ms of a core that nobody else wants just then.
REHEARSALS: Final = 2
_WORDS: Final = ("This ", "is ", "only ", "a ", "rehearsal", ".")
_USAGE: Final = {"input_tokens": 0, "output_tokens": 0}
_ABOUT: Final = {"id": "msg_rehearsal", "type": "message", "role": "assistant", "model": "rehearsal"}


def _events() -> Iterator[Mapping[str, Any]]:
    begun: JsonObject = {**_ABOUT, "content": [], "stop_reason": None, "stop_sequence": None, "usage": _USAGE}
    yield {"type": "message_start", "message": begun}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for word in _WORDS:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _USAGE}
    yield {"type": "message_stop"}


# One piece for each event, as they come from the API.
REHEARSED: Final = tuple(b"event: %b\ndata: %b\n\n" % (str(e["type"]).encode(), orjson.dumps(e)) for e in _events())
REHEARSED_WHOLE: Final = orjson.dumps(
    {
        **_ABOUT,
        "content": [{"type": "text", "text": "".join(_WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _USAGE,
    }
)


def answer_to(body: bytes) -> tuple[bytes, Sequence[bytes]]:
    """Return the answer to what the CLI asks: its content type, and its pieces."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        asked = None
    if isinstance(asked, dict) and asked.get("stream") is True:
        return b"text/event-stream", REHEARSED
    return b"application/json", (REHEARSED_WHOLE,)
