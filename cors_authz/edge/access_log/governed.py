"""Which requests must be checked: those of the routes that a policy governs, or all where no policy is named."""

from __future__ import annotations

from cors_authz.edge.collector import collector_at_rest
from cors_authz.edge.generation import Generation
from cors_authz.edge.parts import put_together
from cors_authz.envoy.access_log import Entry
from cors_authz.fetch.request import Request
from cors_authz.pdp.match import match
from cors_authz.policy.compiled import CompiledPolicy


def every_route(_entry: Entry) -> str:
    """Say of each request that it must be checked, and in no group that is known."""
    return ""


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

    def group_of(self, entry: Entry) -> str | None:
        """Name the resource group of a request; None where the policy governs no such route. Never raises."""
        if self._policy is None:
            return None
        group = match(Request(entry.method, entry.scheme, entry.host, entry.path, {}), self._policy).group
        return group.name if group else None
