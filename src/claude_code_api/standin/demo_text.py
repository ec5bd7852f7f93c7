"""What the demo model says: prose only, in markdown, with no claim to be more than a stand-in.

Pure. Chooses words; `demo_model` chooses between texts, tool calls and JSON and applies the request's limits.
"""

from __future__ import annotations

import re

QUOTE_LIMIT = 160

INTRODUCTION = (
    "You are talking to the **built-in stand-in**, not to a real model. It runs on this machine: "
    "no account, no network, no Claude behind it. The real `claude` program did carry this request, though."
)

LIST = """\
What you can try with it:

- ask for a **long** answer and watch it stream, then stop it half way
- offer a tool and see it being called with arguments that fit its schema
- ask for JSON with a schema, set `max_tokens` or a stop sequence
"""

TABLE = """\
| part | here | with `make start` |
|---|---|---|
| gateway | real | real |
| `claude` program | real | real |
| model | stand-in | Claude |
| cost | none | your account's |
"""

CODE = """\
```python
from openai import OpenAI

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
for chunk in client.chat.completions.create(
    model="sonnet",
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
):
    print(chunk.choices[0].delta.content or "", end="")
```
"""

LIMITS = (
    "It cannot reason, translate, calculate or remember; it picks prepared sentences by words in your last message. "
    "The same request always gets the same answer."
)

LONG_PARAGRAPHS = (
    """\
A long answer shows how the stream behaves over time. Each of these words is one piece, sent shortly after the one
before it, and the gateway passes every piece on as it arrives.""",
    """\
If you close the page or press stop now, the connection to the stand-in closes within milliseconds and no further word
is made. With a real model that is the moment from which nothing more is paid for.""",
    """\
Unicode travels unchanged as well: Grüße, naïve café, 你好, здравствуйте and 🙂 arrive as they were sent, and so do
trailing spaces, blank lines and quotation marks.""",
    "Nothing in this text depends on chance or on the time of day, so two runs can be compared word for word.",
)

LONG_SECTIONS = 8


def quoted(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return a text on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def words_of(text: str) -> frozenset[str]:
    """Return the lower-case words of a text."""
    return frozenset(re.findall(r"\w+", text.lower()))


def reply(asked: str) -> str:
    """Return the markdown answer to a message."""
    words = words_of(asked)
    you_said = f"You wrote: “{quoted(asked)}”" if asked.strip() else "Your last message had no text."
    if words & {"short", "brief", "briefly"}:
        return f"This is the built-in stand-in, not a real model. {you_said}"
    parts = [f"{INTRODUCTION}\n\n{you_said}\n"]
    if words & {"long", "essay", "story", "detail", "detailed"}:
        parts += [_section(number) for number in range(1, LONG_SECTIONS + 1)]
    wanted = [
        part
        for part, names in (
            (LIST, {"list", "lists", "bullets"}),
            (TABLE, {"table", "tables", "compare"}),
            (CODE, {"code", "program", "script", "python", "function"}),
        )
        if words & names
    ]
    parts += wanted or [LIST, TABLE, CODE]
    return "\n".join([*parts, LIMITS])


def _section(number: int) -> str:
    paragraph = LONG_PARAGRAPHS[(number - 1) % len(LONG_PARAGRAPHS)]
    return f"## Part {number} of {LONG_SECTIONS}\n\n{paragraph}\n"


def thoughts(asked: str) -> str:
    """Return a short chain of thought."""
    return f"The stand-in does not think. It read: “{quoted(asked, 80)}” and picks a prepared answer."


def before_call(tool: str) -> str:
    """Return the sentence before a tool call."""
    return f"The stand-in calls `{tool}` now, to show how a tool call travels."


def about_results(results: list[str]) -> str:
    """Return the answer after tool results."""
    listed = "\n".join(f"> {quoted(result)}" if result.strip() else "> (empty)" for result in results)
    return (
        "The tool has answered:\n\n"
        f"{listed}\n\n"
        "That is all the stand-in makes of it: it is not a real model and quotes the result instead of using it."
    )
