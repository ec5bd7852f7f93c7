"""What waits for a person: whose it is, until when, and that it is decided once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from claude_code_api.flow.approvals import MAX_OPEN, MAX_RULES, MAX_SESSIONS, MAX_SETTLED, Approvals
from claude_code_api.turn.approvals import Decision, Settler, Verdict
from claude_code_api.turn.errors import ErrorKind, TurnError, TurnRefusedError, invalid
from claude_code_api.turn.events import ApprovalSettled, ApprovalWanted

ALLOW, DENY, ALWAYS = (Verdict(decision) for decision in (Decision.ALLOW, Decision.DENY, Decision.ALLOW_ALWAYS))


@dataclass(eq=False)
class Turn:
    """A turn, and what its engine was told."""

    session_id: str = "s"
    owner: str = "ann"
    turn_id: str = "t"
    told: list[tuple[str, Verdict]] = field(default_factory=list)
    refusal: TurnRefusedError | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, approval_id: str, verdict: Verdict) -> bool:
        if self.refusal is not None:
            raise self.refusal
        self.told.append((approval_id, verdict))
        self.answered.set()
        return True


class Clock:
    def now_s(self) -> float:
        return 1000.0

    def monotonic_s(self) -> float:
        return 0.0


def wanted(id_: str = "a", always: str = "Write") -> ApprovalWanted:
    return ApprovalWanted(id_, f"toolu_{id_}", "Write", {}, always=always)


def refused(approvals: Approvals, id_: str, *, session: str = "s", owner: str = "ann") -> TurnError:
    with pytest.raises(TurnRefusedError) as refusal:
        approvals.answer(session, owner, id_, ALLOW)
    return refusal.value.error


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def approvals() -> Approvals:
    return Approvals(Clock(), wait_s=60)


async def test_a_question_has_a_deadline_and_is_listed(approvals: Approvals) -> None:
    turn = Turn()
    assert approvals.opened(turn, wanted()).expires_s == 1060.0
    assert [(id_, one.approval_id) for id_, one in approvals.waiting("s", "ann")] == [("t", "a")]
    approvals.closed("a")
    assert approvals.waiting("s", "ann") == []


async def test_it_is_decided_once(approvals: Approvals) -> None:
    turn = Turn()
    approvals.opened(turn, wanted())
    assert approvals.answer("s", "ann", "a", ALLOW).tool_id == "toolu_a"
    assert refused(approvals, "a").kind is ErrorKind.CONFLICT
    assert approvals.waiting("s", "ann") == []
    approvals.closed("a")
    assert refused(approvals, "a").kind is ErrorKind.CONFLICT
    assert turn.told == [("a", ALLOW)]


async def test_what_is_somebody_elses_is_like_what_never_was(approvals: Approvals) -> None:
    turn = Turn()
    approvals.opened(turn, wanted())
    never = refused(approvals, "b")
    assert never.kind is ErrorKind.NOT_FOUND
    assert refused(approvals, "a", owner="bob") == never
    assert refused(approvals, "a", session="other") == never
    approvals.closed("a")
    assert refused(approvals, "a", owner="bob") == never
    assert (approvals.waiting("s", "bob"), approvals.waiting("other", "ann"), turn.told) == ([], [], [])


async def test_what_an_engine_refuses_still_waits(approvals: Approvals) -> None:
    turn = Turn(refusal=invalid("not like that", param="input"))
    approvals.opened(turn, wanted())
    assert refused(approvals, "a").param == "input"
    turn.refusal = None
    approvals.answer("s", "ann", "a", ALLOW)


async def test_nobody_answering_is_a_denial() -> None:
    approvals, turn = Approvals(Clock(), wait_s=0.01), Turn()
    approvals.opened(turn, wanted())
    await turn.answered.wait()
    ((_, verdict),) = turn.told
    assert (verdict.decision, verdict.by) == (Decision.DENY, Settler.TIME)
    assert refused(approvals, "a").kind is ErrorKind.CONFLICT


async def test_what_is_allowed_for_good_is_so_in_its_session_alone(approvals: Approvals) -> None:
    turn = Turn()
    approvals.opened(turn, wanted("a"))
    approvals.answer("s", "ann", "a", ALWAYS)
    later, elsewhere, others = Turn(), Turn(session_id="other"), Turn(owner="bob")
    approvals.opened(later, wanted("b"))
    assert later.told == [("b", Verdict(Decision.ALLOW, Settler.RULE))]
    approvals.opened(later, wanted("c", always="Edit"))
    approvals.opened(later, wanted("d", always=""))
    approvals.opened(elsewhere, wanted("e"))
    approvals.opened(others, wanted("f"))
    assert (len(later.told), elsewhere.told, others.told) == (1, [], [])


async def test_what_a_turn_leaves_is_denied(approvals: Approvals) -> None:
    turn, other = Turn(), Turn(turn_id="u")
    approvals.opened(turn, wanted("a"))
    approvals.opened(turn, wanted("b"))
    approvals.opened(other, wanted("c"))
    approvals.answer("s", "ann", "b", ALLOW)
    assert list(approvals.left_by(turn)) == [
        ApprovalSettled("a", "toolu_a", Decision.DENY, Settler.END),
        ApprovalSettled("b", "toolu_b", Decision.ALLOW, Settler.PERSON),
    ]
    for id_ in ("a", "b"):
        approvals.closed(id_)
    assert list(approvals.left_by(turn)) == []
    assert [one.approval_id for _, one in approvals.waiting("s", "ann")] == ["c"]


async def test_more_than_a_person_can_follow_is_denied(approvals: Approvals) -> None:
    turn = Turn()
    for number in range(MAX_OPEN + 1):
        approvals.opened(turn, wanted(str(number)))
    ((id_, verdict),) = turn.told
    assert (id_, verdict.decision) == (str(MAX_OPEN), Decision.DENY)
    assert len(approvals.waiting("s", "ann")) == MAX_OPEN


async def test_what_is_remembered_is_bounded(approvals: Approvals) -> None:
    for number in range(MAX_SETTLED + 1):
        approvals.opened(Turn(), wanted(str(number)))
        approvals.closed(str(number))
    assert refused(approvals, "0").kind is ErrorKind.NOT_FOUND
    assert refused(approvals, "1").kind is ErrorKind.CONFLICT
    for number in range(MAX_RULES + 1):
        approvals.opened(Turn(), wanted("x", always=str(number)))
        approvals.answer("s", "ann", "x", ALWAYS)
        approvals.closed("x")
    turn = Turn()
    for rule in ("0", "1"):
        approvals.opened(turn, wanted(f"rule {rule}", always=rule))
    assert [id_ for id_, _ in turn.told] == ["rule 1"]
    for number in range(MAX_SESSIONS):
        approvals.opened(Turn(session_id=str(number)), wanted("y"))
        approvals.answer(str(number), "ann", "y", ALWAYS)
        approvals.closed("y")
    turn = Turn()
    approvals.opened(turn, wanted("z", always="1"))
    assert turn.told == []
