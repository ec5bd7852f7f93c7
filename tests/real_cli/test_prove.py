"""The proof on the bundled CLI: everything holds, it is known from then on, and nothing is left behind."""

from __future__ import annotations

from claude_code_api.app import look_at_the_cli
from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.prove import CACHE_NAME, Proof, remember
from claude_code_api.turn.events import Ended, EndReason
from tests.real_cli.living import processes_of
from tests.real_cli.rig import Rig, asks, checked, plan


async def test_everything_holds_and_is_known_from_then_on(rig: Rig) -> None:
    async with rig.engine() as engine:
        proof = await look_at_the_cli(engine, rig.directory)
        assert [name for name, holds in proof.held.items() if not holds] == []
        assert (proof.overlay, proof.changes_models, len(proof.held)) == (True, True, 10)
        # Its processes are gone, its directories as well, and the real upstream was not asked.
        assert engine.live == 0
        assert list(rig.site.run_directory.iterdir()) == []
        assert processes_of(rig.site.run_directory) == {}
        assert rig.upstream.received == []
        # The engine relies on it at once: the process is still there after its turn.
        assert await _kept(engine)
    assert sorted(path.name for path in rig.directory.iterdir()) == [CACHE_NAME, "run"]
    # Nobody asks again: what the file says is taken as it is.
    remember(rig.directory, rig.site.binary, Proof({"something": False}))
    async with rig.engine() as engine:
        assert (await look_at_the_cli(engine, rig.directory)).held == {"something": False}
        assert not await _kept(engine)


async def _kept(engine: ClaudeEngine) -> bool:
    async with engine.lease(plan(asks("hi"))) as lease:
        result = checked([event async for batch in lease.batches() for event in batch])
    assert result.ended == Ended(EndReason.STOP)
    return engine.live > 0


async def test_a_spoilt_memory_is_made_anew(rig: Rig) -> None:
    file = rig.directory / CACHE_NAME
    file.write_bytes(b'{"binary": ')
    async with rig.engine() as engine:
        assert (await look_at_the_cli(engine, rig.directory)).overlay
    assert file.read_bytes() != b'{"binary": '
