"""A loopback stand-in of the Anthropic Messages API: plays scripts, records requests, and needs no model.

Used by the demo, the doctor, the contract checks of the CLI, the tests and the bench. Imports nothing else of this
package, so that it can judge the rest of it.
"""

from claude_code_api.standin.received import Received
from claude_code_api.standin.script import (
    Answer,
    Break,
    Echo,
    Gate,
    Pause,
    Ping,
    RawEvent,
    RedactedThinking,
    Rule,
    Script,
    ScriptError,
    Text,
    Thinking,
    ToolUse,
    Usage,
    calls,
    fails,
    says,
)
from claude_code_api.standin.script_json import answer_from_json, answer_to_json, script_from_bytes, script_from_json
from claude_code_api.standin.server import StandIn

__all__ = [
    "Answer",
    "Break",
    "Echo",
    "Gate",
    "Pause",
    "Ping",
    "RawEvent",
    "Received",
    "RedactedThinking",
    "Rule",
    "Script",
    "ScriptError",
    "StandIn",
    "Text",
    "Thinking",
    "ToolUse",
    "Usage",
    "answer_from_json",
    "answer_to_json",
    "calls",
    "fails",
    "says",
    "script_from_bytes",
    "script_from_json",
]
