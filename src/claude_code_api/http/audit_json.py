"""An entry of the record as /v1/audit and `audit list` say it; the command has no use for the web framework."""

from __future__ import annotations

from typing import Any

import orjson

from claude_code_api.flow.audit_records import AuditEntry


def entry_json(entry: AuditEntry) -> dict[str, Any]:
    """Say an entry."""
    return {
        "id": str(entry.number),
        "object": "audit.entry",
        "number": entry.number,
        "at": entry.at_s,
        "key": entry.key,
        "kind": entry.kind,
        "what": orjson.loads(entry.body)["what"],
        "hash": entry.hash.hex(),
    }
