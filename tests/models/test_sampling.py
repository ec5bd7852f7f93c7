"""Temperature, top_p and top_k: what each kind of model takes of them, and what is named."""

from __future__ import annotations

import pytest

from claude_code_api.turn.request import Effort, Reasoning, Sampling
from tests.models.asking import ALL, ALWAYS, BUDGET, EITHER, TABLE, asks, fitted

# The last of them before temperature and top_p excluded each other.
BOTH = "claude-sonnet-4-20250514"


@pytest.mark.parametrize(
    ("model", "wished", "kept", "changed"),
    [
        (BOTH, Sampling(0.3, 0.5, 7), Sampling(0.3, 0.5, 7), ()),
        (BUDGET, Sampling(0.3, 0.5, 7), Sampling(0.3, None, 7), ("top_p",)),
        (BUDGET, Sampling(0.0), Sampling(0.0), ()),
        # 1 is what happens anyway: it makes room for the other one, and is not named.
        (BUDGET, Sampling(1, 0.5), Sampling(None, 0.5), ()),
        (BUDGET, Sampling(0.3, 1), Sampling(0.3), ()),
        (EITHER, Sampling(0.3, 0.5, 7), Sampling(), ("temperature", "top_p", "top_k")),
        (ALWAYS, Sampling(1, 1), Sampling(), ()),
        ("claude-haiku-5-5", Sampling(0.0), Sampling(), ("temperature",)),
    ],
)
def test_what_is_kept(model: str, wished: Sampling, kept: Sampling, changed: tuple[str, ...]) -> None:
    found = fitted(model, asks(sampling=wished))
    assert found.request.sampling == kept
    assert found.changed == changed
    # What is not asked for is not the CLI's to say, either.
    absent = {name for name in ("temperature", "top_p", "top_k") if getattr(kept, name) is None}
    assert {name for name in ("temperature", "top_p", "top_k") if name in found.request.as_is} == absent


def test_beside_thinking() -> None:
    found = fitted(BUDGET, asks(sampling=Sampling(0.3, 0.5, 7), reasoning=Reasoning(Effort.LOW)))
    assert (found.request.sampling, found.changed) == (Sampling(), ("temperature", "top_p", "top_k"))
    found = fitted(BUDGET, asks(sampling=Sampling(1, 0.95), reasoning=Reasoning(Effort.LOW)))
    assert (found.request.sampling, found.changed) == (Sampling(None, 0.95), ())


@pytest.mark.parametrize("model", ALL)
def test_beside_what_the_cli_says_nothing_that_it_excludes(model: str) -> None:
    found = fitted(model, asks(sampling=Sampling(top_p=0.5)), removes_fields=False)
    row = TABLE.of(model)
    assert found.request.sampling.top_p == (0.5 if row.top_p and row.temperature_with_top_p else None)
    assert None not in found.request.as_is.values()
