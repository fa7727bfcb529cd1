"""Checks that are alike: told apart by one look-up, counted in place, and added up when somebody asks.

What is counted of a check, and most of what is recorded of it, follows from few of its facts. To work it out costs as
much as half of a decision, so it is worked out once for all checks that share those facts: a case. Each check then
pays for a key, a look-up and an addition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from threading import Lock
from typing import Final, NamedTuple, TypeAlias
from weakref import ref

from cors_authz.edge.client_text import carried
from cors_authz.fetch.origin import OPAQUE
from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.policy.compiled import CompiledPolicy, Credential, Trust

MAX_CASES: Final = 4096
"""So many are told apart, and as many before them: whoever invents methods makes no more than that."""
_MAX_KEY_TEXT: Final = 1024
_SETTLED_AT_ONCE: Final = 4

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PREFLIGHT: Final = Kind.PREFLIGHT
_COOKIE: Final = Credential.COOKIE
_BEARER: Final = Credential.BEARER


class Features(NamedTuple):
    """What is counted of all checks of a case. Nothing here keeps a policy alive, and nothing says whose origin it was.

    `group` is empty where no route matched, `kind` None where nothing could be read. `origin_group` is empty where the
    resource group does not list the origin. `credentials` says whether a cookie or an Authorization travels on.
    """

    outcome: Outcome
    reason: Reason
    shadow: bool
    group: str = ""
    kind: Kind | None = None
    method: str = ""
    has_origin: bool = False
    is_opaque: bool = False
    origin_group: str = ""
    trust: Trust = Trust.NONE
    credentials: bool = False


class Shared(NamedTuple):
    """What the records of a case share: the headers that they have, and the end of their lines."""

    headers: tuple[str, ...]
    text: bytes


class Case:
    """Checks that are alike, and how many there were; whoever is told of a check adds it to `count`.

    `shared` is settled with the first of their records.
    """

    __slots__ = ("count", "features", "settled", "shared")

    def __init__(self, features: Features) -> None:
        self.features = features
        self.count = self.settled = 0
        self.shared: Shared | None = None


Take: TypeAlias = Callable[[Features, int], None]
"""Adds so many checks with these features to what it counts; bounds what it keeps of what clients wrote."""


class Cases:
    """Counts checks by what they have in common. Safe to use from many threads.

    No lock is taken where a check is counted, which would cost as much as all the rest: on CPython no thread comes
    between the two halves of a `+=`. A case that gives way to others is kept until as many have come again, so that
    whoever still counts on it is not lost.

    Args:
        take: adds up.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._policy: Callable[[], CompiledPolicy | None] = _no_policy
        self._current: dict[object, Case] = {}
        self._former: dict[object, Case] = {}
        self._retired: deque[Case] = deque()
        self._settling = Lock()

    def of(self, decision: Decision) -> Case:
        """Give the case of a check."""
        _, reason, status, facts, guard, roles, shadow, _ = decision
        if facts is None:
            key: object = reason
        else:
            # At once: to look up twenty fields of a named tuple would cost as much again as all the rest.
            policy, request, _, _, _, route, _, run, kind, origin, _, _, version, _, tenants, listed, standing, rule = (
                facts[:18]
            )
            if self._policy() is not policy:
                self._begin(policy)
            listed = standing or listed
            group = listed.membership.group if listed else ""
            told = announcements(decision, facts) if version or kind is _PREFLIGHT else None
            granted = rule.credentials if rule else facts.credentials
            carries = bool(granted) and _carries(request[4], granted)
            # The parts of a policy live as long as it does, and so do their identities.
            parts = (id(guard), id(route), id(rule), group, request[0], run, version)
            asks = (kind, not origin, origin == OPAQUE, not tenants, not roles, carries, told)
            key = (reason, status, shadow, parts, asks)
        return self._current.get(key) or self._meet(key, decision)

    def settle(self) -> None:
        """Tell who adds up what was counted up to now."""
        with self._settling:
            self._retired.extend(chain(self._former.values(), self._current.copy().values()))
            self._settle(len(self._retired))

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
            case = self._former.get(key) or Case(features_of(decision))
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
                self._take(case.features, new)


def features_of(decision: Decision) -> Features:
    """Say what is counted of a decision."""
    outcome, reason, _, facts, _, _, shadow, _ = decision
    if facts is None:
        return Features(outcome, reason, shadow)
    listed = facts.standing or facts.listed
    origin_group = listed.membership.group if listed else ""
    return Features(
        outcome,
        reason,
        shadow,
        facts.group.name if facts.group else "",
        facts.kind,
        carried(facts.method or ""),
        bool(facts.origin),
        facts.origin == OPAQUE,
        origin_group,
        facts.policy.trust.get(origin_group, Trust.NONE),
        _carries(facts.request.headers, facts.credentials),
    )


def announcements(decision: Decision, facts: Facts) -> tuple[bool, ...]:
    """Name what the headers of an answer depend on beside rule and caller: what is asked, what is announced."""
    if facts.kind is _PREFLIGHT:
        return bool(facts.asked_headers), facts.request.headers.get("access-control-request-private-network") == "true"
    versions = facts.group.versions if facts.group else None
    version = versions.get(facts.version) if versions else None
    return (version is not None and version.deprecated is not None and decision.now < version.deprecated,)


def _carries(headers: Mapping[str, str], granted: frozenset[Credential]) -> bool:
    """Tell whether a request carries a cookie or an Authorization that travels on with it."""
    return ("cookie" in headers and _COOKIE in granted) or ("authorization" in headers and _BEARER in granted)


def _is_short(facts: Facts | None) -> bool:
    if facts is None:
        return True
    return len(facts.request.method) + len(facts.method or "") + len(facts.version) <= _MAX_KEY_TEXT


def _no_policy() -> None:
    """Give the policy that is known before the first check."""
