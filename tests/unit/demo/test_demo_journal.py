"""The decisions that the demo remembers, and what it names as their cause."""

from __future__ import annotations

from cors_authz.demo.journal import MAX_ENTRIES, Cause, Journal, cause_of
from cors_authz.edge.observation import Observation
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Objection, Reason
from cors_authz.policy.compiled import AnyRole, Guard
from cors_authz.policy.finding import Place

ONE, OTHER = refuse_unread(Reason.INTERNAL_ERROR), refuse_unread(Reason.REQUEST_MALFORMED)


def test_a_decision_is_found_by_its_id_and_told_once_someone_listens() -> None:
    journal = Journal()
    told: list[tuple[Decision, str]] = []
    journal.record(Observation(ONE, "1", (0.0, 0.0)))
    journal.listen(lambda decision, decision_id: told.append((decision, decision_id)))
    journal.record(Observation(OTHER, "2", (0.0, 0.0)))
    assert (journal.find("1"), journal.find("2"), journal.find("3")) == (ONE, OTHER, None)
    assert told == [(OTHER, "2")]


def test_the_oldest_is_forgotten_and_the_order_kept() -> None:
    journal = Journal()
    for number in range(MAX_ENTRIES + 2):
        journal.record(Observation(ONE, str(number), (0.0, 0.0)))
    assert list(journal.latest()) == [str(number) for number in range(2, MAX_ENTRIES + 2)]


def test_a_guard_is_the_cause_before_all_else() -> None:
    guard = Guard("clerk", Place("p.yaml", 7, 3), AnyRole(frozenset({"clerk"})))
    refused = ONE._replace(guard=Objection(Reason.ROLE_MISSING, guard).guard)
    assert str(cause_of(refused)) == "guard clerk, p.yaml:7"


def test_without_a_group_there_is_no_place() -> None:
    assert cause_of(ONE) == Cause("no group", None)
    assert str(cause_of(ONE)) == "no group"
