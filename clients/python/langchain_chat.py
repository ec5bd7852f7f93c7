"""LangChain, over the API that the environment's CHAT_CLASS names: `openai`, `responses` or `anthropic`."""

from __future__ import annotations

import os
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from scenario import MODEL, NO_MODEL, QUESTION, SUMS, Adder, Point, perform, told


def chat(model: str = MODEL, **fields: Any) -> Any:
    if os.environ["CHAT_CLASS"] != "anthropic":
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=model, use_responses_api=os.environ["CHAT_CLASS"] == "responses", **fields)
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model_name=model, **fields)


def whole() -> dict[str, Any]:
    answer = chat().invoke(QUESTION)
    return {"text": answer.text, "tokens": answer.usage_metadata["total_tokens"]}


def stream() -> dict[str, Any]:
    return told([chunk.text for chunk in chat().stream(QUESTION)])


def tools() -> dict[str, Any]:
    return _loop(lambda model, messages: model.invoke(messages))


def tools_stream() -> dict[str, Any]:
    def joined(model: Any, messages: list[Any]) -> Any:
        whole = None
        for chunk in model.stream(messages):
            whole = chunk if whole is None else whole + chunk
        return whole

    return _loop(joined)


def _loop(ask: Any) -> dict[str, Any]:
    adder = Adder()
    add = tool(adder.add)
    model, messages = chat().bind_tools([add]), [HumanMessage(SUMS)]
    answer = ask(model, messages)
    messages.append(answer)
    messages += [ToolMessage(str(add.invoke(call["args"])), tool_call_id=call["id"]) for call in answer.tool_calls]
    return {"text": ask(model, messages).text, "sums": adder.sums}


def structured() -> dict[str, Any]:
    return {"value": chat().with_structured_output(Point).invoke(QUESTION).model_dump()}


def structured_by_schema() -> dict[str, Any]:
    return {"value": chat().with_structured_output(Point, method="json_schema").invoke(QUESTION).model_dump()}


def unknown_model() -> None:
    chat(NO_MODEL).invoke(QUESTION)


def rate_limited() -> None:
    chat().invoke(QUESTION)


def cut(said: list[str]) -> None:
    for chunk in chat().stream(QUESTION):
        said.append(chunk.text)


perform(whole, stream, tools, tools_stream, structured, structured_by_schema, unknown_model, rate_limited, cut)
