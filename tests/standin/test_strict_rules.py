"""Every rule of `rules.json`: a body that breaks it is refused in its words, and the body next to it is accepted."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from claude_code_api.standin import strict
from claude_code_api.standin.strict import Refusal, asked, refusal
from claude_code_api.standin.strict_rows import OwnCheck, Row, rows
from tests.standin import (
    strict_content,
    strict_fields,
    strict_headers,
    strict_models,
    strict_schemas,
    strict_server_tools,
    strict_thoughts,
    strict_tools,
)
from tests.standin.strict_bodies import Example, answer_of, body, closed

EXAMPLES: Final = [
    *strict_fields.EXAMPLES,
    *strict_models.EXAMPLES,
    *strict_content.EXAMPLES,
    *strict_tools.EXAMPLES,
    *strict_schemas.EXAMPLES,
    *strict_headers.EXAMPLES,
    *strict_server_tools.EXAMPLES,
    *strict_thoughts.EXAMPLES,
]
ROWS: Final = {row.id: row for row in rows()}
# A call without a good id has no result, and a result without one no call; these go wrong as well by nature.
FOLLOWING: Final = {
    "tool_use_id_required": {"tool_result_alone", "tool_use_unanswered"},
    "tool_use_id_type": {"tool_result_alone", "tool_use_unanswered"},
    "tool_use_id_pattern": {"tool_result_id_pattern"},
    "tool_result_tool_use_id_required": {"tool_result_alone"},
    "tool_result_tool_use_id_type": {"tool_result_alone"},
    "tool_result_id_pattern": {"tool_result_alone"},
    "model_required": {"unknown_model"},
    "model_type": {"unknown_model"},
    "model_empty": {"unknown_model"},
    "model_length": {"unknown_model"},
}


def judged(example: Example, what: Any, *, accepted: bool = False) -> Refusal | None:
    headers = dict(example.headers if accepted else example.bad_headers)
    return refusal(what, headers, 100 if accepted else example.size, counting=example.counting)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.rule)
def test_a_broken_rule_answers_in_its_words(example: Example) -> None:
    refused = judged(example, example.bad)
    row = ROWS[example.rule]
    assert refused == Refusal(row.status, row.error, example.words, example.rule)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.rule)
def test_the_body_next_to_it_is_accepted(example: Example) -> None:
    assert judged(example, example.good, accepted=True) is None


def test_no_rule_is_without_its_example() -> None:
    assert {example.rule for example in EXAMPLES} == set(ROWS)
    assert len(rows()) == len(ROWS)


# What is no object has no rules beyond that, and a hundred thousand messages take their time.
SMALL: Final = [one for one in EXAMPLES if one.rule not in ("body", "messages_count")]


@pytest.mark.parametrize("example", SMALL, ids=lambda example: example.rule)
def test_an_example_breaks_one_rule(example: Example) -> None:
    request = asked(example.bad, dict(example.bad_headers), example.size, counting=example.counting)
    broken = {row.id for row in rows() if row.about(request.model) and check_of(row)(request) is not None}
    assert broken == {example.rule} | FOLLOWING.get(example.rule, set())


def check_of(row: Row) -> Any:
    return strict.SPECIAL[row.special] if row.special else OwnCheck(row.check)


def test_each_row_is_either_a_check_or_names_a_function() -> None:
    named = {row.special for row in rows() if row.special}
    assert named == set(strict.SPECIAL)
    for row in rows():
        assert bool(row.special) != bool(row.check), row.id
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row.date), row.id
        assert row.what.endswith("."), row.id
        assert row.source, row.id


@pytest.mark.parametrize("junk", [None, True, 7, 2**70, "x", [], {}, [None], ["x"], {"type": None}, {"type": []}])
def test_nothing_that_is_json_breaks_the_rules_themselves(junk: Any) -> None:
    assert isinstance(refusal(junk, {}, 1), Refusal)
    bent = 0
    for whole, holder, name in BENDABLE:
        kept, holder[name] = holder[name], junk
        refused = refusal(whole, {}, 1)
        bent += refused is None or refused.rule in ROWS
        holder[name] = kept
    assert bent == len(BENDABLE) > 150


def bendable() -> Iterator[tuple[Any, Any, Any]]:
    """Each kind of place in the accepted bodies once: the body, what holds the place, and its name there."""
    seen: set[tuple[str, ...]] = set()
    for example in EXAMPLES:
        whole = copy.deepcopy(example.good)
        for path, holder, name in places(whole):
            if path not in seen:
                seen.add(path)
                yield whole, holder, name


def places(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in list(inner):
        kind = str(one.get("type")) if isinstance(one, dict) else ""
        path = (*above, str(name) if isinstance(name, str) else "", kind)
        yield path, value, name
        yield from places(one, path)


BENDABLE: Final = list(bendable())


def test_many_ways_to_one_definition_are_followed_once() -> None:
    ladder: dict[str, Any] = {"D40": {"type": "string"}}
    for step in range(40):
        ladder[f"D{step}"] = {"anyOf": [{"$ref": f"#/$defs/D{step + 1}"}] * 2}
    schema = {**closed(it={"$ref": "#/$defs/D0"}), "$defs": ladder}
    refused = refusal(answer_of(schema), {}, 1)
    assert refused is not None
    assert refused.rule == "output_unions"


def test_counting_wants_no_bound() -> None:
    unbounded = {name: value for name, value in body().items() if name != "max_tokens"}
    assert refusal(unbounded, {}, 1, counting=True) is None
    refused = refusal({**unbounded, "messages": []}, {}, 1, counting=True)
    assert refused is not None
    assert refused.rule == "messages_empty"
