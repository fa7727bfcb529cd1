"""What stands behind Envoy in the demo: two sites, an API that echoes, and the list of what reached it and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cors_authz.demo.journal import Journal, cause_of
from cors_authz.demo.upstream import Page, Seen, Upstream
from cors_authz.envoy.address import Address
from cors_authz.pdp.decision import Decision
from cors_authz.pdp.response import ID_HEADER

SHOP: Final = "shop.localhost"
EVIL: Final = "evil.localhost"
API: Final = "api.localhost"
IMAGES: Final = "images.localhost"

SEEN_PATH: Final = "/seen"
"""Where a page asks what became of an attempt, `?of=ID`: on its own host, whose answers its browser lets it read."""
TOKEN_PATH: Final = "/token"

_SITES: Final = (SHOP, EVIL)
_HTML: Final = "text/html; charset=utf-8"
_PLAIN: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_FILES: Final = {"/demo.js": "text/javascript; charset=utf-8", "/demo.css": "text/css; charset=utf-8"}


class _Url(NamedTuple):
    host: str
    path: str
    query: Mapping[str, list[str]]


def pages() -> Mapping[tuple[str, str], Page]:
    """Give the fixed pages by host and path: both sites with their script and style, and a picture."""
    folder = files("cors_authz.demo") / "pages"
    shared = {
        (host, path): Page(content_type, (folder / path.removeprefix("/")).read_bytes())
        for host in _SITES
        for path, content_type in _FILES.items()
    }
    return shared | {
        (SHOP, "/"): Page(_HTML, (folder / "shop.html").read_bytes()),
        (EVIL, "/"): Page(_HTML, (folder / "evil.html").read_bytes()),
        (IMAGES, "/teapot.svg"): Page("image/svg+xml", (folder / "teapot.svg").read_bytes()),
    }


class Backend(Upstream):
    """The upstream of the demo.

    Args:
        address: where to listen; port 0 lets the system choose.
        journal: the decisions that `SEEN_PATH` tells beside what reached the upstream.
        token: signs a token for a role, or for none if it is empty; handed out at `TOKEN_PATH` of both sites.

    Raises: OSError if the address is in use.
    """

    def __init__(self, address: Address, journal: Journal, token: Callable[[str], str]) -> None:
        super().__init__(address, pages())
        self._journal = journal
        self._token = token

    def page(self, seen: Seen) -> Page:
        """Answer a site's own questions; all else is a page or an echo."""
        url = _url_of(seen)
        if url.host in _SITES and url.path == SEEN_PATH:
            return Page(_JSON, json.dumps(self._what_became_of(_first(url, "of"))).encode())
        if url.host in _SITES and url.path == TOKEN_PATH:
            return Page(_PLAIN, self._token(_first(url, "role")).encode())
        return super().page(seen)

    def _what_became_of(self, attempt: str) -> Mapping[str, object]:
        """List what was decided on requests whose query says `try=ATTEMPT`, and which of them came through."""
        decisions = {key: decision for key, decision in self._journal.latest().items() if attempt == _try_of(decision)}
        reached = {seen.header(ID_HEADER) for seen in self.requests()}
        return {"decisions": [_told(key, decision, key in reached) for key, decision in decisions.items()]}


def _told(decision_id: str, decision: Decision, reached: bool) -> Mapping[str, object]:  # noqa: FBT001 - a fact, no switch
    return {
        "id": decision_id,
        "method": decision.facts.request.method if decision.facts else "",
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
        "cause": str(cause_of(decision)),
        "reached": reached,
    }


def _try_of(decision: Decision) -> str:
    target = decision.facts.request.target if decision.facts else ""
    return parse_qs(target.partition("?")[2]).get("try", [""])[0]


def _url_of(seen: Seen) -> _Url:
    path, _, query = seen.path.partition("?")
    return _Url(urlsplit(f"//{seen.header('host') or ''}").hostname or "", path, parse_qs(query))


def _first(url: _Url, name: str) -> str:
    return url.query.get(name, [""])[0]
