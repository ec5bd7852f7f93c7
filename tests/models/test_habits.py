"""Every habit, for every model: accepted by the rules of the model's API."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_code_api.models.fitted import RequestControl
from tests.models.habits import ALL, HABITS, asked, outcome, rows

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("control", [RequestControl(), RequestControl(removes_fields=False, marks=1)])
def test_what_clients_send_is_accepted(habit: str, model: str, control: RequestControl) -> None:
    found = outcome(asked(habit), model, control)
    assert found.fitted is not None
    assert found.refusal is None


def test_the_docs_show_what_becomes_of_them() -> None:
    written = DOCS.read_text(encoding="utf-8")
    assert all(row in written for row in rows()), "write it anew: python -m tests.models.habits"
