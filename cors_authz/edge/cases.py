"""Checks that are alike: told apart by one look-up, counted in place, and added up when somebody asks.

What is counted of a check, and most of what is recorded of it, follows from few of its facts. To work it out costs as
much as half of a decision, so it is worked out once for all checks that share those facts: a case. Each check then
pays for a key, a look-up and an addition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from threading import Lock
from typing import Final, NamedTuple, TypeAlias, TypeVar
from weakref import ref

from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.policy.compiled import CompiledPolicy, Credential, Membership, Trust
from cors_authz.policy.finding import Place

MAX_CASES: Final = 4096
"""So many are told apart, and as many before them: whoever invents origins makes no more than that."""
MAX_TEXT: Final = 256
"""No text of a client is longer, wherever it is counted or recorded."""
_MAX_KEY_TEXT: Final = 1024
_SETTLED_AT_ONCE: Final = 4
_NO_MEMBERSHIP: Final = Membership(0, "", "", Place("", 0, 0))

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PREFLIGHT: Final = Kind.PREFLIGHT
_COOKIE: Final = Credential.COOKIE
_BEARER: Final = Credential.BEARER


class Features(NamedTuple):
    """What is counted of all checks of a case. Nothing here keeps a policy alive.

    `group` is empty where no route matched, `kind` None where nothing could be read. `origin_group` and `pattern` say
    by what the resource group lists the origin, and are empty where it does not. `credentials` says whether a cookie
    or an Authorization travels on. What a client wrote is cut to `MAX_TEXT`.
    """

    outcome: Outcome
    reason: Reason
    shadow: bool
    group: str = ""
    kind: Kind | None = None
    method: str = ""
    tenant: str = ""
    origin: str = ""
    origin_group: str = ""
    pattern: str = ""
    trust: Trust = Trust.NONE
    credentials: bool = False


class Shared(NamedTuple):
    """What the records of a case share: the headers that they have, and the end of their lines."""

    headers: tuple[str, ...]
    text: bytes


class Case:
    """Checks that are alike: how many there were, when the first and the last.

    `shared` is settled with the first of their records.
    """

    __slots__ = ("count", "features", "first", "last", "settled", "shared")

    def __init__(self, features: Features, now: float) -> None:
        self.features = features
        self.count = self.settled = 0
        self.first = self.last = now
        self.shared: Shared | None = None

    def add(self, now: float) -> None:
        """Count a check."""
        self.count += 1
        self.last = now


class Settled(NamedTuple):
    """So many checks with these features since they were last told of, and when the first and the last were."""

    features: Features
    checks: int
    first: float
    last: float


T = TypeVar("T")
Taker: TypeAlias = Callable[[Settled], None]
"""Adds checks to what it counts; bounds what it keeps of what clients wrote."""


class Cases:
    """Counts checks by what they have in common. Safe to use from many threads.

    No lock is taken where a check is counted, which would cost as much as all the rest: on CPython no thread comes
    between the two halves of a `+=`. A case that gives way to others is kept until as many have come again, so that
    whoever still counts on it is not lost.

    Args:
        takers: who adds up.
    """

    def __init__(self, takers: Sequence[Taker]) -> None:
        self._takers = takers
        self._policy: Callable[[], CompiledPolicy | None] = _no_policy
        self._current: dict[object, Case] = {}
        self._former: dict[object, Case] = {}
        self._retired: deque[Case] = deque()
        self._settling = Lock()

    def of(self, decision: Decision) -> Case:
        """Give the case of a check; whoever is told of the check adds it there."""
        _, reason, status, facts, guard, roles, shadow, _ = decision
        if facts is None:
            key: object = reason
        else:
            # At once: to look up twenty fields of a named tuple would cost as much again as all the rest.
            policy, request, _, _, _, route, _, run, kind, origin, _, _, version, _, tenants, _, _, rule, _, _ = facts
            method, _, host, _, headers, _, _, _, _, _ = request
            if self._policy() is not policy:
                self._begin(policy)
            told = announcements(decision, facts) if version or kind is _PREFLIGHT else None
            granted = rule.credentials if rule else facts.credentials
            carries = bool(granted) and _carries(headers, granted)
            # The parts of a policy live as long as it does, and so do their identities.
            parts = (id(guard), id(route), id(rule), host, origin, tenants, version)
            key = (reason, status, shadow, kind, method, run, parts, not roles, told, carries)
        return self._current.get(key) or self._meet(key, decision)

    def settle(self) -> None:
        """Tell the takers what was counted up to now."""
        with self._settling:
            self._retired.extend(chain(self._former.values(), self._current.copy().values()))
            self._settle(len(self._retired))

    def settled(self, read: Callable[[], T]) -> Callable[[], T]:
        """Give what reads a taker once it was told all that was counted up to then."""

        def read_settled() -> T:
            self.settle()
            return read()

        return read_settled

    def _begin(self, policy: CompiledPolicy) -> None:
        with self._settling:
            if self._policy() is not policy:
                # Twice: once the former policy is gone, its parts' identities may be those of others.
                self._give_way()
                self._give_way()
                self._policy = ref(policy)

    def _meet(self, key: object, decision: Decision) -> Case:
        with self._settling:
            if len(self._current) >= MAX_CASES:
                self._give_way()
            # A few at a time: all at once would keep the checks waiting.
            self._settle(_SETTLED_AT_ONCE)
            case = self._former.get(key) or Case(features_of(decision), decision.now)
            # What is longer than any text of honest clients is counted all the same, and not kept to be found again.
            return self._current.setdefault(key if _is_short(decision.facts) else object(), case)

    def _give_way(self) -> None:
        self._retired.extend(self._former.values())
        self._former, self._current = self._current, {}

    def _settle(self, most: int) -> None:
        for _ in range(min(most, len(self._retired))):
            case = self._retired.popleft()
            # Read once: a check may be counted meanwhile.
            count = case.count
            new = count - case.settled
            if new:
                case.settled = count
                settled = Settled(case.features, new, case.first, case.last)
                for take in self._takers:
                    take(settled)


def features_of(decision: Decision) -> Features:
    """Say what is counted of a decision."""
    outcome, reason, _, facts, _, _, shadow, _ = decision
    if facts is None:
        return Features(outcome, reason, shadow)
    listed = facts.standing or facts.listed
    membership = listed.membership if listed else _NO_MEMBERSHIP
    return Features(
        outcome,
        reason,
        shadow,
        facts.group.name if facts.group else "",
        facts.kind,
        _carried(facts.method or ""),
        _carried(facts.tenant),
        _carried(facts.origin),
        membership.group,
        membership.pattern,
        facts.policy.trust.get(membership.group, Trust.NONE),
        _carries(facts.request.headers, facts.credentials),
    )


def announcements(decision: Decision, facts: Facts) -> tuple[bool, ...]:
    """Name what the headers of an answer depend on beside rule and caller: what is asked, what is announced."""
    if facts.kind is _PREFLIGHT:
        return bool(facts.asked_headers), "access-control-request-private-network" in facts.request.headers
    versions = facts.group.versions if facts.group else None
    version = versions.get(facts.version) if versions else None
    return (version is not None and version.deprecated is not None and decision.now < version.deprecated,)


def _carries(headers: Mapping[str, str], granted: frozenset[Credential]) -> bool:
    """Tell whether a request carries a cookie or an Authorization that travels on with it."""
    return ("cookie" in headers and _COOKIE in granted) or ("authorization" in headers and _BEARER in granted)


def _carried(text: str) -> str:
    text = text[:MAX_TEXT]
    # No label and no JSON carries half of a surrogate pair, which a tenant's name may hold.
    return text if text.isascii() else text.encode(errors="replace").decode()


def _is_short(facts: Facts | None) -> bool:
    if facts is None:
        return True
    request = facts.request
    texts = (request.method, request.host, facts.origin, facts.method or "", facts.version, *facts.tenants)
    return sum(map(len, texts)) <= _MAX_KEY_TEXT


def _no_policy() -> None:
    """Give the policy that is known before the first check."""
