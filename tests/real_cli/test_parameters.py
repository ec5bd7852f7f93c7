"""What a request asks for is in the upstream body, and nowhere else afterwards."""

from __future__ import annotations

from typing import Any

from claude_code_api.engine.process import ProcessState
from claude_code_api.standin import Answer, Text, Thinking, Usage
from claude_code_api.turn.events import Ended, EndReason, PartKind
from claude_code_api.turn.request import JsonObject, Limits, Sampling, TextBlock
from tests.real_cli.rig import IDENTITY, KEY, Rig, asks, checked, plain, terminal, texts_of

SAMPLING = Sampling(temperature=0.25, top_k=7)
FIELDS: dict[str, Any] = {
    "max_tokens": 321,
    "temperature": 0.25,
    "top_k": 7,
    "stop_sequences": ["\n\nEND", "END ü"],
    "metadata": {"user_id": 'someone\'s "id"'},
}


async def test_parameters_are_upstream_and_thinking_is_off(rig: Rig) -> None:
    wanted = asks(
        "hi",
        system=(TextBlock("be brief"),),
        limits=Limits(321, ("\n\nEND", "END ü")),
        sampling=SAMPLING,
        end_user='someone\'s "id"',
    )
    async with rig.engine() as engine:
        await rig.answer(wanted)
        (body,) = rig.bodies()
        assert {name: body.get(name) for name in FIELDS} == FIELDS
        assert body["thinking"] == {"type": "disabled"}
        assert texts_of({"content": body["system"]}) == [IDENTITY, "be brief"]

        # The next turn, of another client, asks for nothing and gets nothing of it.
        await rig.answer(asks("hi"))
        after = plain(rig.bodies()[1])
        assert (after["max_tokens"], "someone" in after["metadata"]["user_id"]) == (32000, False)
        assert {"temperature", "top_p", "top_k", "stop_sequences"}.isdisjoint(after)
        assert texts_of({"content": after["system"]}) == [IDENTITY]
        assert engine.live == 0


async def test_turns_of_one_process_share_its_parameters_and_nothing_else(rig: Rig) -> None:
    """The guard for warm reuse: what is set stays until somebody clears it."""
    async with rig.live(request=asks("x", limits=Limits(321))) as live:
        assert terminal(await live.ask("one")) == Ended(EndReason.STOP)
        assert terminal(await live.ask("two")) == Ended(EndReason.STOP)
        cleared: JsonObject = {"subtype": "apply_flag_settings", "settings": {"env": {"CLAUDE_CODE_EXTRA_BODY": ""}}}
        await live.process.control(cleared)
        await live.ask("three")
    assert [body["max_tokens"] for body in rig.bodies()] == [321, 321, 32000]


async def test_thoughts_and_figures_come_back(rig: Rig) -> None:
    steps = (Thinking("hm", signature="c2ln"), Text(pieces=("a", "", "b\u2028")))
    usage = Usage(100, 10, 30, 7, extra={"output_tokens_details": {"thinking_tokens": 4}})
    rig.upstream.play(Answer(steps, usage=usage, model="claude-other"))
    result = await rig.answer(asks("hi"))
    assert [(part.kind, part.text, part.signature) for part in result.parts] == [
        (PartKind.THINKING, "hm", "c2ln"),
        (PartKind.TEXT, "ab\u2028", ""),
    ]
    assert result.started is not None
    assert result.started.model == "claude-other"
    told = result.usage
    assert told is not None
    assert (told.input_tokens, told.output_tokens, told.cache_read_tokens, told.cache_creation_tokens) == (
        100,
        10,
        30,
        7,
    )
    assert told.reasoning_tokens == 4
    assert told.cost_usd is not None
    assert told.cost_usd > 0


async def test_the_price_is_each_turns_own(rig: Rig) -> None:
    rig.upstream.always(Answer((Text("a"),), usage=Usage(1000, 1000)))
    async with rig.live() as live:
        results = [checked(await live.ask("hi")) for _ in range(3)]
        prices = [result.usage.cost_usd for result in results if result.usage is not None]
        assert prices[0] is not None
        assert prices[0] > 0
        assert prices == [prices[0]] * 3
        assert live.process.state is ProcessState.READY
    totals = [result["total_cost_usd"] for result in live.results]
    assert totals[2] > 2.9 * totals[0]


async def test_the_offer_names_the_version_and_the_models(rig: Rig) -> None:
    async with rig.engine() as engine:
        offer = await engine.offer()
    assert engine.live == 0
    assert offer.version == "2.1.329"
    assert {"sonnet", "haiku"} <= {model.value for model in offer.models}
    assert rig.calls() == []
    assert KEY not in repr(offer)
