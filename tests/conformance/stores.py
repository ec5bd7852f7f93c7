"""The databases that are held to the same behaviours, and what is put into them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from claude_code_api.flow.ports import Store
from claude_code_api.flow.records import (
    Acceptance,
    IdempotencyKey,
    Project,
    Session,
    StoredMessage,
    Turn,
    TurnEnd,
    TurnState,
)
from claude_code_api.storage.options import StorageOptions
from claude_code_api.turn.events import Ended, EndReason, Usage
from claude_code_api.turn.profile import Profile
from claude_code_api.turn.request import Block, Message, TextBlock
from tests.conformance.postgres_server import postgres_server

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
DAY = 86_400.0
ANN, BOB = "key-ann", "key-bob"
BOOT = "boot-1"

Options = Callable[[Path], StorageOptions]


def sqlite(directory: Path) -> StorageOptions:
    return StorageOptions(data_dir=directory / "data")


def postgresql(directory: Path) -> StorageOptions:
    return StorageOptions(data_dir=directory / "data", database_url=postgres_server().new_database())


def a_project(id_: str = "p1", **more: Any) -> Project:
    project = Project(
        id=id_,
        owner=ANN,
        name=f"Project {id_}",
        description="what it is for",
        path=f"{id_}-dir",
        profile=Profile.EDIT,
        created_s=NOW,
        updated_s=NOW,
    )
    return dataclasses.replace(project, **more)


def a_session(id_: str = "s1", **more: Any) -> Session:
    session = Session(
        id=id_,
        owner=ANN,
        project_id=None,
        title=f"Title {id_}",
        model="sonnet",
        system=(TextBlock("Be brief.", {"cache_control": {"type": "ephemeral"}}),),
        profile=Profile.CHAT,
        created_s=NOW,
        updated_s=NOW,
        last_used_s=NOW,
        ttl_s=DAY,
    )
    return dataclasses.replace(session, **more)


def a_turn(id_: str, session_id: str, fence: int, **more: Any) -> Turn:
    turn = Turn(
        id=id_,
        session_id=session_id,
        owner=ANN,
        project_id=None,
        dialect="openai_chat",
        requested_model="gpt-4o",
        model="sonnet",
        state=TurnState.ACCEPTED,
        boot_id=BOOT,
        fence=fence,
        created_s=NOW + fence,
    )
    return dataclasses.replace(turn, **more)


def said(
    id_: str, content: str | tuple[Block, ...], role: Literal["user", "assistant"] = "user", **more: Any
) -> StoredMessage:
    blocks = (TextBlock(content),) if isinstance(content, str) else content
    message = StoredMessage(id_, "s1", 0, None, Message(role, blocks), NOW)
    return dataclasses.replace(message, **more)


class Talk:
    """One session, asked and answered turn by turn. Names are made of the session's id and the fence."""

    def __init__(self, store: Store, session: Session | None = None) -> None:
        self.store, self.session = store, session or a_session()
        self.fence = 0

    @property
    def turn_id(self) -> str:
        return f"{self.session.id}-turn-{self.fence}"

    def acceptance(
        self,
        *content: str | tuple[Block, ...],
        key: IdempotencyKey | None = None,
        of_turn: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Acceptance:
        """The next turn, as `ask` would have it accepted."""
        fence = self.fence + 1
        turn = a_turn(f"{self.session.id}-turn-{fence}", self.session.id, fence, owner=self.session.owner)
        turn = dataclasses.replace(turn, project_id=more.get("project_id"), **(of_turn or {}))
        messages = tuple(
            said(f"{turn.id}-ask-{n}", text, turn_id=turn.id, session_id=self.session.id, created_s=turn.created_s)
            for n, text in enumerate(content)
        )
        acceptance = Acceptance(
            turn,
            messages,
            new_session=self.session if fence == 1 else None,
            open_digest=b"open-%d" % fence,
            model=self.session.model,
            system=self.session.system,
            idempotency=key,
        )
        return dataclasses.replace(acceptance, **more)

    async def ask(self, *content: str | tuple[Block, ...], **more: Any) -> str:
        """Have the next turn accepted; returns its id."""
        await self.store.accept(self.acceptance(*content, **more))
        self.fence += 1
        return self.turn_id

    def ending(self, content: str | tuple[Block, ...] | None, **more: Any) -> TurnEnd:
        """The end of the turn, as `hear` would have it written."""
        answer = None
        if content is not None:
            answer = said(
                f"{self.turn_id}-answer",
                content,
                "assistant",
                turn_id=self.turn_id,
                session_id=self.session.id,
                created_s=NOW + self.fence + 0.5,
                truncated=more.pop("truncated", False),
            )
        end = TurnEnd(
            turn_id=self.turn_id,
            session_id=self.session.id,
            fence=self.fence,
            state=TurnState.COMPLETED,
            ended_s=NOW + self.fence + 0.5,
            model="sonnet",
            steps=(),
            answer=answer,
            usage=Usage(1, 2, 3, 4, 5, cost_usd=0.25),
            ended=Ended(EndReason.STOP),
            error=None,
            head_digest=b"head-%d" % self.fence,
        )
        return dataclasses.replace(end, **more)

    async def hear(self, content: str | tuple[Block, ...] | None, **more: Any) -> None:
        """Have the turn answered."""
        await self.store.finish(self.ending(content, **more))

    async def round(self, asked: str, answered: str) -> str:
        """Do both; returns the turn's id."""
        turn_id = await self.ask(asked)
        await self.hear(answered)
        return turn_id

    async def stored(self) -> Session:
        session = await self.store.session(self.session.id, self.session.owner)
        assert session is not None
        return session
