"""What to do when a collector takes nothing, by what it said."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from cors_authz.edge.telemetry.variables import PREFIX

# As the SDK's exporters write the status of gRPC, and of HTTP.
_CODE: Final = re.compile(r"code: (?:StatusCode\.)?(\w+)")
_NOT_ALLOWED: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403"})
_NOT_FOUND: Final = "404"
_SHARED: Final = f"{PREFIX}_ENDPOINT"


class Place(NamedTuple):
    """Where a collector is.

    Args:
        address: for people, with the protocol.
        path: of the URL.
        variable: which of them names the endpoint.
        timeout_seconds: how long a batch may take.
    """

    address: str
    path: str
    variable: str
    timeout_seconds: float

    def advice(self, cause: str) -> str:
        """Say what to do about a cause."""
        found = _CODE.search(cause)
        code = found[1] if found else ""
        if code in _NOT_ALLOWED:
            return f"write the headers that it wants to see, such as a key, into {PREFIX}_HEADERS"
        if code == _NOT_FOUND:
            as_is = "" if self.variable == _SHARED else ", whose path is taken as it is"
            return f"it takes nothing at the path {self.path}: mend {self.variable}{as_is}"
        wait = f"answers within {self.timeout_seconds:g} s"
        return f"see that it listens there by this protocol and {wait}, or mend {_SHARED} and {PREFIX}_PROTOCOL"
