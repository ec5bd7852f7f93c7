"""The official openai client, fed with bytes instead of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import openai
from typing_extensions import override

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


class Pieces(httpx2.SyncByteStream):
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
        self._client = openai.OpenAI(
            api_key="none", base_url="http://gateway.test/v1", http_client=self._http, max_retries=0
        )

    def close(self) -> None:
        self._client.close()

    def stream(self, pieces: Sequence[bytes]) -> dict[str, Any]:
        """Accumulate a stream as the client's own helper does.

        Its snapshot, because get_final_completion raises for `length` and `content_filter` (as parse() does).
        """
        headers = {"content-type": "text/event-stream"}
        self._response = httpx2.Response(200, headers=headers, stream=Pieces(pieces))
        with self._client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
            return stream.until_done().current_completion_snapshot.model_dump(mode="json")

    def said_before_the_error(self, pieces: Sequence[bytes]) -> tuple[str, openai.APIError]:
        """Iterate a stream that has to fail: the text up to there, and what the client raised."""
        headers = {"content-type": "text/event-stream"}
        self._response = httpx2.Response(200, headers=headers, stream=Pieces(pieces))
        said = []
        try:
            for chunk in self._client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                assert all(choice.finish_reason is None for choice in chunk.choices)
                said += [choice.delta.content or "" for choice in chunk.choices]
        except openai.APIError as error:
            return "".join(said), error
        raise AssertionError("the client took a failure for an answer")

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        """Read a whole answer."""
        headers = {"content-type": "application/json", **headers}
        self._response = httpx2.Response(status, headers=headers, content=body)
        return self._client.chat.completions.create(model="m", messages=MESSAGES).model_dump(mode="json")
