"""Examples of the rules about where thoughts stand, and about what is said of documents."""

from __future__ import annotations

from typing import Any, Final

from tests.standin.strict_bodies import SIGNATURE, Example, assistant, call, document, result, said, text, thought, user

_BUDGET: Final = {"type": "enabled", "budget_tokens": 2000}
_HIDDEN: Final = {"type": "redacted_thinking", "data": SIGNATURE}
_AT: Final = "messages.0.content.0.document"


def _begun(*blocks: Any, **fields: Any) -> dict[str, Any]:
    return said(user("hi"), assistant(*blocks), **fields)


def _round(*blocks: Any) -> dict[str, Any]:
    last = (user(result()), assistant("done"), user("bye"))
    return said(user("hi"), assistant(*blocks), *last, thinking=_BUDGET)


def _documents(*fields: dict[str, Any]) -> dict[str, Any]:
    return said(user(*(document(**one) for one in fields)))


THOUGHTS: Final = [
    Example(
        "thought_last",
        _begun(thought(), _HIDDEN, thinking=_BUDGET),
        "messages.1: The final block in an assistant message cannot be `redacted_thinking`.",
        _begun(thought(), text("It"), thinking=_BUDGET),
    ),
    Example(
        "thought_in_prefill",
        _begun(thought(), text("It")),
        "messages.1.content.0: When thinking is disabled, an `assistant` message in the final position cannot contain "
        "`thinking`. To use thinking blocks, enable `thinking` in your request.",
        said(user("hi"), assistant(thought(), text("It")), user("go on")),
    ),
    Example(
        "thoughts_first",
        _round(text("Let me see."), thought(), call()),
        "messages.1.content.0: If an assistant message contains any thinking blocks, the first block must be "
        "`thinking` or `redacted_thinking`. Found `text`.",
        _round(_HIDDEN, text("Let me see."), thought(), call()),
    ),
]

DOCUMENTS: Final = [
    Example(
        "document_title_empty",
        _documents({"title": ""}),
        f"{_AT}.title: String should have at least 1 character",
        _documents({"title": "t"}),
    ),
    Example(
        "document_title_length",
        _documents({"title": "t" * 501}),
        f"{_AT}.title: String should have at most 500 characters",
        _documents({"title": "t" * 500}),
    ),
    Example(
        "document_context_empty",
        _documents({"context": ""}),
        f"{_AT}.context: String should have at least 1 character",
        _documents({"context": "c"}),
    ),
    Example(
        "citations_all_or_none",
        _documents({"citations": {"enabled": True}}, {}),
        "messages: citations must be enabled on all or none of the documents within a request",
        _documents({"citations": {"enabled": False}}, {}),
    ),
]

EXAMPLES: Final = [*THOUGHTS, *DOCUMENTS]
