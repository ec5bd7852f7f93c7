"""A request's headers, as the dialects read them."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from claude_code_api.dialects.lowering import PROFILE_HEADER


def headers_of(connection: HTTPConnection) -> dict[str, str]:
    """Each by its name; where one came several times its first value, but of what lowers a profile all of them.

    A proxy that lowers what passes it may add its word behind the client's, and must not lose to it.
    """
    headers = dict(connection.headers)
    if PROFILE_HEADER in headers:
        headers[PROFILE_HEADER] = ", ".join(connection.headers.getlist(PROFILE_HEADER))
    return headers
