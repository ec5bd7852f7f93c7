"""What the door says in a rehearsal: a short answer, as the model's API would give it. Pure.

The first turns of a process are its slowest: what they need is read and compiled then. A spare has them before anybody
waits for it, and before a door that answers by itself: nobody is asked, and nothing is paid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

# The second turn is still slow, the third hardly. Each takes some 50 ms of a core that nobody else wants just then.
REHEARSALS: Final = 2
_WORDS: Final = ("This ", "is ", "only ", "a ", "rehearsal", ".")
_USAGE: Final = {"input_tokens": 0, "output_tokens": 0}


def _events() -> Iterator[Mapping[str, Any]]:
    about = {"id": "msg_rehearsal", "type": "message", "role": "assistant", "model": "rehearsal", "content": []}
    yield {"type": "message_start", "message": {**about, "stop_reason": None, "stop_sequence": None, "usage": _USAGE}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for word in _WORDS:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _USAGE}
    yield {"type": "message_stop"}


# One piece for each event, as they come from the API.
REHEARSED: Final = tuple(b"event: %b\ndata: %b\n\n" % (str(e["type"]).encode(), orjson.dumps(e)) for e in _events())
