"""Ports and addresses on this machine, and waiting until a program answers there. Nothing here knows the gateway."""

from __future__ import annotations

import socket

import httpx2

from tests.harness.waiting import BOUND_S, until


def free_port() -> int:
    """Return a port that was free a moment ago. What can bind port 0 and tell which it got is better off with that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def until_it_listens(port: int, within_s: float = BOUND_S) -> None:
    """Wait until a program takes connections on a port of this machine."""
    until(lambda: _connects(port), f"a program that listens on port {port}", within_s=within_s)


def until_it_answers(url: str, within_s: float = BOUND_S) -> httpx2.Response:
    """Wait until a server answers with a success, and return the answer."""
    seen: list[str] = []

    def asked() -> httpx2.Response | None:
        try:
            answer = httpx2.get(url, trust_env=False, timeout=BOUND_S)
        except httpx2.TransportError as error:
            seen.append(repr(error))
            return None
        seen.append(f"{answer.status_code} {answer.text}")
        return answer if answer.is_success else None

    answer = until(asked, f"an answer of {url}", seen=lambda: seen[-1], within_s=within_s)
    assert answer is not None
    return answer


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=BOUND_S).close()
    except OSError:
        return False
    return True
