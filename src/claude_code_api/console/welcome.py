"""What `serve` prints once it listens: where, with which key, and lines to paste into other tools."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.text import Text

from claude_code_api import __version__
from claude_code_api.app import Entrance


def show_welcome(console: Console, entrance: Entrance, *, problem: str | None) -> None:
    """Print it. The key itself is shown only when it was made just now."""
    console.print()
    console.print(Text.assemble(("claude-code-api ", "bold"), __version__, " at ", (entrance.url, "bold cyan")))
    console.print()
    first_key = entrance.first_key
    if first_key is not None and first_key.fresh:
        console.print(Text.assemble(("  Your key, shown this once: ", "bold"), (first_key.key, "bold green")))
        console.print(f"  It is kept in {first_key.path}", style="dim", soft_wrap=True, highlight=False)
        console.print()
    for line in snippets(entrance):
        # Lines to copy must not be broken by the terminal's width.
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
    console.print()
    if entrance.access.open:
        console.print("  No key is asked for: whoever is on this machine can use it.", style="yellow")
    if problem:
        console.print(Text.assemble(("  ", ""), (problem, "yellow")), soft_wrap=True)


def snippets(entrance: Entrance) -> list[str]:
    """Write lines that work as they are."""
    url, key = entrance.url, _key_in_a_shell(entrance)
    body = '{"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
    authorization = f' -H "Authorization: Bearer {key}"' if key else ""
    return [
        f"curl -N {url}/v1/chat/completions{authorization} -H 'Content-Type: application/json' -d '{body}'",
        "",
        f"export OPENAI_BASE_URL={url}/v1",
        f"export OPENAI_API_KEY={key or 'unused'}",
        f"export ANTHROPIC_BASE_URL={url}",
        f"export ANTHROPIC_AUTH_TOKEN={key or 'unused'}",
    ]


def _key_in_a_shell(entrance: Entrance) -> str | None:
    if entrance.access.open:
        return None
    first_key = entrance.first_key
    if first_key is None:
        return "$CLAUDE_CODE_API_KEY"
    return first_key.key if first_key.fresh else f"$(cat {shlex.quote(str(first_key.path))})"
