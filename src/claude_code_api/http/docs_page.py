"""The page at `/docs`: made on the server, readable without a script, with nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0 } h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; text-transform: capitalize }
code, pre { font: .9rem ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% } td { padding: .45rem .6rem; border-top: 1px solid var(--line); }
td:first-child { width: 4rem; font-weight: 600 } td:nth-child(2) { white-space: nowrap }
@media (max-width: 40rem) { td { display: block; border: 0; padding: .1rem 0 } tr { display: block; padding: .6rem 0;
  border-top: 1px solid var(--line) } td:nth-child(2) { white-space: normal } }
"""

_EXAMPLE = """curl http://{host}/v1/chat/completions \\
  -H "Authorization: Bearer $CLAUDE_CODE_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "sonnet", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'"""


def docs_page(openapi: Mapping[str, Any], host: str) -> str:
    """Write the page from the OpenAPI description."""
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    groups: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, entry in methods.items():
            groups.setdefault(entry.get("tags", ["other"])[0], []).append(_row(method, path, entry))
    tables = "".join(f"<h2>{escape(name)}</h2><table>{''.join(rows)}</table>" for name, rows in groups.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{escape(openapi['info'].get('description', ''))}</p>"
        f"<pre>{escape(_EXAMPLE.format(host=host))}</pre>{tables}"
        "<p>The same in OpenAPI's terms: <a href='/openapi.json'>/openapi.json</a></p></body></html>"
    )


def _row(method: str, path: str, entry: Mapping[str, Any]) -> str:
    what = escape(entry.get("description") or entry.get("summary") or "")
    return f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{what}</td></tr>"
