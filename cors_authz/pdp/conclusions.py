"""What a browser concludes from an answer, as far as the answer is ours to give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from cors_authz.fetch.browser import (
    Asked,
    Conclusion,
    Credentials,
    Headers,
    Verdict,
    check_preflight,
    conclude_embed,
    conclude_navigation,
    conclude_reading,
    conclude_websocket,
    note_on_local_network,
)
from cors_authz.fetch.request import Kind, is_websocket, site_of
from cors_authz.pdp.decision import Decision
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.response import Answer

_WORDS: Final = {Credentials.INCLUDE: "with credentials", Credentials.OMIT: "without credentials"}
_UNDECIDED: Final = Conclusion(Verdict.NOTE, "nothing is applied in shadow: the answer of the upstream decides")
_FOREIGN: Final = frozenset({Kind.CROSS_ORIGIN, Kind.PREFLIGHT})


def conclude(decision: Decision, answer: Answer) -> tuple[Conclusion, ...]:
    """Conclude what a browser would. An upstream's own headers count as blanked where the answer blanks them.

    Where a page may have asked with or without credentials, and that makes a difference, both are told.
    """
    facts = decision.facts
    if facts is None or decision.shadow:
        return (_UNDECIDED,) if decision.shadow else ()
    response = tuple((header.name, header.value) for header in answer.to_client)
    note = note_on_local_network(facts.origin, facts.request.host) if facts.kind in _FOREIGN and facts.origin else None
    return (*_CONCLUDING[facts.kind](decision, facts, response), *([note] if note else []))


def _foreign(decision: Decision, facts: Facts, response: Headers) -> tuple[Conclusion, ...]:
    if is_websocket(facts.request):
        return (conclude_websocket(decision.status),)
    mode = facts.request.headers.get("sec-fetch-mode", "")
    if mode in _UNREADABLE:
        return _UNREADABLE[mode](decision, facts, response)
    return _in_each_mode(facts, lambda asked: conclude_reading(asked, response))


def _preflight(decision: Decision, facts: Facts, response: Headers) -> tuple[Conclusion, ...]:
    return _in_each_mode(facts, lambda asked: check_preflight(asked, decision.status, response))


def _in_each_mode(facts: Facts, concluding: Callable[[Asked], tuple[Conclusion, ...]]) -> tuple[Conclusion, ...]:
    include, omit = (concluding(_asked(facts, mode)) for mode in (Credentials.INCLUDE, Credentials.OMIT))
    # Only a page that includes credentials makes a browser send cookies to another origin.
    if include == omit or "cookie" in facts.request.headers:
        return include
    return (*_labelled(Credentials.INCLUDE, include), *_labelled(Credentials.OMIT, omit))


def _labelled(mode: Credentials, conclusions: tuple[Conclusion, ...]) -> tuple[Conclusion, ...]:
    return tuple(each._replace(sentence=f"{_WORDS[mode]}, {each.sentence}") for each in conclusions)


def _asked(facts: Facts, credentials: Credentials) -> Asked:
    headers = facts.request.headers
    method = headers.get("access-control-request-method", "") if facts.is_preflight else facts.request.method
    return Asked(facts.origin, credentials, method, facts.asked_headers or ())


def _same_origin(decision: Decision, _facts: Facts, _response: Headers) -> tuple[Conclusion, ...]:
    got = f" (status {decision.status})" if decision.status else ""
    return (Conclusion(Verdict.GOES_ON, f"the page reads the answer{got}: to its own origin there is no CORS check"),)


def _not_a_browser(_decision: Decision, _facts: Facts, _response: Headers) -> tuple[Conclusion, ...]:
    return (Conclusion(Verdict.NOTE, "no browser is involved: other clients read every answer"),)


def _read(_decision: Decision, _facts: Facts, _response: Headers) -> tuple[Conclusion, ...]:
    return (Conclusion(Verdict.STOPS, "the page reads nothing: the request names no origin that could be granted"),)


def _embed(decision: Decision, facts: Facts, response: Headers) -> tuple[Conclusion, ...]:
    if decision.status:
        return (Conclusion(Verdict.STOPS, f"the resource fails to load (status {decision.status})"),)
    return (conclude_embed(site_of(facts.request), response),)


def _navigation(_decision: Decision, _facts: Facts, _response: Headers) -> tuple[Conclusion, ...]:
    return (conclude_navigation(),)


_Concluding: TypeAlias = Callable[[Decision, Facts, Headers], tuple[Conclusion, ...]]

# A form that is sent across sites names its origin, and the page that sent it still reads nothing.
_UNREADABLE: Final[Mapping[str, _Concluding]] = {"navigate": _navigation, "no-cors": _embed}
_CONCLUDING: Final[Mapping[Kind, _Concluding]] = {
    Kind.CROSS_ORIGIN: _foreign,
    Kind.PREFLIGHT: _preflight,
    Kind.SAME_ORIGIN: _same_origin,
    Kind.NOT_A_BROWSER: _not_a_browser,
    Kind.READ: _read,
    Kind.EMBED: _embed,
    Kind.NAVIGATION: _navigation,
}
"""By the kind of the request."""
