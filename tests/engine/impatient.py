"""A real watchdog whose time the test turns: how long a CLI pauses by itself depends on how busy the machine is."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from claude_code_api.engine import process
from claude_code_api.engine.watchdog import Watchdog


class Impatient(Watchdog):
    """A watchdog that can be told that its time is over."""

    there: ClassVar[list[Impatient]] = []

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.there.append(self)

    @classmethod
    def over_all(cls, monkeypatch: pytest.MonkeyPatch) -> list[Impatient]:
        """Have such watchdogs over all processes from now on; returns them as they come."""
        monkeypatch.setattr(process, "Watchdog", cls)
        monkeypatch.setattr(cls, "there", [])
        return cls.there

    def run_out(self) -> None:
        """Have the time of a silence pass at once; one that does not watch stays as it is."""
        if self._timer is not None and not self._timer.cancelled():
            self._timer.cancel()
            self.last_s -= self._limit_s
            self._look()
