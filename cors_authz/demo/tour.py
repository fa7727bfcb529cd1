"""The tour: real requests through Envoy, what each must be answered, and why that matters."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from cors_authz.demo.backend import API, IMAGES, SHOP
from cors_authz.demo.journal import Journal
from cors_authz.demo.upstream import Seen, Upstream
from cors_authz.envoy.address import Address
from cors_authz.pdp.decision import Decision, Reason
from cors_authz.pdp.response import ID_HEADER

_ANSWER_SECONDS: Final = 5.0
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

_ORIGIN_OF_SHOP: Final = {"origin": "{shop}"}
_VARY: Final = {"vary": "Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest"}
_UNREADABLE: Final = {"access-control-allow-origin": ""}
_READABLE: Final = {"access-control-allow-origin": "{shop}"}
_HANDSHAKE: Final = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Call(NamedTuple):
    """A request as it is sent, once it is `filled` with what a running demo knows."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str] = _NOTHING
    body: str = ""


class Expected(NamedTuple):
    """What must come of a request.

    `headers` are those of the response, "" for one that must not be there (Envoy cannot take an upstream's away, so an
    empty one counts as none). `withheld` are request headers that the upstream must not see.
    """

    status: int
    reason: Reason
    reached: bool
    headers: Mapping[str, str]
    withheld: tuple[str, ...] = ()


class Step(NamedTuple):
    """One stop of the tour."""

    title: str
    call: Call
    expected: Expected
    why: str


class Witnessed(NamedTuple):
    """What came of a request: the response, the decision behind it, and the request as the upstream saw it, if it did.

    Names of headers are in lower case; values of repeated ones are joined by `, `.
    """

    status: int
    headers: Mapping[str, str]
    decision: Decision | None
    upstream: Seen | None


class Stop(NamedTuple):
    """A step that was made, and every way in which it came out differently than it should."""

    step: Step
    witnessed: Witnessed
    differences: tuple[str, ...]


STEPS: Final = (
    Step(
        "A page calls its own origin",
        Call("GET", SHOP, "/", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}),
        Expected(200, Reason.SAME_ORIGIN, reached=True, headers=_UNREADABLE),
        "Nothing is granted where nothing is crossed: there is no Access-Control-* in the answer.",
    ),
    Step(
        "curl, with no Origin",
        Call("GET", API, "/v2/products"),
        Expected(200, Reason.NOT_A_BROWSER, reached=True, headers={**_UNREADABLE, **_VARY}),
        "CORS binds browsers. What is no browser has to pass the guards, and this group has none.",
    ),
    Step(
        "The shop reads products of the API",
        Call("GET", API, "/v2/products", {**_ORIGIN_OF_SHOP, "cookie": "session=alice"}),
        Expected(
            200, Reason.RULE_ALLOWED, reached=True, headers={**_READABLE, "access-control-allow-credentials": "true"}
        ),
        "The origin is listed, so it is echoed, never `*`, and the user's cookie travels as the rule says.",
    ),
    Step(
        "A stranger reads the same",
        Call("GET", API, "/v2/products", {"origin": "{evil}", "cookie": "session=alice"}),
        Expected(200, Reason.UNLISTED_READ, reached=True, headers=_UNREADABLE, withheld=("cookie",)),
        "A plain read goes on, but the user's cookie does not, and the browser keeps the answer from the page.",
    ),
    Step(
        "The shop asks before it writes: a preflight",
        Call(
            "OPTIONS",
            API,
            "/v2/products/7",
            {
                **_ORIGIN_OF_SHOP,
                "access-control-request-method": "PUT",
                "access-control-request-headers": "content-type",
            },
        ),
        Expected(
            204,
            Reason.PREFLIGHT_ALLOWED,
            reached=False,
            headers={
                **_READABLE,
                "access-control-allow-methods": "PUT",
                "access-control-allow-headers": "content-type",
                "access-control-max-age": "600",
            },
        ),
        "Preflights are answered here, without the upstream, and only what was asked for is granted.",
    ),
    Step(
        "A stranger asks the same",
        Call("OPTIONS", API, "/v2/products/7", {"origin": "{evil}", "access-control-request-method": "PUT"}),
        Expected(
            403, Reason.ORIGIN_NOT_ALLOWED, reached=False, headers={**_UNREADABLE, "access-control-allow-methods": ""}
        ),
        "The browser will not send the PUT at all.",
    ),
    Step(
        "A stranger submits a form",
        Call(
            "POST",
            API,
            "/v2/products/7",
            {
                "origin": "{evil}",
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "content-type": "application/x-www-form-urlencoded",
                "cookie": "session=alice",
            },
            "stars=1",
        ),
        Expected(403, Reason.ORIGIN_NOT_ALLOWED, reached=False, headers=_UNREADABLE),
        "CORS alone would let this write through and only hide the answer: forms need no preflight.",
    ),
    Step(
        "A stranger embeds a picture",
        Call(
            "GET",
            IMAGES,
            "/teapot.svg",
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        ),
        Expected(
            403,
            Reason.EMBED_NOT_ALLOWED,
            reached=False,
            headers={**_UNREADABLE, **_VARY},
        ),
        "There is no Origin in this request; Fetch Metadata tells that another site makes the browser load it.",
    ),
    Step(
        "A stranger opens a WebSocket",
        Call("GET", API, "/live", {**_HANDSHAKE, "origin": "{evil}"}),
        Expected(403, Reason.ORIGIN_NOT_ALLOWED, reached=False, headers=_UNREADABLE),
        "Browsers ask no one before a WebSocket, and let any page read it. Only the server can refuse.",
    ),
    Step(
        "The shop opens a WebSocket",
        Call("GET", API, "/live", {**_HANDSHAKE, **_ORIGIN_OF_SHOP}),
        Expected(101, Reason.RULE_ALLOWED, reached=True, headers={"upgrade": "websocket"}),
        "The same rule that lists an origin for fetch lets its sockets in.",
    ),
    Step(
        "A clerk reads orders",
        Call("GET", API, "/v2/orders", {**_ORIGIN_OF_SHOP, "authorization": "Bearer {clerk}"}),
        Expected(200, Reason.RULE_ALLOWED, reached=True, headers={**_READABLE, "access-control-allow-credentials": ""}),
        "The token verifies and has the role. A script attached it, so no browser credentials are granted.",
    ),
    Step(
        "A visitor reads orders",
        Call("GET", API, "/v2/orders", {**_ORIGIN_OF_SHOP, "authorization": "Bearer {visitor}"}),
        Expected(403, Reason.ROLE_MISSING, reached=False, headers=_READABLE),
        "The token verifies, the role is not in it. The shop may read why, since its origin is listed.",
    ),
    Step(
        "The shop calls a retired version",
        Call("GET", API, "/v1/products", _ORIGIN_OF_SHOP),
        Expected(
            410,
            Reason.VERSION_RETIRED,
            reached=False,
            headers={**_READABLE, "link": '</v2/products>; rel="successor-version"'},
        ),
        "Retired in the policy, not in the code, with a pointer to what replaces it.",
    ),
    Step(
        "A name that nobody published",
        Call("GET", "rebound.example", "/v2/products"),
        Expected(421, Reason.HOST_UNKNOWN, reached=False, headers=_UNREADABLE),
        "A stranger's name that resolves to this address is DNS rebinding. Only hosts in the policy are served.",
    ),
)


def filled(step: Step, names: Mapping[str, str]) -> Step:
    """Put in what a running demo knows.

    Args:
        step: a step as the table has it.
        names: the port of Envoy, which joins the host, and what `{shop}`, `{evil}` (origins), `{clerk}` and
            `{visitor}` (tokens) stand for in headers sent and expected.
    """
    call = step.call._replace(host=f"{step.call.host}:{names['port']}", headers=_filled(step.call.headers, names))
    return step._replace(call=call, expected=step.expected._replace(headers=_filled(step.expected.headers, names)))


def _filled(headers: Mapping[str, str], names: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value.format_map(names) for name, value in headers.items()}


class Guide(NamedTuple):
    """Who leads the tour: where Envoy listens, who knows the decisions, who knows what came through, and the names."""

    envoy: Address
    journal: Journal
    upstream: Upstream
    names: Mapping[str, str]

    def lead(self, steps: tuple[Step, ...], is_over: Callable[[], bool]) -> Iterator[Stop]:
        """Make step after step, until someone says that it is over.

        Raises: OSError or http.client.HTTPException if Envoy does not answer.
        """
        for number, step in enumerate(steps, 1):
            if is_over():
                return
            taken = filled(step, self.names)
            witnessed = self._witness(taken.call, f"cors-authz-demo/{number}")
            yield Stop(taken, witnessed, differences(taken.expected, witnessed))

    def _witness(self, call: Call, agent: str) -> Witnessed:
        # By a mark of the step, not by the decision's id: what slipped past the service would have none.
        marked = {**call.headers, "user-agent": agent}
        before = len(self.upstream.requests())
        status, headers = send(self.envoy, call._replace(headers=marked))
        new = self.upstream.requests()[before:]
        seen = next((seen for seen in new if seen.header("user-agent") == agent), None)
        return Witnessed(status, headers, self.journal.find(headers.get(ID_HEADER, "")), seen)


def send(envoy: Address, call: Call) -> tuple[int, Mapping[str, str]]:
    """Send a request as it stands, with no header of the client library's own but Content-Length.

    Returns: the status, and the headers with names in lower case and repeated ones joined.
    Raises: OSError or http.client.HTTPException if no answer comes.
    """
    connection = http.client.HTTPConnection(envoy.host, envoy.port, timeout=_ANSWER_SECONDS)
    try:
        connection.putrequest(call.method, call.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"host": call.host, **call.headers}.items():
            connection.putheader(name, value)
        if call.body:
            connection.putheader("content-length", str(len(call.body)))
        connection.endheaders(call.body.encode())
        answer = connection.getresponse()
        return answer.status, _joined(answer)
    finally:
        connection.close()


def _joined(answer: http.client.HTTPResponse) -> Mapping[str, str]:
    joined: dict[str, str] = {}
    for name, value in answer.getheaders():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def differences(expected: Expected, witnessed: Witnessed) -> tuple[str, ...]:
    """Say every way in which an answer is not the expected one; () if it is."""
    return tuple(_differences(expected, witnessed))


def _differences(expected: Expected, witnessed: Witnessed) -> Iterator[str]:
    reason = witnessed.decision.reason.value if witnessed.decision else "none"
    reached = witnessed.upstream is not None
    if witnessed.status != expected.status:
        yield f"status is {witnessed.status}, expected {expected.status}"
    if reason != expected.reason.value:
        yield f"reason is {reason}, expected {expected.reason.value}"
    if reached != expected.reached:
        yield f"the upstream was {'' if reached else 'not '}reached, expected the contrary"
    for name, value in expected.headers.items():
        if witnessed.headers.get(name, "") != value:
            yield f"{name} is `{witnessed.headers.get(name, '')}`, expected `{value}`"
    for name in expected.withheld:
        if witnessed.upstream and witnessed.upstream.header(name) is not None:
            yield f"the upstream saw `{name}`, which should not have travelled"
