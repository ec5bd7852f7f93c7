"""A request and what its model accepts → a request that this model accepts, as near as possible to what was asked.

The order matters: whether the model thinks decides what sampling and which begun answers it takes. What is said in the
model's own words (`TurnRequest.exact`) stays as it was sent; only what is not the client's is kept out of its way.
"""

from __future__ import annotations

from typing import Final

from claude_code_api.models.cache_marks import count_marks, settle_marks
from claude_code_api.models.capabilities import Capabilities
from claude_code_api.models.conversation import settle_begun, settle_conversation
from claude_code_api.models.draft import Draft
from claude_code_api.models.fitted import MAX_MARKS, Fitted, RequestControl
from claude_code_api.models.functions import settle_functions
from claude_code_api.models.media import check_media
from claude_code_api.models.sampling import settle_sampling
from claude_code_api.models.structured import settle_output
from claude_code_api.models.thinking import settle_thinking
from claude_code_api.turn.request import Sampling, TurnRequest

# What the CLI says by itself beside a conversation.
_OF_THE_CLI: Final = ("thinking", "output_config", "temperature", "top_p", "top_k")


def fit(request: TurnRequest, model: Capabilities, control: RequestControl) -> Fitted:
    """Fit a request. Raises `TurnRefusedError` where no accepted request means what was asked."""
    draft = Draft(request, model, control)
    if request.exact:
        _as_sent(draft)
    else:
        settle_thinking(draft)
        settle_conversation(draft)
        settle_sampling(draft)
        settle_functions(draft)
        settle_output(draft)
        check_media(draft)
        settle_marks(draft)
    return draft.done()


def _as_sent(draft: Draft) -> None:
    request, model = draft.request, draft.model
    draft.fields.update(dict.fromkeys(_OF_THE_CLI))
    if request.sampling != Sampling():
        for name in ("temperature", "top_p", "top_k"):
            if getattr(request.sampling, name) is not None:
                draft.fields.pop(name)
    if model.prefill and not draft.control.whole_conversation:
        # The model would go on with it, and only the CLI cannot say it.
        settle_begun(draft)
    if draft.control.removes_fields:
        return
    # The CLI's own words stay beside the client's; what they exclude cannot be sent.
    if "thinking" not in request.as_is and model.quiet is not None and not model.thinks_unless_told:
        draft.fields["thinking"] = dict(model.quiet)
    if request.sampling.top_p is not None and request.sampling.temperature is None and not model.temperature_with_top_p:
        draft.name("top_p")
        draft.change(sampling=Sampling(None, None, request.sampling.top_k))
    if count_marks(request) <= MAX_MARKS:
        settle_marks(draft)
