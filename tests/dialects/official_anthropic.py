"""The official anthropic client, fed with bytes instead of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import anthropic
import httpx2
from typing_extensions import override

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    @override
    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


class OfficialClient:
    """One client for many answers; making one costs more than reading a stream."""

    def __init__(self) -> None:
        self._response = httpx2.Response(500)
        transport = httpx2.MockTransport(lambda _: self._response)
        self._http = httpx2.Client(transport=transport)
        self._client = anthropic.Anthropic(
            api_key="none", base_url="http://gateway.test", http_client=self._http, max_retries=0
        )

    def close(self) -> None:
        self._client.close()

    def stream(self, pieces: Sequence[bytes]) -> dict[str, Any]:
        """Accumulate a stream as the client's own helper does."""
        headers = {"content-type": "text/event-stream"}
        self._response = httpx2.Response(200, headers=headers, stream=_Pieces(pieces))
        with self._client.messages.stream(model="m", messages=MESSAGES, max_tokens=9) as stream:
            return stream.get_final_message().model_dump(mode="json", exclude_unset=True)

    def said_before_the_error(self, pieces: Sequence[bytes]) -> tuple[str, anthropic.APIError]:
        """Iterate a stream that has to fail: the text up to there, and what the client raised."""
        headers = {"content-type": "text/event-stream"}
        self._response = httpx2.Response(200, headers=headers, stream=_Pieces(pieces))
        said = []
        try:
            for event in self._client.messages.create(model="m", messages=MESSAGES, max_tokens=9, stream=True):
                assert event.type not in ("message_delta", "message_stop")
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    said.append(event.delta.text)
        except anthropic.APIError as error:
            return "".join(said), error
        raise AssertionError("the client took a failure for an answer")

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        """Read a whole answer."""
        headers = {"content-type": "application/json", **headers}
        self._response = httpx2.Response(status, headers=headers, content=body)
        message = self._client.messages.create(model="m", messages=MESSAGES, max_tokens=9)
        return message.model_dump(mode="json", exclude_unset=True)
