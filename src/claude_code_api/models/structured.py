"""The form that the answer has to have → the strongest way by which this model can be held to it.

The model's API enforces a part of JSON Schema on newer models. Everything else is asked of the model in words, and the
answer is checked by the client's own schema (`answer_check`).
"""

from __future__ import annotations

from typing import Final

import orjson

from claude_code_api.models.answer_check import schema_problem
from claude_code_api.models.draft import Draft
from claude_code_api.models.fitted import JsonWanted
from claude_code_api.models.native_schema import native_form
from claude_code_api.turn.errors import invalid
from claude_code_api.turn.request import Json, JsonObject, OpaqueBlock

WORD: Final = "output_schema"
_BARE: Final = "Write nothing before it and nothing after it, and put no code fence around it."
# Schemas that ask for no more than for JSON.
_ANY: Final[tuple[JsonObject, ...]] = ({}, {"type": "object"})


def settle_output(draft: Draft) -> None:
    """Ask for the form of the answer."""
    wanted = draft.request.output_schema
    if wanted is None:
        return
    draft.change(output_schema=None)
    word = draft.request.field_names.get(WORD, WORD)
    problem = schema_problem(wanted.schema)
    if problem is not None:
        raise invalid(f"`{word}`: the schema cannot be used: {problem}.", param=word)
    native = native_form(wanted.schema) if draft.model.json_schema and not _cites(draft) else None
    if native is None:
        draft.instructions.append(_instruction(wanted.schema))
        draft.json = JsonWanted(wanted.schema)
        return
    config = draft.fields.get("output_config")
    form: Json = {"type": "json_schema", "schema": native.schema}
    draft.fields["output_config"] = {**(config if isinstance(config, dict) else {}), "format": form}
    if native.weaker:
        draft.json = JsonWanted(wanted.schema)


def _instruction(schema: JsonObject) -> str:
    if schema in _ANY:
        return f"Your answer has to be one valid JSON object. {_BARE}"
    said = orjson.dumps(schema).decode()
    return f"Your answer has to be JSON that is valid by this JSON schema:\n{said}\n{_BARE}"


def _cites(draft: Draft) -> bool:
    """Whether the model is asked for citations, which exclude an enforced form."""
    blocks = (block for message in draft.request.messages for block in message.blocks)
    return any(isinstance(block, OpaqueBlock) and block.body.get("citations") for block in blocks)


def repair_words(problem: str) -> str:
    """Say to the model what is wrong with its answer."""
    return (
        f"Your last answer is not what was asked for: {problem}. Give the whole answer again, as JSON that is valid. "
        f"{_BARE}"
    )
