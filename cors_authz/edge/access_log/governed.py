"""What a policy says of a request: its group and its route. Without a policy each request must be checked."""

from __future__ import annotations

from typing import NamedTuple

from cors_authz.edge.collector import collector_at_rest
from cors_authz.edge.generation import Generation
from cors_authz.edge.parts import put_together
from cors_authz.envoy.access_log import Entry
from cors_authz.fetch.request import Request
from cors_authz.pdp.match import match
from cors_authz.policy.compiled import CompiledPolicy


class Resource(NamedTuple):
    """What a request is for: the resource group, and the path of the policy's entry, never the request's own."""

    group: str
    path: str


_UNKNOWN = Resource("", "")


def every_route(_entry: Entry) -> Resource:
    """Say of each request that it must be checked, and in no group that is known."""
    return _UNKNOWN


class GovernedRoutes:
    """Knows the routes of the policy in force, once a first one was put in force."""

    def __init__(self) -> None:
        self._policy: CompiledPolicy | None = None

    def put_in_force(self, generation: Generation) -> None:
        """Take over a version of the policy.

        Raises: PartsError if it cannot be put together; the last one stays in force then.
        """
        with collector_at_rest():
            self._policy = put_together(generation.parts, lambda: None).value

    def resource_of(self, entry: Entry) -> Resource | None:
        """Name what a request is for; None where the policy governs no such route. Never raises."""
        if self._policy is None:
            return None
        facts = match(Request(entry.method, entry.scheme, entry.host, entry.path, {}), self._policy)
        if facts.route is not None:
            return Resource(facts.route.group.name, facts.route.path)
        # An upstream may read what we cannot: no spelling hides a request.
        is_unreadable = facts.authority is None or (facts.host_known and facts.target is None)
        return _UNKNOWN if entry.host and is_unreadable else None
