"""Who asks: the foreign origins that checks came from, how often, when first and when last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Final, TypeAlias

import orjson

from cors_authz.edge.cases import Features, Settled
from cors_authz.edge.metrics.catalogue import NEW_ORIGINS, ORIGINS_FOLDED, TENANT_CHECKS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import Outcome

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

_Key: TypeAlias = tuple[str | None, str, str | None, bool]
"""Tenant, resource group, origin, and whether the resource group lists it.

Where there was no room, the tenant is None, and the origin is the pattern that admits it, or None if it is unlisted.
"""


class _Entry:
    """What is counted under one key; written in place."""

    __slots__ = ("counts", "first", "last", "methods", "of_tenant", "origin_group")

    def __init__(self, origin_group: str, of_tenant: list[int], now: float) -> None:
        self.origin_group = origin_group
        self.counts = _zeros()
        self.of_tenant = of_tenant
        self.methods: frozenset[str] = frozenset()
        self.first = now
        self.last = now


def _zeros() -> list[int]:
    return [0] * len(_COLUMN_OF)


class Ledger:
    """Counts the checks of each tenant, resource group and foreign origin. Safe to use from many threads.

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

    def take(self, settled: Settled) -> None:
        """Count checks of a case, if they came from a foreign origin; a `Taker`."""
        about = settled.features
        if not about.origin or about.kind is Kind.SAME_ORIGIN:
            return
        with self._lock:
            entry = self._entry(about, settled)
            column = _COLUMN_OF[about.outcome]
            entry.counts[column] += settled.checks
            entry.of_tenant[column] += settled.checks
            entry.first = min(entry.first, settled.first)
            entry.last = max(entry.last, settled.last)
            entry.methods |= {about.method if about.method in METHODS else OTHER}

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

    def _entry(self, about: Features, settled: Settled) -> _Entry:
        is_listed = bool(about.origin_group)
        key: _Key = (about.tenant, about.group, about.origin, is_listed)
        entry = self._entries.get(key)
        if entry is not None:
            return entry
        if not is_listed:
            self._meet(about.origin)
        if len(self._entries) >= MAX_ENTRIES:
            self._folded += settled.checks
            key = (None, about.group, about.pattern or None, is_listed)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(about.origin_group, self._counts_of(key[0]), settled.first)
        return entry

    def _counts_of(self, tenant: str | None) -> list[int]:
        """Give the counts of a tenant; those after `MAX_TENANTS`, and those that a full ledger folds, share theirs."""
        if tenant == "":
            return self._no_tenant
        name = OTHER if tenant is None else tenant
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
    tenant, group, origin, _ = key
    return {
        "tenant": tenant,
        "group": group,
        "origin": origin,
        "origin_group": entry.origin_group,
        "outcomes": {outcome.value: count for outcome, count in zip(Outcome, entry.counts, strict=True) if count},
        "methods": sorted(entry.methods),
        "first": entry.first,
        "last": entry.last,
    }
