"""The official openai client's responses, fed with bytes instead of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2
import openai

from tests.dialects.official_openai import Pieces


class OfficialResponses:
    """One client for many answers; making one costs more than reading a stream."""

    def __init__(self) -> None:
        self._response = httpx2.Response(500)
        transport = httpx2.MockTransport(lambda _: self._response)
        self._client = openai.OpenAI(
            api_key="none",
            base_url="http://gateway.test/v1",
            http_client=httpx2.Client(transport=transport),
            max_retries=0,
        )

    def close(self) -> None:
        self._client.close()

    def _will_stream(self, pieces: Sequence[bytes]) -> None:
        headers = {"content-type": "text/event-stream"}
        self._response = httpx2.Response(200, headers=headers, stream=Pieces(pieces))

    def stream(self, pieces: Sequence[bytes]) -> tuple[dict[str, Any], str]:
        """Accumulate a stream as the client's own helper does: the response, and the text that it was told."""
        self._will_stream(pieces)
        told, last = [], None
        with self._client.responses.stream(model="m", input="hi") as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    told.append(event.delta)
                if event.type in ("response.completed", "response.incomplete"):
                    last = event.response
        assert last is not None
        return last.model_dump(mode="json"), "".join(told)

    def said_before_the_error(self, pieces: Sequence[bytes]) -> tuple[str, openai.APIError]:
        """Iterate a stream that has to fail: the text up to there, and what the client raised."""
        self._will_stream(pieces)
        said = []
        try:
            for event in self._client.responses.create(model="m", input="hi", stream=True):
                assert event.type not in ("response.completed", "response.incomplete")
                if event.type == "response.output_text.delta":
                    said.append(event.delta)
        except openai.APIError as error:
            return "".join(said), error
        raise AssertionError("the client took a failure for an answer")

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        """Read a whole answer."""
        headers = {"content-type": "application/json", **headers}
        self._response = httpx2.Response(status, headers=headers, content=body)
        return self._client.responses.create(model="m", input="hi").model_dump(mode="json")
