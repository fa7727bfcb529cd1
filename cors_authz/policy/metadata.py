"""What documents of a policy say of themselves: whose they are, when they were reviewed, and what changed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cors_authz.policy.forms import REVISION
from cors_authz.policy.shape import Shape
from cors_authz.policy.values import Date, Duration, Listed, Name, Text


class Review(Shape):
    """When the document was last reviewed, and how often it is."""

    term = "a review"
    last: Date
    every: Duration


class Change(Shape):
    """What a revision changed, and why."""

    term = "a change"
    part: Text
    why: Text
    ticket: Text | None = None


class Metadata(Shape):
    """What a document is called and whose it is."""

    term = "the metadata"
    name: Name
    revision: Annotated[str, Field(pattern=REVISION.pattern)] | None = Field(
        None, description="left out: the digest of the canonical form"
    )
    owner: Name | None = Field(None, description="a team; the owner of everything here that names none")
    description: Text | None = None
    review: Review | None = None
    changes: Listed[Change] = Field((), description="what this revision changed; a built bundle demands it")


class PartMetadata(Metadata):
    """The metadata of a part: the owner is known."""

    term = "the metadata of a PolicyPart"
    owner: Name = Field(description="a team; the owner of everything here that names none")


class OverlayMetadata(Shape):
    """Whose overlay it is, who answers for it, and which request brought it."""

    term = "the metadata of a TenantOverlay"
    tenant: Name
    contact: Text
    ticket: Text
    description: Text | None = None
