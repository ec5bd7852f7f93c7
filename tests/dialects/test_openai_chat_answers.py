"""What a whole answer may be asked of, and what the dialect says about itself."""

from __future__ import annotations

import pytest

from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.dialects.sse import named_frame
from claude_code_api.turn.errors import ErrorKind, TurnError
from claude_code_api.turn.events import Ended, EndReason, Failed, Started, TurnEvent
from claude_code_api.turn.request import Message, TextBlock, TurnRequest
from claude_code_api.turn.result import fold

REQUEST = TurnRequest(model="m", messages=(Message("user", (TextBlock("hi"),)),))
STARTED = Started("t", "m", 1)


def test_a_failed_turn_has_no_whole_answer() -> None:
    failed = Failed(TurnError(ErrorKind.INTERNAL, "x"))
    turns: list[list[TurnEvent]] = [[STARTED], [Ended(EndReason.STOP)], [STARTED, failed]]
    for events in turns:
        with pytest.raises(ValueError, match="only a turn that ended well"):
            OPENAI_CHAT.render(fold(events), REQUEST)


def test_the_heartbeat_is_a_comment() -> None:
    assert OPENAI_CHAT.name == "openai_chat"
    assert OPENAI_CHAT.heartbeat.startswith(b":")
    assert OPENAI_CHAT.heartbeat.endswith(b"\n\n")


def test_named_frames() -> None:
    assert named_frame("ping", b"{}") == b"event: ping\ndata: {}\n\n"
