"""When to send a request again, as headers that the official clients of both vendors obey.

By themselves they send a request three times on 429 and 5xx. Once a turn has reached the model that would run it three
times; `x-should-retry: false` stops them.
"""

from __future__ import annotations

import math

from claude_code_api.turn.errors import ErrorKind, TurnError

# Whoever reports these: the turn had begun, or only the operator can mend it. Trying again at once is waste or worse.
NEVER_RETRY = frozenset(
    {
        ErrorKind.NOT_SERVED,
        ErrorKind.NO_CREDENTIALS,
        ErrorKind.BUDGET_SPENT,
        ErrorKind.UPSTREAM_AUTH,
        ErrorKind.ENGINE_DIED,
        ErrorKind.INTERRUPTED,
    }
)


def retry_headers(error: TurnError) -> dict[str, str]:
    """Say when to come back, where that is known, and whether to come back by oneself."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after_s)))
    if error.source in ("engine", "upstream") or error.kind in NEVER_RETRY:
        headers["x-should-retry"] = "false"
    return headers
