"""The origins that a policy lists, line by line, and which of those lines let somebody in who asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cors_authz.fetch.origin import parse_origin
from cors_authz.policy.compiled import Membership
from cors_authz.policy.finding import Place
from cors_authz.policy.load import Loaded


class Listed(NamedTuple):
    """An origin or a pattern where a policy lists it: for everybody, or for the one tenant whose overlay does."""

    place: Place
    origin_group: str
    text: str
    tenant: str = ""


class Asking(NamedTuple):
    """Who asks for what; no tenant stands for one that is not told apart, and then the origin may be a pattern."""

    tenant: str | None
    group: str
    origin: str


class Listing:
    """The origins that a policy lists in one environment."""

    def __init__(self, loaded: Loaded) -> None:
        policy, subject = loaded.policy, loaded.subject
        self._origins = policy.origins
        self._named_by = {group.name: frozenset(group.rules_of) for group in policy.groups}
        self._everybody = {
            (name, at.pattern.text): Listed(at.place, name, at.pattern.text)
            for name, patterns in subject.patterns.items()
            for at in patterns
        }
        self._tenants = {
            (overlay.name, name, text): Listed(overlay.place("originGroups", name, index), name, text, overlay.name)
            for overlay in subject.estate.overlays
            for name, texts in overlay.model.origin_groups.items()
            if name in subject.patterns
            for index, text in enumerate(texts)
        }

        self._by_text: dict[str, list[Listed]] = {}
        self._ports: dict[tuple[str, str], dict[str, None]] = {}
        for line in self.lines():
            self._by_text.setdefault(line.text, []).append(line)
            origin = parse_origin(line.text)
            if origin is not None:
                self._ports.setdefault((origin.scheme, origin.host), {})[origin.port] = None

    def lines(self) -> tuple[Listed, ...]:
        """Give every line, in the order of the policy; those of tenants come last."""
        return (*self._everybody.values(), *self._tenants.values())

    def admitting(self, asking: Asking) -> tuple[Listed, ...]:
        """Give the lines that let somebody in: of each origin group that the resource group names, the narrowest.

        In a resource group that the policy does not have any more, every origin group counts. Never raises.
        """
        if not asking.group:
            return ()
        found = self._of_pattern(asking) if asking.tenant is None else self._of_origin(asking)
        return tuple(line for line in found if self._names(asking.group, line.origin_group))

    def is_known(self, asking: Asking) -> bool:
        """Tell whether a rule of the resource group is for the origin, be it one for any origin."""
        memberships = self._memberships(asking.origin) if asking.group else ()
        return bool(self.admitting(asking)) or any(self._names(asking.group, each.group) for each in memberships)

    def elsewhere(self, origin: str) -> tuple[str, ...]:
        """Name the origin groups that list an origin for everybody, whichever resource group names them."""
        groups = [each.group for each in self._memberships(origin) if (each.group, each.pattern) in self._everybody]
        return tuple(dict.fromkeys(groups))

    def lists(self, origin: str) -> bool:
        """Tell whether some origin group, or some tenant, lists an origin."""
        return bool(self.elsewhere(origin)) or origin in self._by_text

    def ports_of(self, scheme: str, host: str) -> tuple[str, ...]:
        """Give the ports with which exact lines name a host; empty for the default port."""
        return tuple(self._ports.get((scheme, host), ()))

    def lists_of(self, group: str) -> tuple[str, ...]:
        """Name the origin groups with a list that the rules of a resource group name, in the order of the policy."""
        named = self._named_by.get(group, frozenset())
        return tuple(dict.fromkeys(name for name, _ in self._everybody if name in named))

    def lines_of(self, origin_group: str) -> tuple[Listed, ...]:
        """Give the lines of an origin group that are for everybody, in the order of the policy."""
        return tuple(line for line in self._everybody.values() if line.origin_group == origin_group)

    def _names(self, group: str, origin_group: str) -> bool:
        named = self._named_by.get(group)
        return named is None or origin_group in named

    def _memberships(self, origin: str) -> tuple[Membership, ...]:
        return self._origins.find(origin) or ()

    def _of_pattern(self, asking: Asking) -> Iterator[Listed]:
        yield from self._by_text.get(asking.origin, ())

    def _of_origin(self, asking: Asking) -> Iterator[Listed]:
        narrowest: dict[str, Listed] = {}
        for each in self._memberships(asking.origin):
            line = self._everybody.get((each.group, each.pattern))
            if line is not None:
                narrowest.setdefault(each.group, line)
        yield from narrowest.values()
        if asking.tenant:
            own = (line for line in self._by_text.get(asking.origin, ()) if line.tenant == asking.tenant)
            yield from own
