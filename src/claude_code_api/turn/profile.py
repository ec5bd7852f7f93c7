"""How much an agent may do: the one scale on which keys, projects, sessions and requests are compared."""

from __future__ import annotations

from enum import Enum


class Profile(Enum):
    """What the agent may do, from the least to the most."""

    CHAT = "chat"
    READ = "read"
    EDIT = "edit"
    SHELL = "shell"
    FULL = "full"

    def at_most(self, *others: Profile | None) -> Profile:
        """The least of them; None says nothing."""
        order = list(Profile)
        return min((self, *(other for other in others if other is not None)), key=order.index)
