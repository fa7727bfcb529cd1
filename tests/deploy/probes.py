"""What is asked through each data plane, and what must be answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

HOST: Final = "api.shop.example"
ALLOWED: Final = "https://shop.example"
FOREIGN: Final = "https://evil.example"
LATER: Final = "https://new.example"
"""An origin that a changed policy allows."""
CLERK, VISITOR = "$clerk", "$visitor"
"""Stand for tokens: of somebody who has the role, and of somebody who has not."""

_WEBSOCKET: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Probe(NamedTuple):
    """A request, the status of its answer, and the origin that may read it."""

    what: str
    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    reader: str | None = None


PROBES: Final = (
    Probe("no Origin", "GET", "/", {}, 200),
    Probe("allowed origin", "GET", "/", {"Origin": ALLOWED}, 200, ALLOWED),
    Probe("foreign origin", "GET", "/", {"Origin": FOREIGN}, 200),
    Probe("foreign POST", "POST", "/", {"Origin": FOREIGN}, 403),
    Probe("foreign POST, the host with a port", "POST", "/", {"Host": f"{HOST}:8443", "Origin": FOREIGN}, 403),
    Probe(
        "preflight, allowed",
        "OPTIONS",
        "/",
        {
            "Origin": ALLOWED,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
        204,
        ALLOWED,
    ),
    Probe("preflight, refused", "OPTIONS", "/", {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}, 403),
    Probe("role present", "GET", "/desk/1", {"Authorization": f"Bearer {CLERK}"}, 200),
    Probe("role missing", "GET", "/desk/1", {"Authorization": f"Bearer {VISITOR}"}, 403),
    Probe("WebSocket, allowed", "GET", "/", {**_WEBSOCKET, "Origin": ALLOWED}, 101, ALLOWED),
    Probe("WebSocket, foreign", "GET", "/", {**_WEBSOCKET, "Origin": FOREIGN}, 403),
)
"""Through each data plane; the upstream says `Access-Control-Allow-Origin: *` on each of its answers."""

UNASKED: Final = (Probe("foreign POST", "POST", "/", {"Origin": FOREIGN}, 200, "*"),)
"""Where nobody is asked."""

NEW_ORIGIN: Final = Probe("preflight", "OPTIONS", "/", {"Origin": LATER, "Access-Control-Request-Method": "GET"}, 204)
