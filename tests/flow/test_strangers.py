"""Wrong keys, by the address that they come from."""

from __future__ import annotations

from claude_code_api.flow.strangers import MAX_PEERS, WINDOW_S, Strangers
from claude_code_api.turn.errors import ErrorKind
from tests.flow.held_clock import HeldClock


def come(strangers: Strangers, peer: str, times: int) -> int:
    """Try wrong keys; says how many of them were looked at."""
    looked_at = 0
    for _ in range(times):
        if not strangers.lost(peer):
            strangers.wrong_key(peer)
            looked_at += 1
    return looked_at


def test_so_many_in_a_minute_and_then_again() -> None:
    clock = HeldClock()
    strangers = Strangers(per_minute=5, clock=clock)
    assert come(strangers, "192.0.2.1", 9) == 5
    assert come(strangers, "192.0.2.2", 9) == 5
    clock.go(WINDOW_S - 10)
    refusal = strangers.refusal("192.0.2.1").error
    assert (refusal.kind, refusal.retry_after_s) == (ErrorKind.RATE_LIMITED, 10)
    clock.go(10)
    assert come(strangers, "192.0.2.1", 9) == 5


def test_a_network_of_version_6_is_one_address() -> None:
    strangers = Strangers(per_minute=5, clock=HeldClock())
    assert come(strangers, "2001:db8:0:1::1", 3) + come(strangers, "2001:db8:0:1:ffff::2", 3) == 5
    assert come(strangers, "2001:db8:0:2::1", 9) == 5


def test_what_is_remembered_does_not_grow() -> None:
    strangers = Strangers(per_minute=1, clock=HeldClock())
    for number in range(MAX_PEERS + 10):
        strangers.wrong_key(f"peer {number}")
    assert not strangers.lost("peer 0"), "forgotten"
    assert strangers.lost(f"peer {MAX_PEERS}")
    assert len(strangers._seen) == MAX_PEERS  # noqa: SLF001 - how much is kept is what this is about


def test_none_is_too_many_where_that_is_wanted() -> None:
    assert come(Strangers(per_minute=0, clock=HeldClock()), "", 5000) == 5000
