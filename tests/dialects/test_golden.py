"""Every scenario through every dialect, against files that a person has read.

`make golden` writes the files anew; the diff is then what the review is about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from claude_code_api.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from claude_code_api.dialects.dialect import Dialect
from claude_code_api.dialects.openai_chat import OPENAI_CHAT
from claude_code_api.dialects.openai_completions import OPENAI_COMPLETIONS
from claude_code_api.dialects.openai_responses import OPENAI_RESPONSES
from claude_code_api.turn.order import Order
from claude_code_api.turn.result import fold
from tests.dialects.event_lines import load_events

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SCENARIOS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())
DIALECTS: tuple[Dialect, ...] = (ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_RESPONSES)


def _pretty(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _agree(path: Path, found: bytes, *, update: bool) -> None:
    if update:
        path.write_bytes(found)
    assert path.read_bytes() == found, f"{path.name} differs; if that is wanted: make golden"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_golden(scenario: str, dialect: Dialect, update_golden: bool) -> None:
    folder = GOLDEN / scenario
    events = load_events(folder / "events.jsonl")
    request = dialect.parse(orjson.loads((folder / f"{dialect.name}.request.json").read_bytes()), {})
    order, encoder = Order(), dialect.encoder(request)
    frames = []
    for event in events:
        order.check(event)
        frames.append(encoder.push(event))
    assert order.over
    _agree(folder / f"{dialect.name}.stream.sse", b"".join(frames), update=update_golden)
    result = fold(events)
    if result.error is None:
        _agree(folder / f"{dialect.name}.answer.json", _pretty(dialect.render(result, request)), update=update_golden)
    else:
        answer = dialect.render_error(result.error)
        said = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        _agree(folder / f"{dialect.name}.error.json", _pretty(said), update=update_golden)
