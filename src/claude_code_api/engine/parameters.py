"""The parameters of a request → control requests that make them take effect. Pure.

They are set on a process before its turn. The extra body overrides the fields that the CLI would send by itself.
"""

from __future__ import annotations

import json
from typing import Final

from claude_code_api.turn.request import Json, JsonObject, TurnRequest

# Thinking is off unless it is asked for, as clients of a chat API expect; models that cannot switch it off ignore this.
_NO_THINKING: Final[JsonObject] = {"subtype": "set_max_thinking_tokens", "max_thinking_tokens": 0}


def parameter_controls(request: TurnRequest) -> list[JsonObject]:
    """List what to ask of the CLI, in order."""
    controls = [_NO_THINKING]
    body = extra_body(request)
    if body:
        # The CLI takes the body as text, from a variable among its own settings (not of its process's environment).
        variable: JsonObject = {"CLAUDE_CODE_EXTRA_BODY": json.dumps(body)}
        controls.append({"subtype": "apply_flag_settings", "settings": {"env": variable}})
    return controls


def extra_body(request: TurnRequest) -> JsonObject:
    """Name the upstream's fields that the request sets."""
    fields: dict[str, Json] = {
        "max_tokens": request.limits.max_output_tokens,
        "stop_sequences": list(request.limits.stop) or None,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "top_k": request.sampling.top_k,
        "metadata": {"user_id": request.end_user} if request.end_user else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
