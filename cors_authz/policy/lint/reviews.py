"""Findings about reviews that are due: of a document, and of an origin group."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cors_authz.policy import schema
from cors_authz.policy.document import Document
from cors_authz.policy.estate import Estate
from cors_authz.policy.finding import Finding, Severity
from cors_authz.policy.lint.wording import instant_text


def overdue_reviews(estate: Estate, now: datetime) -> Iterator[Finding]:
    """CX023: what nobody looks at any more stays open to those who left long ago."""
    for document in estate.documents:
        yield from _of_document(document, now)
    for named in estate.origin_groups.values():
        due = named.model.review_by
        if due is not None and due <= now:
            text = f"the review of `{named.name}` was due at {instant_text(due)}; review it, and write the next date"
            yield Finding(named.place("reviewBy"), "CX023", text, Severity.WARNING, named.about)


def _of_document(document: Document, now: datetime) -> Iterator[Finding]:
    if isinstance(document.model, schema.TenantOverlay):
        return
    review = document.model.metadata.review
    # The sum may lie beyond the calendar; a sum that has come does not.
    if review is not None and now - review.last >= review.every:
        text = f"the review of this document was due at {instant_text(review.last + review.every)}; review it, and say"
        place = document.place("metadata", "review")
        yield Finding(place, "CX023", f"{text} when in `last`", Severity.WARNING, "metadata")
