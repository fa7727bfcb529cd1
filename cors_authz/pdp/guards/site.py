"""Guards by Fetch Metadata: what other sites make a browser load, and callers that should be browsers."""

from __future__ import annotations

from cors_authz.fetch.request import Site, is_websocket, is_write, site_of
from cors_authz.pdp.decision import Objection, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.readings import Readings
from cors_authz.policy.compiled import Reach


def object_to_embed(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse images, scripts, frames and the like of other sites, as far as the group says.

    Spec: https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-dest-header.
    """
    if facts.group is None or _reaches(facts, facts.group.unlisted.embeds):
        return None
    return Objection(Reason.EMBED_NOT_ALLOWED)


def object_to_navigation(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse links and redirects from other sites, as far as the group says."""
    if facts.group is None or _reaches(facts, facts.group.unlisted.navigations):
        return None
    return Objection(Reason.NAVIGATION_NOT_ALLOWED)


def object_to_missing_browser_proof(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse writes and WebSockets that carry neither `Origin` nor `Sec-Fetch-Site`, where only browsers may call."""
    if facts.group is None or not facts.group.browser_only:
        return None
    changes_state = is_write(facts.method or "") or is_websocket(facts.request)
    return Objection(Reason.BROWSER_PROOF_MISSING) if changes_state else None


def _reaches(facts: Facts, reach: Reach) -> bool:
    return reach is Reach.FORWARD or (reach is Reach.SAME_SITE and site_of(facts.request) is Site.SAME_SITE)
