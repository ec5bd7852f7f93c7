"""Whatever frames come, legal or not: the events keep their order, and exactly one end comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_code_api.engine.agent_translate import AgentTranslator
from claude_code_api.engine.failures import engine_died
from claude_code_api.engine.translate import Translator
from claude_code_api.turn.events import Ended, EndReason, Failed, PartKind
from claude_code_api.turn.order import Order
from claude_code_api.turn.result import fold
from tests.engine import frames
from tests.engine.frames import Line, translated
from tests.turn.legal_events import TEXT

SIGNATURES = st.text(max_size=5)
REASONS = ["end_turn", "pause_turn", "stop_sequence", "max_tokens", "tool_use", "refusal"]


@st.composite
def _block(draw: st.DrawFn) -> list[Line]:
    kind = draw(st.sampled_from(["text", "thinking", "tool_use", "redacted_thinking", "brand_new"]))
    field = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}.get(kind, "data")
    name = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}.get(kind, "odd_delta")
    deltas = [frames.delta(name, **{field: piece}) for piece in draw(st.lists(TEXT, max_size=4))]
    signed = [frames.delta("signature_delta", signature=draw(SIGNATURES))] if kind == "thinking" else []
    return [frames.opened(kind, id="toolu_1", name="f"), *deltas, *signed, frames.closed()]


@st.composite
def legal_frames(draw: st.DrawFn) -> list[Line]:
    blocks = [line for block in draw(st.lists(_block(), max_size=4)) for line in block]
    pings = [frames.stream({"type": "ping"})] * draw(st.integers(0, 1))
    return [frames.start(), *pings, *blocks, frames.stopped(draw(st.sampled_from(REASONS))), frames.over()]


ANY_FRAME = st.one_of(
    st.builds(frames.start),
    st.builds(frames.opened, st.sampled_from(["text", "thinking", "tool_use", "odd"])),
    st.builds(frames.text, TEXT),
    st.just(frames.delta("thinking_delta", thinking="t")),
    st.just(frames.delta("signature_delta", signature="s")),
    st.just(frames.closed()),
    st.builds(frames.stopped, st.sampled_from([*REASONS, "brand_new", None])),
    st.just(frames.over()),
    st.just(frames.synthetic("server_error")),
    st.just(frames.hooked("blocked_by_hook", "no")),
    st.just(frames.result()),
    st.just(frames.aborted()),
    st.just(frames.result(is_error=True, api_error_status=529)),
    st.just(frames.stream({"type": "brand_new"})),
    st.just(frames.stream({})),
)
RESULTS = st.sampled_from([frames.result(), frames.aborted(), frames.result(is_error=True, api_error_status=500)])


@given(legal_frames(), st.data())
def test_a_whole_turn_says_what_the_frames_say(lines: list[Line], data: st.DataObject) -> None:
    translator = Translator("turn-1", 7)
    events = translated(lines, translator)
    events += translated([frames.aborted() if translator.cut_short else frames.result()], translator)
    order = Order()
    for event in events:
        order.check(event)
    assert isinstance(events[-1], Ended)
    told = fold(events)
    deltas = [line["event"]["delta"] for line in lines if line["event"]["type"] == "content_block_delta"]
    for kind, field in ((PartKind.TEXT, "text"), (PartKind.THINKING, "thinking"), (PartKind.TOOL, "partial_json")):
        assert told.text_of(kind) == "".join(delta.get(field, "") for delta in deltas)
    assert "".join(part.signature for part in told.parts) == "".join(delta.get("signature", "") for delta in deltas)
    reason = told.ended.reason if told.ended is not None else None
    speechless = not told.text_of(PartKind.TEXT).strip("\ufeff \t\n\r\v\f\u2028\u2029")
    cut = reason is EndReason.LENGTH or (speechless and reason is not EndReason.TOOL_USE)
    assert translator.cut_short is cut


@given(legal_frames(), st.integers(0, 30), RESULTS)
def test_a_turn_may_be_cut_anywhere(lines: list[Line], cut: int, result: Line) -> None:
    _keeps_the_order([*lines[:cut], result])


@given(st.lists(ANY_FRAME, max_size=25))
def test_no_frames_at_all_break_the_order(lines: list[Line]) -> None:
    _keeps_the_order(lines)


@given(st.lists(ANY_FRAME | st.just(frames.heard("toolu_1", "x")), max_size=25))
def test_not_even_an_agents(lines: list[Line]) -> None:
    _keeps_the_order(lines, AgentTranslator("turn-1", 7))


def _keeps_the_order(lines: list[Line], translator: Translator | None = None) -> None:
    order = Order()
    translator = translator or Translator("turn-1", 7)
    for event in translated(lines, translator):
        order.check(event)
    assert order.over is translator.over
    ends = list(translator.fail(engine_died("gone")))
    for event in ends:
        order.check(event)
    assert order.over
    assert not ends or isinstance(ends[-1], Failed)
