"""Scripts as JSON: reading and writing the vocabulary of `script`.

Strict on purpose: an unknown key or a wrong type is an error with its place, because a misspelt step that is skipped
makes a test pass for the wrong reason. Pure; files are opened by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, TypeAlias, cast

import orjson

from claude_code_api.standin.script import (
    Answer,
    Break,
    Echo,
    Gate,
    Json,
    Pause,
    Ping,
    RawEvent,
    RedactedThinking,
    Rule,
    Script,
    ScriptError,
    Step,
    Text,
    Thinking,
    ToolUse,
    Usage,
)

Kinds: TypeAlias = type | tuple[type, ...]

STEPS: Mapping[str, type[Any]] = {
    "text": Text,
    "thinking": Thinking,
    "redacted_thinking": RedactedThinking,
    "tool_use": ToolUse,
    "echo": Echo,
    "pause": Pause,
    "gate": Gate,
    "ping": Ping,
    "break": Break,
    "raw": RawEvent,
}
_NAMES: Mapping[type[Any], str] = {kind: name for name, kind in STEPS.items()}
_INTERLUDES = (Pause, Gate, Ping, Break, RawEvent)

# The JSON type of every field, by name: names mean the same thing in every class of the vocabulary.
_TYPES: Mapping[str, Kinds] = {
    "text": str,
    "signature": str,
    "data": str,
    "id": str,
    "name": str,
    "kind": str,
    "message": str,
    "error_type": str,
    "error_message": str,
    "ms": (int, float),
    "every_ms": (int, float),
    "status": int,
    "input": (dict, str),
    "pieces": (int, list),
    "steps": list,
    "stop_reason": (str, type(None)),
    "stop_sequence": (str, type(None)),
    "model": (str, type(None)),
    "usage": (dict, type(None)),
    "hold": (dict, type(None)),
    "headers": dict,
    "extra": dict,
    "input_tokens": int,
    "output_tokens": int,
    "cache_read_input_tokens": int,
    "cache_creation_input_tokens": int,
}


def _refuse(where: str, problem: str) -> ScriptError:
    return ScriptError(f"{where}: {problem}")


def _checked(kind: type[Any], value: Json, where: str, ignoring: str = "") -> dict[str, Json]:
    """Return the object's fields after checking their names and types."""
    if not isinstance(value, dict):
        raise _refuse(where, f"expected an object, found {type(value).__name__}")
    allowed = {spec.name for spec in fields(kind)}
    given = {key: item for key, item in value.items() if key != ignoring}
    for key, item in given.items():
        if key not in allowed:
            raise _refuse(where, f"unknown key {key!r}; known: {', '.join(sorted(allowed))}")
        # bool is an int to isinstance, but `"pieces": true` is a mistake.
        if not isinstance(item, _TYPES[key]) or isinstance(item, bool):
            raise _refuse(f"{where}.{key}", f"wrong type {type(item).__name__}")
    return given


def _make(kind: type[Any], given: Mapping[str, Json], where: str) -> Any:  # noqa: ANN401 - a dataclass of the vocabulary
    missing = [spec.name for spec in fields(kind) if _required(spec) and spec.name not in given]
    if missing:
        raise _refuse(where, f"missing {', '.join(missing)}")
    try:
        return kind(**given)
    except ScriptError as problem:
        raise _refuse(where, str(problem)) from problem


def _required(spec: Field[Any]) -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def step_from_json(value: Json, where: str = "step") -> Step:
    """Read one step; a plain string is a text."""
    if isinstance(value, str):
        return Text(value)
    if not isinstance(value, dict) or value.get("step") not in STEPS:
        raise _refuse(where, f'expected a text or {{"step": one of {", ".join(STEPS)}}}')
    kind = STEPS[value["step"]]
    given = _checked(kind, value, where, ignoring="step")
    pieces = given.get("pieces")
    if isinstance(pieces, list):
        given["pieces"] = tuple(
            item if isinstance(item, str) else _interlude(item, f"{where}.pieces[{at}]")
            for at, item in enumerate(pieces)
        )
    return cast("Step", _make(kind, given, where))


def _interlude(value: Json, where: str) -> Step:
    step = step_from_json(value, where)
    if not isinstance(step, _INTERLUDES):
        raise _refuse(where, "a block cannot stand inside another block")
    return step


def answer_from_json(value: Json, where: str = "answer") -> Answer:
    """Read one answer; a plain string is an answer of that text."""
    if isinstance(value, str):
        return Answer((Text(value),))
    given = _checked(Answer, value, where)
    if "steps" in given:
        given["steps"] = tuple(step_from_json(item, f"{where}.steps[{at}]") for at, item in enumerate(given["steps"]))
    if given.get("usage") is not None:
        given["usage"] = _make(Usage, _checked(Usage, given["usage"], f"{where}.usage"), f"{where}.usage")
    if given.get("hold") is not None:
        given["hold"] = step_from_json(given["hold"], f"{where}.hold")
        if not isinstance(given["hold"], Pause | Gate | Break):
            raise _refuse(f"{where}.hold", "a hold is a pause, a gate or a break")
    for name, text in given.get("headers", {}).items():
        if not isinstance(text, str):
            raise _refuse(f"{where}.headers.{name}", "a header is a text")
    return cast("Answer", _make(Answer, given, where))


def step_to_json(step: Step) -> dict[str, Json]:
    """Write one step, defaults left out."""
    written: dict[str, Json] = {"step": _NAMES[type(step)], **_changed(step)}
    pieces = written.get("pieces")
    if isinstance(pieces, tuple):
        written["pieces"] = [item if isinstance(item, str) else step_to_json(item) for item in pieces]
    return written


def answer_to_json(answer: Answer) -> dict[str, Json]:
    """Write one answer, defaults left out."""
    written = _changed(answer)
    if "steps" in written:
        written["steps"] = [step_to_json(step) for step in answer.steps]
    if answer.usage is not None:
        written["usage"] = _changed(answer.usage)
    if answer.hold is not None:
        written["hold"] = step_to_json(answer.hold)
    return written


def _changed(thing: Any) -> dict[str, Json]:  # noqa: ANN401 - a dataclass of the vocabulary
    changed: dict[str, Json] = {}
    for spec in fields(thing):
        value = getattr(thing, spec.name)
        default = spec.default_factory() if spec.default_factory is not MISSING else spec.default
        if value != default:
            changed[spec.name] = dict(value) if isinstance(value, Mapping) else value
    return changed


def script_from_json(value: Json) -> Script:
    """Read a whole script.

    A list of answers and rules, one `{"match", "answer" | "answers"}`, or `{"answers", "rules", "always"}`.
    """
    if isinstance(value, list):
        return _listed(value)
    if not isinstance(value, dict):
        raise _refuse("script", "expected a list or an object")
    if "match" in value:
        return Script(rules=(_rule(value, "script"),))
    unknown = set(value) - {"answers", "rules", "always"}
    if unknown:
        raise _refuse("script", f"unknown key {min(unknown)!r}; known: always, answers, match, rules")
    listed = _listed([*_list(value, "answers"), *_list(value, "rules")])
    always = value.get("always")
    return Script(listed.answers, listed.rules, None if always is None else answer_from_json(always, "always"))


def _list(value: Mapping[str, Json], key: str) -> Sequence[Json]:
    found = value.get(key, [])
    if not isinstance(found, list):
        raise _refuse(f"script.{key}", "expected a list")
    return found


def _listed(items: Sequence[Json]) -> Script:
    answers: list[Answer] = []
    rules: list[Rule] = []
    for at, item in enumerate(items):
        if isinstance(item, dict) and "match" in item:
            rules.append(_rule(item, f"script[{at}]"))
        else:
            answers.append(answer_from_json(item, f"script[{at}]"))
    return Script(tuple(answers), tuple(rules))


def _rule(value: Mapping[str, Json], where: str) -> Rule:
    match = value.get("match")
    given = value["answers"] if "answers" in value else [value.get("answer")]
    if set(value) - {"match", "answer", "answers"} or not isinstance(match, str) or not isinstance(given, list):
        raise _refuse(where, 'a rule is {"match": text, "answer": …} or {"match": text, "answers": […]}')
    answers = tuple(answer_from_json(item, f"{where}.answers[{at}]") for at, item in enumerate(given))
    try:
        return Rule(match, answers)
    except ScriptError as problem:
        raise _refuse(where, str(problem)) from problem


def script_from_bytes(raw: bytes) -> Script:
    """Read a whole script from JSON text."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        raise _refuse("script", f"not JSON: {problem}") from problem
    return script_from_json(value)
