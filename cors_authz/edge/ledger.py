"""Who asks: the foreign origins that checks came from, how often, when first and when last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Final, TypeAlias

import orjson

from cors_authz.edge.client_text import carried
from cors_authz.edge.metrics.catalogue import NEW_ORIGINS, ORIGINS_FOLDED, TENANT_CHECKS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.pdp.facts import Facts

MAX_ENTRIES: Final = 20_000
"""A hostile client invents as many origins, and tenants, as it likes."""
MAX_NEWCOMERS: Final = 10_000
"""So many unlisted origins are remembered, and as many before them, to tell which one is new."""
MAX_TENANTS: Final = 200
"""So many are told apart in metrics."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
"""Stands for every other method, and for every other tenant in metrics."""

_COLUMN_OF: Final = {outcome: column for column, outcome in enumerate(Outcome)}
# Bound here since, on Python 3.11, a member costs more to look up than a header.
_SAME_ORIGIN: Final = Kind.SAME_ORIGIN

_Key: TypeAlias = tuple[tuple[str, ...] | None, str, str | None, str]
"""Tenants, resource group, origin, and the origin group by which the resource group lists it, if it does.

Where there was no room, the tenants are None, and the origin is the pattern that admits it, or None if it is unlisted.
"""


class _Entry:
    """What is counted under one key; written in place."""

    __slots__ = ("counts", "first", "last", "methods", "of_tenant")

    def __init__(self, of_tenant: list[int], now: float) -> None:
        self.counts = _zeros()
        self.of_tenant = of_tenant
        self.methods: frozenset[str] = frozenset()
        self.first = now
        self.last = now


def _zeros() -> list[int]:
    return [0] * len(_COLUMN_OF)


class Ledger:
    """Counts the checks of each tenant, resource group and foreign origin. Safe to use from many threads.

    What is known is counted without a lock: on CPython no thread comes between the two halves of a `+=`, as long as
    what is looked up runs no Python.

    Once `MAX_ENTRIES` are known, another origin that the resource group lists is counted under the pattern that admits
    it, and another unlisted one under its resource group alone: the policy, not the clients, bounds the memory.

    Args:
        clock: gives the time in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._lock = Lock()
        self._entries: dict[_Key, _Entry] = {}
        self._tenants: dict[str, list[int]] = {}
        self._no_tenant = _zeros()
        self._newcomers: set[str] = set()
        self._former: set[str] = set()
        self._new = 0
        self._folded = 0

    def note(self, decision: Decision) -> None:
        """Count a check, if it came from a foreign origin. Never raises."""
        outcome, _, _, facts, _, _, _, now = decision
        if facts is None or not facts.origin or facts.kind is _SAME_ORIGIN:
            return
        group = facts.group
        key = (facts.tenants, group.name if group else "", facts.origin, facts.origin_group)
        entry = self._entries.get(key) or self._enter(key, facts, now)
        column = _COLUMN_OF[outcome]
        entry.counts[column] += 1
        entry.of_tenant[column] += 1
        entry.last = now
        method = facts.method or ""
        if method not in entry.methods:
            entry.methods |= {method if method in METHODS else OTHER}

    def samples(self) -> Iterator[Sample]:
        """Read how many origins were new, how many checks found no room, and the checks of tenants; a `Source`."""
        yield Sample(NEW_ORIGINS, (), self._new)
        yield Sample(ORIGINS_FOLDED, (), self._folded)
        for tenant, counts in self._tenants.copy().items():
            for outcome, count in zip(Outcome, counts, strict=True):
                if count:
                    yield Sample(TENANT_CHECKS, (tenant, outcome.value), count)

    def page(self) -> bytes:
        """Write all that is known as JSON: `since`, `until` in seconds since the epoch, `folded`, and `entries`."""
        with self._lock:
            entries = list(self._entries.items())
        # Written without the lock: twenty thousand entries would keep the checks waiting.
        told = [_told(key, entry) for key, entry in entries]
        return orjson.dumps({"since": self._since, "until": self._clock(), "folded": self._folded, "entries": told})

    def _enter(self, key: _Key, facts: Facts, now: float) -> _Entry:
        tenants, group, origin, origin_group = key
        cut: _Key = (tenants and tuple(map(carried, tenants)), group, carried(origin or ""), origin_group)
        with self._lock:
            if cut not in self._entries:
                if not origin_group:
                    self._meet(carried(origin or ""))
                if len(self._entries) >= MAX_ENTRIES:
                    self._folded += 1
                    listed = facts.standing or facts.listed
                    cut = (None, group, listed.membership.pattern if listed else None, origin_group)
            entry = self._entries.get(cut)
            if entry is None:
                entry = self._entries[cut] = _Entry(self._counts_of(cut[0]), now)
            return entry

    def _counts_of(self, tenants: tuple[str, ...] | None) -> list[int]:
        """Give the counts of a tenant; those after `MAX_TENANTS`, and those that a full ledger folds, share theirs."""
        if tenants == ():
            return self._no_tenant
        name = tenants[0] if tenants else OTHER
        if name not in self._tenants and len(self._tenants) >= MAX_TENANTS:
            name = OTHER
        return self._tenants.setdefault(name, _zeros())

    def _meet(self, origin: str) -> None:
        """Count an origin that is new. Of more than are remembered, those that came first are forgotten."""
        if origin in self._newcomers or origin in self._former:
            return
        self._new += 1
        if len(self._newcomers) >= MAX_NEWCOMERS:
            self._former, self._newcomers = self._newcomers, set()
        self._newcomers.add(origin)


def _told(key: _Key, entry: _Entry) -> dict[str, object]:
    tenants, group, origin, origin_group = key
    return {
        "tenant": None if tenants is None else next(iter(tenants), ""),
        "group": group,
        "origin": origin,
        "origin_group": origin_group,
        "outcomes": {outcome.value: count for outcome, count in zip(Outcome, entry.counts, strict=True) if count},
        "methods": sorted(entry.methods),
        "first": entry.first,
        "last": entry.last,
    }
