"""The whole of a policy before it is compiled: the union of its documents, every object with its place and owner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, NamedTuple, TypeVar

from cors_authz.policy import schema
from cors_authz.policy.document import Document
from cors_authz.policy.finding import Finding, Place
from cors_authz.policy.shape import Shape

T = TypeVar("T")
N = TypeVar("N", bound=Shape)

_NO_DEFAULTS: Final = schema.Defaults.model_construct()
BUILT_IN_ENVIRONMENTS: Final = {"prod": "prod", "staging": "staging", "dev": "dev"}


class Environment(NamedTuple):
    """Where the service runs, and which of `prod`, `staging` and `dev` that is like."""

    name: str
    like: str

    @property
    def is_dev(self) -> bool:
        """Whether loopback origins may be open here, over plain http as well."""
        return self.like == "dev"

    def has(self, tags: Sequence[str]) -> bool:
        """Tell whether something with these tags exists here; without tags it exists everywhere."""
        return not tags or self.name in tags


@dataclass(frozen=True, slots=True)
class Named(Generic[T]):
    """An object of the policy: its name, what is said of it, and where."""

    name: str
    model: T
    document: Document
    path: tuple[str | int, ...]
    owner: str = ""

    @property
    def key_place(self) -> Place:
        """Where its name stands."""
        return self.document.key_place(*self.path)

    @property
    def about(self) -> str:
        """The path by which a suppression names it, such as `resourceGroups/orders`."""
        return "/".join(map(str, self.path))

    def place(self, *path: str | int) -> Place:
        """Where something in it stands; what is not there stands at its nearest parent."""
        return self.document.place(*self.path, *path)

    def within(self, *path: str | int) -> tuple[str | int, ...]:
        """The path, from the top of the document, of something in it."""
        return (*self.path, *path)


@dataclass(frozen=True, slots=True)
class Estate:
    """The union of a policy's documents. Nothing overrides anything, and the order of files means nothing."""

    documents: tuple[Document, ...]
    bundle: Named[schema.PolicyBundle]
    environments: Mapping[str, Environment]
    origin_groups: Mapping[str, Named[schema.OriginGroup]]
    header_sets: Mapping[str, Named[schema.HeaderSet]]
    guards: Mapping[str, Named[schema.Guard]]
    resource_groups: Mapping[str, Named[schema.ResourceGroup]]
    exceptions: Mapping[str, Named[schema.Exception_]]
    rate_limits: Mapping[str, Named[schema.RateLimit]]
    suppressions: tuple[Named[schema.Suppression], ...]
    overlays: tuple[Named[schema.TenantOverlay], ...]

    @property
    def providers(self) -> Mapping[str, schema.Jwt]:
        """The token providers by name."""
        identity = self.bundle.model.identity
        return identity.jwt if identity else {}

    @property
    def defaults(self) -> schema.Defaults:
        """What the bundle says for whatever does not say it."""
        return self.bundle.model.defaults or _NO_DEFAULTS

    @property
    def max_age(self) -> timedelta:
        """How long browsers keep a preflight's answer where a rule does not say it."""
        return self.defaults.max_age if self.defaults.max_age is not None else timedelta(minutes=10)


def unite(documents: Sequence[Document]) -> tuple[Estate | None, tuple[Finding, ...]]:
    """Unite documents into one policy.

    Returns: the estate, None where there is not exactly one `PolicyBundle`; and a finding for each name that is
    defined twice and for each bundle too many.
    """
    bundles = [document for document in documents if isinstance(document.model, schema.PolicyBundle)]
    if len(bundles) != 1:
        return None, tuple(_not_one_bundle(documents, bundles))
    contents = [document for document in documents if isinstance(document.model, schema.Contents)]
    doubles: list[Finding] = []
    bundle = bundles[0].model
    assert isinstance(bundle, schema.PolicyBundle)  # noqa: S101 - for the type checker: filtered above
    estate = Estate(
        documents=tuple(documents),
        bundle=Named(bundle.metadata.name, bundle, bundles[0], (), bundle.metadata.owner or ""),
        environments=_environments(bundle),
        origin_groups=_union(contents, "origin_groups", doubles),
        header_sets=_union(contents, "header_sets", doubles),
        guards=_union(contents, "guards", doubles),
        resource_groups=_union(contents, "resource_groups", doubles),
        exceptions=_union(contents, "exceptions", doubles),
        rate_limits=_union(contents, "rate_limits", doubles),
        suppressions=tuple(_suppressions(contents)),
        overlays=tuple(_overlays(documents)),
    )
    return estate, tuple(doubles)


def _not_one_bundle(documents: Sequence[Document], bundles: Sequence[Document]) -> Iterator[Finding]:
    text = "a policy has exactly one PolicyBundle; "
    for document in documents[:1] if not bundles else ():
        yield Finding(document.place("kind"), "CX046", text + "write kind: PolicyBundle in one of the documents")
    for document in bundles[1:]:
        other = bundles[0].place("kind")
        yield Finding(document.place("kind"), "CX046", f"{text}another is at {other}: write kind: PolicyPart here")


def _environments(bundle: schema.PolicyBundle) -> Mapping[str, Environment]:
    declared = {name: environment.like for name, environment in bundle.environments.items()}
    return {name: Environment(name, like) for name, like in (declared or BUILT_IN_ENVIRONMENTS).items()}


def _union(contents: Iterable[Document], attribute: str, doubles: list[Finding]) -> dict[str, Named[N]]:
    key = _CONTENT_KEYS[attribute]
    union: dict[str, Named[N]] = {}
    for document in contents:
        models: Mapping[str, N] = getattr(document.model, attribute)
        for name, model in models.items():
            named = Named(name, model, document, (key, name), getattr(model, "owner", None) or _owner(document))
            first = union.setdefault(name, named)
            if first is not named:
                doubles.append(_double(named, first))
    return union


_CONTENT_KEYS: Final = {
    "origin_groups": "originGroups",
    "header_sets": "headerSets",
    "guards": "guards",
    "resource_groups": "resourceGroups",
    "exceptions": "exceptions",
    "rate_limits": "rateLimits",
}


def _double(named: Named[N], first: Named[N]) -> Finding:
    text = f"`{named.name}` is defined in two documents (also {first.key_place}); names are global: rename one"
    return Finding(named.key_place, "CX046", text, about=named.about)


def _owner(document: Document) -> str:
    return getattr(document.model.metadata, "owner", None) or ""


def _suppressions(contents: Iterable[Document]) -> Iterator[Named[schema.Suppression]]:
    for document in contents:
        assert isinstance(document.model, schema.Contents)  # noqa: S101 - for the type checker: filtered by the caller
        for index, model in enumerate(document.model.suppressions):
            yield Named(model.finding, model, document, ("suppressions", index), _owner(document))


def _overlays(documents: Iterable[Document]) -> Iterator[Named[schema.TenantOverlay]]:
    for document in documents:
        if isinstance(document.model, schema.TenantOverlay):
            yield Named(document.model.metadata.tenant, document.model, document, ())
