"""The forms that texts of a policy take, checked by loading: names, dates, durations and their like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

TOKEN_CHARACTERS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

_DAY: Final = r"[0-9]{4}-[01][0-9]-[0-3][0-9]"
_TIME: Final = r"T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z"
_CLAIM_STEP: Final = r"[A-Za-z0-9_:/-]+"


class Form(NamedTuple):
    """What a text must look like: the pattern, what such a text is, and how to write one."""

    pattern: str
    noun: str
    written: str


NAME: Final = Form(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "a name", "lower-case letters, digits and `-`, at most 63 characters"
)
EXCEPTION_NAME: Final = Form(
    r"^EX-[A-Z0-9-]{1,40}$", "the name of an exception", "`EX-`, then upper-case letters, digits and `-`"
)
VERSION: Final = Form(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$", "a version", "letters, digits, `.`, `_` and `-`, at most 32 characters"
)
REVISION: Final = Form(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "a revision", "letters, digits, `.`, `_` and `-`, at most 64 characters"
)
DURATION: Final = Form(
    r"^(?:0s|[1-9][0-9]{0,5}(?:ms|s|m|h|d))$", "a duration", "a number and one unit (ms, s, m, h, d), or 0s for none"
)
DATE: Final = Form(rf"^{_DAY}(?:{_TIME})?$", "a date", "2027-06-30 (from 00:00:00Z on) or 2026-11-20T00:00:00Z, in UTC")
INSTANT: Final = Form(rf"^{_DAY}{_TIME}$", "an instant", "2026-11-20T00:00:00Z, in UTC")
PERCENT: Final = Form(
    r"^(?:100(?:\.0{1,3})?|[1-9]?[0-9](?:\.[0-9]{1,3})?)%$", "a percentage", "0.1%, at most 100%, three decimals"
)
TOKEN: Final = Form(rf"^{TOKEN_CHARACTERS}$", "a header or cookie name", "letters, digits and `-`")
QUERY_NAME: Final = Form(
    r"^[A-Za-z0-9._~-]{1,64}$", "the name of a query parameter", "letters, digits, `.`, `_`, `~` and `-`"
)
MEDIA_TYPE: Final = Form(
    r"^application/[A-Za-z0-9.+;= _-]*\{version\}[A-Za-z0-9.+_-]*$",
    "a media type with a version",
    "application/vnd.shop.{version}+json",
)
CONTENT_TYPE: Final = Form(
    r"^[a-z]+/[a-z0-9.+-]+$", "a content type", "application/json, in lower case and without parameters"
)
HTTPS_URL: Final = Form(r"^https://", "an https URL", "https://, then host and path")
ISSUER: Final = Form(r"^https?://", "the URL of an issuer", "https://, as the tokens' `iss` says it")
ABSOLUTE_PATH: Final = Form(r"^/", "an absolute path", "/etc/cors-authz/jwks.json")
CLAIM_PATH: Final = Form(
    rf"^{_CLAIM_STEP}(?:\.{_CLAIM_STEP})*$", "the path of a claim", "roles, or realm_access.roles within a claim"
)
TRUST_DOMAIN: Final = Form(r"^[a-z0-9._-]+$", "a trust domain", "mesh.shop.example, without spiffe://")
TENANT_PRINCIPAL: Final = Form(r"^spiffe://.*\{tenant\}.*$", "a SPIFFE ID with a tenant", "spiffe://mesh/ns/{tenant}/*")
PUBLIC_KEY: Final = Form(
    r"^ed25519:[A-Za-z0-9_+/-]{42,44}=?$", "a public key", "ed25519: and the 32 bytes of the key in base64"
)
SIGNATURE: Final = Form(r"^[A-Za-z0-9_-]{86}$", "a signature", "64 bytes in base64url, without padding")
FINDING_CODE: Final = Form(r"^CX0[0-9]{2}$", "the code of a finding", "CX012")
FINDING_PLACE: Final = Form(
    r"^(?:metadata|originGroups|resourceGroups|guards|exceptions|rateLimits|identity)(?:/[A-Za-z0-9-]+)*$",
    "an object of the policy",
    "resourceGroups/assets",
)

FORMS: Final[Mapping[str, Form]] = {
    form.pattern: form
    for form in (
        NAME, EXCEPTION_NAME, VERSION, REVISION, DURATION, DATE, INSTANT, PERCENT, TOKEN, QUERY_NAME, MEDIA_TYPE,
        CONTENT_TYPE, HTTPS_URL, ISSUER, ABSOLUTE_PATH, CLAIM_PATH, TRUST_DOMAIN, TENANT_PRINCIPAL, PUBLIC_KEY,
        SIGNATURE, FINDING_CODE, FINDING_PLACE,
    )
}  # fmt: skip
"""The forms that loading checks, by their pattern."""


def moment_of(form: Form, text: str) -> datetime | None:
    """Read a date or an instant.

    Returns: the moment in UTC; None for a text of another form and for a day that no calendar has (2026-02-30).
    Spec: https://www.rfc-editor.org/rfc/rfc3339#section-5.6.
    """
    if re.fullmatch(form.pattern, text) is None:
        return None
    numbers = [int(number) for number in re.findall("[0-9]+", text)]
    year, month, day, hour, minute, second = (*numbers, 0, 0, 0)[:6]
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
