"""Which versions of the CLI are served, warned of, and refused."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from claude_code_api.engine.claude import ClaudeEngine
from claude_code_api.engine.options import EngineOptions
from claude_code_api.engine.versions import (
    NEWEST_TESTED,
    OLDEST,
    TooOldError,
    Version,
    check_version,
    shown,
    version_of,
)
from claude_code_api.turn.errors import ErrorKind
from tests.engine.fake_site import FakeSite


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.1.329", (2, 1, 329)),
        ("2.1.329 (Claude Code)", (2, 1, 329)),
        ("10.0.0-beta.1", (10, 0, 0)),
        ("unknown", None),
        ("", None),
        ("2.1", None),
        ("v2.1.329", None),
    ],
)
def test_a_version_is_read(text: str, version: Version | None) -> None:
    assert version_of(text) == version


@pytest.mark.parametrize("text", ["2.1.328", "2.0.999", "1.99.999", "0.0.0"])
def test_item_26_an_older_one_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(TooOldError) as refused:
        check_version(text)
    assert text in refused.value.error.message
    assert "claude update" in refused.value.error.message


@pytest.mark.parametrize("text", ["", "unknown", "2.1", "?"])
def test_item_26_one_that_does_not_say_its_age_is_refused(text: str) -> None:
    with pytest.raises(TooOldError, match="does not say its version"):
        check_version(text)


@pytest.mark.parametrize(("text", "lines"), [(shown(NEWEST_TESTED), 0), ("2.1.999", 1), ("3.0.0", 1)])
def test_item_26_a_later_one_is_served_with_one_line(text: str, lines: int) -> None:
    with capture_logs() as logged:
        check_version(text)
    assert [line["event"] for line in logged] == ["claude_not_tested"] * lines


def test_the_range_is_one() -> None:
    assert OLDEST <= NEWEST_TESTED
    with capture_logs() as logged:
        check_version(shown(OLDEST))
    assert logged == []


async def test_an_engine_with_an_older_one_offers_nothing(fake: FakeSite) -> None:
    fake.script(answers={"initialize": {"claude_code_version": "2.0.14"}})
    engine = ClaudeEngine(EngineOptions(), fake.site)
    try:
        with pytest.raises(TooOldError) as refused:
            await engine.offer()
        assert refused.value.error.kind is ErrorKind.ENGINE_UNAVAILABLE
    finally:
        await engine.close()
    assert engine.live == 0
