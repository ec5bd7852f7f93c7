"""What a request may ask for by itself, and this gateway is set to refuse."""

from __future__ import annotations

from claude_code_api.flow.options import FlowOptions, IgnoredParams, RemoteParts
from claude_code_api.models.capabilities import Capabilities
from claude_code_api.models.fitted import Fitted
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import TurnRequest


def refuse_what_would_be_ignored(request: TurnRequest, options: FlowOptions) -> None:
    """Refuse fields that cannot be honoured, where naming them is not enough."""
    if request.ignored and options.ignored_params is IgnoredParams.REFUSE:
        first = request.ignored[0]
        raise invalid(f"`{first}` cannot be honoured, and this gateway is set to refuse it: leave it out.", param=first)


def refuse_what_would_be_changed(fitted: Fitted, model: Capabilities, options: FlowOptions) -> None:
    """Refuse fields that this model does not take as they were sent, where naming them is not enough."""
    if fitted.changed and options.ignored_params is IgnoredParams.REFUSE:
        first = fitted.changed[0]
        message = (
            f"The model `{model.id}` does not take `{first}` as it was sent, and this gateway is set to refuse what it "
            "would have to change: leave it out, or name another model."
        )
        raise invalid(message, param=first)


def refuse_what_is_elsewhere(request: TurnRequest, options: FlowOptions) -> None:
    """Refuse parts that are named by a URL, where the model's API is not to fetch them."""
    if request.remote_parts and options.remote_parts is RemoteParts.REFUSE:
        first = request.remote_parts[0]
        raise invalid(
            f"`{first}` is named by an http(s) URL, which this gateway does not fetch. Send the data itself, in base64 "
            '(a data: URL, or a source of the type "base64").',
            param=first,
        )
