"""The shape of the policy language, v1: three kinds of documents, and what each key takes.

The models accept what a policy may say and name what it says; where names point, and whether the whole makes sense,
is for lint and the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from cors_authz.policy.forms import (
    ABSOLUTE_PATH,
    CLAIM_PATH,
    CONTENT_TYPE,
    FINDING_CODE,
    FINDING_PLACE,
    HTTPS_URL,
    ISSUER,
    MEDIA_TYPE,
    PUBLIC_KEY,
    QUERY_NAME,
    SIGNATURE,
    TENANT_PRINCIPAL,
    TRUST_DOMAIN,
)
from cors_authz.policy.metadata import Metadata, OverlayMetadata, PartMetadata
from cors_authz.policy.rollout import Lockdown, Rollout
from cors_authz.policy.shape import AlgorithmsPinned, ExactlyOne, Excludes, Needs, NotEmpty, Shape
from cors_authz.policy.values import (
    ClaimItem,
    ClaimValue,
    Credentials,
    Date,
    Duration,
    EnvironmentTags,
    ExactOrigin,
    ExceptionName,
    Flag,
    HostPattern,
    Instant,
    Listed,
    Method,
    Mode,
    Name,
    Network,
    OriginPattern,
    PathTemplate,
    Period,
    Permission,
    RequestHeader,
    ResponseHeader,
    SpiffeId,
    Territory,
    Text,
    Token,
    Trust,
    VersionName,
)

API_VERSION: Final = "cors-authz/v1"


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
    owner: Name | None = Field(None, description="who answers for the guard; default: the document's owner")
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
    owner: Name | None = Field(None, description="who answers for the rule; default: the group's owner")
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
    mode: Mode | None = Field(None, description="shadow: decide and record, change no request; default: defaults.mode")
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
        None, description="an encoded / or ; in what * or ** matches is data; default: refused"
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


class OverlayRateLimit(Shape):
    """A tenant's own, lower limit."""

    term = "a rate limit of an overlay"
    requests: int = Field(ge=1)


# --- the three kinds --------------------------------------------------------------------------------------------------


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
