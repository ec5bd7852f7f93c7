"""The bundled `claude` on a stand-in, on the loop that the gateway uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_code_api.standin import StandIn
from tests.engine.patience import be_patient
from tests.real_cli.rig import Rig


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.real_cli)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def upstream() -> Iterator[StandIn]:
    with StandIn(pace_ms=0) as standin:
        yield standin


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with StandIn(pace_ms=0) as upstream:
        upstream.always("ok")
        yield Rig(upstream, tmp_path)


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    yield from be_patient()
