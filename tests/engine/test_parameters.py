"""What a request asks for → what the CLI is asked for."""

from __future__ import annotations

import json

from claude_code_api.engine.parameters import extra_body, parameter_controls
from claude_code_api.turn.request import Limits, Sampling, TurnRequest

PLAIN = TurnRequest("m", ())
FULL = TurnRequest(
    "m",
    (),
    limits=Limits(7, ("a", "\n")),
    sampling=Sampling(0.0, 1.0, 0),
    end_user="ü\u2028'\"",
)


def test_without_parameters_only_thinking_is_switched_off() -> None:
    assert parameter_controls(PLAIN) == [{"subtype": "set_max_thinking_tokens", "max_thinking_tokens": 0}]


def test_every_parameter_is_a_field_of_the_extra_body_zeros_too() -> None:
    fields = {
        "max_tokens": 7,
        "stop_sequences": ["a", "\n"],
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "metadata": {"user_id": "ü\u2028'\""},
    }
    assert extra_body(FULL) == fields
    thinking, settings = parameter_controls(FULL)
    assert thinking["subtype"] == "set_max_thinking_tokens"
    assert settings == {
        "subtype": "apply_flag_settings",
        # As text, because that is what the CLI takes.
        "settings": {"env": {"CLAUDE_CODE_EXTRA_BODY": json.dumps(fields)}},
    }
