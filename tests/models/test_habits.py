"""Every habit, for every model: accepted by the rules of the model's API."""

from __future__ import annotations

import pytest

from claude_code_api.models.fitted import RequestControl
from tests.models.habits import ALL, DIALECTS, PAGES, outcome, page_with_table

EVERY = [(dialect, habit) for dialect in DIALECTS for habit in DIALECTS[dialect].habits]


@pytest.mark.parametrize("control", [RequestControl(), RequestControl(removes_fields=False, marks=1)])
@pytest.mark.parametrize(("dialect", "habit"), EVERY)
def test_what_clients_send_is_accepted(dialect: str, habit: str, control: RequestControl) -> None:
    request = DIALECTS[dialect].asked(habit)
    for model in ALL:
        found = outcome(request, model, control)
        assert found.fitted is not None, model
        assert found.refusal is None, model


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_docs_show_what_becomes_of_them(dialect: str) -> None:
    written = (PAGES / f"{dialect}.md").read_text(encoding="utf-8")
    assert written == page_with_table(dialect), "write it anew: python -m tests.models.habits"
