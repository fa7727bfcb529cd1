"""The shape of the policy language, v1: three kinds of documents, what each key takes, and the JSON Schema of both.

The models accept what a policy may say and name what it says; where names point, and whether the whole makes sense,
is for the compiler. `json_schema` serves editors, so it also knows the grammars of origins, hosts, paths, methods and
header names, which the loader leaves to the modules that read them and can show the right form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, NamedTuple, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import PydanticCustomError, PydanticKnownError

from cors_authz.fetch.fields import (
    FORBIDDEN_METHODS,
    FORBIDDEN_REQUEST_HEADERS,
    FORBIDDEN_RESPONSE_HEADERS,
    REQUEST_ONLY_HEADERS,
    RESPONSE_ONLY_HEADERS,
)

API_VERSION: Final = "cors-authz/v1"
MAX_TEXT_CHARACTERS: Final = 500

if TYPE_CHECKING:
    from pydantic_core.core_schema import DictSchema, ModelSchema, NullableSchema, WithDefaultSchema

T = TypeVar("T")


# --- the forms that texts take ------------------------------------------------------------------------------------


class Form(NamedTuple):
    """What a text must look like: the pattern, what such a text is, and how to write one."""

    pattern: str
    noun: str
    written: str


def _any_case(names: Iterable[str]) -> str:
    """Spell names so that they match in any case: JSON Schema's expressions have no flag for it."""
    return "|".join("".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in name.lower()) for name in sorted(names))


_TCHARS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_SLOT: Final = r"\{(?:digits|alnum|hex|slug)\}"
_ORIGIN_LABEL: Final = rf"(?:{_LABEL}|(?=[a-z0-9_{{-]*{_SLOT})(?:[a-z0-9_-]|{_SLOT})+|\{{label\}})"
_HOST_LABEL: Final = rf"(?:{_LABEL}|[a-z0-9_-]*\{{(?:tenant|version|digits|alnum|hex|slug|label)\}}[a-z0-9_-]*)"
_SCHEME: Final = r"(?!null$|file:|data:|blob:|about:|javascript:|wss?:)[a-z][a-z0-9+.-]{0,63}://"
_PORT: Final = r"[1-9][0-9]{0,4}"
_IPV6: Final = r"\[[0-9a-f:]+\]"
_PATH_TEXT: Final = r"(?:[A-Za-z0-9._~!$&'()+,=:@-]|%[0-9A-F]{2})"
_SEGMENT: Final = rf"(?:\*|{_PATH_TEXT}*\{{[a-z][A-Za-z0-9]{{0,31}}\}}{_PATH_TEXT}*|{_PATH_TEXT}+)"
_DAY: Final = r"[0-9]{4}-[01][0-9]-[0-3][0-9]"
_TIME: Final = r"T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z"
_CLAIM_STEP: Final = r"[A-Za-z0-9_:/-]+"

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
TOKEN: Final = Form(rf"^{_TCHARS}$", "a header or cookie name", "letters, digits and `-`")
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


def _left_to_others(pattern: str, description: str) -> WithJsonSchema:
    """Show a pattern to editors only: the module that reads the text says better what is wrong with it."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": description})


def _shown(form: Form) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": form.pattern, "description": form.written})


def _matching(form: Form, value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    if re.fullmatch(form.pattern, value) is None:
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": form.pattern})
    return value


_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def _duration(value: object) -> timedelta:
    text = _matching(DURATION, value)
    number = text.rstrip("mshd")
    return int(number) * _UNITS[text[len(number) :]]


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


def _moment(form: Form, value: object) -> datetime:
    moment = moment_of(form, _matching(form, value))
    if moment is None:
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": form.pattern})
    return moment


def _date(value: object) -> datetime:
    return _moment(DATE, value)


def _instant(value: object) -> datetime:
    return _moment(INSTANT, value)


def _percent(value: object) -> float:
    return float(_matching(PERCENT, value).rstrip("%"))


_PERIODS: Final = ("1s", "1m", "1h", "1d")


def _one_of(texts: Iterable[str], value: object) -> str:
    if isinstance(value, str) and value in texts:
        return value
    raise PydanticKnownError("literal_error", {"expected": ", ".join(repr(text) for text in texts)})


def _period(value: object) -> timedelta:
    return _duration(_one_of(_PERIODS, value))


def _flag(value: object) -> bool:
    """Accept true alone: the key that is left out is the one way to say false."""
    if value is True:
        return True
    raise PydanticKnownError("literal_error", {"expected": "true"})


def _claim_value(value: object) -> str | int | bool:
    if isinstance(value, str | int):
        return value
    raise PydanticKnownError("string_type")


def _claim_item(value: object) -> str | int:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return value
    raise PydanticKnownError("string_type")


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("listed_twice", "listed twice")
    return values


# --- the types of values ------------------------------------------------------------------------------------------

Name = Annotated[str, Field(pattern=NAME.pattern, description=NAME.written)]
ExceptionName = Annotated[str, Field(pattern=EXCEPTION_NAME.pattern, description=EXCEPTION_NAME.written)]
VersionName = Annotated[str, Field(pattern=VERSION.pattern, description=VERSION.written)]
Token = Annotated[str, Field(pattern=TOKEN.pattern)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]

Duration = Annotated[timedelta, PlainValidator(_duration), _shown(DURATION)]
Date = Annotated[datetime, PlainValidator(_date), _shown(DATE)]
Instant = Annotated[datetime, PlainValidator(_instant), _shown(INSTANT)]
Percent = Annotated[float, PlainValidator(_percent), _shown(PERCENT)]
Period = Annotated[timedelta, PlainValidator(_period), WithJsonSchema({"type": "string", "enum": list(_PERIODS)})]
Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"const": True})]
ClaimValue = Annotated[
    str | int | bool, PlainValidator(_claim_value), WithJsonSchema({"type": ["string", "integer", "boolean"]})
]
ClaimItem = Annotated[str | int, PlainValidator(_claim_item), WithJsonSchema({"type": ["string", "integer"]})]

OriginPattern = Annotated[
    str,
    _left_to_others(
        rf"^{_SCHEME}(?:(?:\*\.)?{_ORIGIN_LABEL}(?:\.{_ORIGIN_LABEL})*\.?|{_IPV6})(?::(?:{_PORT}|\*))?$",
        "scheme://host[:port] as a browser serializes it; '*.' for one or more labels, slots {digits} {alnum} {hex} "
        "{slug} {label}, port '*'",
    ),
]
ExactOrigin = Annotated[
    str,
    _left_to_others(
        rf"^{_SCHEME}(?:{_LABEL}(?:\.{_LABEL})*\.?|{_IPV6})(?::{_PORT})?$",
        "one serialized origin, no wildcard, no slot",
    ),
]
HostPattern = Annotated[
    str,
    _left_to_others(
        rf"^(?:(?:\*\.)?{_HOST_LABEL}(?:\.{_HOST_LABEL})*|{_IPV6})(?::{_PORT})?$",
        "a host name; '*.' for one or more labels, {tenant} and {version} in a label; without a port: any port",
    ),
]
PathTemplate = Annotated[
    str,
    _left_to_others(
        rf"^/(?:(?:{_SEGMENT}/)*(?:\*\*|{_SEGMENT}))?$",
        "segments: '**' for the rest (only last), '*' or {name} for one, {tenant} and {version} mean something",
    ),
]
Method = Annotated[
    str,
    _left_to_others(
        rf"^(?!(?:{_any_case(FORBIDDEN_METHODS)})$){_TCHARS}$",
        "an HTTP method as it is sent (case-sensitive), or * for any; CONNECT, TRACE and TRACK are forbidden by Fetch",
    ),
]
RequestHeader = Annotated[
    str,
    _left_to_others(
        rf"^(?!(?:{_any_case(FORBIDDEN_REQUEST_HEADERS | RESPONSE_ONLY_HEADERS | {'authorization'})})$"
        rf"|{_any_case(['proxy-'])}|{_any_case(['sec-'])}){_TCHARS}$",
        "a request header that scripts may set; not a forbidden one, not authorization (say credentials: [bearer]); "
        "* covers every other name",
    ),
]
ResponseHeader = Annotated[
    str,
    _left_to_others(
        rf"^(?!(?:{_any_case(FORBIDDEN_RESPONSE_HEADERS | REQUEST_ONLY_HEADERS)})$){_TCHARS}$",
        "a response header that scripts may read beyond the safelist",
    ),
]
SpiffeId = Annotated[
    str,
    _left_to_others(
        r"^spiffe://[a-z0-9._-]+/[A-Za-z0-9._/-]+(?:\*)?$", "a SPIFFE ID; '*' at the end makes it a prefix"
    ),
]
Network = Annotated[str, _left_to_others(r"^[0-9a-f.:]+/[0-9]{1,3}$", "a network, such as 10.0.0.0/8")]
Territory = Annotated[
    str, _left_to_others(r"^[^/ ]+(?:/.*)?$", "a host pattern, with or without the path template within it")
]

Trust = Literal["low", "medium", "high"]
Credential = Literal["cookie", "bearer", "mtls"]
Mode = Literal["enforce", "shadow"]
Permission = Literal["allowed", "refused"]

Listed = Annotated[tuple[T, ...], Field(min_length=1)]
Credentials = Annotated[
    tuple[Credential, ...],
    AfterValidator(_distinct),
    Field(json_schema_extra={"uniqueItems": True}),
]
EnvironmentTags = Annotated[
    tuple[Name, ...], Field(min_length=1, description="the environments in which this exists; left out: all")
]


# --- the rules between keys ---------------------------------------------------------------------------------------


class Objection(NamedTuple):
    """What a rule says of an object: the key at fault (none: the object itself) and the sentence after its name."""

    key: str | None
    text: str


class Rule(Protocol):
    """What the keys of one object demand of each other: said to the author, and said in JSON Schema."""

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """Say what is wrong with an object that has these keys; `term` is what such an object is called."""

    def schema(self) -> JsonSchemaValue:
        """Say the same in JSON Schema."""


def ticked(names: Iterable[str]) -> str:
    """Write names in backticks, with commas."""
    return ", ".join(f"`{name}`" for name in names)


class ExactlyOne(NamedTuple):
    """One of the keys, and no other of them."""

    keys: tuple[str, ...]

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        present = [key for key in keys if key in self.keys]
        if not present:
            yield Objection(None, f"has none of {ticked(self.keys)}; {term} has exactly one of them")
        for other in present[1:]:
            yield Objection(other, f"has `{other}` beside `{present[0]}`; {term} has one of them: leave one out")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"oneOf": [{"required": [key]} for key in self.keys]}


class Excludes(NamedTuple):
    """A key that is not written beside some others."""

    key: str
    others: tuple[str, ...]

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        if self.key in keys:
            for other in keys:
                if other in self.others:
                    yield Objection(other, f"has `{other}` beside `{self.key}`; {term} with `{self.key}` has none")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"dependentSchemas": {self.key: {"properties": dict.fromkeys(self.others, False)}}}


class Needs(NamedTuple):
    """A key that means nothing without another."""

    key: str
    needed: str

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        if self.key in keys and self.needed not in keys:
            yield Objection(self.key, f"has `{self.key}` and no `{self.needed}`; {term} that has the one has the other")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"dependentRequired": {self.key: [self.needed]}}


class NotEmpty(NamedTuple):
    """At least one key."""

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        if not keys:
            yield Objection(None, f"is empty, and {term} without a key says nothing; write one or leave it out")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        return {"minProperties": 1}


class AlgorithmsPinned(NamedTuple):
    """Algorithms wherever we check signatures ourselves, so everywhere but behind Envoy's own verification."""

    def objections(self, keys: Mapping[str, object], term: str) -> Iterator[Objection]:
        """See `Rule`."""
        source = keys.get("keys")
        if "algorithms" not in keys and isinstance(source, Mapping) and source and "envoyMetadata" not in source:
            yield Objection(None, f"has no `algorithms`; {term} pins them: write algorithms: [ES256], or what it uses")

    def schema(self) -> JsonSchemaValue:
        """See `Rule`."""
        verified_here = {"properties": {"keys": {"not": {"required": ["envoyMetadata"]}}}}
        return {"if": verified_here, "then": {"required": ["algorithms"]}}


# --- the objects --------------------------------------------------------------------------------------------------


def _key(attribute: str) -> str:
    return to_camel(attribute.removesuffix("_"))


class Shape(BaseModel):
    """An object of the policy language: its keys are known, and so are the rules between them."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=_key, defer_build=True)

    term: ClassVar[str]
    """What such an object is called, with its article."""
    rules: ClassVar[tuple[Rule, ...]] = ()


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


class PerTenant(Shape):
    """An origin group that each tenant's overlay fills."""

    term = "perTenant"
    max_origins: int = Field(ge=1, le=1000, description="how many origins a tenant may list")


class OriginGroup(Shape):
    """A named set of origins with one trust level. The only place where origins are written."""

    term = "an origin group"
    rules = (
        ExactlyOne(("origins", "any", "perTenant")),
        Excludes("any", ("trust", "webView", "dangerouslySharedSuffix")),
        Excludes("perTenant", ("webView",)),
    )
    origins: Listed[OriginPattern] = ()
    any: Flag = Field(
        default=False, description="every origin, opaque ones included; never with cookies or client certificates"
    )
    per_tenant: PerTenant | None = Field(None, description="empty here; each tenant's overlay fills it")
    trust: Trust = "low"
    web_view: Flag = Field(default=False, description="the origin of a web view in an installed app")
    dangerously_shared_suffix: Flag = Field(
        default=False, description="permits a pattern under a suffix where strangers can register names"
    )
    environments: EnvironmentTags = ()
    contact: Text | None = None
    owner: Name | None = None
    review_by: Date | None = None
    description: Text | None = None


class HeaderSet(Shape):
    """Header names that rules share."""

    term = "a header set"
    rules = (NotEmpty(),)
    request: Listed[RequestHeader] = ()
    expose: Listed[ResponseHeader] = ()


class ClaimCondition(Shape):
    """A claim of the token and the value, or values, that it must have."""

    term = "a claim condition"
    rules = (ExactlyOne(("equals", "anyOf")),)
    name: Text
    equals: ClaimValue | None = None
    any_of: Listed[ClaimItem] = ()


class HeaderCondition(Shape):
    """A request header and the value that it must have."""

    term = "a header condition"
    name: Token
    equals: Text


class OnFail(Shape):
    """What a guard answers where it fails, instead of its own status and message."""

    term = "onFail"
    rules = (NotEmpty(),)
    status: Literal[400, 401, 403, 404, 409, 410, 412, 428, 451] | None = None
    message: Text | None = None


CONDITIONS: Final = (
    "authenticated", "anyRole", "allRoles", "claim", "tokenAgeAtMost", "originInClaim", "principalIn", "sourceIn",
    "header", "versionIn", "anyOf",
)  # fmt: skip


class Guard(Shape):
    """A named condition that every caller of a group must meet."""

    term = "a guard"
    rules = (ExactlyOne(CONDITIONS),)
    authenticated: Flag = Field(default=False, description="a valid token")
    any_role: Listed[Text] = Field((), description="the token has one of these roles")
    all_roles: Listed[Text] = Field((), description="the token has all of these roles")
    claim: ClaimCondition | None = Field(None, description="a claim of the token has the value")
    token_age_at_most: Duration | None = Field(None, description="the token was issued at most so long ago")
    origin_in_claim: Text | None = Field(None, description="the claim lists the request's origin, if it has one")
    principal_in: Listed[SpiffeId] = Field((), description="the peer's certificate names one of these")
    source_in: Listed[Network] = Field((), description="the client's address, as Envoy reports it, is in one of these")
    header: HeaderCondition | None = Field(None, description="a request header has the value")
    version_in: Listed[Text] = Field((), description="the API version is one of these")
    any_of: Annotated[tuple[Name, ...], Field(min_length=2)] = Field((), description="one of these guards holds")
    provider: Name | None = Field(None, description="whose token is meant; required once there are two providers")
    phase: Literal["actual", "both"] = Field("actual", description="both: checked on the preflight as well")
    on_fail: OnFail | None = None
    description: Text | None = None


class Match(Shape):
    """Routes of a group: every host with every path and every method that stands here."""

    term = "a match entry"
    hosts: Listed[HostPattern]
    paths: Listed[PathTemplate] = Field((), description="default: /**")
    methods: Listed[Method] = Field((), description="default: every method; GET brings HEAD")
    environments: EnvironmentTags = ()


class VersionData(Shape):
    """How far a version of the group has come on its way out."""

    term = "a version"
    rules = (Needs("sunset", "successor"),)
    deprecated: Date | None = Field(None, description="from then on, answers carry Deprecation")
    sunset: Date | None = Field(None, description="from then on, requests are refused (410)")
    successor: VersionName | None = None


class VersionFrom(Shape):
    """Where the version of a request stands when no slot of host or path shows it."""

    term = "versionFrom"
    rules = (ExactlyOne(("header", "query", "mediaType")),)
    header: Token | None = None
    query: Annotated[str, Field(pattern=QUERY_NAME.pattern)] | None = None
    media_type: Annotated[str, Field(pattern=MEDIA_TYPE.pattern)] | None = Field(
        None, description="of Accept, else of Content-Type"
    )
    default: VersionName | None = None


class AllowRule(Shape):
    """What the scripts of some origin groups may do in a resource group."""

    term = "an allow rule"
    name: Name | None = Field(None, description="the rule in decisions; default: its position")
    origins: Listed[Name] = Field(description="names of origin groups")
    methods: Listed[Method] = Field((), description="default: [GET], or the protocol's; GET brings HEAD")
    headers: Listed[RequestHeader] = Field((), description="request headers that scripts may set")
    expose_headers: Listed[ResponseHeader] = Field((), description="response headers that scripts may read")
    header_sets: Listed[Name] = Field((), description="names of header sets")
    credentials: Credentials = Field((), description="what may travel: cookie, bearer, mtls")
    max_age: Duration | None = Field(None, description="how long browsers keep a preflight's answer; at most 24h")
    versions: Listed[Text] = Field((), description="the rule holds for these only; default: all")
    guards: Listed[Name] = Field((), description="further guards for requests that this rule admits")
    content_types: Listed[Annotated[str, Field(pattern=CONTENT_TYPE.pattern)]] = Field(
        (), description="bodies of other types are refused (415)"
    )
    allow_private_network: Flag = Field(
        default=False, description="answers a request header that browsers have withdrawn"
    )
    description: Text | None = Field(None, description="the rule's justification in the audit record")


class Unlisted(Shape):
    """What becomes of cross-site requests that no rule admits."""

    term = "unlisted"
    rules = (NotEmpty(),)
    reads: Literal["forward", "deny"] | None = None
    embeds: Literal["forward", "same-site", "deny"] | None = None
    navigations: Literal["forward", "same-site", "deny"] | None = None


class ResponseHeaders(Shape):
    """Further headers of answers that say who may use them."""

    term = "responseHeaders"
    rules = (NotEmpty(),)
    cross_origin_resource_policy: Literal["same-origin", "same-site", "cross-origin"] | None = None
    timing_allow_origin: Listed[Name] = Field((), description="names of origin groups")


class ResourceGroup(Shape):
    """A named set of routes with one sensitivity class, its guards, and its allow rules."""

    term = "a resource group"
    rules = (Needs("versionFrom", "versions"),)
    match: Listed[Match] = Field(description="the routes of the group")
    versions: dict[VersionName, VersionData] = Field(default_factory=dict, description="every version it serves")
    version_from: VersionFrom | None = None
    protocols: Listed[Literal["http", "websocket", "sse", "grpc", "grpc-web", "connect", "mcp"]] = ("http",)
    sensitivity: Name = Field("internal", description="a sensitivity class")
    guards: Listed[Name] = Field((), description="all must hold, for every caller")
    browser_only: Flag = Field(default=False, description="writes without Origin and Sec-Fetch-Site are refused")
    unlisted: Unlisted | None = Field(None, description="tightens what the class says")
    mode: Mode | None = Field(None, description="shadow: decide and record, touch nothing; default: defaults.mode")
    allow: tuple[AllowRule, ...] = Field(description="[] says: no script of another origin")
    response_headers: ResponseHeaders | None = None
    publish: Literal["internal", "partners", "public"] = Field(
        "internal", description="who finds it in the published dictionary"
    )
    docs: Annotated[str, Field(pattern=HTTPS_URL.pattern)] | None = None
    owner: Name | None = None
    contact: Text | None = None
    description: Text | None = None
    encoded_slashes: Literal["opaque"] | None = Field(
        None, description="an encoded / in what * or ** matches is data; default: refused"
    )


class SensitivityClass(Shape):
    """What data of one kind demands: a ceiling for every rule of its groups, a floor of guards."""

    term = "a sensitivity class"
    rules = (NotEmpty(),)
    like: Name | None = Field(None, description="the class that this one tightens")
    min_trust: Literal["none", "low", "medium", "high"] | None = None
    credentials: Credentials | None = None
    max_age: Duration | None = None
    plain_http: Permission | None = None
    unlisted: Unlisted | None = None
    exceptions: Permission | None = None
    guards: Listed[Name] = Field((), description="hold for every group of the class")


class Keys(Shape):
    """Where the keys of an issuer come from."""

    term = "keys"
    rules = (ExactlyOne(("jwksUri", "jwksFile", "envoyMetadata")),)
    jwks_uri: Annotated[str, Field(pattern=HTTPS_URL.pattern)] | None = None
    jwks_file: Annotated[str, Field(pattern=ABSOLUTE_PATH.pattern)] | None = None
    envoy_metadata: Text | None = Field(None, description="Envoy's jwt_authn verified the token; its payload key")


class TokenFrom(Shape):
    """Where the token travels, if not in the Authorization header."""

    term = "from"
    rules = (ExactlyOne(("header", "cookie")),)
    header: Token | None = None
    cookie: Token | None = None


class Jwt(Shape):
    """An issuer of tokens, and how its tokens are checked."""

    term = "a token provider"
    rules = (AlgorithmsPinned(),)
    issuer: Annotated[str, Field(pattern=ISSUER.pattern)]
    audiences: Listed[Text]
    keys: Keys
    algorithms: Listed[Literal["RS256", "ES256", "EdDSA"]] = ()
    roles: Annotated[str, Field(pattern=CLAIM_PATH.pattern)] = Field("roles", description="the claim with the roles")
    from_: TokenFrom | None = Field(None, description="default: the Authorization header")
    leeway: Duration | None = Field(None, description="how far clocks may differ; default: 30s")


class Mtls(Shape):
    """Whose certificates count."""

    term = "mtls"
    trust_domains: Listed[Annotated[str, Field(pattern=TRUST_DOMAIN.pattern)]]


class Identity(Shape):
    """How callers are known."""

    term = "identity"
    rules = (NotEmpty(),)
    jwt: dict[Name, Jwt] = Field(default_factory=dict)
    mtls: Mtls | None = None


class Tenants(Shape):
    """How a tenant is known beyond the {tenant} slot of a route."""

    term = "tenants"
    rules = (NotEmpty(),)
    claim: Text | None = Field(None, description="a claim that must name the same tenant")
    principal: Annotated[str, Field(pattern=TENANT_PRINCIPAL.pattern)] | None = None
    route_metadata: Text | None = None


class Environment(Shape):
    """A place where the service runs, and which built-in one it is like."""

    term = "an environment"
    like: Literal["prod", "staging", "dev"]


class Defaults(Shape):
    """What holds where an object does not say it."""

    term = "defaults"
    rules = (NotEmpty(),)
    max_age: Duration | None = None
    mode: Mode | None = None
    public_scheme: Literal["https"] | None = Field(None, description="the scheme where TLS ends before Envoy")
    exception_max_duration: Duration | None = Field(None, description="default: 30d")


class Grant(Shape):
    """The allow rule that an exception adds."""

    term = "a grant"
    resource_groups: Listed[Name]
    origins: Listed[ExactOrigin]
    methods: Listed[Method]
    headers: Listed[RequestHeader] = ()
    expose_headers: Listed[ResponseHeader] = ()
    credentials: Credentials = ()
    tenants: Listed[Name] = ()
    versions: Listed[Text] = Field((), description="lifts only the retirement of these versions")


class Approval(Shape):
    """Who signed an exception, in which role, and when."""

    term = "an approval"
    by: Name
    role: Literal["security", "senior"]
    at: Instant
    signature: Annotated[str, Field(pattern=SIGNATURE.pattern)] | None = None


class Exception_(Shape):  # noqa: N801 -- `Exception` is taken
    """An extra allow rule with a beginning, an end, a reason and two signatures."""

    term = "an exception"
    grant: Grant
    from_: Instant
    until: Instant
    reason: Text
    ticket: Text
    requested_by: Name
    approvals: Listed[Approval]
    token: Literal["required"] | None = Field(None, description="asks for a short-lived token on the actual request")
    renews: ExceptionName | None = None
    environments: EnvironmentTags = ()


class RateLimit(Shape):
    """How many requests of a kind pass in a period."""

    term = "a rate limit"
    by: Listed[Literal["tenant", "originGroup", "resourceGroup", "sourceAddress"]]
    only: Permission | None = None
    resource_groups: Listed[Name] = ()
    requests: int = Field(ge=1)
    per: Period
    burst: int | None = Field(None, ge=0)


class Team(Shape):
    """Who owns things."""

    term = "a team"
    contact: Text
    members: Listed[Name] = ()
    governs: Listed[Territory] = Field((), description="the team owns routes only within these")


class Person(Shape):
    """Who may sign."""

    term = "a person"
    roles: Listed[Literal["developer", "security", "senior"]]
    key: Annotated[str, Field(pattern=PUBLIC_KEY.pattern)]


class Suppression(Shape):
    """A warning that someone took on for a time, with a reason."""

    term = "a suppression"
    finding: Annotated[str, Field(pattern=FINDING_CODE.pattern)]
    at: Annotated[str, Field(pattern=FINDING_PLACE.pattern)]
    reason: Annotated[str, Field(min_length=10)]
    by: Name
    until: Date


class RolloutStep(Shape):
    """How much of the traffic a new revision decides, in percent, and for how long."""

    term = "a rollout step"
    enforce: Percent
    for_: Duration | None = None


class AbortAbove(Shape):
    """What stops a rollout; shares are in percent."""

    term = "abortAbove"
    rules = (NotEmpty(),)
    new_refusals: Percent | None = None
    errors: Percent | None = None
    latency_p99: Duration | None = Field(None, alias="latencyP99")


class Rollout(Shape):
    """How every new revision goes live."""

    term = "a rollout"
    shadow: Duration | None = None
    steps: Listed[RolloutStep]
    sticky_by: Literal["origin", "tenant"] | None = None
    abort_above: AbortAbove | None = None


class Lockdown(Shape):
    """What a lockdown leaves open, and how long it may last."""

    term = "a lockdown"
    first_party: Listed[Name] = Field(description="origin groups of high trust")
    max_duration: Duration | None = None


class OverlayRateLimit(Shape):
    """A tenant's own, lower limit."""

    term = "a rate limit of an overlay"
    requests: int = Field(ge=1)


# --- the three kinds ----------------------------------------------------------------------------------------------


class Contents(Shape):
    """What every document but an overlay may hold."""

    api_version: Literal["cors-authz/v1"]
    kind: Literal["PolicyBundle", "PolicyPart"]
    metadata: Metadata
    origin_groups: dict[Name, OriginGroup] = Field(default_factory=dict)
    header_sets: dict[Name, HeaderSet] = Field(default_factory=dict)
    guards: dict[Name, Guard] = Field(default_factory=dict)
    resource_groups: dict[Name, ResourceGroup] = Field(default_factory=dict)
    exceptions: dict[ExceptionName, Exception_] = Field(default_factory=dict)
    rate_limits: dict[Name, RateLimit] = Field(default_factory=dict)
    suppressions: Listed[Suppression] = ()


class PolicyBundle(Contents):
    """The one document that every policy has: common ground, and all that a part may hold."""

    term = "a PolicyBundle"
    kind: Literal["PolicyBundle"]
    teams: dict[Name, Team] = Field(default_factory=dict)
    people: dict[Name, Person] = Field(default_factory=dict)
    environments: dict[Name, Environment] = Field(default_factory=dict)
    defaults: Defaults | None = None
    sensitivity_classes: dict[Name, SensitivityClass] = Field(default_factory=dict)
    identity: Identity | None = None
    tenants: Tenants | None = None
    rollout: Rollout | None = None
    lockdown: Lockdown | None = None


class PolicyPart(Contents):
    """What one team adds to the policy."""

    term = "a PolicyPart"
    kind: Literal["PolicyPart"]
    metadata: PartMetadata


class TenantOverlay(Shape):
    """What one tenant adds: exact origins for per-tenant groups, and lower rate limits."""

    term = "a TenantOverlay"
    api_version: Literal["cors-authz/v1"]
    kind: Literal["TenantOverlay"]
    metadata: OverlayMetadata
    origin_groups: dict[Name, Listed[ExactOrigin]] = Field(default_factory=dict)
    rate_limits: dict[Name, OverlayRateLimit] = Field(default_factory=dict)


Model = PolicyBundle | PolicyPart | TenantOverlay

KINDS: Final[Mapping[str, type[Model]]] = {
    "PolicyBundle": PolicyBundle,
    "PolicyPart": PolicyPart,
    "TenantOverlay": TenantOverlay,
}


# --- the JSON Schema ----------------------------------------------------------------------------------------------


class _Generator(GenerateJsonSchema):
    """Writes what loading accepts: no nulls, names checked in maps, and the rules between keys."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """Leave null out: in the models it means that a key is not there, and no author can write it."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Show a default only where it says something."""
        inner = self.generate_inner(schema["schema"])
        default: Any = schema.get("default")
        if not default:
            return inner
        return {**inner, "default": list(default) if isinstance(default, tuple) else default}

    def dict_schema(self, schema: DictSchema) -> JsonSchemaValue:
        """Check names by `propertyNames`: pydantic's `patternProperties` would let any other name pass."""
        names = self.generate_inner(schema["keys_schema"])
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": self.generate_inner(schema["values_schema"]),
        }

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Add the rules of the shape to its keys."""
        written = super().model_schema(schema)
        rules = [rule.schema() for rule in schema["cls"].rules]
        return {**written, "allOf": rules} if rules else written

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 -- the signature is pydantic's
        """Give no titles: a key's name says it already."""
        del schema
        return False


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a policy document, for editors and for tools that never load a policy.

    What JSON Schema can say is refused here exactly where loading refuses it; in addition it knows the grammars that
    the compiler checks. Spec: https://json-schema.org/draft/2020-12/schema.
    """
    models = [(model, "validation") for model in KINDS.values()]
    _, written = models_json_schema(models, schema_generator=_Generator)  # type: ignore[arg-type]
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:cors-authz:policy:v1",
        "title": "cors-authz policy, v1",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": list(KINDS)}},
        "allOf": [_of_kind(kind) for kind in KINDS],
        "$defs": written["$defs"],
    }


def _of_kind(kind: str) -> dict[str, Any]:
    says_it = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    return {"if": says_it, "then": {"$ref": f"#/$defs/{kind}"}}
