"""Wrong keys, counted by the address that they come from: a guess has to cost more than it can win.

The address is that of the connection. What a header says of it, its sender chose.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

from claude_code_api.flow.ports import Clock
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError

WINDOW_S: Final = 60.0
# Addresses that are remembered; each is a name and two numbers. Of more, the ones seen longest ago are forgotten.
MAX_PEERS: Final = 10_000
# Whoever has one address of version 6 has all of such a network.
_IPV6_NETWORK_BITS: Final = 64


class Strangers:
    """Counts, a minute at a time: what is kept of one address does not grow with what comes from it."""

    def __init__(self, *, per_minute: int, clock: Clock) -> None:
        """`per_minute`: wrong keys of one address; 0: any number."""
        self._per_minute, self._clock = per_minute, clock
        # By network: when its minute began, and how many wrong keys came in it.
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def lost(self, peer: str) -> bool:
        """Whether as many have come as may."""
        return self._per_minute > 0 and self._minute(_network(peer))[1] >= self._per_minute

    def wrong_key(self, peer: str) -> None:
        """Count one."""
        network = _network(peer)
        began_s, count = self._minute(network)
        self._seen[network] = began_s, count + 1
        self._seen.move_to_end(network)
        if len(self._seen) > MAX_PEERS:
            self._seen.popitem(last=False)

    def refusal(self, peer: str) -> TurnRefusedError:
        """Say when the next minute begins."""
        began_s, _ = self._minute(_network(peer))
        message = "Too many requests without a valid API key came from this address."
        retry_after_s = began_s + WINDOW_S - self._clock.monotonic_s()
        return TurnRefusedError(
            TurnError(ErrorKind.RATE_LIMITED, message, source="client", retry_after_s=retry_after_s)
        )

    def _minute(self, network: str) -> tuple[float, int]:
        now_s = self._clock.monotonic_s()
        began_s, count = self._seen.get(network, (now_s, 0))
        return (began_s, count) if now_s < began_s + WINDOW_S else (now_s, 0)


def _network(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if address.version == 4:  # noqa: PLR2004 - of the protocol
        return peer
    return str(ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))
