"""What a policy is once it is compiled for one environment: frozen values and lookups, nothing left to work out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, IntFlag, auto, unique
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple, TypeAlias

from cors_authz.fetch.fields import is_forbidden_method, is_token
from cors_authz.fetch.origin import OPAQUE, Origin, parse_origin
from cors_authz.policy.finding import Place
from cors_authz.policy.pattern import SlotAt
from cors_authz.policy.trie import Trie


class Trust(IntEnum):
    """How far an origin group is trusted; `NONE` is what `any` has."""

    # The hash of an Enum is slow.
    __hash__ = int.__hash__

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@unique
class Credential(Enum):
    """A kind of credential that a rule may grant."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    COOKIE = "cookie"
    BEARER = "bearer"
    MTLS = "mtls"


EVERY_CREDENTIAL: Final = frozenset(Credential)
NO_CREDENTIAL: Final[frozenset[Credential]] = frozenset()
BROWSER_CREDENTIALS: Final = frozenset({Credential.COOKIE, Credential.MTLS})
"""What browsers attach by themselves; a token is attached by a script."""


@unique
class Reach(Enum):
    """How far a class of unlisted cross-site requests gets."""

    FORWARD = "forward"
    SAME_SITE = "same-site"
    DENY = "deny"


@unique
class Protocol(Enum):
    """A protocol that a resource group may serve."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    HTTP = "http"
    WEBSOCKET = "websocket"
    SSE = "sse"
    GRPC = "grpc"
    GRPC_WEB = "grpc-web"
    CONNECT = "connect"
    MCP = "mcp"


@dataclass(frozen=True, slots=True)
class Unlisted:
    """What becomes of cross-site requests that no rule admits."""

    reads: Reach
    embeds: Reach
    navigations: Reach


FORWARD_ALL: Final = Unlisted(Reach.FORWARD, Reach.FORWARD, Reach.FORWARD)
PREFLIGHT_VARY: Final = ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
"""What the answers to preflights vary by, in every group."""


@unique
class TokenPlace(Enum):
    """Where a provider's token travels."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    AUTHORIZATION = "authorization"
    HEADER = "header"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer of tokens and how its tokens are checked; exactly one of the three key sources is set."""

    name: str
    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks_uri: str = ""
    jwks_file: str = ""
    envoy_metadata: str = ""
    roles: str = "roles"
    token_place: TokenPlace = TokenPlace.AUTHORIZATION
    token_name: str = "authorization"
    leeway_seconds: int = 30

    @property
    def header(self) -> str:
        """The request header, in lower case, that carries the token."""
        return "cookie" if self.token_place is TokenPlace.COOKIE else self.token_name

    @property
    def credential(self) -> Credential | None:
        """The credential that the token is a part of; None in a header of its own, which always travels on."""
        return _CREDENTIAL_OF[self.token_place]


_CREDENTIAL_OF: Final = {
    TokenPlace.AUTHORIZATION: Credential.BEARER,
    TokenPlace.COOKIE: Credential.COOKIE,
    TokenPlace.HEADER: None,
}


class Needs(NamedTuple):
    """Whose tokens a decision may read: of the providers that are asked about, those whose token travels on."""

    providers: tuple[str, ...] = ()
    are_of_several: bool = False
    """Whether several providers are asked about, so that each role says whose it is."""


_NO_NEEDS: Final = Needs()


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Holds for a valid token."""


@dataclass(frozen=True, slots=True)
class AnyRole:
    """Holds if the token has one of the roles."""

    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class AllRoles:
    """Holds if the token has all of the roles."""

    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClaimIs:
    """Holds if the claim has one of the values; a claim that is a list holds if it contains one."""

    claim: str
    values: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class TokenAge:
    """Holds if the token was issued at most so many seconds ago."""

    seconds: float


@dataclass(frozen=True, slots=True)
class OriginInClaim:
    """Holds if the request has no origin or one that the token's claim lists."""

    claim: str


@dataclass(frozen=True, slots=True)
class PrincipalIn:
    """Holds if the peer's certificate names one of the SPIFFE IDs, or one below a prefix."""

    exact: frozenset[str]
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceIn:
    """Holds if the client's address, as Envoy reports it, is in one of the networks."""

    networks: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class HeaderIs:
    """Holds if the request header (lower case) has the value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class VersionIn:
    """Holds if the API version is one of these."""

    versions: frozenset[str]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds if one of the guards holds."""

    guards: tuple[Guard, ...]


Condition: TypeAlias = (
    Authenticated
    | AnyRole
    | AllRoles
    | ClaimIs
    | TokenAge
    | OriginInClaim
    | PrincipalIn
    | SourceIn
    | HeaderIs
    | VersionIn
    | AnyOf
)


@dataclass(frozen=True, slots=True)
class Guard:
    """A named condition that every caller of a group must meet."""

    name: str
    place: Place
    condition: Condition
    provider: str = ""
    both_phases: bool = False
    status: int = 0
    message: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """A version of a resource group; instants are seconds since the epoch, None is never."""

    name: str
    deprecated: float | None = None
    sunset: float | None = None
    successor: str = ""


@unique
class VersionSource(Enum):
    """Where the version of a request stands when it is in no slot of host or path."""

    HEADER = "header"
    QUERY = "query"
    MEDIA_TYPE = "mediaType"


@dataclass(frozen=True, slots=True)
class VersionFrom:
    """`versionFrom`: a header or query parameter by name, or a media type around the version."""

    source: VersionSource
    name: str = ""
    prefix: str = ""
    suffix: str = ""
    default: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the scripts of some origin groups may do in a resource group. Header names are in lower case."""

    index: int
    name: str
    place: Place
    origin_groups: tuple[str, ...]
    methods: frozenset[str]
    any_method: bool
    headers: frozenset[str]
    any_header: bool
    exposed: tuple[str, ...]
    credentials: frozenset[Credential]
    max_age_seconds: int
    versions: frozenset[str] | None = None
    guards: tuple[Guard, ...] = ()
    content_types: frozenset[str] | None = None
    allow_private_network: bool = False
    description: str = ""
    providers: tuple[str, ...] = ()
    """The providers whose tokens the guards of the rule read."""
    needs: Needs = _NO_NEEDS
    """Whose tokens are read of a request that comes under the rule."""
    look: int = 0
    """Rules of one look grant alike: they agree in `exposed`, `credentials` and `max_age_seconds`."""

    def admits(self, method: str, version: str | None) -> bool:
        """Tell whether the rule is a candidate for a method and a version; None stands for some version."""
        if method not in self.methods and not (
            self.any_method and is_token(method) and not is_forbidden_method(method)
        ):
            return False
        return self.versions is None or version is None or version in self.versions

    def grants(self, asked: tuple[str, ...]) -> bool:
        """Tell whether scripts may set all of these request headers."""
        if self.headers.issuperset(asked):
            return True
        # `*` never covers Authorization: https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name.
        return self.any_header and ("authorization" not in asked or "authorization" in self.headers)

    @property
    def sends_browser_credentials(self) -> bool:
        """Whether browsers attach credentials of their own, so that Access-Control-Allow-Credentials is due."""
        return not self.credentials.isdisjoint(BROWSER_CREDENTIALS)


@unique
class Concern(IntFlag):
    """What a group may have something to say about; of the others a request need not be asked."""

    VERSIONS = auto()
    BODIES = auto()
    CALLERS = auto()


EVERY_CONCERN: Final = int(Concern.VERSIONS | Concern.BODIES | Concern.CALLERS)


class Surroundings(NamedTuple):
    """What a policy reads of a request beside its line and its headers: address, certificate, Envoy's metadata."""

    source: bool = True
    principal: bool = True
    metadata: bool = True


@dataclass(frozen=True, slots=True)
class ResourceGroup:
    """A named set of routes, with its guards and its allow rules."""

    index: int
    name: str
    place: Place
    sensitivity: str
    unlisted: Unlisted
    rules: tuple[Rule, ...]
    rules_of: Mapping[str, tuple[Rule, ...]]
    """The rules by the name of an origin group, in the order of the policy."""
    guards: tuple[Guard, ...] = ()
    """The guards of the class, then those of the group."""
    providers: tuple[str, ...] = ()
    """The providers whose tokens the guards, or the tenant's claim, read."""
    needs: Needs = _NO_NEEDS
    """Whose tokens are read of a request that no rule has to admit, with every credential."""
    needs_of_strangers: Needs = _NO_NEEDS
    """Whose tokens are read of an unlisted one, which goes on with no credential."""
    protocols: frozenset[Protocol] = frozenset({Protocol.HTTP})
    forwards_reads: bool = False
    """Reads by scripts of unlisted origins go on; never to a server of the Model Context Protocol, which refuses every
    origin that it does not know."""
    browser_only: bool = False
    shadow: bool = False
    opaque_slashes: bool = False
    versions: Mapping[str, ApiVersion] | None = None
    version_from: VersionFrom | None = None
    corp: str = ""
    timing_origins: tuple[str, ...] = ()
    star: bool = False
    """`any` is all that the group allows: `Access-Control-Allow-Origin: *`, never an echo."""
    origin_free: bool = False
    """Answers do not depend on Origin: `*` goes on every answer and Origin is not in `Vary`."""
    vary: tuple[str, ...] = ()
    private: bool = False
    """Answers depend on a token, so no shared cache may keep them."""
    look: int = 0
    """Groups of one look answer alike, whoever asks: they agree in `star`, `origin_free`, `vary`, `private`, `corp`,
    `timing_origins`, and in the look of the rule by which an origin-free group answers requests without an origin."""
    concerns: int = EVERY_CONCERN
    """The `Concern` of the group and of its rules."""
    owner: str = ""
    contact: str = ""
    description: str = ""
    docs: str = ""

    @property
    def open_read(self) -> Rule | None:
        """The rule by which an origin-free group answers, whoever asks: a cache may hand the answer to any page."""
        return next(rule for rule in self.rules if rule.admits("GET", None)) if self.origin_free else None


@dataclass(frozen=True, slots=True)
class Route:
    """One host pattern, one path template and some methods of a resource group's `match`.

    `rank` orders routes that overlap: of all that match a request, the lowest is the narrowest.
    """

    group: ResourceGroup
    rank: int
    host: str
    path: str
    place: Place
    methods: frozenset[str] | None = None
    tenant_in_host: SlotAt | None = None
    tenant_in_path: SlotAt | None = None
    version_in_host: SlotAt | None = None
    version_in_path: SlotAt | None = None


class Membership(NamedTuple):
    """An origin is in an origin group by a pattern; the lower the rank, the narrower the pattern."""

    rank: int
    group: str
    pattern: str
    place: Place


@dataclass(frozen=True, slots=True)
class OriginTable:
    """Which origin groups an origin is in. `exact` already holds the patterns that match an exact origin."""

    exact: Mapping[str, tuple[Membership, ...]]
    patterns: Mapping[str, Trie[tuple[str, Membership]]]
    """By scheme, over reversed labels; a value is the port that the pattern demands (`*` any) and the membership."""
    anyone: tuple[Membership, ...] = ()

    def find(self, origin: str) -> tuple[Membership, ...] | None:
        """Find the origin groups that an origin is in, the narrowest pattern first.

        Returns: the memberships, () for an origin that no group has; None for a malformed one. Never raises.
        """
        exact = self.exact.get(origin)
        if exact is not None:
            return exact
        if origin == OPAQUE:
            return self.anyone
        parsed = parse_origin(origin)
        return None if parsed is None else self.find_by_pattern(parsed)

    def find_by_pattern(self, origin: Origin) -> tuple[Membership, ...]:
        """Find the origin groups that an origin is in by patterns that are not exact, the narrowest first."""
        trie = self.patterns.get(origin.scheme)
        if trie is None:
            return self.anyone
        found = (membership for port, membership in trie.find(origin.labels[::-1]) if port in {"*", origin.port})
        return (*sorted(found), *self.anyone)


@dataclass(frozen=True, slots=True)
class HostRoutes:
    """The routes of one host pattern, over path segments; `port` is empty where any will do."""

    port: str
    paths: Trie[Route]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Which routes a host has. `exact` already holds the patterns that match an exact host; others are searched."""

    exact: Mapping[str, tuple[HostRoutes, ...]]
    patterns: Trie[HostRoutes]
    """Over reversed labels."""


@dataclass(frozen=True, slots=True)
class TenantSource:
    """How the tenant is known beyond the `{tenant}` slot of a route."""

    claim: str = ""
    principal_prefix: str = ""
    principal_suffix: str = ""
    route_metadata: str = ""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class CompiledPolicy:
    """A policy as the decision point reads it, for one environment."""

    name: str
    revision: str
    environment: str
    routes: RouteTable
    origins: OriginTable
    groups: tuple[ResourceGroup, ...]
    providers: Mapping[str, Provider] = field(default_factory=dict)
    tenants: TenantSource | None = None
    public_scheme: str = ""
    shadow: bool = False
    surroundings: Surroundings = field(default_factory=Surroundings)
    trust: Mapping[str, Trust] = field(default_factory=dict)
    """How far each origin group is trusted, by its name."""
    exceptions_until: Mapping[str, float] = field(default_factory=dict)
    """When each exception ends, by its name, in seconds since the epoch."""
